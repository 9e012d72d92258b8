package cache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"onhand/processor/availability"
)

// realURL returns the URL of a real server, or nothing if there is none.
func realURL(t *testing.T, name string) string {
	url := os.Getenv(realServers[name])
	if url != "" {
		used(t, name)
	}
	return url
}

// TestShortMemoryStopsACommitBeforeItWrites gives Redis less memory than it has in use. A commit that deletes anything, which
// it begins with, is then written as a whole, any other not at all.
func TestShortMemoryStopsACommitBeforeItWrites(t *testing.T) {
	url := realURL(t, "redis")
	if url == "" {
		return
	}
	ctx, cancel := context.WithCancel(t.Context())
	s := openRedis(t, url, Options{OnRetry: func(error) { cancel() }})
	c := chain{t: t}
	c.commit(s, c.next(stocked("a", counted("L1", 5))))
	before := dump(t, s)
	t.Cleanup(func() { s.client.ConfigSet(context.WithoutCancel(ctx), "maxmemory", "0") })
	short := func(bytes string) {
		if err := s.client.ConfigSet(t.Context(), "maxmemory", bytes).Err(); err != nil {
			t.Fatal(err)
		}
	}
	short("1")
	commit := *c.next(stocked("z", long("L1")))
	if err := s.Commit(ctx, number, &commit); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "OOM") {
		t.Errorf("a commit: %v", err)
	}
	if !reflect.DeepEqual(dump(t, s), before) {
		t.Error("a commit that was refused has written")
	}
	commit = full(commit) // now it begins with the SKU that is replaced
	err := s.Commit(t.Context(), number, &commit)
	short("0")
	if err != nil {
		t.Errorf("a commit that begins with a deletion: %v", err)
	}
	equal(t, "stock", c.whole(s, "z")[0].Cells, []availability.Cell{long("L1")})
	equal(t, "count", must(s.Count(t.Context(), number))(t), 3)
}

const counterBuckets = 40

// counter commits a growing number to two SKUs and to a new one, and appends it to a bucket of ids, as a task does: it
// goes on from the checkpoint when it is fenced.
type counter struct {
	t       *testing.T
	s       *Redis
	at      availability.Checkpoint
	idsOnly int64 // from this number on only ids are committed; 0: never
	fenced  int
}

func (c *counter) step(ctx context.Context) {
	c.t.Helper()
	next := availability.Checkpoint{CommitID: availability.CommitID([]byte(fmt.Sprintf("%016d", time.Now().UnixNano()%1e15))), CommitSeq: c.at.CommitSeq + 1}
	n := int(next.CommitSeq)
	commit := &availability.Commit{Expect: c.at.CommitID, Checkpoint: next, IDs: []availability.IDBatch{{Bucket: int64(n % counterBuckets), IDs: []uint64{uint64(n)}}}}
	if c.idsOnly == 0 || next.CommitSeq < c.idsOnly {
		commit.Stocks = []availability.StockData{stocked("a", counted("L1", n)), stocked("b", counted("L1", n)), stocked(availability.SKU(fmt.Sprint("new ", n)), counted("L1", n))}
	}
	switch err := c.s.Commit(ctx, number, commit); {
	case err == nil:
		c.at = next
	case errors.Is(err, availability.ErrFenced):
		c.fenced++
		c.s.Forget(number)
		if c.at, err = c.s.Checkpoint(ctx, number); err != nil {
			c.t.Fatal(err)
		}
	default:
		c.t.Fatal(err)
	}
}

// check compares everything that was committed with the checkpoint.
func (c *counter) check() {
	c.t.Helper()
	n := int(c.at.CommitSeq)
	stocks := n
	if c.idsOnly > 0 {
		stocks = min(n, int(c.idsOnly)-1)
	}
	skus := []availability.Want{{SKU: "a", All: true}, {SKU: "b", All: true}}
	for i := range min(stocks, WantsMax-2) {
		skus = append(skus, availability.Want{SKU: availability.SKU(fmt.Sprint("new ", i+1)), All: true})
	}
	got, id, err := c.s.Load(c.t.Context(), number, nil, skus)
	if err != nil || id != c.at.CommitID {
		c.t.Fatalf("loaded of commit %s, not of %s: %v", id, c.at.CommitID, err)
	}
	for i, d := range got {
		want := stocks
		if i >= 2 {
			want = i - 1
		}
		equal(c.t, string(d.SKU), d.Cells, []availability.Cell{counted("L1", want)})
	}
	var ids, want []uint64
	for _, b := range must(c.s.IDs(c.t.Context(), number))(c.t) {
		ids = append(ids, b.IDs...)
	}
	for i := range n {
		want = append(want, uint64(i+1))
	}
	slices.Sort(ids)
	equal(c.t, "ids", ids, want)
}

// TestCommitsGoOnThroughAFailover promotes a replica while a task commits.
func TestCommitsGoOnThroughAFailover(t *testing.T) {
	for name, promote := range map[string]func(*testing.T, *Redis, *address){"redis-sentinel": promoteBySentinel, "redis-cluster": promoteInCluster} {
		url := realURL(t, name)
		if url == "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			a, err := parseURL(url)
			if err != nil {
				t.Fatal(err)
			}
			retries := map[string]int{}
			s := openRedis(t, url, Options{Timeout: time.Second, OnRetry: func(err error) { retries[strings.Fields(err.Error())[0]]++ }})
			before := masterOf(t, s)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			c := &counter{t: t, s: s}
			for range 50 {
				c.step(ctx)
			}
			promote(t, s, a)
			for masterOf(t, s) == before {
				c.step(ctx)
			}
			for range 50 {
				c.step(ctx)
			}
			c.check()
			t.Logf("%d commits, %d fenced, retries %v", c.at.CommitSeq, c.fenced, retries)
		})
	}
}

// masterOf names the server that has the task's keys, nothing if it does not answer.
func masterOf(t *testing.T, s *Redis) string {
	if c, ok := s.client.(*redis.ClusterClient); ok {
		node, err := c.MasterForKey(t.Context(), keysOf(s.namespace, number).checkpoint())
		if err != nil {
			return ""
		}
		return node.Options().Addr
	}
	return field(s.client.Info(t.Context(), "server").Val(), "run_id")
}

func promoteBySentinel(t *testing.T, _ *Redis, a *address) {
	guard := redis.NewSentinelClient(&redis.Options{Addr: a.hosts[0]})
	defer guard.Close()
	await(t, "a failover", func() bool { return guard.Failover(t.Context(), a.master).Err() == nil })
}

func promoteInCluster(t *testing.T, s *Redis, _ *address) {
	cluster, ok := s.client.(*redis.ClusterClient)
	if !ok {
		t.Fatal("no cluster")
	}
	await(t, "a failover", func() bool {
		promoted, master := make(chan error, 16), masterOf(t, s)
		_ = cluster.ForEachSlave(t.Context(), func(ctx context.Context, node *redis.Client) error {
			info := node.Info(ctx, "replication").Val()
			if field(info, "master_host")+":"+field(info, "master_port") == master && field(info, "master_link_status") == "up" {
				promoted <- node.ClusterFailover(ctx).Err()
			}
			return nil
		})
		close(promoted)
		err, found := <-promoted
		return found && err == nil
	})
}

// await asks until something is so, for half a minute at most.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !so(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come about", what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// TestCommitsGoOnWhileTheirSlotMoves moves a task's slot to another node key by key while the task commits. A key that a
// script does not declare would be written where it is read no more.
func TestCommitsGoOnWhileTheirSlotMoves(t *testing.T) {
	url := realURL(t, "redis-cluster")
	if url == "" {
		return
	}
	retries := map[string]int{}
	s := openRedis(t, url, Options{OnRetry: func(err error) { retries[strings.Fields(err.Error())[0]]++ }})
	cluster, ok := s.client.(*redis.ClusterClient)
	if !ok {
		t.Fatal("no cluster")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := &counter{t: t, s: s}
	for range 300 {
		c.step(ctx)
	}
	// A commit of many keys waits until all of them are on one side; one of few keys runs in between.
	c.idsOnly = 301
	done := make(chan error, 1)
	go func() { done <- moveSlot(ctx, cluster, keysOf(s.namespace, number).checkpoint()) }()
	for moving := true; moving; c.step(ctx) {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			moving = false
		default:
		}
	}
	for range 20 {
		c.step(ctx)
	}
	c.check()
	if c.fenced > 0 {
		t.Errorf("%d commits were fenced", c.fenced)
	}
	t.Logf("%d commits, retries %v", c.at.CommitSeq, retries)
	await(t, "a cluster that agrees", func() bool { return settled(t, cluster) })
}

// settled says whether all masters see the same cluster, whole.
func settled(t *testing.T, cluster *redis.ClusterClient) bool {
	views := make(chan string, 16)
	err := cluster.ForEachMaster(t.Context(), func(ctx context.Context, node *redis.Client) error {
		slots, err := node.Do(ctx, "CLUSTER", "SLOTS").Slice()
		var view []string
		for _, s := range slots { // first, last, master, replicas
			view = append(view, fmt.Sprint(list(s)[:3]))
		}
		slices.Sort(view)
		views <- field(node.ClusterInfo(ctx).Val(), "cluster_state") + strings.Join(view, " ")
		return err
	})
	close(views)
	first := <-views
	for view := range views {
		if view != first {
			return false
		}
	}
	return err == nil && strings.HasPrefix(first, "ok")
}

// moveSlot moves the slot of a key to another master as redis-cli --cluster reshard does: to its new owner first.
func moveSlot(ctx context.Context, cluster *redis.ClusterClient, key string) error {
	slot, err := cluster.ClusterKeySlot(ctx, key).Result()
	if err != nil {
		return err
	}
	source, err := cluster.MasterForKey(ctx, key)
	if err != nil {
		return err
	}
	all := make(chan *redis.Client, 16)
	if err := cluster.ForEachMaster(ctx, func(_ context.Context, node *redis.Client) error { all <- node; return nil }); err != nil {
		return err
	}
	close(all)
	var others []*redis.Client
	for node := range all {
		if node.Options().Addr != source.Options().Addr {
			others = append(others, node)
		}
	}
	target := others[0]
	from, to := source.Do(ctx, "CLUSTER", "MYID").Val(), target.Do(ctx, "CLUSTER", "MYID").Val()
	if err := target.Do(ctx, "CLUSTER", "SETSLOT", slot, "IMPORTING", from).Err(); err != nil {
		return err
	}
	if err := source.Do(ctx, "CLUSTER", "SETSLOT", slot, "MIGRATING", to).Err(); err != nil {
		return err
	}
	if err := moveKeys(ctx, source, target, int(slot)); err != nil {
		// Nobody else is to find the slot open.
		ctx := context.WithoutCancel(ctx)
		return errors.Join(err, source.Do(ctx, "CLUSTER", "SETSLOT", slot, "STABLE").Err(), target.Do(ctx, "CLUSTER", "SETSLOT", slot, "STABLE").Err())
	}
	for _, node := range slices.Concat([]*redis.Client{target, source}, others[1:]) {
		if err := node.Do(ctx, "CLUSTER", "SETSLOT", slot, "NODE", to).Err(); err != nil {
			return err
		}
	}
	return nil
}

// moveKeys moves a few keys at a time.
func moveKeys(ctx context.Context, source, target *redis.Client, slot int) error {
	host, port, _ := strings.Cut(target.Options().Addr, ":")
	for {
		keys, err := source.ClusterGetKeysInSlot(ctx, slot, 3).Result()
		if err != nil || len(keys) == 0 {
			return err
		}
		args := []any{"MIGRATE", host, port, "", 0, 5000, "KEYS"}
		for _, key := range keys {
			args = append(args, key)
		}
		if err := source.Do(ctx, args...).Err(); err != nil {
			return err
		}
	}
}
