package cache

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"onhand/processor/availability"
)

// TestPermissionsSufficeAndNoneIsTooMany makes users by what Permissions says and calls everything as them; then each
// right is taken away in turn, which some call must tell by its name, and a commit that is refused for it must not have
// written. miniredis has no such users, so that it takes a real Redis.
func TestPermissionsSufficeAndNoneIsTooMany(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(realServers)) {
		text := os.Getenv(realServers[name])
		if text == "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			used(t, name)
			used(t, "redis-acl")
			for _, access := range []Access{ReadOnly, ReadWrite} {
				users(t, text, access)
			}
			if other, ok := strings.CutSuffix(text, "/0"); ok {
				users(t, other+"/1", ReadOnly)
			}
		})
	}
}

func users(t *testing.T, text string, access Access) {
	t.Helper()
	admin, c := openRedis(t, text, Options{}), &chain{t: t}
	rules, err := Permissions(text, admin.namespace, access)
	if err != nil {
		t.Fatal(err)
	}
	commit := full(*c.next(stocked("z", long("L1"))))
	c.commit(admin, &commit)
	if err := everything(t, admin.as(t, text, rules), admin.namespace, access, c); err != nil {
		t.Fatalf("with every right: %v", err)
	}
	for i, rule := range rules {
		less := admin.as(t, text, slices.Delete(slices.Clone(rules), i, i+1))
		before := dump(t, admin)
		err := everything(t, less, admin.namespace, access, c)
		want := "it lacks the right " + rule + ":"
		if strings.HasPrefix(rule, "~") {
			want = "it lacks the right to the keys of the namespace"
		}
		if !errors.Is(err, availability.ErrDenied) || !strings.Contains(err.Error(), want) {
			t.Errorf("without %s: %v", rule, err)
		}
		if slices.Contains(writeCommands, strings.TrimPrefix(rule, "+")) && !reflect.DeepEqual(dump(t, admin), before) {
			t.Errorf("without %s something was written", rule)
		}
	}
	if err := everything(t, admin.as(t, text, rules), "other", access, new(chain)); !errors.Is(err, availability.ErrDenied) {
		t.Errorf("in another namespace: %v", err)
	}
}

// as makes a user with these rules on every server, until the end of the test, and returns the URL with its name.
func (r *Redis) as(t *testing.T, text string, rules []string) string {
	t.Helper()
	name := "onhand-" + rand.Text()
	make := []any{"ACL", "SETUSER", name, "reset", "on", ">hunter2"}
	for _, rule := range rules {
		make = append(make, rule)
	}
	everywhere := func(args ...any) error {
		ctx := context.WithoutCancel(t.Context())
		if c, ok := r.client.(*redis.ClusterClient); ok {
			return c.ForEachShard(ctx, func(ctx context.Context, node *redis.Client) error { return node.Do(ctx, args...).Err() })
		}
		return r.client.Do(ctx, args...).Err()
	}
	if err := everywhere(make...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = everywhere("ACL", "DELUSER", name) })
	return strings.Replace(text, "://", "://"+name+":hunter2@", 1)
}

// everything makes every call there is as the user of the URL, and returns the first error.
func everything(t *testing.T, text, namespace string, access Access, c *chain) error {
	t.Helper()
	s, err := Open(t.Context(), text, Options{Namespace: namespace})
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	ctx := t.Context()
	calls := []func() error{
		func() error { return readAll(t, s) },
		func() error { _, err := s.Schemas(ctx); return err },
		func() error { _, err := s.Owed(ctx, number); return err },
		func() error { _, err := s.SKUs(ctx, number, 1); return err },
		func() error { _, err := s.Count(ctx, number); return err },
		func() error { return s.CopyIDs(ctx, number, 1, 0, nil) },
		func() error { _, err := s.Copy(ctx, number, []availability.SKU{"z"}); return err },
		func() error {
			_, _, err := s.Load(ctx, number, largeGraph(t, 1), []availability.Want{{SKU: "z", Locations: []availability.LocationID{"L1"}}})
			return err
		},
		// A script that the server does not know, as every one is at first.
		func() error {
			return denied(redis.NewScript("return '"+rand.Text()+"'").Run(ctx, s.client, []string{keysOf(namespace, number).checkpoint()}).Err())
		},
	}
	if cluster, ok := s.client.(*redis.ClusterClient); ok {
		calls = append(calls, func() error {
			return denied(cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return node.Do(ctx, "asking").Err() }))
		})
	}
	if access != ReadOnly {
		calls = append([]func() error{func() error { return writeAll(t, s, c) }}, calls...)
		calls = append(calls, func() error { return s.LearnSchema(ctx, 1, "schema") })
		calls = append(calls, func() error { return restoreAndErase(ctx, s) })
	}
	for _, call := range calls {
		if err := call(); err != nil {
			return err
		}
	}
	return nil
}

// restoreAndErase makes another task of the namespace by a restore, and takes it away again.
func restoreAndErase(ctx context.Context, s *Redis) error {
	x, err := s.Restore(ctx, number+1, [16]byte{1})
	if err == nil {
		err = x.Finish(ctx, availability.Checkpoint{Epoch: 1, Partitions: 4})
	}
	if err == nil {
		err = s.Erase(ctx, number+1)
	}
	return err
}

// writeAll writes what a commit can write.
func writeAll(t *testing.T, s *Redis, c *chain) error {
	t.Helper()
	commit := full(*c.next(stocked("z", long("L1"))))
	commit.DropIDs, commit.OwedCleared, commit.DropGraphs = []int64{4}, true, []int64{9}
	emptied := availability.StockData{SKU: "z", Exists: true, Cells: []availability.Cell{counted("L1", 1)}, Demand: []availability.DemandData{{Group: "G"}}}
	emptied.Reservations = []availability.ReservationData{{ID: "r", DueRemoved: []availability.Instant{year2026}}}
	for _, next := range []*availability.Commit{&commit, nil} {
		if next == nil {
			next = c.next(emptied)
		}
		if err := s.Commit(t.Context(), number, next); err != nil {
			c.last = next.Expect
			return err
		}
	}
	return nil
}

func TestPermissionsFollowTheURL(t *testing.T) {
	for url, want := range map[string]string{
		"redis://h":             "+ping +info +eval",
		"rediss://u:p@h:1/3":    "+ping +info +select +eval",
		"redis+sentinel://h/m":  "+ping +info +eval",
		"redis+cluster://h,h:2": "+ping +info +cluster|slots +asking +eval",
	} {
		rules, err := Permissions(url, "acme", ReadOnly)
		if err != nil {
			t.Fatal(err)
		}
		if text := strings.Join(rules, " "); !strings.HasPrefix(text, "~{acme:* "+want) || strings.Contains(text, "+hset") {
			t.Errorf("%s: %s", url, text)
		}
		if all, err := Permissions(url, "acme", ReadWrite); err != nil || !slices.Contains(all, "+hset") {
			t.Errorf("%s, to write: %v %v", url, all, err)
		}
	}
	for _, bad := range [][2]string{{"http://h", "acme"}, {"redis://h", "a*"}, {"redis://h", ""}} {
		if rules, err := Permissions(bad[0], bad[1], ReadOnly); err == nil {
			t.Errorf("%q: %v", bad, rules)
		}
	}
}
