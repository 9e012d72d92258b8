package topics

import (
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestInstructionIsWhatWasWritten(t *testing.T) {
	r, w := newReader(t, Options{Partitions: 8}), newWriter(t)
	for _, c := range []struct {
		header string
		want   Instruction
	}{
		{"drop-overdue/NJ-1/1767225600000000", Instruction{Kind: DropOverdue, SKU: "sku-1", Location: "NJ-1", Until: 1767225600000000}},
		{"drop-overdue/NJ-1/-5", Instruction{Kind: DropOverdue, SKU: "sku-2", Location: "NJ-1", Until: -5}},
		{"republish/0", Instruction{Kind: Republish, SKU: "sku-1", Places: []string{}}},
		{"republish/99/GHOST//ä b", Instruction{Kind: Republish, SKU: "sku-3", Above: 99, Places: []string{"GHOST", "", "ä b"}}},
	} {
		rec := w.Instruction(&c.want, sent)
		if value, _ := header(rec, HeaderInstruction); string(value) != c.header || rec.Value != nil || !Instructs(rec) || rec.Topic != "acme.stock-deltas" || !rec.Timestamp.Equal(sent) {
			t.Errorf("%s became %+v", c.header, rec)
		}
		got := Instruction{Location: "left over", Above: 7}
		if err := r.Instruction(rec, &got); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s is read as %+v, %v", c.header, got, err)
		}
	}
	if rec := deltaRecord(t, "sku-1"); Instructs(rec) {
		t.Error("a record with a value instructs")
	}
	if Instructs(&kgo.Record{Key: []byte("sku-1")}) {
		t.Error("a record without the header instructs")
	}
}

func TestInstructionsThatAreNoneAreRefused(t *testing.T) {
	r, w := newReader(t, Options{Partitions: 8}), newWriter(t)
	told := func(header string) *kgo.Record {
		rec := w.Instruction(&Instruction{SKU: "sku-1"}, sent)
		rec.Headers[0].Value = []byte(header)
		return rec
	}
	with := func(change func(*kgo.Record)) *kgo.Record {
		rec := told("republish/0")
		change(rec)
		return rec
	}
	for _, c := range []struct {
		rec     *kgo.Record
		code    Code
		message string
	}{
		{told("forget-everything/now"), CodeEmptyValue, `"forget-everything/now" in the header onhand.instruction is no instruction of this version; let onhand alone write`},
		{told(""), CodeEmptyValue, "no instruction"},
		{told("drop-overdue"), CodeEmptyValue, "drop-overdue does not take"},
		{told("drop-overdue/NJ-1"), CodeEmptyValue, "drop-overdue does not take"},
		{told("drop-overdue/NJ-1/1/2"), CodeEmptyValue, "drop-overdue does not take"},
		{told("drop-overdue/N 1/1"), CodeMalformedID, "location"},
		{told("drop-overdue/NJ-1/9223372036854775807"), CodeOverflow, "years 1 to 9999"},
		{told("republish"), CodeEmptyValue, "republish does not take"},
		{told("republish/-1"), CodeEmptyValue, "republish does not take"},
		{told("republish/4611686018427387904"), CodeEmptyValue, "republish does not take"},
		{with(func(rec *kgo.Record) { rec.Key = nil }), CodeKeyMismatch, "no key"},
		{with(func(rec *kgo.Record) { rec.Key = []byte("a b"); rec.Partition = PartitionOf("a b", 8) }), CodeMalformedID, "SKU"},
		{with(func(rec *kgo.Record) { rec.Partition = (rec.Partition + 1) % 8 }), CodeKeyMismatch, "belongs to partition"},
		{with(func(rec *kgo.Record) { rec.Headers[0].Value = make([]byte, envelopeBytesMax) }), CodeTooLarge, "key and headers"},
		{with(func(rec *kgo.Record) { rec.Timestamp = rec.Timestamp.AddDate(-100, 0, 0) }), CodeOverflow, "timestamp"},
	} {
		var i Instruction
		if refusal := refusalOf(t, r.Instruction(c.rec, &i)); refusal.Code != c.code || !strings.Contains(refusal.Message, c.message) {
			t.Errorf("%q: %v, want %s: %s", c.rec.Headers[0].Value, refusal, c.code, c.message)
		}
	}
}
