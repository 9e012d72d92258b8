package cache

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"onhand/processor/availability"
)

// store is what Redis and Memory have in common.
type store interface {
	Checkpoint(ctx context.Context, task int32) (availability.Checkpoint, error)
	Load(ctx context.Context, task int32, g *availability.Graph, wants []availability.Want) ([]availability.StockData, availability.CommitID, error)
	Read(ctx context.Context, task int32, sku availability.SKU) (availability.StockData, availability.CommitID, error)
	Commit(ctx context.Context, task int32, c *availability.Commit) error
	IDs(ctx context.Context, task int32) ([]availability.IDBatch, error)
	Owed(ctx context.Context, task int32) ([]availability.SKU, error)
	Graphs(ctx context.Context, task int32) ([]availability.GraphData, error)
	SKUs(ctx context.Context, task int32, shard int) ([]availability.SKU, error)
	Count(ctx context.Context, task int32) (int64, error)
	Due(ctx context.Context, task int32, until availability.Instant, limit int) ([]availability.Due, error)
	Forget(task int32)
	Close() error
}

var (
	_ store = (*Redis)(nil)
	_ store = (*Memory)(nil)
)

// backend is one place to keep state in, empty at first.
type backend struct {
	open     func(*testing.T) store         // another process's look at the same state
	snapshot func(*testing.T) (roll func()) // roll makes the place forget what was written since
}

// realServers are the variables with the URLs of real ones, by the name that is noted when one was used.
var realServers = map[string]string{"redis": "ONHAND_TEST_REDIS", "redis-cluster": "ONHAND_TEST_REDIS_CLUSTER", "redis-sentinel": "ONHAND_TEST_REDIS_SENTINEL"}

// backends are those there is a server for: Memory and miniredis always, the real ones where a variable has the URL of
// one. A variable that is not set makes no test, so that none is skipped.
func backends() map[string]func(*testing.T) *backend {
	all := map[string]func(*testing.T) *backend{"memory": memoryBackend, "miniredis": func(t *testing.T) *backend {
		return redisBackend("redis://" + miniredis.RunT(t).Addr())
	}}
	for name, variable := range realServers {
		if url := os.Getenv(variable); url != "" {
			all[name] = func(t *testing.T) *backend {
				used(t, name)
				return redisBackend(url)
			}
		}
	}
	return all
}

// used notes that a real service took part, for a run that must not do without.
func used(t testing.TB, service string) {
	t.Helper()
	dir := os.Getenv("ONHAND_TEST_USED")
	if dir == "" {
		return
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, service), nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

func memoryBackend(*testing.T) *backend {
	m := NewMemory()
	return &backend{
		open: func(*testing.T) store { return m },
		snapshot: func(*testing.T) func() {
			s := m.Snapshot()
			return func() { m.Restore(s) }
		},
	}
}

func redisBackend(url string) *backend {
	namespace := "test-" + rand.Text()
	return &backend{
		open: func(t *testing.T) store { return openRedis(t, url, Options{Namespace: namespace}) },
		snapshot: func(t *testing.T) func() {
			r := openRedis(t, url, Options{Namespace: namespace})
			kept := dump(t, r)
			return func() { restore(t, r, kept) }
		},
	}
}

// openRedis opens a store whose keys are deleted at the end of the test.
func openRedis(t *testing.T, url string, o Options) *Redis {
	t.Helper()
	if o.Namespace == "" {
		o.Namespace = "test-" + rand.Text()
	}
	r, err := Open(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		o := o
		o.Dialer, o.OnRetry = nil, nil
		if sweeper, err := Open(context.WithoutCancel(t.Context()), url, o); err == nil {
			restore(t, sweeper, nil)
			_ = sweeper.Close()
		}
		_ = r.Close()
	})
	return r
}

// dump returns every key of the store's namespace with its value.
func dump(t testing.TB, r *Redis) map[string]any {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	kept := make(map[string]any)
	for _, key := range allKeys(t, r) {
		var err error
		switch kind := r.client.Type(ctx, key).Val(); kind {
		case "string":
			kept[key], err = r.client.Get(ctx, key).Result()
		case "hash":
			kept[key], err = r.client.HGetAll(ctx, key).Result()
		case "set":
			kept[key], err = r.client.SMembersMap(ctx, key).Result()
		case "zset":
			kept[key], err = r.client.ZRangeWithScores(ctx, key, 0, -1).Result()
		default:
			t.Fatalf("%s is a %s", key, kind)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return kept
}

// restore makes the store's namespace hold what was dumped, and nothing else.
func restore(t testing.TB, r *Redis, kept map[string]any) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	for _, key := range allKeys(t, r) {
		if err := r.client.Del(ctx, key).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for key, value := range kept {
		var err error
		switch value := value.(type) {
		case string:
			err = r.client.Set(ctx, key, value, 0).Err()
		case map[string]string:
			err = r.client.HSet(ctx, key, value).Err()
		case map[string]struct{}:
			for member := range value {
				err = r.client.SAdd(ctx, key, member).Err()
			}
		case []redis.Z:
			err = r.client.ZAdd(ctx, key, value...).Err()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func allKeys(t testing.TB, r *Redis) (keys []string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	scan := func(ctx context.Context, c redis.Cmdable) error {
		pages := c.Scan(ctx, 0, "{"+r.namespace+":*", 1000).Iterator()
		for pages.Next(ctx) {
			keys = append(keys, pages.Val())
		}
		return pages.Err()
	}
	var err error
	if c, ok := r.client.(*redis.ClusterClient); ok {
		pages := make(chan []string, 1)
		pages <- nil
		err = c.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
			<-pages
			err := scan(ctx, node)
			pages <- keys
			return err
		})
	} else {
		err = scan(ctx, r.client)
	}
	if err != nil {
		t.Fatal(err)
	}
	return keys
}
