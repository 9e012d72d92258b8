package main

import (
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"onhand/processor/availability"
	"onhand/topics"
)

// TestAuditWaitsForARecovery puts Redis into the states that a task passes through after Redis has forgotten writes: what
// differs then is no difference.
func TestAuditWaitsForARecovery(t *testing.T) {
	onStages(t, func(s *stage) {
		s.setUp()
		s.publishGraph(auditGraph)
		processor, _ := s.startProcessor()
		s.must("import", writeFile(s.T, "feed.ndjson", auditFeed))
		s.status(0)
		old := s.remember()
		s.must("reserve", "SHIRT", "4", "--group", "JERSEY", "--wait-level")
		s.must("reserve", "HAT", "1", "--location", "NJ-1", "--wait-level")
		s.status(0)
		s.audit(0)
		if code := processor.end(); code != 0 {
			s.Fatal(code)
		}
		now := s.remember()
		waits := func(count int, reason string) {
			s.Helper()
			r := s.audit(2, "--wait", "100ms")
			if r.Different != 0 || r.Waiting != count || len(r.Unsettled) == 0 || !strings.Contains(r.Unsettled[0].Reason, reason) {
				s.Errorf("%+v, want %d to wait: %s", r, count, reason)
			}
		}

		s.forget(old)
		waits(2, "the topic is ahead")
		s.claim(availability.Commit{})
		waits(2, "recovers what Redis has forgotten")

		s.forget(now)
		s.claim(availability.Commit{})
		s.audit(0)
		s.claim(availability.Commit{OwedAdded: []availability.SKU{"SHIRT", "HAT"}})
		waits(2, "published again")
		s.claim(availability.Commit{OwedCleared: true})
		s.audit(0)
		b, w := s.balances(), s.wire()
		if err := b.Del(s.Context(), s.key(w, "r", "HAT")).Err(); err != nil {
			s.Fatal(err)
		}
		s.claim(availability.Commit{Checkpoint: availability.Checkpoint{SweepCursor: 1 << 20}})
		waits(1, "swept anew")
		s.claim(availability.Commit{Checkpoint: availability.Checkpoint{SweepCursor: availability.SweepDone}})
		s.audit(1)

		s.forget(old)
		s.startProcessor()
		if r := s.audit(0); r.SKUs != 2 || s.levels("HAT")["NJ-1"].Reserved != 1000 {
			s.Errorf("%+v", r)
		}
	})
}

// claim writes the next epoch to the checkpoint of every task, as its owner does before it recovers, with what the commit
// has besides. A zero sweep cursor leaves the one there is.
func (s *stage) claim(commit availability.Commit) {
	s.Helper()
	config, err := loadConfig("", s.environ, nil)
	if err != nil {
		s.Fatal(err)
	}
	store, err := openRedis(s.Context(), config.Config, nil)
	if err != nil {
		s.Fatal(err)
	}
	defer store.Close()
	cursor := commit.Checkpoint.SweepCursor
	owed := commit.OwedAdded
	for task := range int32(4) {
		at, err := store.Checkpoint(s.Context(), task)
		if err != nil {
			s.Fatal(err)
		}
		commit.Expect, commit.Checkpoint = at.CommitID, at
		commit.Checkpoint.Epoch++
		commit.Checkpoint.CommitSeq = 0
		commit.Checkpoint.CommitID = availability.CommitID{byte(task), byte(commit.Checkpoint.Epoch), 1}
		if cursor != 0 {
			commit.Checkpoint.SweepCursor = cursor
		}
		commit.OwedAdded = nil
		for _, sku := range owed {
			if topics.PartitionOf(sku, 4) == task {
				commit.OwedAdded = append(commit.OwedAdded, sku)
			}
		}
		if err := store.Commit(s.Context(), task, &commit); err != nil {
			s.Fatal(err)
		}
	}
}

// remember copies what Redis holds of the namespace; forget brings it back to that.
func (s *stage) remember() map[string]any {
	s.Helper()
	b, ctx := s.balances(), s.Context()
	kept := map[string]any{}
	// One transaction, so that the copy is of one point in time, as a snapshot of Redis is.
	keys, err := b.Keys(ctx, "*"+s.namespace+":*").Result()
	if err != nil {
		s.Fatal(err)
	}
	kinds := map[string]string{}
	for _, key := range keys {
		if kinds[key], err = b.Type(ctx, key).Result(); err != nil {
			s.Fatal(err)
		}
	}
	read, err := b.TxPipelined(ctx, func(p redis.Pipeliner) error {
		for _, key := range keys {
			switch kinds[key] {
			case "string":
				p.Get(ctx, key)
			case "hash":
				p.HGetAll(ctx, key)
			case "set":
				p.SMembers(ctx, key)
			case "zset":
				p.ZRangeWithScores(ctx, key, 0, -1)
			}
		}
		return nil
	})
	if err != nil {
		s.Fatal(err)
	}
	for i, key := range keys {
		switch c := read[i].(type) {
		case *redis.StringCmd:
			kept[key] = c.Val()
		case *redis.MapStringStringCmd:
			kept[key] = c.Val()
		case *redis.StringSliceCmd:
			kept[key] = c.Val()
		case *redis.ZSliceCmd:
			kept[key] = c.Val()
		}
	}
	return kept
}

func (s *stage) forget(kept map[string]any) {
	s.Helper()
	b, ctx := s.balances(), s.Context()
	keys, err := b.Keys(ctx, "*"+s.namespace+":*").Result()
	if err != nil {
		s.Fatal(err)
	}
	_, err = b.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.Del(ctx, keys...)
		for key, value := range kept {
			switch v := value.(type) {
			case string:
				p.Set(ctx, key, v, 0)
			case map[string]string:
				p.HSet(ctx, key, v)
			case []string:
				p.SAdd(ctx, key, v)
			case []redis.Z:
				p.ZAdd(ctx, key, v...)
			}
		}
		return nil
	})
	if err != nil {
		s.Fatal(err)
	}
}
