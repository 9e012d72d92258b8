package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"onhand/processor/availability"
	"onhand/schemas"
)

// testRules know the locations of the guide, and Shop, which takes no stock.
func testRules() feedRules {
	seen := map[string]bool{}
	return feedRules{
		location: func(id availability.LocationID) (known, inventory bool) {
			return id == "Warehouse-A" || id == "Warehouse-B" || id == "Shop", id != "Shop"
		},
		repeated: func(id string) bool {
			was := seen[id]
			seen[id] = true
			return was
		},
		requireEffectiveDate: true,
		now:                  time.Date(2026, 1, 31, 8, 0, 0, 0, time.UTC),
	}
}

// readFeed returns one line of text for each line of the feed: the record as JSON, or the reason it is refused for.
func readFeed(t *testing.T, r io.Reader, rules feedRules) []string {
	t.Helper()
	f, err := newFeed(r, rules)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	var d schemas.StockDelta
	for {
		err := f.next(&d)
		var bad *lineError
		switch {
		case errors.Is(err, io.EOF):
			return got
		case errors.As(err, &bad):
			got = append(got, fmt.Sprintf("%d %s %s", bad.line, bad.reason, bad.message))
		case err != nil:
			t.Fatal(err)
		default:
			var text bytes.Buffer
			if err := printJSONLine(&text, d); err != nil {
				t.Fatal(err)
			}
			got = append(got, strings.TrimSpace(text.String()))
		}
	}
}

// guideFeed is the example of the implementation guide, each entry on its line as the guide asks.
const guideFeed = `{"location": "Warehouse-A", "mode": "UPDATE"}
{"recordId": "0a87539d-f3dd-47bc-91c7-9c752e39dbe0", "onHand": 10, "sku": "12389156", "effectiveDate": "2020-12-08T14:05:22.790896-07:00", "futures":[{"quantity":1, "expectedDate":"2021-04-18T14:05:22.781-07:00"}, {"quantity":5, "expectedDate":"2021-05-18T14:05:22.781-07:00"}], "safetyStockCount":0}
{"recordId":"0a87539d-f3dd-47bc-91c7-9c752e312345", "onHand":10, "sku":"9485728", "effectiveDate":"2020-12-08T14:05:22.790896-07:00", "futures":[{"quantity":10, "expectedDate":"2021-04-18T14:05:22.781-07:00"}], "safetyStockCount":0}
{"location":"Warehouse-B", "mode":"UPDATE"}
{"recordId":"0a87539d-f3dd-47bc-91c7-9c75abc123de", "onHand":10, "sku":"12389156", "effectiveDate":"2020-12-08T14:05:22.790896-07:00"}
`

func TestFeedReadsTheGuidesExample(t *testing.T) {
	want := []string{
		`{"recordId":"0a87539d-f3dd-47bc-91c7-9c752e39dbe0","sku":"12389156","location":"Warehouse-A","mode":"UPDATE","onHand":"10","safetyStockCount":"0","futures":[{"quantity":"1","expectedDate":"2021-04-18T21:05:22.781000Z"},{"quantity":"5","expectedDate":"2021-05-18T21:05:22.781000Z"}],"cleared":[],"effectiveDate":"2020-12-08T21:05:22.790896Z","externalRefId":null}`,
		`{"recordId":"0a87539d-f3dd-47bc-91c7-9c752e312345","sku":"9485728","location":"Warehouse-A","mode":"UPDATE","onHand":"10","safetyStockCount":"0","futures":[{"quantity":"10","expectedDate":"2021-04-18T21:05:22.781000Z"}],"cleared":[],"effectiveDate":"2020-12-08T21:05:22.790896Z","externalRefId":null}`,
		`{"recordId":"0a87539d-f3dd-47bc-91c7-9c75abc123de","sku":"12389156","location":"Warehouse-B","mode":"UPDATE","onHand":"10","safetyStockCount":null,"futures":null,"cleared":[],"effectiveDate":"2020-12-08T21:05:22.790896Z","externalRefId":null}`,
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := io.WriteString(w, guideFeed); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]io.Reader{
		"plain":             strings.NewReader(guideFeed),
		"gzip":              &packed,
		"Windows":           strings.NewReader("\xef\xbb\xbf" + strings.ReplaceAll(guideFeed, "\n", "\r\n\r\n")),
		"no end of line":    strings.NewReader(strings.TrimSpace(guideFeed)),
		"blank line before": strings.NewReader("\n  \n" + guideFeed),
	} {
		got := readFeed(t, r, testRules())
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s:\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// record is a flat line with more members.
func record(id, more string) string {
	return `{"recordId":"` + id + `","sku":"s","locationId":"Warehouse-A","effectiveDate":"2026-01-01T00:00:00Z"` + more + `}`
}

func TestFeedValuesHaveThreeStates(t *testing.T) {
	for _, test := range []struct{ more, want string }{
		{``, `"onHand":null,"safetyStockCount":null,"futures":null,"cleared":[]`},
		{`,"onHand":null,"safetyStockCount":"","futures":[]`, `"onHand":null,"safetyStockCount":null,"futures":null,"cleared":["ON_HAND","SAFETY_STOCK_COUNT","FUTURES"]`},
		{`,"futures":[ ]`, `"cleared":["FUTURES"]`},
		{`,"futures":null`, `"cleared":["FUTURES"]`},
		{`,"onHand":0`, `"onHand":"0"`},
		{`,"onHand":10.250`, `"onHand":"10.25"`},
		{`,"onHand":1.25e1`, `"onHand":"12.5"`},
		{`,"onHand":12500E-3`, `"onHand":"12.5"`},
		{`,"onHand":999999999999999.999`, `"onHand":"999999999999999.999"`},
		{`,"externalRefId":"a\"b"`, `"externalRefId":"a\"b"`},
		{`,"externalRefId":null,"mode":"UPDATE"`, `"externalRefId":null`},
		{`,"futureStock":[{"expectedDate":"2026-02-01T00:00:00+01:00","quantity":0.5}]`, `"futures":[{"quantity":"0.5","expectedDate":"2026-01-31T23:00:00.000000Z"}]`},
	} {
		got := readFeed(t, strings.NewReader(record("r", test.more)), testRules())
		if len(got) != 1 || !strings.Contains(got[0], test.want) {
			t.Errorf("%s: %q, want %s", test.more, got, test.want)
		}
	}
}

func TestFeedRefusesLines(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{`{`, "1 SYNTAX the entry ends before its last brace; each entry must stand on a single line"},
		{`// a comment`, "1 SYNTAX a comment is not JSON"},
		{`[]`, "1 SYNTAX an entry is a JSON object"},
		{`{"sku":"s",}`, "1 SYNTAX not JSON at column 12"},
		{record("r", `,"onHand":1,"onHand":2`), "1 SYNTAX onHand stands twice"},
		{record("r", `,"onhand":1`), "1 SYNTAX a record has no onhand; did you mean onHand?"},
		{record("r", `,"location":"Warehouse-B"`), "1 SYNTAX location and locationId mean the same"},
		{record("r", `,"mode":"ADJUST"`), `1 MODE mode is "ADJUST"; it must be "UPDATE"`},
		{record("r", `,"onHand":"10"`), "1 NUMBER onHand: must be a number, without quotes"},
		{record("r", `,"onHand":true`), "1 NUMBER onHand: must be a number"},
		{record("r", `,"onHand":1.0001`), "1 NUMBER onHand: not a quantity: \"1.0001\" has more than three"},
		{record("r", `,"onHand":1e15`), "1 NUMBER onHand: not a quantity"},
		{record("r", `,"onHand":1e999999999`), "1 NUMBER onHand: 1e999999999 has an exponent out of range"},
		{record("r", `,"onHand":-1`), "1 NEGATIVE onHand is -1"},
		{record("r", `,"safetyStockCount":-0.001`), "1 NEGATIVE safetyStockCount is -0.001"},
		{record("r", `,"futures":5`), "1 BAD_FUTURE futures must be a list"},
		{record("r", `,"futures":[5]`), "1 BAD_FUTURE future 1: an entry is a JSON object"},
		{record("r", `,"futures":[{"quantity":0,"expectedDate":"2026-02-01T00:00:00Z"}]`), "1 BAD_FUTURE future 1: needs a quantity above 0"},
		{record("r", `,"futures":[{"quantity":1}]`), "1 BAD_FUTURE future 1: needs an expectedDate"},
		{record("r", `,"futures":[{"quantity":1,"expectedDate":"1 May"}]`), `1 BAD_FUTURE future 1: expectedDate: "1 May" is no date`},
		{record("", ``), "1 RECORD_ID recordId is missing; give each record a UUID"},
		{record(strings.Repeat("r", 257), ``), "1 RECORD_ID recordId is longer than 256"},
		{strings.Replace(record("r", ``), `"s"`, `"a/b"`, 1), "1 MALFORMED_ID sku \"a/b\""},
		{strings.Replace(record("r", ``), `"s"`, "\"\xff\"", 1), "1 SYNTAX sku must be UTF-8"},
		{strings.Replace(record("r", ``), "Warehouse-A", "A B", 1), "1 MALFORMED_ID location: "},
		{strings.Replace(record("r", ``), "Warehouse-A", "Warehouse-Z", 1), `1 UNKNOWN_LOCATION location "Warehouse-Z" is not in the published graph`},
		{strings.Replace(record("r", ``), "Warehouse-A", "Shop", 1), `1 UNKNOWN_LOCATION location "Shop" takes no stock`},
		{strings.Replace(record("r", ``), "2026-01-01T", "2026-01-31T09:00:00Z", 1), "1 DATE effectiveDate"},
		{strings.Replace(record("r", ``), "2026-01-01T00:00:00Z", "2026-01-31T08:05:01Z", 1), "1 FUTURE_DATE effectiveDate 2026-01-31T08:05:01.000000Z is yet to come"},
		{`{"recordId":"r","sku":"s","location":"Warehouse-A","effectiveDate":null}`, "1 MISSING_EFFECTIVE_DATE the record has no effectiveDate"},
		{`{"recordId":"r","sku":"s"}`, "1 NO_LOCATION no header"},
		{`{"mode":"UPDATE"}`, "1 NO_LOCATION the header names no location"},
		{`{"location":"Warehouse-A","mod":"UPDATE"}`, "1 SYNTAX a line without sku and recordId is a header, and a header has no mod; did you mean mode?"},
	} {
		got := readFeed(t, strings.NewReader(test.text), testRules())
		if len(got) != 1 || !strings.HasPrefix(got[0], test.want) {
			t.Errorf("%s\n%q\nwant %q", test.text, got, test.want)
		}
	}
}

// TestFeedBooksNothingOnTheLocationBefore is about lines whose header is lost: they must not go to the one before it.
func TestFeedBooksNothingOnTheLocationBefore(t *testing.T) {
	const header = `{"location":"Warehouse-A","mode":"UPDATE"}` + "\n"
	rec := func(id string) string {
		return `{"recordId":"` + id + `","sku":"s","effectiveDate":"2026-01-01T00:00:00Z"}` + "\n"
	}
	for name, lost := range map[string]string{
		"unknown location": `{"location":"Warehouse-Z","mode":"UPDATE"}`,
		"wrong mode":       `{"location":"Warehouse-B","mode":"REPLACE"}`,
		"half a line":      `{"location":"Warehouse-B","mo`,
		"a long line":      `{"location":"Warehouse-B"` + strings.Repeat(" ", feedLineBytesMax) + `}`,
	} {
		got := readFeed(t, strings.NewReader(header+rec("1")+lost+"\n"+rec("2")+rec("3")+header+rec("4")), testRules())
		if len(got) != 5 || !strings.HasPrefix(got[0], "{") || !strings.HasPrefix(got[1], "3 ") ||
			!strings.HasPrefix(got[2], "4 NO_LOCATION its location is not known, as line 3 cannot be read") ||
			!strings.HasPrefix(got[3], "5 NO_LOCATION") || !strings.HasPrefix(got[4], "{") {
			t.Errorf("%s:\n%s", name, strings.Join(got, "\n"))
		}
	}
	// A record that cannot be read is no lost header.
	got := readFeed(t, strings.NewReader(header+`{"recordId":"1","sku":"s"`+"\n"+rec("2")), testRules())
	if len(got) != 2 || !strings.HasPrefix(got[0], "2 SYNTAX") || !strings.HasPrefix(got[1], "{") {
		t.Error(got)
	}
}

func TestFeedKeepsTheLayoutsApart(t *testing.T) {
	const header = `{"location":"Warehouse-B","mode":"UPDATE"}`
	got := readFeed(t, strings.NewReader(record("1", "")+"\n"+header+"\n"+record("2", "")), testRules())
	if len(got) != 3 || !strings.HasPrefix(got[1], "2 MIXED_LAYOUTS this is a header") || !strings.Contains(got[2], "Warehouse-A") {
		t.Error(got)
	}
	got = readFeed(t, strings.NewReader(header+"\n"+record("1", "")+"\n"+`{"recordId":"2","sku":"s","effectiveDate":"2026-01-01T00:00:00Z"}`), testRules())
	if len(got) != 2 || !strings.HasPrefix(got[0], "2 MIXED_LAYOUTS the line names a location") || !strings.Contains(got[1], "Warehouse-B") {
		t.Error(got)
	}
	got = readFeed(t, strings.NewReader(record("1", "")+"\n"+`{"recordId":"2","sku":"s","effectiveDate":"2026-01-01T00:00:00Z"}`), testRules())
	if len(got) != 2 || !strings.HasPrefix(got[1], "2 NO_LOCATION the line names no location, and the lines before do") {
		t.Error(got)
	}
}

func TestFeedRefusesARepeatedRecordID(t *testing.T) {
	got := readFeed(t, strings.NewReader(record("1", `,"onHand":-1`)+"\n"+record("1", "")+"\n"+record("1", "")), testRules())
	if len(got) != 3 || !strings.HasPrefix(got[0], "1 NEGATIVE") || !strings.HasPrefix(got[1], "{") || !strings.HasPrefix(got[2], "3 REPEATED") {
		t.Error(got)
	}
}

func TestFeedWithoutRequiredDates(t *testing.T) {
	rules := testRules()
	rules.requireEffectiveDate = false
	got := readFeed(t, strings.NewReader(`{"recordId":"r","sku":"s","location":"Warehouse-A"}`), rules)
	if len(got) != 1 || !strings.Contains(got[0], `"effectiveDate":null`) {
		t.Error(got)
	}
}

func TestFeedPassesOverLongLines(t *testing.T) {
	long := record("1", `,"externalRefId":"`+strings.Repeat("x", feedLineBytesMax)+`"`)
	got := readFeed(t, strings.NewReader(long+"\n"+record("2", "")), testRules())
	if len(got) != 2 || !strings.HasPrefix(got[0], "1 TOO_LARGE") || !strings.HasPrefix(got[1], "{") {
		t.Errorf("%.200q", got)
	}
	if _, err := newFeed(bytes.NewReader([]byte{0x1f, 0x8b, 1}), testRules()); err == nil {
		t.Error("half a gzip header is read")
	}
}

// FuzzFeed gives the reader any bytes. It must end, refuse or return only records that the processor takes, and never
// hold more than the longest line.
func FuzzFeed(f *testing.F) {
	f.Add([]byte(guideFeed))
	f.Add([]byte(record("1", `,"futures":[{"quantity":1e-3,"expectedDate":"2026-02-01T00:00:00Z"},{}]`)))
	f.Add([]byte("{\"location\":\"\\u0057arehouse-A\"}\n{\"sku\":\"\\\"\",\"recordId\":\"\\ud800\",\"onHand\":[[]]}"))
	f.Add([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3})
	f.Fuzz(func(t *testing.T, text []byte) {
		feed, err := newFeed(bytes.NewReader(text), testRules())
		if err != nil {
			return
		}
		var d schemas.StockDelta
		for range 10_000 {
			err := feed.next(&d)
			var bad *lineError
			switch {
			case err == nil:
				if availability.CheckSKU(d.SKU) != nil || availability.CheckPlaceID(d.Location) != nil || d.RecordID == "" ||
					d.OnHand.Valid && (d.OnHand.Value < 0 || availability.Quantity(d.OnHand.Value) > availability.MaxQuantity) {
					t.Fatalf("%+v", d)
				}
			case errors.As(err, &bad):
				if bad.line < 1 || bad.message == "" {
					t.Fatalf("%+v", bad)
				}
			default:
				return
			}
			if cap(feed.lines.line) > 2*feedLineBytesMax {
				t.Fatalf("%d bytes held", cap(feed.lines.line))
			}
		}
	})
}

func BenchmarkFeed(b *testing.B) {
	line := record("1", `,"onHand":10,"safetyStockCount":1,"futures":[{"quantity":5,"expectedDate":"2026-02-01T00:00:00Z"}]`) + "\n"
	rules := testRules()
	rules.repeated = func(string) bool { return false }
	text := strings.Repeat(line, 1000)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	var d schemas.StockDelta
	for b.Loop() {
		f, err := newFeed(strings.NewReader(text), rules)
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for ; err == nil; n++ {
			err = f.next(&d)
		}
		if n != 1001 || !errors.Is(err, io.EOF) {
			b.Fatal(n, err)
		}
	}
}
