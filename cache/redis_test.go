package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"onhand/processor/availability"
)

// servers are the URLs of every Redis there is: a miniredis, and those that variables name.
func servers(t *testing.T) map[string]string {
	urls := map[string]string{"miniredis": "redis://" + miniredis.RunT(t).Addr()}
	for name, variable := range realServers {
		if url := os.Getenv(variable); url != "" {
			used(t, name)
			urls[name] = url
		}
	}
	return urls
}

// onEveryServer runs a test on each of them.
func onEveryServer(t *testing.T, test func(t *testing.T, url string)) {
	urls := servers(t)
	for _, name := range slices.Sorted(maps.Keys(urls)) {
		t.Run(name, func(t *testing.T) { test(t, urls[name]) })
	}
}

// lossy is a network that loses answers: the command has arrived and was carried out, then the connection is silent.
type lossy struct {
	lose atomic.Int32 // how many answers to script calls
	lost atomic.Int32
}

func (l *lossy) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	return &lossyConn{Conn: conn, network: l}, err
}

type lossyConn struct {
	net.Conn
	network *lossy
	script  bool
}

func (c *lossyConn) Write(b []byte) (int, error) {
	c.script = bytes.Contains(bytes.ToLower(b), []byte("eval"))
	return c.Conn.Write(b)
}

func (c *lossyConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == nil && c.script && c.network.lose.Add(-1) >= 0 {
		c.network.lost.Add(1)
		_ = c.Conn.Close()
		return 0, os.ErrDeadlineExceeded
	}
	return n, err
}

// TestALostAnswerDoesNotCountTwice: ids are appended, which would show a commit that was carried out twice.
func TestALostAnswerDoesNotCountTwice(t *testing.T) {
	onEveryServer(t, func(t *testing.T, url string) {
		network, retries := new(lossy), 0
		s := openRedis(t, url, Options{Dialer: network.dial, OnRetry: func(error) { retries++ }})
		c := chain{t: t}
		c.commit(s, c.next(stocked("a", counted("L1", 1))))
		for n := range uint64(4) {
			commit := c.next()
			commit.IDs = []availability.IDBatch{{Bucket: 1, IDs: []uint64{n}}}
			network.lose.Store(int32(n))
			c.commit(s, commit)
		}
		// Redis Cluster's client sends it again by itself.
		if lost := network.lost.Load(); lost != 6 || retries == 0 && !strings.Contains(url, "cluster") {
			t.Errorf("%d answers were lost, not 6; %d retries", lost, retries)
		}
		equal(t, "ids", must(s.IDs(t.Context(), number))(t), []availability.IDBatch{{Bucket: 1, IDs: []uint64{0, 1, 2, 3}}})
	})
}

// TestACommitAfterANewOwnersIsFenced: the answer to the first attempt is lost, and a new owner commits before
// the second.
func TestACommitAfterANewOwnersIsFenced(t *testing.T) {
	onEveryServer(t, func(t *testing.T, url string) {
		network, c := new(lossy), chain{t: t}
		owner := openRedis(t, url, Options{})
		s := openRedis(t, url, Options{Namespace: owner.namespace, Dialer: network.dial, OnRetry: func(error) {
			next := c.next(stocked("a", counted("L1", 3)))
			if err := owner.Commit(t.Context(), number, next); err != nil {
				t.Error(err)
			}
		}})
		c.commit(s, c.next(stocked("a", counted("L1", 1))))
		commit := c.next(stocked("a", counted("L1", 2)))
		network.lose.Store(4) // Redis Cluster sends it again by itself, three times at most
		if err := s.Commit(t.Context(), number, commit); !errors.Is(err, availability.ErrFenced) {
			t.Errorf("a commit whose answer was lost, then another's: %v", err)
		}
		equal(t, "stock", c.whole(owner, "a")[0].Cells, []availability.Cell{counted("L1", 3)})
	})
}

// TestCallsWaitForRedis answers every call with an error that may pass, three times, in virtual time.
func TestCallsWaitForRedis(t *testing.T) {
	for _, answer := range []string{
		"LOADING Redis is loading the dataset in memory", "READONLY You can't write against a read only replica.", "CLUSTERDOWN The cluster is down",
		"TRYAGAIN Multiple keys request during rehashing of slot", "MOVED 1 127.0.0.1:1", "MASTERDOWN Link with MASTER is down", "BUSY Redis is busy running a script.",
		"OOM command not allowed when used memory > 'maxmemory'.", "MISCONF Redis is configured to save RDB snapshots", "NOREPLICAS Not enough good replicas to write.",
		"ERR max number of clients reached", "ERR Error running script (call to f_1): @user_script:1: Script killed by user with SCRIPT KILL...",
	} {
		t.Run(strings.Fields(answer)[0], func(t *testing.T) { synctest.Test(t, func(t *testing.T) { callsWait(t, answer) }) })
	}
}

func callsWait(t *testing.T, answer string) {
	m, ctx := miniredis.NewMiniRedis(), t.Context()
	defer m.Close()
	var heard []string
	s, err := Open(ctx, "redis://127.0.0.1:6379", Options{
		Namespace: "onhand",
		Dialer:    func(context.Context, string, string) (net.Conn, error) { return m.Dial() },
		OnRetry: func(err error) {
			if heard = append(heard, err.Error()); len(heard)%3 == 0 {
				m.SetError("")
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c := chain{t: t}
	for _, call := range []struct {
		name string
		call func() error
	}{
		{"commit", func() error { return s.Commit(ctx, number, c.next(stocked("a", counted("L1", 1)))) }},
		{"load", func() error {
			_, _, err := s.Load(ctx, number, nil, []availability.Want{{SKU: "a", All: true}})
			return err
		}},
		{"read", func() error { _, _, err := s.Read(ctx, number, "a"); return err }},
		{"checkpoint", func() error { _, err := s.Checkpoint(ctx, number); return err }},
		{"ids", func() error { _, err := s.IDs(ctx, number); return err }},
		{"owed", func() error { _, err := s.Owed(ctx, number); return err }},
		{"graphs", func() error { _, err := s.Graphs(ctx, number); return err }},
		{"SKUs", func() error { _, err := s.SKUs(ctx, number, 0); return err }},
		{"count", func() error { _, err := s.Count(ctx, number); return err }},
		{"due", func() error { _, err := s.Due(ctx, number, 0, 1); return err }},
	} {
		heard = nil
		m.SetError(answer)
		if err := call.call(); err != nil {
			t.Errorf("%s: %v", call.name, err)
		}
		if len(heard) != 3 || slices.ContainsFunc(heard, func(s string) bool { return !strings.Contains(s, answer) }) {
			t.Errorf("%s: heard %q, not three times the answer", call.name, heard)
		}
	}
}

func TestWhatWillNotPassIsReturnedAtOnce(t *testing.T) {
	for _, answer := range []string{"NOPERM User onhand has no permissions", "NOAUTH Authentication required.", "WRONGPASS invalid username-password pair", "ERR unknown command", "CROSSSLOT Keys in request"} {
		m := miniredis.RunT(t)
		s := openRedis(t, "redis://"+m.Addr(), Options{OnRetry: func(err error) { t.Errorf("tried again after %v", err) }})
		c := chain{t: t}
		m.SetError(answer)
		if err := s.Commit(t.Context(), number, c.next()); err == nil || !strings.Contains(err.Error(), answer) {
			t.Errorf("%s: commit returned %v", answer, err)
		}
		if _, err := s.Checkpoint(t.Context(), number); err == nil || !strings.Contains(err.Error(), answer) {
			t.Errorf("%s: checkpoint returned %v", answer, err)
		}
		m.SetError("")
	}
}

func TestACallEndsWithItsContext(t *testing.T) {
	m := miniredis.RunT(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("the task was revoked")
	s := openRedis(t, "redis://"+m.Addr(), Options{OnRetry: func(error) { cancel(stopped) }})
	c := chain{t: t}
	m.SetError("OOM command not allowed")
	err := s.Commit(ctx, number, c.next())
	if !errors.Is(err, stopped) || !strings.Contains(err.Error(), "OOM") {
		t.Errorf("a commit whose context ended: %v", err)
	}
	m.SetError("")
	if got := must(s.Checkpoint(t.Context(), number))(t); got.CommitID != (availability.CommitID{}) {
		t.Errorf("it was written: %+v", got)
	}
}

// TestACallWhoseContextHasEndedIsNotTriedAgain: nobody is told to wait for it.
func TestACallWhoseContextHasEndedIsNotTriedAgain(t *testing.T) {
	m := miniredis.RunT(t)
	s := openRedis(t, "redis://"+m.Addr(), Options{OnRetry: func(err error) { t.Errorf("tried again after %v", err) }})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Checkpoint(ctx, number); !errors.Is(err, context.Canceled) {
		t.Errorf("a read: %v", err)
	}
	first := chain{t: t}
	if err := s.Commit(ctx, number, first.next()); !errors.Is(err, context.Canceled) {
		t.Errorf("a commit: %v", err)
	}
}

// TestWhatSentinelsAnswerMayPass: they may not know the master yet.
func TestWhatSentinelsAnswerMayPass(t *testing.T) {
	err := fmt.Errorf("redis: %s: %w", sentinelsSilent, errors.Join(io.EOF, redis.Nil))
	if !transient(err) {
		t.Errorf("%v is taken for the last word", err)
	}
	if transient(redis.Nil) || transient(redis.ErrClosed) {
		t.Error("an answer is taken for none")
	}
}

func TestAClosedStoreFails(t *testing.T) {
	m := miniredis.RunT(t)
	s := openRedis(t, "redis://"+m.Addr(), Options{OnRetry: func(err error) { t.Errorf("tried again after %v", err) }})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Checkpoint(t.Context(), number); !errors.Is(err, redis.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestAnOutageOfAMinute runs in virtual time: Redis cannot be reached for a minute, then is there again.
func TestAnOutageOfAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := miniredis.NewMiniRedis()
		defer m.Close()
		var down atomic.Bool
		attempts := 0
		s, err := Open(t.Context(), "redis://127.0.0.1:6379", Options{Namespace: "onhand", OnRetry: func(error) { attempts++ },
			Dialer: func(context.Context, string, string) (net.Conn, error) {
				if down.Load() {
					return nil, io.ErrUnexpectedEOF
				}
				return m.Dial()
			}})
		if err != nil {
			t.Fatal(err)
		}
		c := chain{t: t}
		c.commit(s, c.next(stocked("a", counted("L1", 1))))
		down.Store(true)
		m.Close()
		began := time.Now()
		time.AfterFunc(time.Minute, func() { down.Store(false) })
		c.commit(s, c.next(stocked("a", counted("L1", 2))))
		if waited := time.Since(began); waited < time.Minute || waited > time.Minute+2*retryWaitMax {
			t.Errorf("the commit waited %v", waited)
		}
		if attempts < 60 || attempts > 100 {
			t.Errorf("%d attempts in a minute", attempts)
		}
		equal(t, "stock", c.whole(s, "a")[0].Cells, []availability.Cell{counted("L1", 2)})
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestScriptsThatRedisHasForgottenAreSentAgain(t *testing.T) {
	onEveryServer(t, func(t *testing.T, url string) {
		s, c := openRedis(t, url, Options{}), chain{t: t}
		for i := range 3 {
			if err := s.client.ScriptFlush(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			c.commit(s, c.next(stocked("a", counted("L1", i))))
			if err := s.client.ScriptFlush(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			equal(t, "stock", c.whole(s, "a")[0].Cells, []availability.Cell{counted("L1", i)})
			if err := s.client.ScriptFlush(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			if got := must(s.Checkpoint(t.Context(), number))(t); got.CommitID != c.last {
				t.Errorf("checkpoint %+v", got)
			}
		}
	})
}

// TestEveryKeyWrittenIsDeclared: what a commit changes stands in the keys that Redis was told of.
func TestEveryKeyWrittenIsDeclared(t *testing.T) {
	onEveryServer(t, func(t *testing.T, url string) {
		s, c := openRedis(t, url, Options{}), chain{t: t}
		for range 3 {
			commit := full(*c.next(stocked("z", long("L1"))))
			commit.DropIDs, commit.OwedCleared, commit.DropGraphs = []int64{4}, true, []int64{9}
			names, err := s.dictionary(t.Context(), s.task(number), keysOf(s.namespace, number))
			if err != nil {
				t.Fatal(err)
			}
			w, err := pack(keysOf(s.namespace, number), names, s.task(number).mayHaveLists, &commit)
			if err != nil {
				t.Fatal(err)
			}
			declared, _ := w.call()
			before := dump(t, s)
			c.commit(s, &commit)
			for key, value := range dump(t, s) {
				if !reflect.DeepEqual(before[key], value) && !slices.Contains(declared, key) {
					t.Errorf("%s was written and is not declared", key)
				}
			}
			for _, key := range declared {
				if !strings.HasPrefix(key, fmt.Sprintf("{%s:%d}:", s.namespace, number)) {
					t.Errorf("%s is outside the task's slot", key)
				}
			}
		}
	})
}

// TestAForeignKeyStopsACommitBeforeItWrites puts a key of another type where each key of a commit would be.
func TestAForeignKeyStopsACommitBeforeItWrites(t *testing.T) {
	onEveryServer(t, func(t *testing.T, url string) {
		ctx := t.Context()
		s, c := openRedis(t, url, Options{}), chain{t: t}
		c.commit(s, c.next(stocked("a", counted("L1", 5))))
		commit := full(*c.next(stocked("z", long("L1"))))
		w, err := pack(keysOf(s.namespace, number), newDictionary(nil), s.task(number).mayHaveLists, &commit)
		if err != nil {
			t.Fatal(err)
		}
		declared, _ := w.call()
		before := dump(t, s)
		for _, key := range declared {
			if key == keysOf(s.namespace, number).lists("b") {
				continue // whatever it is, replacing b deletes it
			}
			s.client.Del(ctx, key)
			if err := s.client.RPush(ctx, key, "foreign").Err(); err != nil {
				t.Fatal(err)
			}
			err := s.Commit(ctx, number, &commit)
			if !errors.Is(err, availability.ErrCorrupt) || !strings.Contains(err.Error(), "WRONGTYPE") {
				t.Errorf("%s of another type: %v", key, err)
			} else if !strings.Contains(err.Error(), key) && key != declared[0] && key != declared[1] {
				t.Errorf("the error does not name %s: %v", key, err)
			}
			s.client.Del(ctx, key)
			rest := maps.Clone(before)
			delete(rest, key)
			if !reflect.DeepEqual(dump(t, s), rest) {
				t.Errorf("%s of another type: something else was written", key)
			}
			restore(t, s, before)
		}
		c.commit(s, &commit)
	})
}

func TestSchemasAreKept(t *testing.T) {
	onEveryServer(t, func(t *testing.T, url string) {
		s := openRedis(t, url, Options{})
		equal(t, "schemas of an empty store", len(must(s.Schemas(t.Context()))(t)), 0)
		for id, text := range map[int]string{1: `"string"`, 100_000: `{"type":"record"}`} {
			for range 2 {
				if err := s.LearnSchema(t.Context(), id, text); err != nil {
					t.Fatal(err)
				}
			}
		}
		kept := must(openRedis(t, url, Options{Namespace: s.namespace}).Schemas(t.Context()))(t)
		if want := map[int]string{1: `"string"`, 100_000: `{"type":"record"}`}; !maps.Equal(kept, want) {
			t.Errorf("kept %v, not %v", kept, want)
		}
		equal(t, "schemas of another namespace", len(must(openRedis(t, url, Options{}).Schemas(t.Context()))(t)), 0)
	})
}
