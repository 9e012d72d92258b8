package cache

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"runtime"
	"testing"

	"onhand/processor/availability"
)

// packRounds is how many values of each kind a test of packing makes.
const packRounds = 20_000

// TestPackedValuesComeBackExactly packs random values of every kind and compares what is unpacked, field by field.
func TestPackedValuesComeBackExactly(t *testing.T) {
	r := newRandom(t)
	for range packRounds {
		c := r.cell("L")
		packed, lists := packCell(nil, &c)
		got, err := unpackCell(packed, lists)
		got.Location = c.Location
		same(t, got, c, err)

		p := r.pool()
		packed, lists = packPool(nil, &p)
		gotPool, err := unpackPool(packed, lists)
		same(t, gotPool, p, err)

		q := r.quantity()
		gotQuantity, err := unpackDemand(packDemand(nil, q))
		same(t, gotQuantity, q, err)

		at := r.checkpoint()
		gotCheckpoint, err := unpackCheckpoint(packCheckpoint(&at, mark{r.Uint32(), r.Uint64()}))
		same(t, gotCheckpoint, at, err)

		v := r.reservation()
		names := &namer{dictionary: newDictionary(nil)}
		packed, err = packReservation(nil, v, names)
		if err != nil {
			t.Fatal(err)
		}
		gotReservation, err := unpackReservation(packed, names.with(names.added))
		same(t, gotReservation, v, err)
	}
}

func same(t *testing.T, got, want any, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%+v: %v", want, err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("packed and unpacked:\n%+v\nbefore:\n%+v", got, want)
	}
}

// TestEveryExportedFieldIsPacked makes sure that no field was added to the stored types without being packed.
func TestEveryExportedFieldIsPacked(t *testing.T) {
	for _, want := range []struct {
		value  any
		fields int
	}{
		{availability.Cell{}, 14}, {availability.Movement{}, 3}, {availability.Future{}, 2}, {availability.Pool{}, 8}, {availability.Reservation{}, 2},
		{availability.Line{}, 3}, {availability.Place{}, 2}, {availability.Request{}, 4}, {availability.Result{}, 7}, {availability.Checkpoint{}, 11},
	} {
		typ, exported := reflect.TypeOf(want.value), 0
		for i := range typ.NumField() {
			if typ.Field(i).IsExported() {
				exported++
			}
		}
		if exported != want.fields {
			t.Errorf("%s has %d exported fields, and %d are packed: pack the others, under another format number", typ, exported, want.fields)
		}
	}
}

// TestOrdinaryValuesAreSmall holds what layout.go and the estimate of memory say.
func TestOrdinaryValuesAreSmall(t *testing.T) {
	const at = year2026 + 123_456_789_012
	count := availability.Cell{Since: 1, Count: 120 * availability.Unit, CountedAt: at, SafetyAt: availability.None, FuturesAt: availability.None, Known: true}
	moved := count
	moved.Movements = []availability.Movement{{At: at + 1234567890, Quantity: -availability.Unit}}
	full := count
	full.SafetyStock, full.SafetyAt, full.Reserved, full.FuturesAt = 12_500, at-5e9, 4_000, at-6e9
	for range 3 {
		full.Movements = append(full.Movements, availability.Movement{At: at + 1234567890, Quantity: -availability.Unit})
		full.Futures = append(full.Futures, availability.Future{Expected: at - at%availability.Hour + 240*availability.Hour, Quantity: 500 * availability.Unit})
	}
	for _, c := range []struct {
		name string
		cell availability.Cell
		most int
	}{{"count", count, 14}, {"count and movement", moved, 22}, {"all", full, listpackBytes}} {
		if packed, lists := packCell(nil, &c.cell); len(packed) > c.most || lists != nil {
			t.Errorf("%s: packed to %d bytes and %d of lists, not to %d at most", c.name, len(packed), len(lists), c.most)
		}
	}
	r := &availability.Reservation{
		Lines: []availability.Line{{Place: availability.Place{Type: availability.LocationPlace, ID: "L"}, Quantity: 2000, ExpiresAt: at + 900_000_000}},
		Requests: []availability.Request{{ID: math.MaxUint64, Content: math.MaxUint64, At: at,
			Result: availability.Result{Requested: 2000, Granted: 2000, Version: 7<<40 + 12345}}},
	}
	if packed, err := packReservation(nil, r, &namer{dictionary: newDictionary(nil)}); err != nil || len(packed) > 48 {
		t.Errorf("a reservation packs to %d bytes, not 48 at most: %v", len(packed), err)
	}
}

// TestValuesStayInAListpack: whatever the lists, a cell or pool of ordinary quantities and dates fits; lists move out.
func TestValuesStayInAListpack(t *testing.T) {
	r := newRandom(t)
	moved := 0
	for range packRounds {
		c := r.cell("L")
		c.Since &= 1<<20 - 1
		for _, q := range []*availability.Quantity{&c.Count, &c.SafetyStock, &c.Reserved} {
			*q %= 1e16
		}
		for _, at := range []*availability.Instant{&c.CountedAt, &c.SafetyAt, &c.FuturesAt} {
			if *at != availability.None {
				*at = year2026 + *at%(1<<40)
			}
		}
		packed, lists := packCell(nil, &c)
		if len(packed) > listpackBytes {
			t.Fatalf("%+v packs to %d bytes", c, len(packed))
		}
		if lists != nil {
			moved++
		}
	}
	if moved < packRounds/20 {
		t.Errorf("only %d of %d cells had lists that moved out", moved, packRounds)
	}
}

// TestAChangedByteIsNoticed flips each bit of packed values: a byte of checksum misses one change in 256.
func TestAChangedByteIsNoticed(t *testing.T) {
	r := newRandom(t)
	flips, missed := 0, 0
	for range 300 {
		c := r.cell("L")
		packed, lists := packCell(nil, &c)
		for i := range 8 * len(packed) {
			flipped := bytes.Clone(packed)
			flipped[i/8] ^= 1 << (i % 8)
			flips++
			if _, err := unpackCell(flipped, lists); err == nil {
				missed++
			}
		}
	}
	if missed*64 > flips {
		t.Errorf("%d of %d changed bits went unnoticed, more than one in 64", missed, flips)
	}
}

func TestACellWhoseListsAreGoneIsCorrupt(t *testing.T) {
	c := availability.Cell{CountedAt: 1, SafetyAt: availability.None, FuturesAt: availability.None}
	for i := range 40 {
		c.Movements = append(c.Movements, availability.Movement{At: availability.Instant(i), Quantity: 1234567})
	}
	packed, lists := packCell(nil, &c)
	if lists == nil {
		t.Fatal("40 movements stayed inside")
	}
	if _, err := unpackCell(packed, nil); !errors.Is(err, errSibling) {
		t.Errorf("without the sibling: %v", err)
	}
	if _, err := unpackCell(packed, lists[:len(lists)-1]); err == nil {
		t.Error("with a shorter sibling: no error")
	}
}

func TestAnotherFormatIsRefused(t *testing.T) {
	c := availability.Cell{CountedAt: 1, SafetyAt: availability.None, FuturesAt: availability.None}
	packed, _ := packCell(nil, &c)
	packed[0] += 1 << 4
	if _, err := unpackCell(seal(packed[:len(packed)-1]), nil); !errors.Is(err, errFormat) {
		t.Errorf("a cell of format 2: %v", err)
	}
	at := packCheckpoint(&availability.Checkpoint{CommitID: availability.CommitID{1}}, mark{})
	at[0] += 1 << 4
	if _, err := unpackCheckpoint(at); !errors.Is(err, errFormat) {
		t.Errorf("a checkpoint of format 2: %v", err)
	}
	graph := packGraph([]byte("graph"))
	graph[0] += 1 << 4
	if _, err := unpackGraph(graph); !errors.Is(err, errFormat) {
		t.Errorf("a graph of format 2: %v", err)
	}
}

func TestGraphsComeBackAndLargeOnesAreCompressed(t *testing.T) {
	for _, size := range []int{0, 1, graphPlainBytes, graphPlainBytes + 1, 500_000} {
		graph := bytes.Repeat([]byte("location "), size/9+1)[:size]
		packed := packGraph(graph)
		got, err := unpackGraph(packed)
		if err != nil || !bytes.Equal(got, graph) {
			t.Errorf("%d bytes: %d came back: %v", size, len(got), err)
		}
		if size > graphPlainBytes && len(packed) > size/5 {
			t.Errorf("%d bytes of one word were packed to %d", size, len(packed))
		}
		packed[len(packed)-1] ^= 1
		if _, err := unpackGraph(packed); err == nil && size > 0 {
			t.Errorf("%d bytes: a changed byte went unnoticed", size)
		}
	}
}

func TestALineNeedsAPlaceAndARequestAnOutcome(t *testing.T) {
	names := &namer{dictionary: newDictionary(nil)}
	if _, err := packReservation(nil, &availability.Reservation{Lines: []availability.Line{{Quantity: 1}}}, names); err == nil {
		t.Error("a line without a place was packed")
	}
	odd := availability.Request{Result: availability.Result{Outcome: 3}}
	if _, err := packReservation(nil, &availability.Reservation{Requests: []availability.Request{odd}}, names); err == nil {
		t.Error("an outcome that is none was packed")
	}
}

// fuzzNames is a dictionary of every kind.
func fuzzNames() *dictionary { return newDictionary([]string{"lL1", "gG1", "p0", "lL2", "gG2"}) }

// FuzzUnpack reads any bytes as every kind of value, as they are and with a right checksum: nothing panics, and what can
// be read comes back from what it packs to.
func FuzzUnpack(f *testing.F) {
	c := availability.Cell{Since: 1, Count: 5000, CountedAt: year2026, SafetyAt: year2026, FuturesAt: 7, Reserved: 1, Movements: []availability.Movement{{At: 9, Quantity: -5}}}
	packed, _ := packCell(nil, &c)
	f.Add(packed, []byte{})
	c.Movements = make([]availability.Movement, 30)
	packed, lists := packCell(nil, &c)
	f.Add(packed, lists)
	packed, lists = packPool(nil, &availability.Pool{Members: 2, ATF: 5, EffectiveAt: 3, Futures: []availability.Future{{Quantity: 1, Expected: 2}}})
	f.Add(packed, lists)
	names := &namer{dictionary: fuzzNames()}
	packed, err := packReservation(nil, &availability.Reservation{
		Lines:    []availability.Line{{Place: availability.Place{Type: availability.GroupPlace, ID: "G1"}, Quantity: 1, ExpiresAt: year2026}},
		Requests: []availability.Request{{ID: 1, Result: availability.Result{ErrorCode: "Other", Message: "m", TightGroups: []availability.GroupID{"G2"}}}},
	}, names)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packed, []byte{})
	f.Add(packCheckpoint(&availability.Checkpoint{CommitID: availability.CommitID{1}, Epoch: 3}, mark{1, 2}), []byte{})
	f.Add(packGraph(make([]byte, 2000)), []byte{})
	f.Fuzz(func(t *testing.T, value, lists []byte) {
		unpackAll(t, value, lists)
		unpackAll(t, seal(value[:len(value):len(value)]), seal(lists[:len(lists):len(lists)]))
	})
}

// unpackAll reads a value as each kind. What that costs follows from the bytes there are, not from the counts they name: a
// graph alone may unpack to graphBytesMax.
func unpackAll(t *testing.T, value, lists []byte) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _ = unpackCell(value, lists)
	_, _ = unpackPool(value, lists)
	_, _ = unpackDemand(value)
	_, _ = unpackReservation(value, fuzzNames())
	_, _ = unpackCheckpoint(value)
	runtime.ReadMemStats(&after)
	if bytes, size := after.TotalAlloc-before.TotalAlloc, len(value)+len(lists); bytes > uint64(1<<20+1000*size) {
		t.Errorf("%d bytes asked for to read %d", bytes, size)
	}
	if c, err := unpackCell(value, lists); err == nil {
		got, err := unpackCell(packCell(nil, &c))
		same(t, got, c, err)
	}
	if p, err := unpackPool(value, lists); err == nil {
		got, err := unpackPool(packPool(nil, &p))
		same(t, got, p, err)
	}
	if q, err := unpackDemand(value); err == nil {
		got, err := unpackDemand(packDemand(nil, q))
		same(t, got, q, err)
	}
	if r, err := unpackReservation(value, fuzzNames()); err == nil {
		packed, err := packReservation(nil, r, &namer{dictionary: fuzzNames()})
		if err != nil {
			t.Fatal(err)
		}
		got, err := unpackReservation(packed, fuzzNames())
		same(t, got, r, err)
	}
	if c, err := unpackCheckpoint(value); err == nil && len(value) > 0 {
		got, err := unpackCheckpoint(packCheckpoint(&c, mark{}))
		same(t, got, c, err)
	}
	if g, err := unpackGraph(value); err == nil {
		got, err := unpackGraph(packGraph(g))
		same(t, string(got), string(g), err)
	}
}

// FuzzUnpackDue reads any text as a member of the index of expiries.
func FuzzUnpackDue(f *testing.F) {
	f.Add(dueMember(&availability.Due{SKU: "SKU", ReservationID: "order\x001", At: 5}))
	f.Add(dueMember(&availability.Due{SKU: "SKU", Location: "L1", At: 5}))
	f.Add("\x00SKU\x00\x005")
	f.Add("a\x00")
	f.Fuzz(func(t *testing.T, member string) {
		if d, err := unpackDue(member); err == nil {
			got, err := unpackDue(dueMember(&d))
			same(t, got, d, err)
		}
	})
}

// FuzzReadNames reads any fields and values as a dictionary.
func FuzzReadNames(f *testing.F) {
	f.Add("0", "lL1", "1", "gG1", uint32(2), uint64(0))
	f.Add("-1", "", "99999999999999999999", "x", uint32(0), uint64(1))
	f.Fuzz(func(t *testing.T, a, b, c, d string, count uint32, hash uint64) {
		if names, err := readNames([]string{a, b, c, d}, mark{count, hash}); err == nil && len(names.names) != 2 {
			t.Errorf("two names became %q", names.names)
		}
	})
}
