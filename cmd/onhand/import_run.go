package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/schemas"
	"onhand/topics"
)

// idSet remembers texts by a 64-bit hash. Of ten million ids two share one with a chance of 3 in a million; the line is
// then refused, and imported in a run of its own.
type idSet struct{ seen map[uint64]struct{} }

func newIDSet() *idSet { return &idSet{make(map[uint64]struct{})} }

func (s *idSet) repeated(id string) bool {
	hash := xxhash.Sum64String(id)
	if _, ok := s.seen[hash]; ok {
		return true
	}
	s.seen[hash] = struct{}{}
	return false
}

// countingReader counts what is read, for the progress.
type countingReader struct {
	reader io.Reader
	bytes  atomic.Int64
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.reader.Read(p)
	r.bytes.Add(int64(n))
	return n, err
}

// importFile is one file of a pass.
type importFile struct {
	*importer
	name   string
	reader *countingReader
	size   int64 // -1: not known
	writer *topics.Writer

	state     importState
	statePath string // empty: none is kept
	saved     time.Time

	acks    acknowledged
	mu      sync.Mutex // guards failed
	failed  error      // the first record that was not acknowledged
	pending sync.WaitGroup
	bar     *progress
}

// stateEvery is how often the progress is saved.
const stateEvery = time.Second

// file reads one file to its end, and publishes its records if asked to.
func (m *importer) file(ctx context.Context, name string, publish bool) (err error) {
	f := &importFile{importer: m, name: name, size: -1, saved: time.Now()}
	if publish {
		if f.writer, err = m.wire.writer(ctx, "stock-deltas"); err != nil {
			return err
		}
	}
	if name == "-" {
		f.name, f.reader = "standard input", &countingReader{reader: m.app.in}
	} else {
		file, err := os.Open(name)
		if err != nil {
			return fmt.Errorf("reading %s: %w", name, pathReason(err))
		}
		defer closeRead(file)
		if err := f.open(file, publish); err != nil {
			return err
		}
	}
	f.bar = newByteProgress(m.app.err, f.name, f.size)
	defer f.bar.end()
	feed, err := newFeed(f.reader, m.rules)
	if err != nil {
		err = fmt.Errorf("reading %s: %w", f.name, err)
	} else {
		err = f.read(ctx, feed)
	}
	f.pending.Wait()
	f.bar.end()
	err = errors.Join(err, f.failure())
	err = f.explain(err)
	if f.statePath == "" {
		return err
	}
	saved := f.save()
	if saved != nil && errors.Is(err, context.Canceled) {
		return saved // an interruption says nothing more, this does
	}
	return errors.Join(err, saved)
}

// open finds out what the file is, and where an earlier run of it has ended.
func (f *importFile) open(file *os.File, publish bool) error {
	f.reader = &countingReader{reader: file}
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("reading %s: %w", f.name, pathReason(err))
	}
	if !info.Mode().IsRegular() {
		return nil // a pipe is read once
	}
	f.size = info.Size()
	if !publish {
		return nil
	}
	f.statePath = f.flags.state
	if f.statePath == "" {
		f.statePath = f.name + ".onhand-progress"
	}
	identity, err := identify(file)
	if err != nil {
		return err
	}
	f.states = append(f.states, f.statePath)
	f.state = importState{Namespace: f.config.Namespace, File: identity}
	if !f.flags.restart {
		if f.state, err = loadImportState(f.statePath, f.config.Namespace, identity); err != nil {
			return fmt.Errorf("importing %s: %w", f.name, err)
		}
	}
	if f.state.Line > 0 {
		fmt.Fprintf(f.app.err, "%s: going on after line %d; --restart begins anew\n", f.name, f.state.Line)
	}
	f.acks.last = f.state.Line
	return f.state.save(f.statePath) // known to work before anything is published
}

// read takes every line of the feed.
func (f *importFile) read(ctx context.Context, feed *feed) error {
	var d schemas.StockDelta
	for f.failure() == nil { // the caller reports it, once nothing is under way any more
		if err := ctx.Err(); err != nil {
			return err
		}
		err := feed.next(&d)
		var bad *lineError
		line := feed.lines.number
		earlier := line <= f.state.Line
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !errors.As(err, &bad):
			return fmt.Errorf("reading %s: %w", f.name, err)
		case earlier:
			f.importer.summary.Resumed++
			continue
		case bad != nil:
			if err := f.refuse(bad); err != nil {
				return err
			}
		default:
			f.publish(ctx, line, &d)
		}
		f.summary.Lines++
		if f.summary.Lines%256 == 0 {
			if err := f.show(); err != nil {
				return err
			}
		}
	}
	return nil
}

// refuse reports a line, and ends the import where there are too many.
func (f *importFile) refuse(bad *lineError) error {
	f.acks.begin(bad.line)
	f.acks.end(bad.line)
	f.summary.Skipped[bad.reason]++
	f.summary.Refused++
	fmt.Fprintf(f.app.err, "%s:%d: %s\n", f.name, bad.line, bad.message)
	if f.flags.errorsMax > 0 && f.summary.Refused >= int64(f.flags.errorsMax) {
		return hinted(fmt.Errorf("%s refused; stopped", plural(int(f.summary.Refused), "line")), "correct them, or raise --max-errors")
	}
	return nil
}

// publish sends a record; with --dry-run it only counts. It waits while importBuffered records are under way.
func (f *importFile) publish(ctx context.Context, line int, d *schemas.StockDelta) {
	if f.writer == nil {
		f.summary.Published++
		return
	}
	f.acks.begin(line)
	f.pending.Add(1)
	f.wire.client.Produce(ctx, f.writer.Delta(d, time.Now()), func(_ *kgo.Record, err error) {
		defer f.pending.Done()
		f.mu.Lock()
		defer f.mu.Unlock()
		if err == nil {
			f.acks.end(line)
			f.summary.Published++
		} else if f.failed == nil {
			f.failed = fmt.Errorf("publishing line %d of %s: %w", line, f.name, err)
		}
	})
}

// failure is why a record was not acknowledged, or nil.
func (f *importFile) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed
}

func (f *importFile) explain(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		if err != nil && f.statePath != "" {
			return interruptedf("line %d of %s was the last that is acknowledged; the same command goes on there", f.acks.line(), f.name)
		}
		return err
	}
	if brokenGzip(err) {
		return hinted(err, "the compressed file is cut or damaged: fetch it anew and import it with --restart; records that were imported do no harm a second time")
	}
	if f.failure() != nil {
		return hinted(explainKafka(f.config, err), "the same command goes on after the last line that was acknowledged")
	}
	return err
}

// show moves the bar and saves the progress now and then.
func (f *importFile) show() error {
	if elapsed := time.Since(f.summary.began).Seconds(); elapsed > 0 {
		f.bar.show(f.reader.bytes.Load(), fmt.Sprintf("%s: %d lines, %.0f lines/s", f.name, f.summary.Lines, float64(f.summary.Lines)/elapsed))
	}
	if f.statePath == "" || time.Since(f.saved) < stateEvery {
		return nil
	}
	f.saved = time.Now()
	return f.save()
}

func (f *importFile) save() error {
	f.state.Line = f.acks.line()
	return f.state.save(f.statePath)
}

// removeStates forgets the progress of files that are imported whole.
func removeStates(paths []string) error {
	var errs []error
	for _, path := range paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("removing the progress: %w", err))
		}
	}
	return errors.Join(errs...)
}

// print writes the summary.
func (m *importer) print() error {
	s := &m.summary
	if *m.flags.asJSON {
		return printJSON(m.app.out, s)
	}
	did := "published"
	if s.DryRun {
		did = "good"
	}
	fmt.Fprintf(m.app.out, "%s read, %d %s, %d refused in %.1f s (%.0f lines/s)\n", plural(int(s.Lines), "line"), s.Published, did, s.Refused, s.Seconds, s.LinesPerS)
	if s.Resumed > 0 {
		fmt.Fprintf(m.app.out, "%s done by an earlier run\n", plural(int(s.Resumed), "line"))
	}
	var reasons []string
	for _, reason := range slices.Sorted(maps.Keys(s.Skipped)) {
		reasons = append(reasons, fmt.Sprintf("%s %d", reason, s.Skipped[reason]))
	}
	if reasons != nil {
		fmt.Fprintf(m.app.out, "refused: %s\n", strings.Join(reasons, ", "))
	}
	return nil
}
