package schemas

import (
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"
)

// written is a value that goavro wrote with that schema, framed as id 1, and a decoder that knows the schema.
func written(t testing.TB, schema string, native any) (*Decoder, []byte) {
	t.Helper()
	c, err := goavro.NewCodec(schema)
	if err != nil {
		t.Fatal(err)
	}
	value, err := c.BinaryFromNative(frame(1), native)
	if err != nil {
		t.Fatal(err)
	}
	return NewDecoder(Static{1: schema}, DecoderOptions{}), value
}

// A producer that knows only the fields without a default, in another order, in its own namespace, with a field of its
// own, gets the defaults of the embedded schema.
func TestMissingFieldsTakeTheirDefaults(t *testing.T) {
	d, value := written(t, `{"type":"record","name":"com.acme.StockDelta","fields":[
		{"name":"warehouseZone","type":["null","string"]},
		{"name":"mode","type":{"type":"enum","name":"M","symbols":["DELETE","UPDATE"]}},
		{"name":"location","type":"string"},{"name":"sku","type":"string"},{"name":"recordId","type":"string"}]}`,
		map[string]any{"warehouseZone": goavro.Union("string", "B4"), "mode": "DELETE", "location": "L1", "sku": "S1", "recordId": "r"})
	var got StockDelta
	if err := d.DecodeStockDelta(t.Context(), value, &got); err != nil {
		t.Fatal(err)
	}
	want := `{"recordId":"r","sku":"S1","location":"L1","mode":"DELETE","onHand":null,"safetyStockCount":null,` +
		`"futures":null,"cleared":[],"effectiveDate":null,"externalRefId":null}`
	if text := jsonOf(t, got); text != want {
		t.Fatalf("\n got %s\nwant %s", text, want)
	}
}

// Every field of the embedded schemas that has a default takes it when the writer's schema lacks the field, and every
// other one is missed: the code that projects agrees with the schema.
func TestDefaultsInCodeAreThoseOfTheSchemas(t *testing.T) {
	r := newRandom(t)
	for _, c := range codecs(t) {
		root, err := parseSchema(c.record.text())
		if err != nil {
			t.Fatal(err)
		}
		for i, f := range root.fields {
			t.Run(c.record.String()+"."+f.name, func(t *testing.T) {
				lacking := *root
				lacking.fields = append(append([]field{}, root.fields[:i]...), root.fields[i+1:]...)
				checkDefault(t, c, r, &lacking, f)
			})
		}
	}
	checkNestedDefaults(t)
}

func checkDefault(t *testing.T, c codec, r random, lacking *node, missing field) {
	t.Helper()
	form, err := lacking.render()
	if err != nil {
		t.Fatal(err)
	}
	g, err := newGeneric(lacking, form.structure)
	if err != nil {
		t.Fatal(err)
	}
	w := &writer{id: 1, name: c.record.String(), record: c.record, generic: g}
	d := NewDecoder(Static{}, DecoderOptions{})
	d.known.writers.Store(&map[int]*writer{1: w})

	// The body is written by goavro with the schema that lacks the field; extra entries of the native form are left out.
	codec, err := goavro.NewCodec(form.structure)
	if err != nil {
		t.Fatal(err)
	}
	value, err := codec.BinaryFromNative(frame(1), plainNative(t, c.draw(r), c.record, lacking))
	if err != nil {
		t.Fatal(err)
	}
	into := c.empty()
	err = c.decode(d, value, into)
	if !missing.hasDefault {
		if !errors.Is(err, ErrDecode) || !strings.Contains(err.Error(), missing.name) {
			t.Fatalf("lacks a required field, decoded with %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("%q:%s", missing.name, jsonOf(t, missing.value)); !strings.Contains(jsonOf(t, into), want) {
		t.Fatalf("got %s, want in it %s", jsonOf(t, into), want)
	}
}

// plainNative is the native form of a record for a codec made from a rendered structure.
func plainNative(t testing.TB, rec any, of record, root *node) any {
	t.Helper()
	return plain(t, root, nativeOf(t, rec, embeddedNode(t, of)))
}

func plain(t testing.TB, n *node, value any) any {
	t.Helper()
	switch v := value.(type) {
	case *big.Rat:
		return bigBytes(t, v)
	case map[string]any:
		if n.kind == kindUnion {
			for _, branch := range n.branches[1:] {
				return goavro.Union(branch.branchName(), plain(t, branch, v[goavroName(branch)]))
			}
		}
		fields := make(map[string]any)
		for _, f := range n.fields {
			fields[f.name] = plain(t, f.node, v[f.name])
		}
		return fields
	case []any:
		list := []any{}
		for _, e := range v {
			list = append(list, plain(t, n.element, e))
		}
		return list
	case interface{ UnixMicro() int64 }:
		return v.UnixMicro()
	}
	return value
}

// bigBytes is the two's complement of thousandths, made by math/big.
func bigBytes(t testing.TB, rat *big.Rat) []byte {
	t.Helper()
	unscaled := new(big.Int).Mul(rat.Num(), big.NewInt(1000))
	if new(big.Int).Rem(unscaled, rat.Denom()).Sign() != 0 {
		t.Fatalf("%s is no multiple of 0.001", rat)
	}
	unscaled.Quo(unscaled, rat.Denom())
	if unscaled.Sign() < 0 {
		unscaled.Add(unscaled, new(big.Int).Lsh(big.NewInt(1), 128))
	}
	return unscaled.FillBytes(make([]byte, 16)) // longer than need be, as some writers do
}

func checkNestedDefaults(t *testing.T) {
	t.Helper()
	d, value := written(t, `{"type":"record","name":"LocationGraph","fields":[
		{"name":"version","type":"int"},
		{"name":"publishedAt","type":{"type":"long","logicalType":"timestamp-millis"}},
		{"name":"locations","type":{"type":"array","items":{"type":"record","name":"L","fields":[
			{"name":"externalReference","type":"string"},{"name":"name","type":"string"},{"name":"locationType","type":"string"}]}}},
		{"name":"groups","type":{"type":"array","items":{"type":"record","name":"G","fields":[
			{"name":"externalReference","type":"string"},{"name":"name","type":"string"},
			{"name":"locations","type":{"type":"array","items":"string"}}]}}}]}`,
		map[string]any{"version": 7, "publishedAt": Micros(1_000_000).Time(),
			"locations": []any{map[string]any{"externalReference": "L1", "name": "One", "locationType": ""}},
			"groups":    []any{map[string]any{"externalReference": "G1", "name": "All", "locations": []any{"L1"}}}})
	var got LocationGraph
	if err := d.DecodeLocationGraph(t.Context(), value, &got); err != nil {
		t.Fatal(err)
	}
	want := `{"version":7,"publishedAt":"1970-01-01T00:00:01.000000Z",` +
		`"locations":[{"externalReference":"L1","name":"One","locationType":"","inventoryLocation":true,"sync":true,"since":0}],` +
		`"groups":[{"externalReference":"G1","name":"All","enabled":true,"sync":true,"locations":["L1"]}]}`
	if text := jsonOf(t, got); text != want {
		t.Fatalf("\n got %s\nwant %s", text, want)
	}
}

// deltaWith is the schema of a StockDelta in which one field has another type.
func deltaWith(name, fieldType string) string {
	fields := map[string]string{
		"recordId": `"string"`, "sku": `"string"`, "location": `"string"`,
		"mode": `{"type":"enum","name":"Mode","symbols":["UPDATE","ADJUST","DELETE"]}`,
	}
	fields[name] = fieldType
	var list []string
	for _, f := range []string{"recordId", "sku", "location", "mode", "onHand", "futures", "cleared", "effectiveDate", "externalRefId"} {
		if fields[f] != "" {
			list = append(list, fmt.Sprintf(`{"name":%q,"type":%s}`, f, fields[f]))
		}
	}
	return `{"type":"record","name":"StockDelta","fields":[` + strings.Join(list, ",") + `]}`
}

// valueWith is a value of that schema; tail holds the bytes of the field, which must be one that follows mode.
func valueWith(tail ...byte) []byte {
	return append(append(frame(1), 2, 'r', 2, 's', 2, 'l', 0), tail...)
}

// An ownType is a field that a writer's schema has in another type than ours, and a value of it.
type ownType struct {
	name, field, fieldType string
	tail                   []byte
	want                   string // in the JSON
	err                    error
}

var ownDecimals = []ownType{
	{"decimal without union", "onHand", `{"type":"bytes","logicalType":"decimal","precision":9,"scale":3}`,
		[]byte{4, 0x27, 0x10}, `"onHand":"10"`, nil},
	{"union the other way round", "onHand", `[{"type":"bytes","logicalType":"decimal","precision":9,"scale":3},"null"]`,
		[]byte{0, 2, 0xff}, `"onHand":"-0.001"`, nil},
	{"union the other way round, null", "onHand", `[{"type":"bytes","logicalType":"decimal","precision":9,"scale":3},"null"]`,
		[]byte{2}, `"onHand":null`, nil},
	{"scale 0", "onHand", `{"type":"bytes","logicalType":"decimal","precision":9,"scale":0}`, []byte{2, 7}, `"onHand":"7"`, nil},
	{"scale 0 by absence", "onHand", `{"type":"bytes","logicalType":"decimal","precision":9}`, []byte{2, 0xf9}, `"onHand":"-7"`, nil},
	{"scale 2", "onHand", `{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}`, []byte{4, 4, 1}, `"onHand":"10.25"`, nil},
	{"scale 6, finer than 0.001", "onHand", `{"type":"bytes","logicalType":"decimal","precision":12,"scale":6}`,
		[]byte{6, 0x9c, 0x67, 0x90}, "", ErrPrecision},
	{"scale 6, 1.250000", "onHand", `{"type":"bytes","logicalType":"decimal","precision":12,"scale":6}`,
		[]byte{6, 0x13, 0x12, 0xd0}, `"onHand":"1.25"`, nil},
	{"scale 4, 0.0001", "onHand", `{"type":"bytes","logicalType":"decimal","precision":12,"scale":4}`, []byte{2, 1}, "", ErrPrecision},
	{"scale 9, the largest quantity", "onHand", `{"type":"bytes","logicalType":"decimal","precision":30,"scale":9}`,
		append([]byte{2 * 11}, big0("999999999999999999000000", 11)...), `"onHand":"999999999999999.999"`, nil},
	{"scale 9, one more", "onHand", `{"type":"bytes","logicalType":"decimal","precision":30,"scale":9}`,
		append([]byte{2 * 11}, big0("1000000000000000000000000", 11)...), "", ErrOverflow},
	{"scale 0, too large for thousandths", "onHand", `{"type":"bytes","logicalType":"decimal","precision":18}`,
		append([]byte{2 * 8}, big0("1000000000000000", 8)...), "", ErrOverflow},
	{"scale 10", "onHand", `{"type":"bytes","logicalType":"decimal","precision":12,"scale":10}`, []byte{2, 0}, "", ErrDecode},
	{"decimal without bytes", "onHand", `{"type":"bytes","logicalType":"decimal","precision":12,"scale":2}`, []byte{0}, "", ErrDecode},
	{"fixed decimal", "onHand", `{"type":"fixed","name":"D","size":12,"logicalType":"decimal","precision":18,"scale":3}`,
		append(make([]byte, 10), 0x27, 0x10), `"onHand":"10"`, nil},
	{"fixed decimal in a union", "onHand", `["null",{"type":"fixed","name":"D","size":2,"logicalType":"decimal","precision":4,"scale":2}]`,
		[]byte{2, 0xff, 0x9c}, `"onHand":"-1"`, nil},
	{"bytes without a logical type", "onHand", `["null","bytes"]`, []byte{2, 2, 7}, "", ErrDecode},
	{"long for a decimal", "onHand", `"long"`, []byte{20}, "", ErrDecode},
	{"string for a decimal", "onHand", `["null","string"]`, []byte{2, 2, '7'}, "", ErrDecode},
	{"double for a decimal", "onHand", `"double"`, make([]byte, 8), "", ErrDecode},
}

var ownTypes = []ownType{
	{"milliseconds", "effectiveDate", `["null",{"type":"long","logicalType":"timestamp-millis"}]`, []byte{2, 3},
		`"effectiveDate":"1969-12-31T23:59:59.998000Z"`, nil},
	{"milliseconds out of range", "effectiveDate", `{"type":"long","logicalType":"timestamp-millis"}`,
		[]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, "", ErrOverflow},
	{"plain long for a time", "effectiveDate", `["null","long"]`, []byte{2, 3}, "", ErrDecode},
	{"nanoseconds", "effectiveDate", `{"type":"long","logicalType":"timestamp-nanos"}`, []byte{3}, "", ErrDecode},
	{"date", "effectiveDate", `{"type":"int","logicalType":"date"}`, []byte{3}, "", ErrDecode},
	{"bytes for a string", "externalRefId", `"bytes"`, []byte{4, 'h', 'i'}, `"externalRefId":"hi"`, nil},
	{"decimal for a string", "externalRefId", `{"type":"bytes","logicalType":"decimal","precision":4}`, []byte{2, 'h'}, "", ErrDecode},
	{"string that is not UTF-8", "externalRefId", `"string"`, []byte{2, 0xff}, "", ErrDecode},
	{"uuid for a string", "externalRefId", `{"type":"string","logicalType":"uuid"}`, []byte{2, 'u'}, `"externalRefId":"u"`, nil},
	{"three branches", "externalRefId", `["null","long","string"]`, []byte{4, 2, 'x'}, `"externalRefId":"x"`, nil},
	{"three branches, the wrong one", "externalRefId", `["null","long","string"]`, []byte{2, 2}, "", ErrDecode},
	{"a nullable list", "cleared", `["null",{"type":"array","items":{"type":"enum","name":"C","symbols":["FUTURES","ON_HAND"]}}]`,
		[]byte{2, 4, 0, 2, 0}, `"cleared":["FUTURES","ON_HAND"]`, nil},
	{"null for a list", "cleared", `["null",{"type":"array","items":"string"}]`, []byte{0}, "", ErrDecode},
	{"strings for an enum", "cleared", `{"type":"array","items":"string"}`, []byte{2, 2, 'x', 0}, "", ErrDecode},
	{"a symbol of a later version", "cleared", `{"type":"array","items":{"type":"enum","name":"C","symbols":["PRICE"]}}`,
		[]byte{2, 0, 0}, "", ErrDecode},
	{"nullable elements", "futures", `{"type":"array","items":["null",{"type":"record","name":"F","fields":[
		{"name":"expectedDate","type":{"type":"long","logicalType":"timestamp-micros"}},
		{"name":"quantity","type":{"type":"bytes","logicalType":"decimal","precision":18,"scale":3}}]}]}`,
		[]byte{2, 2, 2, 4, 0x27, 0x10, 0}, `"futures":[{"quantity":"10","expectedDate":"1970-01-01T00:00:00.000001Z"}]`, nil},
	{"null for a future", "futures", `{"type":"array","items":["null",{"type":"record","name":"F","fields":[
		{"name":"quantity","type":{"type":"bytes","logicalType":"decimal","precision":18,"scale":3}}]}]}`,
		[]byte{2, 0, 0}, "", ErrDecode},
	{"a map for a list", "futures", `{"type":"map","values":"long"}`, []byte{2, 2, 'k', 2, 0}, "", ErrDecode},
}

func TestWritersMayChooseTheirOwnTypes(t *testing.T) {
	for _, c := range append(ownDecimals, ownTypes...) {
		t.Run(c.name, func(t *testing.T) {
			d := NewDecoder(Static{1: deltaWith(c.field, c.fieldType)}, DecoderOptions{})
			var got StockDelta
			err := d.DecodeStockDelta(t.Context(), valueWith(c.tail...), &got)
			if !errors.Is(err, c.err) {
				t.Fatalf("got error %v, want %v", err, c.err)
			}
			if text := jsonOf(t, got); c.err == nil && !strings.Contains(text, c.want) {
				t.Fatalf("got %s, want in it %s", text, c.want)
			}
			if c.err != nil && !strings.Contains(err.Error(), c.field) && !strings.Contains(err.Error(), "quantity") {
				t.Fatalf("the error does not name the field: %v", err)
			}
		})
	}
}

// big0 is a positive number in n bytes, big endian.
func big0(decimal string, n int) []byte {
	v, ok := new(big.Int).SetString(decimal, 10)
	if !ok {
		panic(decimal)
	}
	return v.FillBytes(make([]byte, n))
}

// A schema of the same fields whose numbers mean something else must not be taken for ours.
func TestSameFieldsOfAnotherMeaning(t *testing.T) {
	rec := StockDelta{OnHand: Some[Milli](1_250), EffectiveDate: Some[Micros](3_000)}
	for name, c := range map[string]struct{ old, new, want string }{
		"scale 2":            {`"scale":3`, `"scale":2`, `"onHand":"12.5"`},
		"milliseconds":       {`timestamp-micros`, `timestamp-millis`, `"effectiveDate":"1970-01-01T00:00:03.000000Z"`},
		"symbols swapped":    {`["UPDATE","ADJUST",`, `["ADJUST","UPDATE",`, `"mode":"ADJUST"`},
		"another field name": {`"name":"recordId"`, `"name":"batchId"`, ""},
	} {
		text := strings.ReplaceAll(recordStockDelta.text(), c.old, c.new)
		d := NewDecoder(Static{1: text}, DecoderOptions{})
		var got StockDelta
		err := d.DecodeStockDelta(t.Context(), AppendStockDelta(nil, 1, &rec), &got)
		if c.want == "" {
			if !errors.Is(err, ErrDecode) {
				t.Errorf("%s: %v", name, err)
			}
		} else if err != nil || !strings.Contains(jsonOf(t, got), c.want) {
			t.Errorf("%s: got %s, %v; want in it %s", name, jsonOf(t, got), err, c.want)
		}
	}
}

// A recursive type, and one used twice, in fields that are not ours.
func TestForeignFieldsOfAnyTypeArePassedOver(t *testing.T) {
	schema := `{"type":"record","name":"StockDelta","namespace":"a.b","fields":[
		{"name":"tree","type":{"type":"record","name":"Tree","fields":[
			{"name":"left","type":["null","Tree"]},{"name":"tags","type":{"type":"map","values":["int","a.b.Tree"]}}]}},
		{"name":"again","type":"Tree"},
		{"name":"hash","type":{"type":"fixed","name":"other.Hash","size":2}},{"name":"hash2","type":"other.Hash"},
		{"name":"f","type":"float"},{"name":"d","type":"double"},{"name":"b","type":"boolean"},{"name":"n","type":"null"},
		{"name":"recordId","type":"string"},{"name":"sku","type":"string"},{"name":"location","type":"string"},
		{"name":"mode","type":{"type":"enum","name":"Mode","symbols":["UPDATE","ADJUST","DELETE"]}}]}`
	leaf := map[string]any{"left": nil, "tags": map[string]any{"k": goavro.Union("int", 5)}}
	tree := map[string]any{"left": goavro.Union("a.b.Tree", leaf), "tags": map[string]any{"t": goavro.Union("a.b.Tree", leaf)}}
	d, value := written(t, schema, map[string]any{"tree": tree, "again": leaf, "hash": []byte("hh"), "hash2": []byte("ii"),
		"f": float32(1), "d": 2.0, "b": true, "n": nil, "recordId": "r", "sku": "s", "location": "l", "mode": "ADJUST"})
	var got StockDelta
	if err := d.DecodeStockDelta(t.Context(), value, &got); err != nil {
		t.Fatal(err)
	}
	if got.RecordID != "r" || got.SKU != "s" || got.Location != "l" || got.Mode != ModeAdjust {
		t.Fatalf("got %s", jsonOf(t, got))
	}
}

// thousandths is what a decimal is worth, by math/big; nil for no bytes.
func thousandths(unscaled []byte, scale int) *big.Rat {
	if len(unscaled) == 0 {
		return nil
	}
	v := new(big.Int).SetBytes(unscaled)
	if unscaled[0] >= 0x80 {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*len(unscaled))))
	}
	tenTo := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)
	return new(big.Rat).SetFrac(v.Mul(v, big.NewInt(1000)), tenTo)
}
