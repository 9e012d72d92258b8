package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
)

// importFlags are the flags of import.
type importFlags struct {
	dryRun, checkFirst, restart bool
	errorsMax                   int
	state                       string
	asJSON                      *bool
}

func newImportCommand(a *app) *cobra.Command {
	f := &importFlags{}
	cmd := &cobra.Command{
		Use:   "import FILE…",
		Short: "Publish stock records from NDJSON feeds",
		Long: `Publish the stock records of NDJSON feeds, plain or gzip, - for standard input. Each entry is a JSON object on a line of
its own, in one of two layouts that are told apart by the first line:

  {"location":"Warehouse-A","mode":"UPDATE"}
  {"recordId":"…","sku":"123","onHand":10,"effectiveDate":"2026-01-31T08:00:00Z","safetyStockCount":1,
   "futures":[{"quantity":5,"expectedDate":"2026-02-28T00:00:00Z"}]}      (on one line)

  {"recordId":"…","sku":"123","locationId":"Warehouse-A","onHand":10,"effectiveDate":"2026-01-31T08:00:00Z"}

A value that is absent stays as it is; null, "" and [] delete it. A recordId stands once in a run.

Lines are checked against the published location graph. One that is refused is reported with file and line, and the
import goes on; the exit code is then 1. An import that is interrupted goes on where it was: how far it is stands in
FILE.onhand-progress until it is over. Nothing is counted twice if lines are published again.`,
		Example: `  onhand import feed.ndjson.gz
  onhand import --dry-run *.ndjson
  zcat feed.gz | onhand import -`,
		Args: arguments("FILE…"),
	}
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "check every line and publish none")
	cmd.Flags().BoolVar(&f.checkFirst, "check-first", false, "check every line first, and publish only if all are good; not for -")
	cmd.Flags().IntVar(&f.errorsMax, "max-errors", 0, "stop after so many refused lines; 0: never")
	cmd.Flags().BoolVar(&f.restart, "restart", false, "begin at the first line, whatever was imported before")
	cmd.Flags().StringVar(&f.state, "state", "", "`file` that says how far the import is, for one FILE (default FILE.onhand-progress)")
	addSettingFlag(cmd.Flags(), mustSetting("requireEffectiveDate"))
	f.asJSON = addJSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := f.check(args); err != nil {
			return err
		}
		c, err := a.config(cmd)
		if err != nil {
			return err
		}
		return a.importFiles(cmd.Context(), c.Config, f, args)
	}
	return cmd
}

func (f *importFlags) check(args []string) error {
	stdin := 0
	for _, name := range args {
		if name == "-" {
			stdin++
		}
	}
	switch {
	case f.state != "" && (len(args) > 1 || stdin > 0):
		return usagef("--state is for one FILE; each of several has its own FILE.onhand-progress")
	case f.checkFirst && stdin > 0:
		return usagef("--check-first reads twice, and standard input can be read once; save it to a file")
	case stdin > 1:
		return usagef("standard input can be read once; give - once")
	case f.errorsMax < 0:
		return usagef("--max-errors is %d; it must be 0 or more", f.errorsMax)
	}
	return nil
}

// importSummary is what an import did.
type importSummary struct {
	Files     int              `json:"files"`
	Lines     int64            `json:"lines"`     // records and refused lines, without headers
	Published int64            `json:"published"` // acknowledged by Kafka; with --dry-run, those that would be
	Resumed   int64            `json:"resumed"`   // published or refused by an earlier run
	Skipped   map[string]int64 `json:"skipped"`   // refused, by reason
	Refused   int64            `json:"refused"`   // Σ Skipped
	DryRun    bool             `json:"dryRun"`
	Complete  bool             `json:"complete"` // every line was read
	Seconds   float64          `json:"seconds"`
	LinesPerS float64          `json:"linesPerSecond"`
	began     time.Time
}

// importer is one run of import.
type importer struct {
	app     *app
	config  *Config
	flags   *importFlags
	wire    *wire
	graph   *availability.Graph
	rules   feedRules
	summary importSummary
	states  []string // of files that are finished, to remove when the run is over
}

// importBuffered bounds the records that are published and not yet acknowledged.
const importBuffered = 10_000

func (a *app) importFiles(ctx context.Context, c *Config, f *importFlags, names []string) error {
	for _, name := range names {
		if err := canImport(name); err != nil {
			return err // before the files in front of it are published
		}
	}
	w, err := a.connect(ctx, c, kgo.MaxBufferedRecords(importBuffered), kgo.ProducerLinger(5*time.Millisecond))
	if err != nil {
		return err
	}
	defer w.close()
	graph, err := w.requireGraph(ctx)
	if err != nil {
		return err
	}
	m := &importer{app: a, config: c, flags: f, wire: w, graph: graph}
	if f.checkFirst && !f.dryRun {
		m.begin()
		if err := m.files(ctx, names, false); err != nil {
			return m.finish(err)
		}
		if m.summary.Refused > 0 {
			m.summary.Published = 0
			return m.finish(hinted(fmt.Errorf("%s refused, so nothing is published", plural(int(m.summary.Refused), "line")), "correct them, or import without --check-first"))
		}
	}
	m.begin()
	return m.finish(m.files(ctx, names, !f.dryRun))
}

// canImport says what is wrong with a file before any is read.
func canImport(name string) error {
	if name == "-" {
		return nil
	}
	info, err := os.Stat(name)
	if err == nil && info.IsDir() {
		err = errors.New("it is a directory")
	}
	if err == nil && info.Mode().IsRegular() { // to open a pipe would wait for its writer
		var file *os.File
		if file, err = os.Open(name); err == nil {
			closeRead(file)
		}
	}
	if err != nil {
		return hinted(fmt.Errorf("reading %s: %w", name, pathReason(err)), "name "+kindNames[kindFeed]+", or - for standard input")
	}
	return nil
}

// begin starts a pass over all files.
func (m *importer) begin() {
	m.summary = importSummary{Skipped: map[string]int64{}, DryRun: m.flags.dryRun, began: time.Now()}
	seen := newIDSet()
	m.rules = feedRules{location: m.graph.Location, repeated: seen.repeated, requireEffectiveDate: m.config.RequireEffectiveDate, now: time.Now()}
}

// files reads one file after the other.
func (m *importer) files(ctx context.Context, names []string, publish bool) error {
	for _, name := range names {
		if err := m.file(ctx, name, publish); err != nil {
			return err
		}
		m.summary.Files++
	}
	m.summary.Complete = true
	return nil
}

// finish removes the progress of a run that is over, prints the summary, and makes refused lines an exit code.
func (m *importer) finish(err error) error {
	s := &m.summary
	if err == nil && !m.flags.dryRun {
		err = removeStates(m.states)
	}
	s.Seconds = time.Since(s.began).Seconds()
	if s.Seconds > 0 {
		s.LinesPerS = float64(s.Lines) / s.Seconds
	}
	if printed := m.print(); printed != nil {
		return errors.Join(err, printed)
	}
	if err == nil && s.Refused > 0 {
		return errReported
	}
	return err
}
