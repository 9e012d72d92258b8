package schemas

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"
)

// decodeBytesMax is the promise: no value makes decoding allocate more.
const decodeBytesMax = 16 << 20

// allocated is how many bytes f allocates, on all goroutines.
func allocated(f func()) int {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int(after.TotalAlloc - before.TotalAlloc)
}

// hostile are ways to make few bytes mean much. open is what precedes a list of elements, element is repeated until the
// value is as large as values may be, and block is how many of them one block announces.
var hostile = []struct {
	name    string
	element string // Avro type of the elements, in an array that stands in the field futures
	bytes   []byte // one element
	block   int
}{
	{"nulls", `"null"`, nil, elementsMax},
	{"nulls in small blocks", `"null"`, nil, 60},
	{"empty records", `{"type":"record","name":"E","fields":[]}`, nil, 1000},
	{"records of nulls", `{"type":"record","name":"E","fields":[{"name":"a","type":"null"},{"name":"b","type":"null"}]}`, nil, 50},
	{"doubling records", doubling(20), nil, 1},
	{"booleans", `"boolean"`, []byte{1}, elementsMax},
	{"booleans one by one", `"boolean"`, []byte{1}, 1},
	{"ints", `"int"`, []byte{0xff, 0xff, 3}, 1000},
	{"longs", `"long"`, []byte{0xff, 0xff, 3}, elementsMax},
	{"floats", `"float"`, []byte{1, 2, 3, 4}, elementsMax},
	{"doubles", `"double"`, []byte{1, 2, 3, 4, 5, 6, 7, 8}, elementsMax},
	{"empty strings", `"string"`, []byte{0}, elementsMax},
	{"strings of 17", `"string"`, append([]byte{34}, bytes.Repeat([]byte{'x'}, 17)...), elementsMax},
	{"strings of 600", `"string"`, append([]byte{0xb0, 9}, bytes.Repeat([]byte{'x'}, 600)...), 100},
	{"empty bytes", `"bytes"`, []byte{0}, elementsMax},
	{"fixed of 1", `{"type":"fixed","name":"F","size":1}`, []byte{7}, elementsMax},
	{"enums", `{"type":"enum","name":"S","symbols":["A"]}`, []byte{0}, elementsMax},
	{"union, null", `["null","long"]`, []byte{0}, elementsMax},
	{"union, value", `["null","long"]`, []byte{2, 2}, elementsMax},
	{"union, value, one by one", `["null","long"]`, []byte{2, 2}, 1},
	{"records of 1", wide(1), []byte{0}, elementsMax},
	{"records of 9", wide(9), make([]byte, 9), 10},
	{"records of 30", wide(30), make([]byte, 30), 10},
	{"records of 1000", wide(1000), make([]byte, 1000), 10},
	{"empty arrays", `{"type":"array","items":"null"}`, []byte{0}, elementsMax},
	{"arrays of many nulls", `{"type":"array","items":"null"}`, []byte{0xa0, 0x9c, 1, 0}, 1000}, // 10,000 each
	{"arrays in arrays", `{"type":"array","items":{"type":"array","items":"int"}}`, []byte{2, 2, 5, 0, 0}, 1000},
	{"empty maps", `{"type":"map","values":"null"}`, []byte{0}, elementsMax},
	{"maps of 1", `{"type":"map","values":"int"}`, []byte{2, 2, 'k', 3, 0}, 1000},
	{"maps of 1 by 1", `{"type":"map","values":"int"}`, []byte{2, 2, 'k', 3, 2, 2, 'l', 3, 2, 2, 'm', 3, 0}, 1000},
	{"decimals", `{"type":"bytes","logicalType":"decimal","precision":18,"scale":3}`, []byte{2, 1}, elementsMax},
}

// doubling is a record that holds two records that hold two, depth times, and takes no byte.
func doubling(depth int) string {
	inner := `{"type":"record","name":"D0","fields":[]}`
	for i := 1; i <= depth; i++ {
		inner = fmt.Sprintf(`{"type":"record","name":"D%d","fields":[{"name":"a","type":%s},{"name":"b","type":"D%d"}]}`, i, inner, i-1)
	}
	return inner
}

// wide is a record of that many numbers.
func wide(n int) string {
	var fields []string
	for i := range n {
		fields = append(fields, fmt.Sprintf(`{"name":"f%d","type":"int"}`, i))
	}
	return `{"type":"record","name":"W","fields":[` + strings.Join(fields, ",") + `]}`
}

// hostileSchema is a StockDelta whose last field is an array of such elements.
func hostileSchema(element string) string {
	return deltaWith("futures", `{"type":"array","items":`+element+`}`)
}

// hostileValue fills a value with elements, in blocks, up to bytesMax.
func hostileValue(element []byte, block, bytesMax int) []byte {
	value := valueWith()
	for {
		next := appendLong(nil, int64(block))
		next = append(next, bytes.Repeat(element, block)...)
		if len(value)+len(next)+1 > bytesMax {
			if block == 1 {
				return append(value, 0)
			}
			block = max(block/2, 1)
			continue
		}
		value = append(value, next...)
	}
}

// Whatever goavro is given, what it allocates stays below the bound, and below what measure said it would be.
func TestNoWriterMakesGoavroAllocateMuch(t *testing.T) {
	for _, h := range hostile {
		t.Run(h.name, func(t *testing.T) {
			d := NewDecoder(Static{1: hostileSchema(h.element)}, DecoderOptions{})
			var into StockDelta
			if err := d.DecodeStockDelta(t.Context(), valueWith(), &into); !errors.Is(err, ErrDecode) {
				t.Fatalf("learning the schema: %v", err)
			}
			accepted := 0
			for size := 16; size <= ValueBytesMax; size *= 8 {
				value := hostileValue(h.bytes, h.block, size)
				w := (*d.known.writers.Load())[1]
				m := meter{reader: newReader(value[5:])}
				m.node("value", w.generic.root, 0)
				var err error
				took := allocated(func() { _, err = w.generic.decode(value[5:]) })
				if err != nil && !errors.Is(err, ErrTooLarge) {
					t.Fatalf("%d bytes: %v", len(value), err)
				}
				if err == nil {
					accepted++
					if took > m.cost+fixedCost {
						t.Errorf("%d bytes: allocated %d, measured %d", len(value), took, m.cost)
					}
				}
				if took = allocated(func() { err = d.DecodeStockDelta(t.Context(), value, &into) }); took > decodeBytesMax {
					t.Errorf("%d bytes: allocated %d", len(value), took)
				}
			}
			if accepted == 0 && h.name != "doubling records" {
				t.Error("no value was small enough to be decoded: nothing was compared")
			}
		})
	}
}

// What announces much and holds little is refused before anything is allocated for it.
func TestAnnouncedCountsCostNothing(t *testing.T) {
	hundredMillion := []byte{0x80, 0x84, 0xaf, 0x5f}
	for element, tail := range map[string][]byte{
		`{"type":"array","items":{"type":"map","values":"long"}}`:  append([]byte{2, 2}, hundredMillion...),
		`{"type":"array","items":{"type":"array","items":"null"}}`: append([]byte{2, 2}, hundredMillion...),
		`{"type":"array","items":"long"}`:                          hundredMillion,
		`{"type":"array","items":"string"}`:                        append([]byte{2}, hundredMillion...),
		`{"type":"array","items":"bytes"}`:                         append([]byte{3}, hundredMillion...),
		`{"type":"map","values":"null"}`:                           append([]byte{0xa0, 0x9c, 1}, 2, 'k'),
	} {
		d := NewDecoder(Static{1: deltaWith("futures", element)}, DecoderOptions{})
		var err error
		decode := func() { err = d.DecodeStockDelta(t.Context(), valueWith(tail...), new(StockDelta)) }
		decode() // learns the schema
		if took := allocated(decode); took > fixedCost || err == nil {
			t.Errorf("%s: allocated %d, error %v", element, took, err)
		}
	}
}

// A recursive schema lets a value nest as deep as it is long, and goavro's errors repeat every level.
func TestDeepValuesAreRefused(t *testing.T) {
	schema := deltaWith("futures", `["null",{"type":"record","name":"Deep","fields":[{"name":"next","type":["null","Deep"]}]}]`)
	d := NewDecoder(Static{1: schema}, DecoderOptions{})
	for _, depth := range []int{dataDepthMax, 1000, ValueBytesMax / 2} {
		value := append(valueWith(bytes.Repeat([]byte{2}, depth)...), 0)
		err := d.DecodeStockDelta(t.Context(), value, new(StockDelta))
		if !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "nested") || len(err.Error()) > 1000 {
			t.Errorf("depth %d: %v", depth, err)
		}
	}
	value := append(valueWith(bytes.Repeat([]byte{2}, dataDepthMax/4)...), 0)
	if err := d.DecodeStockDelta(t.Context(), value, new(StockDelta)); !errors.Is(err, ErrDecode) {
		t.Errorf("a modest depth: %v, want it to be read and found no list", err)
	}
}

// goavro has limits of its own besides what is measured before it, for every codec in this process.
func TestGoavroItselfIsLimited(t *testing.T) {
	for schema, element := range map[string]int{`{"type":"array","items":"null"}`: 0, `{"type":"map","values":"null"}`: 2} {
		c, err := goavro.NewCodec(schema)
		if err != nil {
			t.Fatal(err)
		}
		body := append(appendLong(nil, elementsMax+1), make([]byte, element*(elementsMax+1)+1)...)
		if _, _, err := c.NativeFromBinary(body); err == nil || !strings.Contains(err.Error(), "MaxBlockCount") {
			t.Errorf("%s: %v", schema, err)
		}
	}
}

// fixedCost covers what does not grow with the value: the walk itself, errors, the runtime.
const fixedCost = 8 << 10

// The code written for our schemas stays below the bound too, with the densest values there are.
func TestNoValueMakesTheCompiledDecodersAllocateMuch(t *testing.T) {
	graphOpen := append(frame(embeddedID(recordLocationGraph)), 2, 2)
	members := func(block int) []byte { // a graph of no locations and one group of empty members
		value := append(bytes.Clone(graphOpen), 0, 2, 0, 0, 1, 1)
		return append(fill(value, []byte{0}, block), 0, 0)
	}
	futures := append(append(frame(embeddedID(recordStockDelta)), 0, 0, 0, 0, 0, 0, 2), 0)[:12]
	for _, c := range []struct {
		name  string
		value []byte
	}{
		{"empty members", members(1 << 19)},
		{"empty members one by one", members(1)},
		{"locations", append(fill(bytes.Clone(graphOpen), make([]byte, 6), 1000), 0)},
		{"locations of short names", append(fill(bytes.Clone(graphOpen), []byte{4, 'a', 'b', 4, 'c', 'd', 4, 'e', 'f', 0, 0, 0}, 1000), 0)},
		{"groups without members", append(fill(append(bytes.Clone(graphOpen), 0), make([]byte, 5), 1000), 0)},
		{"groups of one member", append(fill(append(bytes.Clone(graphOpen), 0), []byte{0, 0, 1, 1, 2, 0, 0}, 1000), 0)},
		{"futures", append(fill(bytes.Clone(futures), []byte{2, 1, 0}, 1000), 0, 0, 0, 0)},
		{"futures one by one", append(fill(bytes.Clone(futures), []byte{2, 1, 0}, 1), 0, 0, 0, 0)},
		{"cleared", append(fill(append(bytes.Clone(futures)[:11], 0), []byte{0}, 1), 0, 0, 0)},
		{"a count alone", append(bytes.Clone(futures), 0xfe, 0xff, 0xff, 0xff, 0x0f)},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newEmbedded()
			var err error
			decode := func() {
				if c.value[4] == byte(embeddedID(recordLocationGraph)) {
					err = d.DecodeLocationGraph(t.Context(), c.value, new(LocationGraph))
				} else {
					err = d.DecodeStockDelta(t.Context(), c.value, new(StockDelta))
				}
			}
			decode() // learns the schema
			took := allocated(decode)
			if took > decodeBytesMax {
				t.Errorf("allocated %d of %d bytes", took, len(c.value))
			}
			t.Logf("%d bytes allocated of %d: %v", took, len(c.value), err)
		})
	}
}

// fill appends blocks of elements until the value is nearly as large as values may be.
func fill(value, element []byte, block int) []byte {
	count := appendLong(nil, int64(block))
	blockBytes := len(count) + block*len(element)
	for len(value)+blockBytes+8 <= ValueBytesMax {
		value = append(value, count...)
		value = append(value, bytes.Repeat(element, block)...)
	}
	return value
}

// A graph as large as a value may be, with honest ids, decodes both ways.
func TestLargeHonestGraphDecodes(t *testing.T) {
	var graph LocationGraph
	all := LocationGroup{ExternalReference: "ALL", Name: "All stores", Enabled: true, Sync: true}
	for i := range 9000 {
		id := fmt.Sprintf("STORE-%05d", i)
		graph.Locations = append(graph.Locations, Location{
			ExternalReference: id, Name: "Main Street " + id, LocationType: "store", InventoryLocation: true, Sync: true, Since: 1,
		})
		all.Locations = append(all.Locations, id)
	}
	graph.Groups = List[LocationGroup]{all}
	value := AppendLocationGraph(nil, embeddedID(recordLocationGraph), &graph)
	for name, d := range map[string]*Decoder{"compiled": newEmbedded(), "goavro": newGenericOnly(t)} {
		var got LocationGraph
		if err := d.DecodeLocationGraph(t.Context(), value, &got); err != nil {
			t.Fatalf("%s, %d bytes: %v", name, len(value), err)
		}
		if jsonOf(t, got) != jsonOf(t, graph) {
			t.Fatalf("%s: another graph", name)
		}
	}
}
