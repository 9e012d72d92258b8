package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2/server"
	"github.com/twmb/franz-go/pkg/kadm"

	"onhand/cache"
	"onhand/processor/availability"
	"onhand/schemas"
)

// stocked sets the stage with a processor that has folded a count of so many SKUs, and ends it.
func (s *stage) stocked(skus int) *wire {
	s.Helper()
	s.setUp()
	s.publishGraph(auditGraph)
	processor, _ := s.startProcessor()
	feed := "{\"location\":\"NJ-1\",\"mode\":\"UPDATE\"}\n"
	for n := range skus {
		feed += fmt.Sprintf("{\"recordId\":\"r%d\",\"sku\":\"SKU-%d\",\"onHand\":%d,\"effectiveDate\":\"2026-01-01T00:00:00Z\"}\n", n, n, n)
	}
	s.must("import", writeFile(s.T, "feed.ndjson", feed))
	s.must("reserve", "SKU-1", "1", "--group", "JERSEY", "--wait-level")
	w := s.wire()
	s.status(0)
	s.endProcessor(w, processor)
	return w
}

// copied is another directory with the same snapshot.
func (s *stage) copied(dir string) string {
	s.Helper()
	to := filepath.Join(s.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		s.Fatal(err)
	}
	return to
}

// change rewrites a file of a copy of a snapshot.
func (s *stage) change(dir, name string, how func([]byte) []byte) string {
	s.Helper()
	to := s.copied(dir)
	path := filepath.Join(to, name)
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, how(b), 0o600)
	}
	if err != nil {
		s.Fatal(err)
	}
	return to
}

// TestARestoreChecksItsFiles first: nothing of a snapshot that is damaged, mixed up or incomplete reaches Redis.
func TestARestoreChecksItsFiles(t *testing.T) {
	t.Parallel()
	s := fakeStage(t)
	s.stocked(40)
	dir := filepath.Join(t.TempDir(), "snapshot")
	s.snapshot(dir)
	s.emptyRedis(t.Context())
	task := func(n int32) string { return filepath.Join(dir, snapshotFile(n)) }
	other, err := os.ReadFile(task(1))
	if err != nil {
		t.Fatal(err)
	}
	refused := func(dir string, texts ...string) {
		t.Helper()
		s.onhand("restore", dir, "--verify").want(t, exitFailure, texts...)
		s.onhand("restore", dir).want(t, exitFailure, texts...)
	}
	refused(s.change(dir, snapshotFile(0), func(b []byte) []byte { b[len(b)/2] ^= 4; return b }), "snapshot file cannot be used", "another copy of the snapshot")
	refused(s.change(dir, snapshotFile(0), func(b []byte) []byte { return b[:len(b)-9] }), "cut short")
	refused(s.change(dir, snapshotFile(0), func([]byte) []byte { return other }), "of task 1")
	refused(s.change(dir, manifestName, func(b []byte) []byte { return []byte(strings.Replace(string(b), `"epoch": 1`, `"epoch": 2`, 1)) }), "damaged or was edited")
	refused(s.change(dir, manifestName, func(b []byte) []byte { return b[:len(b)/2] }), "is damaged")
	refused(s.change(dir, manifestName, func(b []byte) []byte { return []byte(strings.Replace(string(b), `"format": 1`, `"format": 2`, 1)) }), "has format 2, and this onhand knows 1")
	refused(t.TempDir(), "has no snapshot")
	gone := s.copied(dir)
	if err := os.Remove(filepath.Join(gone, snapshotFile(2))); err != nil {
		t.Fatal(err)
	}
	refused(gone, "no such file")
	swapped := s.change(dir, snapshotFile(3), func(b []byte) []byte { return b })
	if err := s.otherSnapshotOf(swapped, 3); err != nil {
		t.Fatal(err)
	}
	refused(swapped, "is not the file that the manifest names")
	if keys, err := s.balances().Keys(t.Context(), "{"+s.namespace+":*:*").Result(); err != nil || len(keys) > 0 {
		t.Errorf("something was written: %q %v", keys, err)
	}
	s.must("restore", dir)
}

// otherSnapshotOf puts another good file of the same task into a directory.
func (s *stage) otherSnapshotOf(dir string, task int32) error {
	path := filepath.Join(dir, snapshotFile(task))
	_, head, err := readTaskFile(path, &cache.SnapshotVisitor{})
	if err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	head.CreatedAt++
	w, err := cache.NewSnapshotWriter(file, &head)
	if err == nil {
		_, err = w.Close()
	}
	return errors.Join(err, file.Close())
}

// TestARestoreRefusesWhatCannotRewind: topics, offsets and logs that do not go with the snapshot.
func TestARestoreRefusesWhatCannotRewind(t *testing.T) {
	t.Parallel()
	s := fakeStage(t)
	w := s.stocked(40)
	dir, part := filepath.Join(t.TempDir(), "snapshot"), filepath.Join(t.TempDir(), "part")
	m := s.snapshot(dir)
	if p := s.snapshot(part, "--tasks", "1,2"); len(p.Tasks) != 2 || p.Tasks[0].Task != 1 {
		t.Errorf("%+v", p)
	}
	s.onhand("snapshot", filepath.Join(t.TempDir(), "none"), "--tasks", "4").want(t, exitUsage, "there are tasks 0 to 3")
	s.emptyRedis(t.Context())
	admin, group := kadm.NewClient(w.client), w.names.ConsumerGroup()
	at := func(offset int64) {
		t.Helper()
		offsets := make(kadm.Offsets)
		offsets.Add(kadm.Offset{Topic: w.names.StockDeltas, Partition: 1, At: offset, LeaderEpoch: -1})
		if err := admin.CommitAllOffsets(t.Context(), group, offsets); err != nil {
			t.Fatal(err)
		}
	}
	checkpoint := m.Tasks[1].Inputs[availability.Deltas].Checkpoint
	at(checkpoint - 1)
	s.onhand("restore", dir).want(t, exitFailure, "before the", "of the snapshot", "put the offsets back")
	at(checkpoint)
	if _, err := admin.DeleteGroups(t.Context(), group); err != nil {
		t.Fatal(err)
	}
	s.onhand("restore", dir).want(t, exitFailure, "has no offset of", "--force")
	s.must("restore", part, "--force").want(t, 0, "2 tasks of namespace")

	to := s.move("3")
	to.onhand("restore", part).want(t, exitFailure, "has 2 of 4 tasks", "without --tasks")
	to.publishGraph(testGraph)
	to.onhand("restore", dir).want(t, exitFailure, "has location graph 1, which is not that of the snapshot")
	used := s.move("3")
	used.sendDeltas(used.wire(), &schemas.StockDelta{RecordID: "r", SKU: "SKU-0", Location: "NJ-1", Mode: schemas.ModeAdjust, OnHand: schemas.Some(schemas.Milli(1))})
	used.onhand("restore", dir).want(t, exitFailure, "is not empty", "topics are new")
	used.onhand("restore", dir, "--partitions", "3").want(t, exitFailure, "is not empty")

	s.emptyRedis(t.Context())
	ends := make(kadm.Offsets)
	for _, task := range m.Tasks {
		ends.Add(kadm.Offset{Topic: w.names.StockDeltas, Partition: task.Task, At: task.Inputs[availability.Deltas].Checkpoint, LeaderEpoch: -1})
	}
	if err := admin.CommitAllOffsets(t.Context(), group, ends); err != nil {
		t.Fatal(err)
	}
	s.sendDeltas(w, &schemas.StockDelta{RecordID: "r", SKU: "SKU-0", Location: "NJ-1", Mode: schemas.ModeAdjust, OnHand: schemas.Some(schemas.Milli(1))})
	short := make(kadm.Offsets)
	listed, err := admin.ListEndOffsets(t.Context(), w.names.StockDeltas)
	if err != nil {
		t.Fatal(err)
	}
	listed.Each(func(o kadm.ListedOffset) {
		short.Add(kadm.Offset{Topic: o.Topic, Partition: o.Partition, At: o.Offset})
	})
	if _, err := admin.DeleteRecords(t.Context(), short); err != nil {
		t.Fatal(err)
	}
	s.onhand("restore", dir, "--force").want(t, exitFailure, "begins at offset", "take a newer snapshot")
	if _, err := admin.DeleteTopics(t.Context(), w.names.All()...); err != nil {
		t.Fatal(err)
	}
	s.setUp()
	s.onhand("restore", dir).want(t, exitFailure, "are not those of the snapshot", "--partitions 4")
}

// TestAnInterruptedSnapshotGoesOn: it leaves no snapshot, and a second call keeps the files that are good.
func TestAnInterruptedSnapshotGoesOn(t *testing.T) {
	t.Parallel()
	s := fakeStage(t)
	s.stocked(400)
	dir := filepath.Join(t.TempDir(), "snapshot")
	slow := s.start("snapshot", dir, "--rate", "100")
	eventually(t, "it is in the middle", func() bool {
		entries, err := os.ReadDir(dir)
		return err == nil && len(entries) > 0 && entries[len(entries)-1].Name() >= "task-00000"
	})
	if code := slow.end(); code != exitInterrupted {
		_, text := slow.output()
		t.Errorf("exit code %d\n%s", code, text)
	}
	s.onhand("restore", dir).want(t, exitFailure, "has no snapshot", "goes on with `onhand snapshot`")
	for name, text := range map[string]string{".spool-1": "x", snapshotFile(2): "onhand-snapshot\x01"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := s.must("snapshot", dir)
	r.want(t, 0, snapshotFile(0)+" is kept", "task-00002.onhand is of something else and is written anew", "4 files of 4 tasks", "400 SKUs, 400 balances, 1 reservations")
	s.must("restore", dir, "--verify").want(t, 0, "is good")
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 5 {
		t.Errorf("the directory has %v %v", entries, err)
	}
}

// TestAnInterruptedRestoreGoesOn: until it is done no processor takes a part of it for state.
func TestAnInterruptedRestoreGoesOn(t *testing.T) {
	t.Parallel()
	s := fakeStage(t)
	w := s.stocked(1500)
	dir := filepath.Join(t.TempDir(), "snapshot")
	s.snapshot(dir)
	s.emptyRedis(t.Context())

	m, err := readManifest(dir)
	if err != nil {
		t.Fatal(err)
	}
	store, err := openRedis(t.Context(), w.config, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	cut := &restoring{app: &app{err: t.Output()}, flags: &restoreFlags{}, config: w.config, dir: dir, manifest: m, heads: map[int32]cache.SnapshotHead{}, wire: w, store: store, report: &restoreReport{}}
	if err := cut.verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	p, err := cut.planBack(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tasks, err := cut.open(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	stop := errors.New("the plug is pulled")
	for _, source := range p.sources {
		skus := 0
		v := cut.writes(t.Context(), p, tasks, source)
		stock := v.Stock
		v.Stock = func(d *availability.StockData) error {
			if skus++; skus > 250 {
				return stop
			}
			return stock(d)
		}
		if _, _, err := readTaskFile(filepath.Join(dir, snapshotFile(source)), v); !errors.Is(err, stop) {
			t.Fatal(err)
		}
	}
	other := filepath.Join(t.TempDir(), "other")
	s.onhand("snapshot", other).want(t, exitFailure, "is missing, yet")

	early := s.start("run", "--admin", "127.0.0.1:0", "--instance", "one", "--log-level", "warn")
	eventually(t, "the processor does not take it for state", func() bool {
		_, log := early.output()
		return strings.Contains(log, "is missing, yet")
	})
	s.endProcessor(w, early)
	var report restoreReport
	if err := json.Unmarshal([]byte(s.must("restore", dir, "--json").out), &report); err != nil || !report.Resumed || report.SKUs != 1500 {
		t.Errorf("%+v %v", report, err)
	}
	began := time.Now()
	s.startProcessor()
	s.status(0)
	if r := s.audit(0); r.SKUs != 1500 || s.levels("SKU-1")["JERSEY"].GroupReserved != 1000 {
		t.Errorf("%+v after %s", r, time.Since(began))
	}
}

// TestARestoreThatRedisForgetsIsNotCalledDone: a task that is gone again when the last one is written, or has lost what was
// written last, is told; where all of it is gone a second call brings it back.
func TestARestoreThatRedisForgetsIsNotCalledDone(t *testing.T) {
	t.Parallel()
	s := fakeStage(t)
	s.stocked(40)
	dir := filepath.Join(t.TempDir(), "snapshot")
	s.snapshot(dir)

	first, last := fmt.Sprintf("{%s:0}:c", s.namespace), fmt.Sprintf("{%s:3}", s.namespace)
	for _, forget := range []func(){func() { s.memory.Del(first) }, s.memory.FlushAll} {
		s.emptyRedis(t.Context())
		var once sync.Once
		s.memory.Server().SetPreHook(func(_ *server.Peer, cmd string, args ...string) bool {
			if cmd == "EVALSHA" && strings.Contains(strings.Join(args, " "), last) && s.memory.Exists(first) {
				once.Do(forget)
			}
			return false
		})
		s.onhand("restore", dir).want(t, exitFailure, "task 0 was restored, and Redis has forgotten it since", "the same command")
	}
	s.must("restore", dir)
	s.startProcessor()
	s.status(0)
	if r := s.audit(0); r.SKUs != 40 {
		t.Errorf("%+v", r)
	}
}
