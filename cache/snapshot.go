package cache

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/zstd"

	"onhand/processor/availability"
)

// A snapshot file has the state of one task as one commit left it. It is of no deployment and no Redis version.
//
//	┌─────────┬──────────────────────────────────────────────────────────────────────────────────────────────────┐
//	│ magic   │ 15 bytes "onhand-snapshot", 1 byte version of the format                                         │
//	│ blocks  │ a head, any number of the others, an end                                                         │
//	└─────────┴──────────────────────────────────────────────────────────────────────────────────────────────────┘
//
// A block is its kind (1 byte), the length of its content (4, little-endian), the length as it stands in the file (4), a
// checksum of all that and of what stands there (8, xxhash64), and the content: compressed with zstd where the two
// lengths differ. Numbers in contents are varints; a text and bytes have their length in front.
//
//	head    namespace · task · created at, µs · version of onhand · packed checkpoint
//	stocks  names that no block before has: count, kind and name · parts of SKUs:
//	        SKU · 1: its first part · graph version
//	        · cells: count, short id, packed cell, packed lists
//	        · pools: count, number, packed pool, packed lists
//	        · demand: count, short id, packed quantity
//	        · reservations: count, id, packed reservation
//	ids     bucket · ids of 8 bytes, to the end
//	owed    SKUs, to the end
//	graph   version · length of the whole · bytes of it, to the end; those of one graph follow one another
//	end     how many there are of SKUs, cells, reservations, ids, SKUs owed, graphs, expiries, entries of the index ·
//	        SHA-256 of the file up to this block
//
// Cells, pools, demand and reservations are packed as in Redis, with the names of the file. The index of what is due is not
// there: reservations and cells tell what it has, and how many entries it had whether futures were in it.
const (
	snapshotMagic  = "onhand-snapshot"
	snapshotFormat = 1

	blockHead   = 'h'
	blockStocks = 's'
	blockIDs    = 'i'
	blockOwed   = 'o'
	blockGraph  = 'g'
	blockEnd    = 'e'

	blockHeadBytes = 1 + 4 + 4 + 8
	// blockBytes is the size of a block that is written; blockBytesMax that of one that is read. One reservation with
	// 100,000 remembered requests takes 4 MB.
	blockBytes    = 1 << 20
	blockBytesMax = 32 << 20
)

// partMax is how many cells, pools, promises and reservations one part of a SKU has: one commit of a restore takes two.
const partMax = 500

// SnapshotHead says what a snapshot file has.
type SnapshotHead struct {
	Namespace  string
	Task       int32
	CreatedAt  availability.Instant
	Version    string // of the onhand that wrote it
	Checkpoint availability.Checkpoint
}

// SnapshotCounts are how many there are in a snapshot file.
type SnapshotCounts struct {
	SKUs, Cells, Reservations, IDs, Owed, Graphs int64
	Expiries                                     int64 // of the reservations
	Due                                          int64 // entries that the index of what is due had
}

func (c *SnapshotCounts) all() [8]*int64 {
	return [...]*int64{&c.SKUs, &c.Cells, &c.Reservations, &c.IDs, &c.Owed, &c.Graphs, &c.Expiries, &c.Due}
}

// Futures says whether the index of what is due had futures too, as it does where overdue ones are dropped.
func (c *SnapshotCounts) Futures() bool { return c.Due > c.Expiries }

func (c *SnapshotCounts) add(d *availability.StockData) {
	c.Cells += int64(len(d.Cells))
	c.Reservations += int64(len(d.Reservations))
	for _, r := range d.Reservations {
		c.Expiries += int64(len(expiries(r.Reservation)))
	}
}

// SnapshotWriter writes a snapshot file. Its methods return the first error there was. It holds one block in memory.
type SnapshotWriter struct {
	out     io.Writer
	sum     hash.Hash
	encoder *zstd.Encoder
	names   namer
	written int // names in blocks before
	raw     []byte
	stored  []byte
	counts  SnapshotCounts
	bytes   int64
	err     error
}

// NewSnapshotWriter begins a file.
func NewSnapshotWriter(out io.Writer, head *SnapshotHead) (*SnapshotWriter, error) {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, fmt.Errorf("opening zstd: %w", err)
	}
	w := &SnapshotWriter{out: out, sum: sha256.New(), encoder: encoder, names: namer{dictionary: newDictionary(nil)}}
	w.write(append([]byte(snapshotMagic), snapshotFormat))
	b := appendText(nil, head.Namespace)
	b = appendSigned(b, int64(head.Task))
	b = appendSigned(b, int64(head.CreatedAt))
	b = appendText(b, head.Version)
	w.block(blockHead, appendText(b, string(packCheckpoint(&head.Checkpoint, mark{}))))
	return w, w.err
}

// Bytes is how much of the file has been written.
func (w *SnapshotWriter) Bytes() int64 { return w.bytes }

func (w *SnapshotWriter) write(b []byte) {
	if w.err != nil {
		return
	}
	_, _ = w.sum.Write(b) // never fails, says hash.Hash
	if _, err := w.out.Write(b); err != nil {
		w.err = fmt.Errorf("writing a snapshot: %w", err)
	}
	w.bytes += int64(len(b))
}

func (w *SnapshotWriter) block(kind byte, content []byte) {
	if len(content) > blockBytesMax && w.err == nil {
		w.err = fmt.Errorf("writing a snapshot: a block of %d bytes is longer than %d", len(content), blockBytesMax)
	}
	if w.err != nil {
		return
	}
	w.stored = append(w.stored[:0], make([]byte, blockHeadBytes)...)
	w.stored = w.encoder.EncodeAll(content, w.stored)
	if len(w.stored)-blockHeadBytes >= len(content) {
		w.stored = append(w.stored[:blockHeadBytes], content...)
	}
	w.stored[0] = kind
	binary.LittleEndian.PutUint32(w.stored[1:], uint32(len(content)))
	binary.LittleEndian.PutUint32(w.stored[5:], uint32(len(w.stored)-blockHeadBytes))
	binary.LittleEndian.PutUint64(w.stored[9:], blockSum(w.stored[:9], w.stored[blockHeadBytes:]))
	w.write(w.stored)
}

func blockSum(head, stored []byte) uint64 {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.Write(head) // never fails
	_, _ = d.Write(stored)
	return d.Sum64()
}

// Stock adds a SKU with all that the store has of it, as Copy returns it. Each SKU comes once.
func (w *SnapshotWriter) Stock(d *availability.StockData) error {
	w.counts.SKUs++
	w.counts.add(d)
	for _, part := range splitStock(d) {
		if err := w.part(&part); err != nil {
			return fmt.Errorf("writing SKU %q to a snapshot: %w", d.SKU, err)
		}
		if len(w.raw) >= blockBytes {
			w.flush()
		}
	}
	return w.err
}

// splitStock cuts a SKU into parts, of which the first does not exist yet where it is written.
func splitStock(d *availability.StockData) (parts []availability.StockData) {
	rest, room := *d, 0
	for first := true; first || len(rest.Cells)+len(rest.Pools)+len(rest.Demand)+len(rest.Reservations) > 0; first = false {
		room = partMax
		parts = append(parts, availability.StockData{
			SKU: d.SKU, Exists: !first, GraphVersion: d.GraphVersion,
			Cells: cut(&rest.Cells, &room), Pools: cut(&rest.Pools, &room), Demand: cut(&rest.Demand, &room), Reservations: cut(&rest.Reservations, &room),
		})
	}
	return parts
}

// cut takes as many from the front of a list as there is room for.
func cut[T any](rest *[]T, room *int) []T {
	n := min(*room, len(*rest))
	taken := (*rest)[:n:n]
	*rest, *room = (*rest)[n:], *room-n
	return taken
}

func (w *SnapshotWriter) part(d *availability.StockData) error {
	b := appendText(w.raw, string(d.SKU))
	b = appendSigned(append(b, bit(!d.Exists, 0)), d.GraphVersion)
	b = binary.AppendUvarint(b, uint64(len(d.Cells)))
	for i := range d.Cells {
		packed, lists := packCell(nil, &d.Cells[i])
		b = binary.AppendUvarint(b, uint64(w.names.id(kindLocation, string(d.Cells[i].Location))))
		b = appendText(appendText(b, string(packed)), string(lists))
	}
	b = binary.AppendUvarint(b, uint64(len(d.Pools)))
	for i := range d.Pools {
		packed, lists := packPool(nil, &d.Pools[i].Pool)
		b = appendText(appendText(appendSigned(b, int64(d.Pools[i].Number)), string(packed)), string(lists))
	}
	b = binary.AppendUvarint(b, uint64(len(d.Demand)))
	for _, q := range d.Demand {
		b = binary.AppendUvarint(b, uint64(w.names.id(kindGroup, string(q.Group))))
		b = appendText(b, string(packDemand(nil, q.Quantity)))
	}
	b = binary.AppendUvarint(b, uint64(len(d.Reservations)))
	for _, r := range d.Reservations {
		packed, err := packReservation(nil, r.Reservation, &w.names)
		if err != nil {
			return fmt.Errorf("reservation %q: %w", r.ID, err)
		}
		b = appendText(appendText(b, r.ID), string(packed))
	}
	w.raw = b
	return nil
}

// flush writes the parts of SKUs that wait, with the names that they are the first to use.
func (w *SnapshotWriter) flush() {
	if len(w.raw) == 0 {
		return
	}
	added := w.names.added[w.written:]
	b := binary.AppendUvarint(nil, uint64(len(added)))
	for _, name := range added {
		b = appendText(b, name)
	}
	w.written = len(w.names.added)
	w.block(blockStocks, append(b, w.raw...))
	w.raw = w.raw[:0]
}

// IDs adds ids of a bucket, after those of it that are there already.
func (w *SnapshotWriter) IDs(batch availability.IDBatch) error {
	w.counts.IDs += int64(len(batch.IDs))
	for ids := batch.IDs; len(ids) > 0; {
		n := min(len(ids), blockBytes/8)
		b := appendSigned(nil, batch.Bucket)
		for _, id := range ids[:n] {
			b = binary.LittleEndian.AppendUint64(b, id)
		}
		w.block(blockIDs, b)
		ids = ids[n:]
	}
	return w.err
}

// Owed adds SKUs that a replay has to publish.
func (w *SnapshotWriter) Owed(skus []availability.SKU) error {
	w.counts.Owed += int64(len(skus))
	var b []byte
	for i, sku := range skus {
		if b = appendText(b, string(sku)); len(b) >= blockBytes || i == len(skus)-1 {
			w.block(blockOwed, b)
			b = b[:0]
		}
	}
	return w.err
}

// Graph adds a graph that SKUs were computed with.
func (w *SnapshotWriter) Graph(g availability.GraphData) error {
	if len(g.Bytes) == 0 || len(g.Bytes) > graphBytesMax {
		return fmt.Errorf("writing location graph %d to a snapshot: it has %d bytes, not 1 to %d", g.Version, len(g.Bytes), graphBytesMax)
	}
	w.counts.Graphs++
	for rest := g.Bytes; len(rest) > 0; {
		n := min(len(rest), blockBytes)
		b := binary.AppendUvarint(appendSigned(nil, g.Version), uint64(len(g.Bytes)))
		w.block(blockGraph, append(b, rest[:n]...))
		rest = rest[n:]
	}
	return w.err
}

// Due says how many entries the index of what is due has.
func (w *SnapshotWriter) Due(n int64) { w.counts.Due = n }

// Close ends the file, which is none without. It does not close what it was written to.
func (w *SnapshotWriter) Close() (SnapshotCounts, error) {
	w.flush()
	var b []byte
	for _, n := range w.counts.all() {
		b = appendSigned(b, *n)
	}
	w.block(blockEnd, w.sum.Sum(b))
	err := w.err
	if w.err == nil {
		w.err = errors.New("snapshot is closed")
	}
	return w.counts, err
}
