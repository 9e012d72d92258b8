package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"onhand/cache"
	"onhand/processor/availability"
)

// TestACopyIsOfOneCheckpoint copies a task while its owner commits without a pause: batches of any size, sweeps, other
// graphs, debts of a recovery, other owners. SKUs, ids, graphs and debts of each file are compared with what the offsets of
// its checkpoint tell. Again: ONHAND_TEST_SEED.
func TestACopyIsOfOneCheckpoint(t *testing.T) {
	onEveryRedis(t, func(t *testing.T, url string) {
		seed := testSeed(t)
		o := newOwner(t, url, randomNamespace(t), seed)
		o.commit(2000)
		working := o.work(seed)
		defer working()
		for copies, tries := 0, 0; copies < 3; tries++ {
			tc, out, file := o.copier(t)
			c, _, err := tc.copyTask(t.Context(), out)
			if errors.Is(err, errTaskMoved) && tries < 10 {
				continue // owners come and go far faster here than they do
			}
			if err != nil {
				t.Fatal(err)
			}
			if at := o.check(t, file); at != c {
				t.Errorf("the file is of %+v, not %+v", at, c)
			}
			copies++
		}
	})
}

// TestWhatNoRecordTellsIsCopiedAgain lets something happen to a task between two looks, of which the inputs say nothing.
func TestWhatNoRecordTellsIsCopiedAgain(t *testing.T) {
	nothing := func(*owner) {}
	for name, c := range map[string]struct{ before, between func(*owner) }{
		"another graph":              {nothing, func(o *owner) { o.adopt(); o.commit(0) }},
		"a sweep in the middle":      {func(o *owner) { o.adopt(); o.commit(0) }, func(o *owner) { o.commit(0) }},
		"a sweep to the end":         {func(o *owner) { o.adopt(); o.commit(0) }, sweepAll},
		"a graph and its sweep":      {nothing, func(o *owner) { o.adopt(); sweepAll(o) }},
		"two graphs":                 {func(o *owner) { o.adopt(); o.commit(0); o.commit(0) }, func(o *owner) { sweepAll(o); o.adopt() }},
		"what was owed":              {func(o *owner) { o.adopt(); o.claim() }, func(o *owner) { o.pay() }},
		"what another owner owed":    {func(o *owner) { o.adopt() }, func(o *owner) { o.claim(); o.pay() }},
		"another owner, owing still": {func(o *owner) { o.adopt() }, func(o *owner) { o.claim() }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for look := 1; look <= 2; look++ {
				o := newOwner(t, "redis://"+miniredis.RunT(t).Addr(), "n", 1)
				o.commit(2000)
				c.before(o)
				tc, out, file := o.copier(t)
				looks := 0
				tc.show = func(int) {
					if looks++; looks == look {
						c.between(o)
					}
				}
				if _, _, err := tc.copyTask(t.Context(), out); err != nil {
					t.Fatal(err)
				}
				if o.check(t, file); looks <= look {
					t.Errorf("%d looks", looks)
				}
			}
		})
	}
}

func sweepAll(o *owner) {
	for o.commit(0); o.at.SweepCursor != availability.SweepDone; {
		o.commit(0)
	}
}

// TestWhatGoesBeforeItIsCopied: a bucket of ids that is forgotten, and an owner that comes, after the look that would do.
func TestWhatGoesBeforeItIsCopied(t *testing.T) {
	for name, then := range map[string]func(*owner){
		"ids":    func(o *owner) { o.commit(4000) },
		"owner":  func(o *owner) { o.claim() },
		"debt":   func(o *owner) { o.pay() },
		"graphs": func(o *owner) { sweepAll(o) },
	} {
		t.Run(name, func(t *testing.T) {
			o := newOwner(t, "redis://"+miniredis.RunT(t).Addr(), "n", 1)
			o.commit(2000)
			o.adopt()
			o.claim()
			tc, out, file := o.copier(t)
			begun := 0
			_, _, err := tc.copyTask(t.Context(), func(c *availability.Checkpoint) (*cache.SnapshotWriter, error) {
				if begun++; begun == 1 {
					then(o)
				}
				return out(c)
			})
			if err != nil {
				t.Fatal(err)
			}
			if o.check(t, file); begun < 2 && name != "debt" {
				t.Errorf("the file was begun %d times", begun)
			}
		})
	}
}

// TestACopyThatCannotBeSaysWhy: SKUs that change with every look, and a task that recovers.
func TestACopyThatCannotBeSaysWhy(t *testing.T) {
	o := newOwner(t, "redis://"+miniredis.RunT(t).Addr(), "n", 1)
	o.commit(2000)
	tc, out, _ := o.copier(t)
	tc.wait, tc.show = 0, func(int) { o.commit(50) }
	want := func(text string) {
		t.Helper()
		if _, _, err := tc.copyTask(t.Context(), out); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v, want %q", err, text)
		}
		if left, err := os.ReadDir(tc.dir); err != nil || len(left) > 0 {
			t.Errorf("left: %v %v", left, err)
		}
	}
	want("change faster than they are read")
	tc.show, tc.settled = nil, func(context.Context, *availability.Checkpoint) (string, error) { return "it recovers", nil }
	want("cannot be copied: it recovers")
	tc.show = func(int) { o.claim() }
	tc.settled = func(context.Context, *availability.Checkpoint) (string, error) { return "", nil }
	want("new owner")
}

// onEveryRedis runs a test on a stand-in, and on the real servers that variables name.
func onEveryRedis(t *testing.T, test func(t *testing.T, url string)) {
	t.Run("miniredis", func(t *testing.T) { test(t, "redis://"+miniredis.RunT(t).Addr()) })
	for _, variable := range []string{"ONHAND_TEST_REDIS", "ONHAND_TEST_REDIS_CLUSTER"} {
		if url := os.Getenv(variable); url != "" {
			t.Run(variable, func(t *testing.T) { test(t, url) })
		}
	}
}

func randomNamespace(t testing.TB) string {
	t.Helper()
	random := make([]byte, 6)
	if _, err := rand.Read(random); err != nil {
		t.Fatal(err)
	}
	return "t" + hex.EncodeToString(random)
}

// testSeed is ONHAND_TEST_SEED, or another each time.
func testSeed(t testing.TB) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("ONHAND_TEST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("ONHAND_TEST_SEED: %v", err)
		}
	}
	t.Logf("again with ONHAND_TEST_SEED=%d", seed)
	return seed
}
