package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"onhand/cache"
	"onhand/processor/availability"
)

// owner commits to one task as its owner would, without Kafka: the record at an offset of an input adds one to the count of
// its SKU there, and is remembered by an id that is its input and offset. So what a snapshot must have is told by the
// offsets of its checkpoint alone.
type owner struct {
	t     testing.TB
	store *cache.Redis
	rand  *mathrand.Rand

	mu      sync.Mutex // guards all below
	records [availability.Inputs][]availability.SKU
	at      availability.Checkpoint
	counts  map[availability.SKU]*[availability.Inputs]int64
	graphOf map[availability.SKU]int64
	buckets map[int64]bool
	history map[availability.CommitID]ownerState
}

// ownerState is what only the owner knows of a commit, besides what the offsets tell.
type ownerState struct {
	graphs  map[availability.SKU]int64
	buckets []int64
	owed    []availability.SKU
}

// ownerSKUs are 400 SKUs in few parts of the lists, so that a commit of a sweep ends in the middle of one.
var ownerSKUs = func() (skus []availability.SKU) {
	for n := 0; len(skus) < 400; n++ {
		if sku := fmt.Sprintf("SKU-%d", n); auditShard(sku)%100 == 7 {
			skus = append(skus, availability.SKU(sku))
		}
	}
	return skus
}()

// ownerShards are the same by their part.
var ownerShards = func() map[int64][]availability.SKU {
	shards := map[int64][]availability.SKU{}
	for _, sku := range ownerSKUs {
		shard := int64(auditShard(string(sku)))
		shards[shard] = append(shards[shard], sku)
	}
	return shards
}()

func newOwner(t testing.TB, url, namespace string, seed uint64) *owner {
	t.Helper()
	store, err := cache.Open(t.Context(), url, cache.Options{Namespace: namespace})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Erase(context.WithoutCancel(t.Context()), 0); err != nil {
			t.Error(err)
		}
		_ = store.Close()
	})
	return &owner{t: t, store: store, rand: mathrand.New(mathrand.NewPCG(seed, 1)), counts: map[availability.SKU]*[availability.Inputs]int64{},
		graphOf: map[availability.SKU]int64{}, buckets: map[int64]bool{}, history: map[availability.CommitID]ownerState{},
		at: availability.Checkpoint{Epoch: 1, GraphVersion: 1, SweepCursor: availability.SweepDone, Partitions: 1}}
}

func ownerID(input int, offset int64) uint64 { return uint64(offset)<<1 + uint64(input) + 1 }

// bucketOf spreads ids over buckets that come and go.
func bucketOf(offset int64) int64 { return offset / 400 }

// commit publishes n records and folds them, visits some SKUs of a sweep if one is under way, and commits.
func (o *owner) commit(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	next, touched, ids := o.at, map[availability.SKU]bool{}, map[int64][]uint64{}
	for range n {
		input, sku := o.rand.IntN(availability.Inputs), ownerSKUs[o.rand.IntN(len(ownerSKUs))]
		offset := int64(len(o.records[input]))
		o.records[input] = append(o.records[input], sku)
		if o.counts[sku] == nil {
			o.counts[sku] = new([availability.Inputs]int64)
		}
		o.counts[sku][input]++
		touched[sku] = true
		ids[bucketOf(offset)] = append(ids[bucketOf(offset)], ownerID(input, offset))
		next.Offsets[input] = offset + 1
	}
	o.sweep(&next, touched)
	o.write(&next, touched, ids, availability.Commit{})
}

// sweep brings some SKUs of the part at the cursor to the newest graph.
func (o *owner) sweep(next *availability.Checkpoint, touched map[availability.SKU]bool) {
	if next.SweepCursor == availability.SweepDone {
		return
	}
	for left := 40; left > 0 && next.SweepCursor != availability.SweepDone; {
		done := true
		for _, sku := range ownerShards[next.SweepCursor] {
			if o.counts[sku] == nil || o.graphOf[sku] == next.GraphVersion {
				continue
			}
			if done = left > 0; !done {
				break
			}
			touched[sku], left = true, left-1
		}
		if done {
			if next.SweepCursor++; next.SweepCursor == availability.SKUShards {
				next.SweepCursor = availability.SweepDone
			}
		}
	}
}

func (o *owner) write(next *availability.Checkpoint, touched map[availability.SKU]bool, ids map[int64][]uint64, c availability.Commit) {
	o.t.Helper()
	next.CommitSeq++
	c.Expect = o.at.CommitID
	if _, err := rand.Read(next.CommitID[:]); err != nil {
		o.t.Fatal(err)
	}
	for sku := range touched {
		_, exists := o.graphOf[sku]
		o.graphOf[sku] = next.GraphVersion
		d := availability.StockData{SKU: sku, Exists: exists, Replace: exists, GraphVersion: next.GraphVersion}
		for input, n := range o.counts[sku] {
			d.Cells = append(d.Cells, availability.Cell{Location: availability.LocationID(fmt.Sprintf("INPUT-%d", input)), Count: availability.Quantity(n), CountedAt: 1, SafetyAt: availability.None, FuturesAt: availability.None, Known: true})
		}
		c.Stocks = append(c.Stocks, d)
	}
	for bucket, list := range ids {
		o.buckets[bucket] = true
		c.IDs = append(c.IDs, availability.IDBatch{Bucket: bucket, IDs: list})
	}
	oldest := bucketOf(min(next.Offsets[0], next.Offsets[1])) - 3
	for bucket := range o.buckets {
		if bucket < oldest {
			delete(o.buckets, bucket)
			c.DropIDs = append(c.DropIDs, bucket)
		}
	}
	c.Graphs = append(c.Graphs, availability.GraphData{Version: next.GraphVersion, Bytes: fmt.Appendf(nil, "graph %d", next.GraphVersion)})
	if next.SweepCursor == availability.SweepDone && o.at.SweepCursor != availability.SweepDone {
		for version := range next.GraphVersion {
			c.DropGraphs = append(c.DropGraphs, version)
		}
	}
	state := ownerState{graphs: maps.Clone(o.graphOf), buckets: slices.Sorted(maps.Keys(o.buckets)), owed: o.history[o.at.CommitID].owed}
	if c.OwedCleared {
		state.owed = nil
	}
	state.owed = append(slices.Clone(state.owed), c.OwedAdded...)
	o.history[next.CommitID] = state
	c.Checkpoint = *next
	if err := o.store.Commit(o.t.Context(), 0, &c); err != nil {
		o.t.Error(err)
	}
	o.at = *next
}

// adopt takes over another graph, with any batch.
func (o *owner) adopt() {
	o.mu.Lock()
	next := o.at
	next.GraphVersion++
	next.SweepCursor = 0
	o.write(&next, nil, nil, availability.Commit{})
	o.mu.Unlock()
}

// claim begins another epoch, and owes some SKUs as after a recovery; pay publishes them, of which the last brings them to
// the newest graph.
func (o *owner) claim() {
	o.mu.Lock()
	defer o.mu.Unlock()
	next := o.at
	next.Epoch++
	next.CommitSeq = 0
	o.write(&next, nil, nil, availability.Commit{OwedAdded: o.some()})
}

func (o *owner) some() (skus []availability.SKU) {
	for sku := range o.counts {
		if o.rand.IntN(2) == 0 {
			skus = append(skus, sku)
		}
	}
	return skus
}

func (o *owner) pay() {
	o.mu.Lock()
	defer o.mu.Unlock()
	owed := o.history[o.at.CommitID].owed
	if len(owed) == 0 {
		return
	}
	touched := map[availability.SKU]bool{}
	for _, sku := range owed {
		touched[sku] = true
	}
	next := o.at
	o.write(&next, touched, nil, availability.Commit{OwedCleared: true})
}

// ownerLog is what the inputs have: more than is committed.
type ownerLog struct {
	o    *owner
	next [availability.Inputs]int64
}

func (l *ownerLog) reach(_ context.Context, to [availability.Inputs]int64, see func(int, int64, []byte)) error {
	l.o.mu.Lock()
	defer l.o.mu.Unlock()
	for input, records := range l.o.records {
		for ; l.next[input] < int64(len(records)); l.next[input]++ {
			see(input, l.next[input], []byte(records[l.next[input]]))
		}
		if l.next[input] < to[input] {
			return fmt.Errorf("input %d ends at %d, before %d", input, l.next[input], to[input])
		}
	}
	return nil
}

func (*ownerLog) close() {}

// copier copies the owner's task.
func (o *owner) copier(t *testing.T) (*taskCopy, output, *bytes.Buffer) {
	file := new(bytes.Buffer)
	tc := &taskCopy{
		store: o.store, number: 0, pace: &pace{perSecond: 1 << 30}, wait: time.Minute, dir: t.TempDir(),
		mine:    func(key []byte) bool { return strings.HasPrefix(string(key), "SKU-") },
		changes: func(from [availability.Inputs]int64) (changeLog, error) { return &ownerLog{o: o, next: from}, nil },
		settled: func(context.Context, *availability.Checkpoint) (string, error) { return "", nil },
	}
	return tc, func(c *availability.Checkpoint) (*cache.SnapshotWriter, error) {
		file.Reset()
		return cache.NewSnapshotWriter(file, &cache.SnapshotHead{Namespace: "n", Checkpoint: *c})
	}, file
}

// check compares a file with what its checkpoint says.
func (o *owner) check(t *testing.T, file *bytes.Buffer) availability.Checkpoint {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	got, ids, graphs, owed, graphsOf := map[string]int64{}, map[uint64]int{}, []int64{}, []availability.SKU{}, map[availability.SKU]int64{}
	head, _, err := cache.ReadSnapshot(file, &cache.SnapshotVisitor{
		Stock: func(d *availability.StockData) error {
			graphsOf[d.SKU] = d.GraphVersion
			for _, c := range d.Cells {
				got[string(d.SKU)+string(c.Location)] += int64(c.Count)
			}
			return nil
		},
		IDs: func(b availability.IDBatch) error {
			for _, id := range b.IDs {
				ids[id]++
			}
			return nil
		},
		Owed:  func(skus []availability.SKU) error { owed = append(owed, skus...); return nil },
		Graph: func(g availability.GraphData) error { graphs = append(graphs, g.Version); return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	c := head.Checkpoint
	state, known := o.history[c.CommitID]
	if !known {
		t.Fatalf("nobody has committed %+v", c)
	}
	want, wantIDs := map[string]int64{}, 0
	for input, records := range o.records {
		for offset, sku := range records[:c.Offsets[input]] {
			want[string(sku)+fmt.Sprintf("INPUT-%d", input)]++
			kept := slices.Contains(state.buckets, bucketOf(int64(offset)))
			if n := ids[ownerID(input, int64(offset))]; kept && n != 1 || n > 1 {
				t.Errorf("the id of offset %d of input %d, which is folded, is there %d times", offset, input, n)
			}
			if kept {
				wantIDs++
			}
		}
	}
	for place, n := range want {
		if got[place] != n {
			t.Errorf("%s is %d, %d at the checkpoint", place, got[place], n)
		}
	}
	if len(ids) != wantIDs {
		t.Errorf("%d ids, %d at the checkpoint: some are of events after it, which a replay would lose", len(ids), wantIDs)
	}
	if !maps.Equal(graphsOf, state.graphs) {
		t.Error("SKUs have the graphs of another time than the checkpoint's")
	}
	slices.Sort(owed)
	slices.Sort(state.owed)
	state.owed = slices.Compact(state.owed)
	if !slices.Equal(owed, state.owed) {
		t.Errorf("%d SKUs are owed, %d at the checkpoint, or others", len(owed), len(state.owed))
	}
	if !slices.Contains(graphs, c.GraphVersion) {
		t.Errorf("graphs %d, the task has %d", graphs, c.GraphVersion)
	}
	return c
}

// work goes on committing until the function it returns is called.
func (o *owner) work(seed uint64) (end func()) {
	ctx, cancel := context.WithCancel(o.t.Context())
	r := mathrand.New(mathrand.NewPCG(seed, 2))
	var working sync.WaitGroup
	working.Go(func() {
		for sleep(ctx, time.Duration(r.IntN(4))*time.Millisecond) == nil {
			switch r.IntN(400) {
			case 0, 1, 2:
				o.adopt()
			case 3:
				o.claim()
			case 4, 5, 6, 7, 8:
				o.pay()
			default:
				o.commit(1 + r.IntN(30))
			}
		}
	})
	return func() { cancel(); working.Wait() }
}
