package schemas

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the golden bytes of the newest release anew, from their JSON")

// Every schema that was ever released can be read with the embedded one, and releases are numbered without a gap.
func TestReleasedSchemasStayReadable(t *testing.T) {
	for i, name := range records {
		releases := record(i).released()
		if len(releases) == 0 {
			t.Fatalf("%s was never released", name)
		}
		for n, released := range releases {
			if released.version != n+1 {
				t.Errorf("%s: release %d follows %d releases", name, released.version, n)
			}
			if err := canRead(record(i).text(), released.text); err != nil {
				t.Errorf("%s: release %d: %v", name, released.version, err)
			}
			// Whoever still runs that release must be able to tell what it reads from the record's name.
			if w := newWriter(1, released.text); w.err != nil || w.record != record(i) {
				t.Errorf("%s: release %d describes %s: %v", name, released.version, w.name, w.err)
			}
		}
		newest := releases[len(releases)-1]
		if same, err := sameContract(record(i).text(), newest.text); err != nil || !same {
			t.Errorf("%s.avsc is not released/v%d: copy it to released/v%d and add golden records (%v)", name, newest.version, newest.version+1, err)
		}
	}
}

// The offline check sees what breaks a reader; without it the test of releases would prove nothing.
func TestOfflineCheckSeesWhatBreaks(t *testing.T) {
	text := recordStockDelta.text()
	replace := func(old, new string) string {
		changed := strings.Replace(text, old, new, 1)
		if changed == text {
			t.Fatalf("%s is not in the schema", old)
		}
		return changed
	}
	for name, c := range map[string]struct {
		reader, writer string
		ok             bool
	}{
		"the same":                      {text, text, true},
		"a new field without a default": {withField(t, text, `{"name":"shelf","type":"string"}`), text, false},
		"a new field with a default":    {withField(t, text, `{"name":"shelf","type":"string","default":""}`), text, true},
		"a field the reader dropped":    {text, withField(t, text, `{"name":"shelf","type":"string"}`), true},
		"a type changed":                {replace(`"name":"sku","type":"string"`, `"name":"sku","type":"long"`), text, false},
		"a scale changed":               {replace(`"scale":3`, `"scale":2`), text, false},
		"a symbol the reader lacks":     {replace(`"UPDATE","ADJUST","DELETE"`, `"UPDATE","ADJUST"`), text, false},
		"a symbol the reader added":     {replace(`"ADJUST","DELETE"`, `"ADJUST","DELETE","AUDIT"`), text, true},
		"another record":                {recordReservationEvent.text(), text, false},
	} {
		if err := canRead(c.reader, c.writer); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrIncompatible) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestContractsAreComparedByMeaning(t *testing.T) {
	text := recordStockDelta.text()
	var tree any
	if err := json.Unmarshal([]byte(text), &tree); err != nil {
		t.Fatal(err)
	}
	reordered := jsonOf(t, tree) // keys sorted
	for name, c := range map[string]struct {
		text string
		same bool
	}{
		"keys in another order": {reordered, true},
		"another doc":           {strings.Replace(text, "Stock keeping unit", "Item", 1), true},
		"primitive spelled out": {strings.Replace(text, `"name":"sku","type":"string"`, `"name":"sku","type":{"type":"string"}`, 1), true},
		"another default":       {strings.Replace(text, `"default":[]`, `"default":["ON_HAND"]`, 1), false},
		"no default":            {strings.Replace(text, `"default":[],`, ``, 1), false},
		"another precision":     {strings.Replace(text, `"precision":18`, `"precision":17`, 1), false},
		"another scale":         {strings.Replace(text, `"scale":3`, `"scale":2`, 1), false},
		"another logical type":  {strings.Replace(text, `timestamp-micros`, `timestamp-millis`, 1), false},
		"another namespace":     {strings.Replace(text, `"namespace":"onhand"`, `"namespace":"acme"`, 1), false},
	} {
		if c.text == text {
			t.Fatalf("%s: nothing was changed", name)
		}
		if same, err := sameContract(text, c.text); err != nil || same != c.same {
			t.Errorf("%s: same %v, %v", name, same, err)
		}
	}
}

// Golden records: testdata/v<release>/<Record>.<case>.json is what a case means, the .bin beside it is what that release
// wrote for it, framed. The bytes of every release decode to the JSON; those of the newest one are also what is encoded.
// With -rewrite the bytes of the newest release, and the spelling of its JSON, are written anew; earlier ones never are.
func TestGoldenRecords(t *testing.T) {
	newest := len(recordStockDelta.released())
	for _, c := range codecs(t) {
		for _, released := range c.record.released() {
			pattern := filepath.Join("testdata", fmt.Sprintf("v%d", released.version), c.record.String()+".*.json")
			paths, err := filepath.Glob(pattern)
			if err != nil || len(paths) == 0 {
				t.Fatalf("%s: %d golden records, %v", pattern, len(paths), err)
			}
			for _, path := range paths {
				t.Run(strings.TrimPrefix(path, "testdata"+string(filepath.Separator)), func(t *testing.T) {
					rec := readGolden(t, c, path)
					if released.version == newest {
						checkEncoding(t, c, rec, path)
					}
					checkGolden(t, c, released, rec, path)
				})
			}
		}
	}
}

// readGolden reads what a case means; a misspelled field is an error.
func readGolden(t *testing.T, c codec, path string) any {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rec := c.empty()
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(rec); err != nil {
		t.Fatal(err)
	}
	spelled, err := json.MarshalIndent(rec, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if spelled = append(spelled, '\n'); *rewrite {
		writeFile(t, path, spelled)
	} else if !bytes.Equal(spelled, text) {
		t.Errorf("spelled differently:\n%s", spelled)
	}
	return rec
}

func checkEncoding(t *testing.T, c codec, rec any, path string) {
	t.Helper()
	got := c.append(nil, embeddedID(c.record), rec)
	if *rewrite {
		writeFile(t, binOf(path), got)
	}
	want, err := os.ReadFile(binOf(path))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("encoded: %s", diffBytes(got, want))
	}
}

// checkGolden decodes with the schema of the release the bytes are from, both ways.
func checkGolden(t *testing.T, c codec, released release, rec any, path string) {
	t.Helper()
	value, err := os.ReadFile(binOf(path))
	if err != nil {
		t.Fatal(err)
	}
	id := embeddedID(c.record)
	direct := NewDecoder(Static{id: released.text}, DecoderOptions{})
	generic := NewDecoder(Static{}, DecoderOptions{})
	generic.known.writers.Store(&map[int]*writer{id: genericWriter(t, id, released.text)})
	for name, d := range map[string]*Decoder{"as its schema has it": direct, "by way of goavro": generic} {
		got := c.empty()
		if err := c.decode(d, value, got); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got, want := jsonOf(t, got), jsonOf(t, rec); got != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}
}

func binOf(path string) string { return strings.TrimSuffix(path, ".json") + ".bin" }

func writeFile(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// No bytes lie about that no JSON explains.
func TestGoldenBytesAllHaveAMeaning(t *testing.T) {
	bins, err := filepath.Glob(filepath.Join("testdata", "v*", "*.bin"))
	if err != nil || len(bins) == 0 {
		t.Fatalf("%d golden bytes, %v", len(bins), err)
	}
	for _, bin := range bins {
		if _, err := os.Stat(strings.TrimSuffix(bin, ".bin") + ".json"); err != nil {
			t.Error(err)
		}
		release, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(filepath.Dir(bin)), "v"))
		if err != nil || release < 1 || release > len(recordStockDelta.released()) {
			t.Errorf("%s: no such release", bin)
		}
	}
}
