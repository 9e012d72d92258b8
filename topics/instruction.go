package topics

import (
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/schemas"
)

// InstructionKind is what an Instruction says.
type InstructionKind uint8

// DropOverdue removes the futures of a location whose date has come. Republish computes what is derived of a SKU anew and
// publishes all its levels.
const (
	DropOverdue InstructionKind = iota
	Republish
)

// String is the name of the kind in HeaderInstruction.
func (k InstructionKind) String() string {
	if k == DropOverdue {
		return dropOverdueName
	}
	return republishName
}

const (
	dropOverdueName = "drop-overdue"
	republishName   = "republish"
)

// Instruction is a record of stock-deltas that onhand writes to itself: the SKU as key, a null value, and all it says in
// one header. It is folded at its place in the log like any other input, so that a replay decides the same.
//
//	drop-overdue/LOCATION/DATE      the date in µs since 1970
//	republish/VERSION[/PLACE…]      a version, decimal, and places; no place has a slash
type Instruction struct {
	Kind InstructionKind
	SKU  availability.SKU

	Location availability.LocationID // DropOverdue: whose futures
	Until    availability.Instant    // DropOverdue: the latest date that is overdue

	Above  int64    // Republish: the levels get versions above this one, 0 to InstructionAboveMax
	Places []string // Republish: take back what stands in the topic here, unless the SKU has the place. Any text without a slash
}

// InstructionAboveMax is the highest version that levels can be published above: the epochs up to it and as many again
// remain. No task reaches it by itself in 2²² claims.
const InstructionAboveMax = 1<<62 - 1

// InstructionBytesMax bounds the header of one instruction; the places that do not fit go into another.
const InstructionBytesMax = 64 << 10

// Instruction returns the record of an instruction, sent at that time.
func (w *Writer) Instruction(i *Instruction, at time.Time) *kgo.Record {
	return &kgo.Record{
		Topic: w.names.StockDeltas, Partition: PartitionOf(i.SKU, w.partitions), Timestamp: at, Key: []byte(i.SKU),
		Headers: []kgo.RecordHeader{{Key: HeaderInstruction, Value: i.append(nil)}},
	}
}

func (i *Instruction) append(dst []byte) []byte {
	if i.Kind == DropOverdue {
		dst = append(append(append(dst, dropOverdueName+"/"...), i.Location...), '/')
		return strconv.AppendInt(dst, int64(i.Until), 10)
	}
	dst = strconv.AppendInt(append(dst, republishName+"/"...), i.Above, 10)
	for _, place := range i.Places {
		dst = append(append(dst, '/'), place...)
	}
	return dst
}

// Instructs says whether a record of stock-deltas is to be read by Instruction: it has no value, and the header. One without
// the header is for Delta, which refuses it.
func Instructs(rec *kgo.Record) bool {
	if rec.Value != nil {
		return false
	}
	_, ok := header(rec, HeaderInstruction)
	return ok
}

// Instruction reads a record that Instructs.
func (r *Reader) Instruction(rec *kgo.Record, into *Instruction) error {
	if err := r.checkSize(rec); err != nil {
		return err
	}
	if err := r.checkKey(rec, string(rec.Key)); err != nil {
		return err
	}
	if _, err := timestamp(rec); err != nil {
		return err
	}
	if err := checkSKU(string(rec.Key)); err != nil {
		return err
	}
	*into = Instruction{SKU: availability.SKU(rec.Key)}
	text, _ := header(rec, HeaderInstruction)
	name, rest, _ := strings.Cut(string(text), "/")
	switch name {
	case dropOverdueName:
		return into.parseDropOverdue(rest)
	case republishName:
		return into.parseRepublish(rest)
	}
	return refuse(CodeEmptyValue, "let onhand alone write instructions; where a newer version of it did, run that one, then replay this record",
		"the value is empty, and %.100q in the header %s is no instruction of this version", text, HeaderInstruction)
}

func (i *Instruction) parseDropOverdue(text string) error {
	location, date, _ := strings.Cut(text, "/")
	until, err := strconv.ParseInt(date, 10, 64)
	if err != nil {
		return refuseInstruction(dropOverdueName, text)
	}
	i.Kind, i.Location, i.Until = DropOverdue, availability.LocationID(location), availability.Instant(until)
	return firstOf(checkPlace("location", location), checkRange("the date of "+dropOverdueName, schemas.Some(schemas.Micros(until))))
}

func (i *Instruction) parseRepublish(text string) (err error) {
	parts := strings.Split(text, "/")
	i.Kind, i.Places = Republish, parts[1:]
	if i.Above, err = strconv.ParseInt(parts[0], 10, 64); err != nil || i.Above < 0 || i.Above > InstructionAboveMax {
		return refuseInstruction(republishName, text)
	}
	return nil
}

func refuseInstruction(name, text string) error {
	return refuse(CodeEmptyValue, "let onhand alone write instructions", "the value is empty, and the instruction %s does not take %.200q", name, text)
}
