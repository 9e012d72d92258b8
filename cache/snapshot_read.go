package cache

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"onhand/processor/availability"
)

// ErrSnapshot is returned by ReadSnapshot for a file that is none, or is damaged.
var ErrSnapshot = errors.New("snapshot file cannot be used")

var errCutShort = errors.New("it is cut short")

// SnapshotVisitor takes what a snapshot file has, in the order of the file. Nil: nobody wants that. What it is given it may
// keep.
type SnapshotVisitor struct {
	Head func(*SnapshotHead) error // comes first
	// Stock gets a SKU in parts, one after the other; the first has Exists false, as a commit to an empty store has.
	Stock func(*availability.StockData) error
	IDs   func(availability.IDBatch) error
	Owed  func([]availability.SKU) error
	Graph func(availability.GraphData) error
}

// ReadSnapshot reads a snapshot file to its end and checks all of it: what it is, every checksum, that every value can be
// read and nothing is missing. Errors about the file wrap ErrSnapshot. Whatever stands in the file, it takes at most some
// 200 MB of memory, for blocks and graphs; what it gave to the visitor before an error is not to be used.
func ReadSnapshot(in io.Reader, v *SnapshotVisitor) (SnapshotHead, SnapshotCounts, error) {
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(blockBytesMax), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return SnapshotHead{}, SnapshotCounts{}, fmt.Errorf("opening zstd: %w", err)
	}
	defer decoder.Close()
	s := &snapshotReader{in: bufio.NewReaderSize(in, 1<<16), sum: sha256.New(), decoder: decoder, names: newDictionary(nil), v: v}
	if err := s.read(); err != nil {
		return s.head, s.counts, err
	}
	return s.head, s.counts, nil
}

type snapshotReader struct {
	in      *bufio.Reader
	sum     hash.Hash
	decoder *zstd.Decoder
	names   *dictionary
	v       *SnapshotVisitor
	head    SnapshotHead
	counts  SnapshotCounts
	last    availability.SKU       // of the part before
	graph   availability.GraphData // under way
}

// refuse is an error of the file, as opposed to one of reading it or of the visitor.
func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrSnapshot, fmt.Errorf(format, args...))
}

func (s *snapshotReader) read() error {
	magic := make([]byte, len(snapshotMagic)+1)
	if _, err := io.ReadFull(s.in, magic); err != nil {
		return readError(err)
	}
	if string(magic[:len(snapshotMagic)]) != snapshotMagic {
		return refuse("it is no snapshot of onhand")
	}
	if f := magic[len(snapshotMagic)]; f != snapshotFormat {
		return refuse("it has format %d and this onhand knows %d: use the version that wrote it", f, snapshotFormat)
	}
	_, _ = s.sum.Write(magic) // never fails, says hash.Hash
	for number := 1; ; number++ {
		before := s.sum.Sum(nil)
		kind, content, err := s.block()
		if err != nil {
			return fmt.Errorf("block %d: %w", number, err)
		}
		if (number == 1) != (kind == blockHead) {
			return refuse("block %d: a head in another place than the first", number)
		}
		if s.graph.Bytes != nil && kind != blockGraph {
			return refuse("block %d: %w", number, errLength)
		}
		if kind == blockEnd {
			return s.end(content, before)
		}
		if err := s.content(kind, content); err != nil {
			return fmt.Errorf("block %d: %w", number, err)
		}
	}
}

func readError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return refuse("%w", errCutShort)
	}
	return fmt.Errorf("reading a snapshot: %w", err)
}

// block reads the next block. What is claimed of its length is believed up to blockBytesMax, and memory is taken only as
// bytes come.
func (s *snapshotReader) block() (kind byte, content []byte, err error) {
	head := make([]byte, blockHeadBytes)
	if _, err := io.ReadFull(s.in, head); err != nil {
		return 0, nil, readError(err)
	}
	raw, length := binary.LittleEndian.Uint32(head[1:]), binary.LittleEndian.Uint32(head[5:])
	if raw > blockBytesMax || length > raw {
		return 0, nil, refuse("%w", errLength)
	}
	var stored bytes.Buffer
	if n, err := io.CopyN(&stored, s.in, int64(length)); err != nil || n != int64(length) {
		return 0, nil, readError(err)
	}
	if blockSum(head[:9], stored.Bytes()) != binary.LittleEndian.Uint64(head[9:]) {
		return 0, nil, refuse("%w", errChecksum)
	}
	_, _ = s.sum.Write(head) // never fails
	_, _ = s.sum.Write(stored.Bytes())
	if length == raw {
		return head[0], stored.Bytes(), nil
	}
	if content, err = s.decoder.DecodeAll(stored.Bytes(), make([]byte, 0, raw)); err != nil {
		return 0, nil, refuse("decompressing: %w", err)
	}
	if len(content) != int(raw) {
		return 0, nil, refuse("%w", errLength)
	}
	return head[0], content, nil
}

func (s *snapshotReader) end(content, sum []byte) error {
	u := &unpacker{rest: content}
	var counts SnapshotCounts
	for _, n := range counts.all() {
		*n = u.signed()
	}
	if stands := u.take(sha256.Size); !bytes.Equal(stands, sum) {
		return refuse("%w", errChecksum)
	}
	if err := u.end(); err != nil {
		return refuse("%w", err)
	}
	s.counts.Due = counts.Due
	if counts != s.counts {
		return refuse("it should have %+v and has %+v", counts, s.counts)
	}
	if _, err := s.in.ReadByte(); !errors.Is(err, io.EOF) {
		return refuse("something follows its end")
	}
	return nil
}

func (s *snapshotReader) content(kind byte, content []byte) error {
	u := &unpacker{rest: content}
	switch kind {
	case blockHead:
		return s.readHead(u)
	case blockStocks:
		return s.stocks(u)
	case blockIDs:
		return s.ids(u)
	case blockOwed:
		return s.owed(u)
	case blockGraph:
		return s.readGraph(u)
	}
	return refuse("a block of a kind %q that this onhand does not know", kind)
}

func (s *snapshotReader) readHead(u *unpacker) error {
	s.head.Namespace = u.text()
	task := u.signed()
	s.head.CreatedAt = availability.Instant(u.signed())
	s.head.Version = u.text()
	packed := u.text()
	if err := u.end(); err != nil {
		return refuse("%w", err)
	}
	c, err := unpackCheckpoint([]byte(packed))
	if err != nil {
		return refuse("the checkpoint: %w", err)
	}
	if s.head.Task, s.head.Checkpoint = int32(task), c; int64(s.head.Task) != task || task < 0 {
		return refuse("%w", errContent)
	}
	if s.v.Head != nil {
		return s.v.Head(&s.head)
	}
	return nil
}

func (s *snapshotReader) stocks(u *unpacker) error {
	for range u.count(1) {
		name := u.text()
		if len(name) < 2 || !strings.ContainsRune(kinds, rune(name[0])) {
			return refuse("a name: %w", errContent)
		}
		s.names.add([]string{name})
	}
	for len(u.rest) > 0 && !u.bad {
		d, err := s.part(u)
		if err != nil {
			return refuse("SKU %q: %w", d.SKU, err)
		}
		if s.v.Stock != nil {
			if err := s.v.Stock(&d); err != nil {
				return err
			}
		}
	}
	if err := u.end(); err != nil {
		return refuse("%w", err)
	}
	return nil
}

// part reads a part of a SKU.
func (s *snapshotReader) part(u *unpacker) (d availability.StockData, err error) {
	d.SKU = availability.SKU(u.text())
	first := u.byte()
	d.Exists, d.GraphVersion = first == 0, u.signed()
	if u.bad || d.SKU == "" || first > 1 || d.Exists && d.SKU != s.last {
		return d, errContent
	}
	for range u.count(3) {
		name, err := s.names.name(kindLocation, u.uvarint())
		if err != nil {
			return d, err
		}
		c, err := unpackCell([]byte(u.text()), optional(u.text()))
		if err != nil {
			return d, err
		}
		c.Location = availability.LocationID(name)
		d.Cells = append(d.Cells, c)
	}
	for range u.count(3) {
		number := u.signed()
		p, err := unpackPool([]byte(u.text()), optional(u.text()))
		if err != nil || int64(int32(number)) != number || number < 0 {
			return d, errors.Join(errContent, err)
		}
		d.Pools = append(d.Pools, availability.PoolData{Number: int32(number), Pool: p})
	}
	for range u.count(2) {
		name, err := s.names.name(kindGroup, u.uvarint())
		if err != nil {
			return d, err
		}
		q, err := unpackDemand([]byte(u.text()))
		if err != nil {
			return d, err
		}
		d.Demand = append(d.Demand, availability.DemandData{Group: availability.GroupID(name), Quantity: q})
	}
	for range u.count(2) {
		r := availability.ReservationData{ID: u.text()}
		if r.Reservation, err = unpackReservation([]byte(u.text()), s.names); err != nil {
			return d, err
		}
		d.Reservations = append(d.Reservations, r)
	}
	if u.bad || len(d.Cells)+len(d.Pools)+len(d.Demand)+len(d.Reservations) > partMax {
		return d, errContent
	}
	if s.last = d.SKU; !d.Exists {
		s.counts.SKUs++
	}
	s.counts.add(&d)
	return d, nil
}

// optional is the bytes of a text, nil for none.
func optional(text string) []byte {
	if text == "" {
		return nil
	}
	return []byte(text)
}

func (s *snapshotReader) ids(u *unpacker) error {
	batch := availability.IDBatch{Bucket: u.signed(), IDs: make([]uint64, 0, len(u.rest)/8)}
	for len(u.rest) > 0 && !u.bad {
		batch.IDs = append(batch.IDs, u.uint64())
	}
	if u.bad {
		return refuse("%w", errLength)
	}
	s.counts.IDs += int64(len(batch.IDs))
	if s.v.IDs != nil {
		return s.v.IDs(batch)
	}
	return nil
}

func (s *snapshotReader) owed(u *unpacker) error {
	var skus []availability.SKU
	for len(u.rest) > 0 && !u.bad {
		skus = append(skus, availability.SKU(u.text()))
	}
	if u.bad || slices.Contains(skus, "") {
		return refuse("%w", errContent)
	}
	s.counts.Owed += int64(len(skus))
	if s.v.Owed != nil {
		return s.v.Owed(skus)
	}
	return nil
}

// readGraph adds a piece to the graph under way, or begins one, and hands it on when it is whole.
func (s *snapshotReader) readGraph(u *unpacker) error {
	version, length := u.signed(), u.uvarint()
	if u.bad || len(u.rest) == 0 || length > graphBytesMax || s.graph.Bytes != nil && version != s.graph.Version {
		return refuse("a location graph: %w", errContent)
	}
	s.graph.Version, s.graph.Bytes = version, append(s.graph.Bytes, u.rest...)
	switch n := uint64(len(s.graph.Bytes)); {
	case n > length:
		return refuse("a location graph: %w", errLength)
	case n < length:
		return nil
	}
	g := s.graph
	s.graph = availability.GraphData{}
	s.counts.Graphs++
	if s.v.Graph != nil {
		return s.v.Graph(g)
	}
	return nil
}
