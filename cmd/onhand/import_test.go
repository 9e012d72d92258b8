package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"onhand/schemas"
	"onhand/topics"
)

// deltas are the records of stock-deltas, each as "location sku onHand", in the order of partitions.
func (s *stage) deltas() []string {
	s.Helper()
	c, err := loadConfig("", s.environ, nil)
	if err != nil {
		s.Fatal(err)
	}
	a := &app{}
	w, err := a.connect(s.Context(), c.Config)
	if err != nil {
		s.Fatal(err)
	}
	defer w.close()
	decoder := newDecoder(w.registry)
	var got []string
	for partition := range w.partitions {
		err := readToEnd(s.Context(), c.Config, w.log, w.names.StockDeltas, partition, func(r *kgo.Record) error {
			var d schemas.StockDelta
			if err := decoder.DecodeStockDelta(s.Context(), r.Value, &d); err != nil {
				return err
			}
			if want := topics.PartitionOf(d.SKU, w.partitions); want != partition || string(r.Key) != d.SKU {
				s.Errorf("%s stands in partition %d under key %s, want %d", d.SKU, partition, r.Key, want)
			}
			got = append(got, fmt.Sprint(d.Location, " ", d.SKU, " ", d.OnHand.Value))
			return nil
		})
		if err != nil {
			s.Fatal(err)
		}
	}
	return got
}

// summary reads what import --json printed.
func summary(t *testing.T, r result) importSummary {
	t.Helper()
	var s importSummary
	if err := json.Unmarshal([]byte(r.out), &s); err != nil {
		t.Fatalf("%v in\n%s%s", err, r.out, r.err)
	}
	return s
}

func TestImportPublishesWhatIsGoodAndSaysWhatIsNot(t *testing.T) {
	onStages(t, func(s *stage) {
		s.setUp()
		s.publishGraph(testGraph)
		bad := strings.Replace(storyFeed, `"onHand":3`, `"onHand":"3"`, 1) + `{"recordId":"r1","sku":"CAP","onHand":1,"effectiveDate":"2026-01-01T00:00:00Z"}` + "\n"
		file := writeFile(s.T, "feed.ndjson", bad)

		r := s.onhand("import", "--dry-run", file, "--json")
		r.want(s.T, exitFailure, file+":3: onHand: must be a number", file+`:6: recordId "r1" stood in an earlier line`)
		if sum := summary(s.T, r); sum.Lines != 4 || sum.Published != 2 || sum.Refused != 2 || sum.Skipped[reasonNumber] != 1 || sum.Skipped[reasonRepeated] != 1 || !sum.DryRun {
			s.Errorf("%+v", sum)
		}
		s.onhand("import", "--check-first", file).want(s.T, exitFailure, "2 lines refused, so nothing is published")
		if got := s.deltas(); len(got) != 0 {
			s.Errorf("published: %v", got)
		}
		s.onhand("import", "--max-errors", "1", "--dry-run", file).want(s.T, exitFailure, "1 line refused; stopped", "--max-errors")

		s.onhand("import", file).want(s.T, exitFailure, "4 lines read, 2 published, 2 refused", "refused: NUMBER 1, REPEATED 1")
		if got := strings.Join(s.deltas(), ","); got != "NJ-1 SHIRT 5,NY-2 SHIRT 20" {
			s.Error(got)
		}
		if _, err := os.Stat(file + ".onhand-progress"); !os.IsNotExist(err) {
			s.Errorf("the progress outlives the import: %v", err)
		}
	})
}

func TestImportReadsSeveralFilesGzipAndStandardInput(t *testing.T) {
	t.Parallel()
	s := fakeStage(t)
	s.setUp()
	s.publishGraph(testGraph)
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write([]byte(storyFeed)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	one := writeFile(t, "one.gz", packed.String())
	line := func(id, sku string) string {
		return `{"recordId":"` + id + `","sku":"` + sku + `","locationId":"NJ-1","onHand":7,"effectiveDate":"2026-01-01T00:00:00Z"}` + "\n"
	}
	two := writeFile(t, "two.ndjson", line("x1", "SOCK")+line("r2", "HAT"))
	r := onhandIn(t.Context(), line("x2", "BELT"), s.environ, "import", one, two, "-", "--json")
	r.want(t, exitFailure, two+`:2: recordId "r2" stood in an earlier line`)
	if sum := summary(t, r); sum.Files != 3 || sum.Lines != 6 || sum.Published != 5 || sum.Refused != 1 || !sum.Complete {
		t.Errorf("%+v", sum)
	}
	if got := s.deltas(); len(got) != 5 {
		t.Error(got)
	}
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"import"}, exitUsage, "wants FILE…"},
		{[]string{"import", "/nowhere"}, exitFailure, "reading /nowhere: no such file"},
		{[]string{"import", t.TempDir()}, exitFailure, "it is a directory"},
		{[]string{"import", "--state", "/nowhere/state", two}, exitFailure, "writing the progress: "},
		{[]string{"import", "-", "-"}, exitUsage, "give - once"},
		{[]string{"import", "--check-first", "-"}, exitUsage, "--check-first reads twice"},
		{[]string{"import", "--state", "x", one, two}, exitUsage, "--state is for one FILE"},
		{[]string{"import", "--max-errors", "-1", one}, exitUsage, "--max-errors is -1"},
		{[]string{"import", writeFile(t, "half.gz", packed.String()[:30])}, exitFailure, "unexpected EOF"},
	} {
		s.onhand(test.args...).want(t, test.code, test.want)
	}
}

// longFeed has n lines of n SKUs.
func longFeed(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"recordId":"r%d","sku":"S%d","locationId":"NJ-1","onHand":%d,"effectiveDate":"2026-01-01T00:00:00Z"}`+"\n", i, i, i)
	}
	return b.String()
}

// TestImportGoesOnWhereItWasInterrupted stops an import at a broker that takes no more records, and repeats it.
func TestImportGoesOnWhereItWasInterrupted(t *testing.T) {
	t.Parallel()
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	s := fakeStage(t)
	s.environ[0] = "ONHAND_BROKERS=" + kafka.ListenAddrs()[0]
	s.setUp()
	s.publishGraph(testGraph)
	const lines = 60_000
	file := writeFile(t, "feed.ndjson", longFeed(lines))
	ctx, interrupt := context.WithCancel(t.Context())
	produced := 0
	kafka.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		kafka.KeepControl()
		if produced++; produced > 8 {
			interrupt() // as Ctrl-C, while records are under way
		}
		return nil, nil, false
	})
	r := onhandIn(ctx, "", s.environ, "import", file)
	r.want(t, exitInterrupted, "interrupted; line ", "the same command goes on there")
	text, err := os.ReadFile(file + ".onhand-progress")
	if err != nil {
		t.Fatal(err)
	}
	var state importState
	if err := json.Unmarshal(text, &state); err != nil || state.Line <= 0 || state.Line >= lines {
		t.Fatalf("%+v %v", state, err)
	}
	if got := len(s.deltas()); got < state.Line {
		t.Fatalf("%d lines are said to be acknowledged, %d stand in the topic", state.Line, got)
	}

	other := writeFile(t, "other.ndjson", longFeed(2))
	s.onhand("import", "--state", file+".onhand-progress", other).want(t, exitFailure, "the file has changed since line", "--restart")
	again := s.onhand("import", file, "--json")
	again.want(t, 0, fmt.Sprintf("going on after line %d", state.Line))
	if sum := summary(t, again); sum.Resumed != int64(state.Line) || sum.Published != int64(lines-state.Line) {
		t.Errorf("%+v, want resumed %d", sum, state.Line)
	}
	seen := make(map[string]bool, lines)
	for _, d := range s.deltas() {
		seen[d] = true
	}
	if len(seen) != lines {
		t.Errorf("%d different records, want %d", len(seen), lines)
	}
	if left, err := filepath.Glob(file + ".*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestImportStateIsOfOneFileAndNamespace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	file := fileIdentity{Size: 3, Modified: time.Unix(5, 0), Head: "aa"}
	if s, err := loadImportState(path, "acme", file); err != nil || s.Line != 0 {
		t.Fatal(s, err)
	}
	want := importState{Namespace: "acme", File: file, Line: 17}
	if err := want.save(path); err != nil {
		t.Fatal(err)
	}
	if s, err := loadImportState(path, "acme", file); err != nil || s.Line != 17 {
		t.Error(s, err)
	}
	if _, err := loadImportState(path, "other", file); err == nil || !strings.Contains(err.Error(), "namespace acme") {
		t.Error(err)
	}
	changed := file
	changed.Head = "bb"
	if _, err := loadImportState(path, "acme", changed); err == nil || !strings.Contains(err.Error(), "has changed since line 17") {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte(`{"line":-1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadImportState(path, "acme", file); err == nil || !strings.Contains(err.Error(), "holds no progress") {
		t.Error(err)
	}
}

func TestAcknowledgedIsTheLineBeforeWhichNothingIsUnderWay(t *testing.T) {
	var a acknowledged
	for _, line := range []int{2, 3, 5, 8} {
		a.begin(line)
	}
	for _, step := range []struct{ end, want int }{{5, 0}, {3, 0}, {2, 5}, {4, 5}, {8, 8}} {
		if a.end(step.end); a.line() != step.want {
			t.Errorf("after the end of line %d: %d, want %d", step.end, a.line(), step.want)
		}
	}
}

// TestImportSaysWhenKafkaTakesNothing is about a broker that answers every record with an error that no waiting heals.
func TestImportSaysWhenKafkaTakesNothing(t *testing.T) {
	t.Parallel()
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	s := fakeStage(t)
	s.environ[0] = "ONHAND_BROKERS=" + kafka.ListenAddrs()[0]
	s.setUp()
	s.publishGraph(testGraph)
	client, err := kgo.NewClient(kgo.SeedBrokers(kafka.ListenAddrs()[0]))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	small := "1"
	if _, err := kadm.NewClient(client).AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Name: "max.message.bytes", Value: &small}}, s.namespace+".stock-deltas"); err != nil {
		t.Fatal(err)
	}
	file := writeFile(t, "feed.ndjson", longFeed(3))
	s.onhand("import", file).want(t, exitFailure, "publishing line ", file, "goes on after the last line")
	if _, err := os.Stat(file + ".onhand-progress"); err != nil {
		t.Error(err)
	}
}
