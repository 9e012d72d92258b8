// Command table puts the reports of `onhand bench --json` in a directory side by side: one line for each system, with the
// median of its runs and the least and the most of its events a second. The reports are named ROUND-SYSTEM.json. The same
// figures stand in results.json afterwards.
package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: table DIRECTORY")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "table:", err)
		os.Exit(1)
	}
}

// report is what is read of a run.
type report struct {
	EventsPerSecond float64 `json:"eventsPerSecond"`
	Events          float64 `json:"events"`
	Outputs         struct {
		Updates float64 `json:"updates"`
	} `json:"outputs"`
	CPU struct {
		System *float64 `json:"processor"`
		Redis  *float64 `json:"redis"`
		Broker *float64 `json:"broker"`
	} `json:"cpuSecondsPerMillionEvents"`
	Resident float64 `json:"residentBytes"`
	System   struct {
		FirstOutput float64 `json:"firstOutputSeconds"`
		Killed      *struct {
			Left       float64 `json:"eventsLeft"`
			BackMillis float64 `json:"nextOutputAfterMs"`
		} `json:"killed"`
	} `json:"system"`
	Check struct {
		Levels      int64 `json:"levels"`
		Wrong       int64 `json:"wrong"`
		Differences struct {
			Higher      int64  `json:"higher"`
			Lower       int64  `json:"lower"`
			UnitsHigher string `json:"unitsHigher"`
			UnitsLower  string `json:"unitsLower"`
			Missing     int64  `json:"missing"`
		} `json:"differences"`
	} `json:"check"`
}

// spread is the median of some figures, the least and the most. Nil: not measured in every run.
type spread struct {
	Median float64 `json:"median"`
	Least  float64 `json:"least"`
	Most   float64 `json:"most"`
}

// row is a system.
type row struct {
	System string `json:"system"`
	Runs   int    `json:"runs"`
	Wrong  int64  `json:"wrongLevels"` // of all runs

	Events      *spread           `json:"eventsPerSecond"`
	CPUSystem   *spread           `json:"cpuSecondsPerMillionEventsOfTheSystem"`
	CPURedis    *spread           `json:"cpuSecondsPerMillionEventsOfRedis"`
	CPUBroker   *spread           `json:"cpuSecondsPerMillionEventsOfTheBroker"`
	CPUAll      *spread           `json:"cpuSecondsPerMillionEventsOfAll"`
	Updates     *spread           `json:"updatesPerEvent"`
	FirstOutput *spread           `json:"firstOutputSeconds"`
	ResidentMiB *spread           `json:"residentMiB"`
	Reports     []json.RawMessage `json:"reports"`

	reports []report
}

func run(dir string, out io.Writer) error {
	rows, err := read(dir)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the results: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "results.json"), text, 0o600); err != nil {
		return fmt.Errorf("writing the results: %w", err)
	}
	if rows[0].reports[0].System.Killed != nil {
		return printKills(rows, out)
	}
	return printFigures(rows, out)
}

// read makes a row of each system, the fastest first.
func read(dir string) ([]*row, error) {
	names, err := filepath.Glob(filepath.Join(dir, "[0-9]*-*.json"))
	if err != nil {
		return nil, fmt.Errorf("looking for reports: %w", err)
	}
	bySystem := map[string]*row{}
	var rows []*row
	for _, name := range names {
		_, system, _ := strings.Cut(strings.TrimSuffix(filepath.Base(name), ".json"), "-")
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("reading a report: %w", err)
		}
		var raw []json.RawMessage
		var reports []report
		if err := errors.Join(json.Unmarshal(text, &raw), json.Unmarshal(text, &reports)); err != nil || len(reports) != 1 {
			return nil, fmt.Errorf("%s has %d reports, want 1: %w", name, len(reports), err)
		}
		r := bySystem[system]
		if r == nil {
			r = &row{System: system}
			bySystem[system], rows = r, append(rows, r)
		}
		r.Reports, r.reports = append(r.Reports, raw[0]), append(r.reports, reports[0])
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%s has no report; its logs say why", dir)
	}
	for _, r := range rows {
		r.sum()
	}
	slices.SortStableFunc(rows, func(a, b *row) int { return cmp.Compare(b.Events.Median, a.Events.Median) })
	return rows, nil
}

// sum fills in the figures.
func (r *row) sum() {
	r.Runs = len(r.reports)
	for i := range r.reports {
		r.Wrong += r.reports[i].Check.Wrong
	}
	of := func(take func(*report) *float64) *spread {
		var all []float64
		for i := range r.reports {
			n := take(&r.reports[i])
			if n == nil {
				return nil
			}
			all = append(all, *n)
		}
		return spreadOf(all)
	}
	r.Events = of(func(p *report) *float64 { return &p.EventsPerSecond })
	r.CPUSystem = of(func(p *report) *float64 { return p.CPU.System })
	r.CPURedis = of(func(p *report) *float64 { return p.CPU.Redis })
	r.CPUBroker = of(func(p *report) *float64 { return p.CPU.Broker })
	r.CPUAll = of(func(p *report) *float64 {
		if p.CPU.System == nil || p.CPU.Redis == nil || p.CPU.Broker == nil {
			return nil
		}
		sum := *p.CPU.System + *p.CPU.Redis + *p.CPU.Broker
		return &sum
	})
	r.Updates = of(func(p *report) *float64 { each := p.Outputs.Updates / p.Events; return &each })
	r.FirstOutput = of(func(p *report) *float64 { return &p.System.FirstOutput })
	r.ResidentMiB = of(func(p *report) *float64 { size := p.Resident / (1 << 20); return &size })
}

// spreadOf is of one figure at least. The median of an even number is the mean of the two in the middle.
func spreadOf(all []float64) *spread {
	slices.Sort(all)
	return &spread{Median: (all[(len(all)-1)/2] + all[len(all)/2]) / 2, Least: all[0], Most: all[len(all)-1]}
}

func (s *spread) text(format string) string {
	if s == nil {
		return "-"
	}
	return fmt.Sprintf(format, s.Median)
}

// named is the name of a system, wide enough to stand at the left of a column of numbers.
func named(system string) string { return fmt.Sprintf("%-20s", system) }

func printFigures(rows []*row, out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, named("system")+"\truns\tevents/s\tleast\tmost\tCPU-s/M system\tRedis\tbroker\tall\tupdates/event\tfirst output s\tMiB\tlevels\t")
	for _, r := range rows {
		levels := "right"
		if r.Wrong > 0 {
			levels = fmt.Sprintf("%d WRONG", r.Wrong)
		}
		fmt.Fprintf(w, "%s\t%d\t%.0f\t%.0f\t%.0f\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", named(r.System), r.Runs, r.Events.Median, r.Events.Least, r.Events.Most,
			r.CPUSystem.text("%.1f"), r.CPURedis.text("%.1f"), r.CPUBroker.text("%.1f"), r.CPUAll.text("%.1f"), r.Updates.text("%.2f"),
			r.FirstOutput.text("%.1f"), r.ResidentMiB.text("%.0f"), levels)
	}
	return w.Flush()
}

// printKills prints a line for each run: what one kill does is chance.
func printKills(rows []*row, out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, named("system")+"\tevents left\tnext output after s\tlevels of locations\tcounted twice\tunits\tlost\tunits\tmissing\t")
	for _, r := range rows {
		for i := range r.reports {
			p := &r.reports[i]
			if p.System.Killed == nil {
				return fmt.Errorf("a run of %s was not killed; put runs of both kinds in directories of their own", r.System)
			}
			d := &p.Check.Differences
			verdict := "right"
			if p.Check.Wrong > 0 {
				verdict = "WRONG"
			}
			fmt.Fprintf(w, "%s\t%.0f\t%.1f\t%s\t%d\t%s\t%d\t%s\t%d\t\n", named(r.System), p.System.Killed.Left, p.System.Killed.BackMillis/1000, verdict,
				d.Higher, d.UnitsHigher, d.Lower, d.UnitsLower, d.Missing)
		}
	}
	return w.Flush()
}
