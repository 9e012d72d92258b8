package cache

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"

	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"onhand/processor/availability"
)

// fullState commits state of every shape to a task, in several commits, and returns the SKUs.
func fullState(t *testing.T, s *Redis, r *random, skus int) []availability.SKU {
	t.Helper()
	c := chain{t: t}
	var all []availability.SKU
	for n := range skus {
		d := availability.StockData{SKU: availability.SKU(fmt.Sprintf("SKU-%d", n)), GraphVersion: int64(r.IntN(9)), Complete: true}
		all = append(all, d.SKU)
		cells := r.IntN(8)
		if n == 0 {
			cells = 3*partMax + 1
		}
		for i := range cells {
			cell := r.cell(availability.LocationID(fmt.Sprintf("location-%d", i)))
			if len(cell.Futures) > 0 {
				d.FuturesDue = append(d.FuturesDue, availability.FutureDue{Location: cell.Location, At: cell.Futures[0].Expected})
			}
			d.Cells = append(d.Cells, cell)
		}
		for i := range int32(r.IntN(4)) {
			d.Pools = append(d.Pools, availability.PoolData{Number: i, Pool: r.pool()})
		}
		if r.one(2) {
			d.Demand = append(d.Demand, availability.DemandData{Group: "group-1", Quantity: availability.Quantity(1 + r.IntN(9))})
		}
		for i := range r.IntN(4) {
			v := r.reservation()
			d.Reservations = append(d.Reservations, availability.ReservationData{ID: fmt.Sprintf("order %d", i), Reservation: v, DueAdded: expiries(v)})
		}
		commit := c.next(d)
		commit.Checkpoint = r.checkpoint()
		c.last = commit.Checkpoint.CommitID
		for range r.IntN(30) {
			commit.IDs = append(commit.IDs, availability.IDBatch{Bucket: int64(r.IntN(5)), IDs: []uint64{r.Uint64()}})
		}
		if r.one(5) {
			commit.OwedAdded = []availability.SKU{d.SKU}
		}
		if r.one(9) {
			commit.Graphs = []availability.GraphData{{Version: int64(r.IntN(5)), Bytes: bytes.Repeat([]byte{byte(n), 1}, 1+r.IntN(2*blockBytes))}}
		}
		c.commit(s, commit)
	}
	return all
}

// writeSnapshot writes the state of a task that nobody changes meanwhile.
func writeSnapshot(t *testing.T, s *Redis, out io.Writer) SnapshotCounts {
	t.Helper()
	ctx := t.Context()
	first := must(s.Copy(ctx, number, nil))(t)
	w, err := NewSnapshotWriter(out, &SnapshotHead{Namespace: "n", Task: number, CreatedAt: year2026, Version: "v1", Checkpoint: first.Checkpoint})
	if err != nil {
		t.Fatal(err)
	}
	w.Due(first.Due)
	for _, b := range first.IDs {
		if err := s.CopyIDs(ctx, number, b.Bucket, b.Count, func(ids []uint64) error { return w.IDs(availability.IDBatch{Bucket: b.Bucket, IDs: ids}) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Owed(must(s.Owed(ctx, number))(t)); err != nil {
		t.Fatal(err)
	}
	for _, g := range must(s.Graphs(ctx, number))(t) {
		if err := w.Graph(g); err != nil {
			t.Fatal(err)
		}
	}
	for shard := range availability.SKUShards {
		c := must(s.Copy(ctx, number, must(s.SKUs(ctx, number, shard))(t)))(t)
		for i := range c.Stocks {
			if err := w.Stock(&c.Stocks[i]); err != nil {
				t.Fatal(err)
			}
		}
	}
	return must(w.Close())(t)
}

// visitor gives what a file has to a restore.
func visitor(ctx context.Context, x *Restore) *SnapshotVisitor {
	return &SnapshotVisitor{
		Stock: func(d *availability.StockData) error { return x.Stock(ctx, d) },
		IDs:   func(b availability.IDBatch) error { return x.IDs(ctx, b) },
		Owed:  func(skus []availability.SKU) error { return x.Owed(ctx, skus) },
		Graph: func(g availability.GraphData) error { return x.Graph(ctx, g) },
	}
}

// wholeOf is everything that a task keeps, but for the commit id.
func wholeOf(t *testing.T, s *Redis, skus []availability.SKU) []any {
	t.Helper()
	ctx := t.Context()
	var stocks []availability.StockData
	var c Copy
	for part := range slices.Chunk(skus, 100) {
		c = must(s.Copy(ctx, number, part))(t)
		stocks = append(stocks, c.Stocks...)
	}
	c.Checkpoint.CommitID = availability.CommitID{}
	var listed [][]availability.SKU
	for shard := range availability.SKUShards {
		listed = append(listed, must(s.SKUs(ctx, number, shard))(t))
	}
	return []any{
		c.Checkpoint, stocks, c.IDs, c.Owed, c.Graphs, listed, must(s.IDs(ctx, number))(t), must(s.Owed(ctx, number))(t),
		must(s.Graphs(ctx, number))(t), must(s.Due(ctx, number, 1<<62, 1<<20))(t),
	}
}

// TestASnapshotBringsBackTheWhole writes state of every shape to a file and restores it into another namespace, in one run
// and in runs that are cut at any commit, and compares everything. Again: ONHAND_TEST_SEED.
func TestASnapshotBringsBackTheWhole(t *testing.T) {
	onEveryServer(t, func(t *testing.T, url string) {
		r := newRandom(t)
		from, to := openRedis(t, url, Options{}), openRedis(t, url, Options{})
		skus := fullState(t, from, r, 120)
		want := wholeOf(t, from, skus)
		var file bytes.Buffer
		counts := writeSnapshot(t, from, &file)
		if counts.SKUs != 120 || counts.Cells < 3*partMax || counts.IDs == 0 || counts.Owed == 0 {
			t.Errorf("%+v", counts)
		}
		head, again, err := ReadSnapshot(bytes.NewReader(file.Bytes()), &SnapshotVisitor{})
		if err != nil || again != counts || head.Namespace != "n" || head.Task != number || head.CreatedAt != year2026 || head.Version != "v1" {
			t.Fatalf("%+v %+v %v", head, again, err)
		}
		runs, cut := 0, errors.New("cut")
		for done := false; !done; runs++ {
			x, err := to.Restore(t.Context(), number, [16]byte{1})
			if err != nil {
				t.Fatal(err)
			}
			if x.Futures = again.Futures(); !x.Futures {
				t.Error("the futures in the index are not seen")
			}
			if x.Begun() != (runs > 0) {
				t.Errorf("run %d: begun is %t", runs, x.Begun())
			}
			v, stop := visitor(t.Context(), x), x.there+1
			stock := v.Stock
			v.Stock = func(d *availability.StockData) error {
				if x.commits >= stop {
					return cut
				}
				return stock(d)
			}
			if _, _, err = ReadSnapshot(bytes.NewReader(file.Bytes()), v); errors.Is(err, cut) {
				_, err := to.Checkpoint(t.Context(), number)
				if !errors.Is(err, availability.ErrCorrupt) {
					t.Errorf("a part of a restore is taken for state: %v", err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := x.Finish(t.Context(), head.Checkpoint); err != nil {
				t.Fatal(err)
			}
			done = true
		}
		if runs < 3 {
			t.Errorf("only %d runs", runs)
		}
		for i, got := range wholeOf(t, to, skus) {
			if !reflect.DeepEqual(got, want[i]) {
				t.Errorf("part %d is\n%.1000v\nwant\n%.1000v", i, got, want[i])
			}
		}
		if x, err := to.Restore(t.Context(), number, [16]byte{1}); err != nil || !x.done {
			t.Errorf("a restore that is finished: %v", err)
		}
	})
}

// TestARestoreMeetsNoOtherState: one that has a checkpoint, names without one, another restore, and a claim in between.
func TestARestoreMeetsNoOtherState(t *testing.T) {
	onEveryServer(t, func(t *testing.T, url string) {
		ctx := t.Context()
		s, c := openRedis(t, url, Options{}), chain{t: t}
		c.commit(s, c.next(stocked("a", counted("L1", 1))))
		occupied := func(id byte, want error) {
			t.Helper()
			if _, err := s.Restore(ctx, number, [16]byte{id}); !errors.Is(err, want) {
				t.Errorf("%v, want %v", err, want)
			}
		}
		occupied(1, ErrOccupied)
		if err := s.client.Del(ctx, keysOf(s.namespace, number).checkpoint()).Err(); err != nil {
			t.Fatal(err)
		}
		occupied(1, ErrOccupied)
		if !must(s.Occupied(ctx, number))(t) {
			t.Error("names are taken for nothing")
		}
		if err := s.Erase(ctx, number); err != nil {
			t.Fatal(err)
		}
		if left := allKeys(t, s); len(left) > 0 || must(s.Occupied(ctx, number))(t) {
			t.Errorf("left: %q", left)
		}

		x := must(s.Restore(ctx, number, [16]byte{1}))(t)
		part := stocked("a", counted("L1", 1))
		if err := errors.Join(x.Stock(ctx, &part), x.flush(ctx)); err != nil {
			t.Fatal(err)
		}
		occupied(2, ErrOtherRestore)
		occupied(1, nil)
		if err := s.Commit(ctx, number, (&chain{t: t}).next()); !errors.Is(err, availability.ErrCorrupt) {
			t.Errorf("a claim of a part of a restore: %v", err)
		}
		if err := s.Erase(ctx, number); err != nil {
			t.Fatal(err)
		}

		x = must(s.Restore(ctx, number, [16]byte{1}))(t)
		(&chain{t: t}).commit(s, (&chain{t: t}).next())
		if err := errors.Join(x.Stock(ctx, &part)); err != nil {
			t.Fatal(err)
		}
		if err := x.Finish(ctx, availability.Checkpoint{}); !errors.Is(err, ErrOccupied) {
			t.Errorf("a restore into a task that was claimed meanwhile: %v", err)
		}
		if n := must(s.Count(ctx, number))(t); n != 0 {
			t.Errorf("it has written %d SKUs", n)
		}
	})
}

// TestARestoreBeginsBesideItself: whatever another run of it does meanwhile, a run finds the restore, not state of others.
func TestARestoreBeginsBesideItself(t *testing.T) {
	onEveryServer(t, func(t *testing.T, url string) {
		ctx := t.Context()
		s := openRedis(t, url, Options{})
		part := stocked("a", counted("L1", 1))
		for range 50 {
			x := must(s.Restore(ctx, number, [16]byte{1}))(t)
			var over atomic.Bool
			var other sync.WaitGroup
			other.Go(func() {
				for !over.Load() {
					if _, err := s.Restore(ctx, number, [16]byte{1}); err != nil {
						t.Error(err)
					}
				}
			})
			err := errors.Join(x.Stock(ctx, &part), x.flush(ctx), x.Finish(ctx, availability.Checkpoint{}))
			over.Store(true)
			other.Wait()
			if err := errors.Join(err, s.Erase(ctx, number)); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestIDsAreCutToWhatTheyWere: ids that come later are not copied, and a bucket that is gone is noticed.
func TestIDsAreCutToWhatTheyWere(t *testing.T) {
	onEveryServer(t, func(t *testing.T, url string) {
		ctx := t.Context()
		s, c := openRedis(t, url, Options{}), chain{t: t}
		add := func(ids ...uint64) {
			commit := c.next()
			commit.IDs = []availability.IDBatch{{Bucket: 7, IDs: ids}}
			c.commit(s, commit)
		}
		add(1, 2)
		was := must(s.Copy(ctx, number, nil))(t).IDs
		add(3)
		var got []uint64
		take := func(ids []uint64) error { got = append(got, ids...); return nil }
		if err := s.CopyIDs(ctx, number, was[0].Bucket, was[0].Count, take); err != nil || !slices.Equal(got, []uint64{1, 2}) {
			t.Error(got, err)
		}
		drop := c.next()
		drop.DropIDs = []int64{7}
		c.commit(s, drop)
		if err := s.CopyIDs(ctx, number, 7, 2, take); !errors.Is(err, ErrShorter) {
			t.Error(err)
		}
	})
}

// smallSnapshot is a file with a block of every kind.
func smallSnapshot(t testing.TB) []byte {
	var file bytes.Buffer
	w, err := NewSnapshotWriter(&file, &SnapshotHead{Namespace: "onhand", Task: 3, Version: "v1", Checkpoint: availability.Checkpoint{CommitID: availability.CommitID{1}, Epoch: 7, Partitions: 4}})
	if err != nil {
		t.Fatal(err)
	}
	d := stocked("SHIRT", counted("NJ-1", 5), long("NY-2"))
	d.Pools = []availability.PoolData{{Number: 1, Pool: availability.Pool{Members: 2, OnHand: 5000}}}
	d.Demand = []availability.DemandData{{Group: "EAST", Quantity: 2000}}
	d.Reservations = []availability.ReservationData{{ID: "order", Reservation: &availability.Reservation{Lines: []availability.Line{{Place: availability.Place{Type: availability.GroupPlace, ID: "EAST"}, Quantity: 2000, ExpiresAt: year2026}}}}}
	err = errors.Join(w.Stock(&d), w.IDs(availability.IDBatch{Bucket: 5, IDs: []uint64{1, 2, 3}}), w.Owed([]availability.SKU{"SHIRT"}), w.Graph(availability.GraphData{Version: 2, Bytes: bytes.Repeat([]byte("graph"), 300)}))
	if _, closed := w.Close(); err != nil || closed != nil {
		t.Fatal(err, closed)
	}
	return file.Bytes()
}

// TestADamagedSnapshotIsRefused cuts a file at every byte and flips every bit of it.
func TestADamagedSnapshotIsRefused(t *testing.T) {
	file := smallSnapshot(t)
	if _, _, err := ReadSnapshot(bytes.NewReader(file), &SnapshotVisitor{}); err != nil {
		t.Fatal(err)
	}
	refused := func(what string, b []byte, text string) {
		t.Helper()
		_, _, err := ReadSnapshot(bytes.NewReader(b), &SnapshotVisitor{})
		if !errors.Is(err, ErrSnapshot) || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for n := range file {
		refused(fmt.Sprintf("the first %d bytes", n), file[:n], "cut short")
	}
	for n := range 8 * len(file) {
		b := slices.Clone(file)
		b[n/8] ^= 1 << (n % 8)
		refused(fmt.Sprintf("bit %d flipped", n), b, "")
	}
	refused("another magic", append([]byte("something else!!"), file...), "no snapshot of onhand")
	refused("a later format", append([]byte(snapshotMagic+"\x02"), file[16:]...), "it has format 2 and this onhand knows 1")
	refused("a byte too many", append(slices.Clone(file), 0), "something follows")
	if want := errors.New("disk"); true {
		_, _, err := ReadSnapshot(io.MultiReader(bytes.NewReader(file[:40]), failing{want}), &SnapshotVisitor{})
		if !errors.Is(err, want) || errors.Is(err, ErrSnapshot) {
			t.Errorf("a file that cannot be read: %v", err)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// FuzzSnapshot reads any bytes as a snapshot, with checksums made right, so that what is behind them is reached. It
// must end with an error or with what the file says, and take no more memory than is allowed.
func FuzzSnapshot(f *testing.F) {
	good := smallSnapshot(f)
	f.Add(good, uint16(0), byte(0))
	seeded := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		f.Add(good, uint16(seeded.Uint32()), byte(seeded.Uint32()))
	}
	f.Fuzz(func(t *testing.T, file []byte, at uint16, with byte) {
		if len(file) > 0 {
			file = slices.Clone(file)
			file[int(at)%len(file)] ^= with
		}
		for _, b := range [][]byte{file, resealed(file)} {
			before := totalAlloc()
			_, _, err := ReadSnapshot(bytes.NewReader(b), &SnapshotVisitor{})
			if err != nil && !errors.Is(err, ErrSnapshot) {
				t.Errorf("%v", err)
			}
			// Values take more in memory than packed, by no more than some 40 times.
			if taken := totalAlloc() - before; taken > 3*blockBytesMax+uint64(len(b))*4000 {
				t.Errorf("%d bytes of file took %d of memory", len(b), taken)
			}
		}
	})
}

// resealed makes the checksums of the blocks right, as far as the lengths make sense.
func resealed(file []byte) []byte {
	b := slices.Clone(file)
	for at := len(snapshotMagic) + 1; at+blockHeadBytes <= len(b); {
		length := int(binary.LittleEndian.Uint32(b[at+5:]))
		end := at + blockHeadBytes + length
		if length < 0 || end > len(b) {
			break
		}
		if b[at] == blockEnd && length > sha256.Size {
			sum := sha256.Sum256(b[:at])
			copy(b[end-sha256.Size:], sum[:])
		}
		binary.LittleEndian.PutUint64(b[at+9:], blockSum(b[at:at+9], b[at+blockHeadBytes:end]))
		at = end
	}
	return b
}

// totalAlloc is what the process has taken of memory since it began.
func totalAlloc() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
