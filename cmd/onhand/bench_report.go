package main

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"onhand/cache"
)

// benchReport is what a run has measured. What could not be measured is null.
type benchReport struct {
	Workload    string           `json:"workload"`
	Plan        benchPlan        `json:"plan"`
	Namespace   string           `json:"namespace"`
	Began       time.Time        `json:"began"`
	Environment benchEnvironment `json:"environment"`

	Events       int         `json:"events"`  // sent in the part that was measured
	Seconds      float64     `json:"seconds"` // until the last of them was in Redis
	EventsSecond float64     `json:"eventsPerSecond"`
	Outputs      benchCounts `json:"outputs"`

	Updates *benchLateness `json:"updateLatencyMs"` // of stock deltas
	Results *benchLateness `json:"resultLatencyMs"` // of reservation events
	Unseen  int            `json:"unseen"`          // events whose every level a later event of the same batch has changed too

	CPU benchCPU `json:"cpuSecondsPerMillionEvents"`
	// AllocatedBytes and Allocations are of the processors, for an event. Of one that was killed, what it allocated since
	// it was asked last is missing.
	AllocatedBytes *float64 `json:"allocatedBytesPerEvent"`
	Allocations    *float64 `json:"allocationsPerEvent"`
	Resident       *int64   `json:"residentBytes"` // memory of the processors at the end
	RedisBytes     *int64   `json:"redisBytes"`    // of the keys of the namespace, estimated from a sample of SKUs
	BalanceBytes   *float64 `json:"redisBytesPerBalance"`

	Lag      []benchLag     `json:"lag"`
	Restart  *benchRestart  `json:"restart,omitempty"`
	Join     *benchJoin     `json:"join,omitempty"`
	Changes  []benchChange  `json:"graphChanges,omitempty"`
	Releases *benchLateness `json:"releaseLatenessMs,omitempty"` // of reservations that expired

	System *benchSystem `json:"system,omitempty"` // where it is not ours

	Check *benchCheck `json:"check"`
}

// benchEnvironment is where a run took place.
type benchEnvironment struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	CPUs     int    `json:"cpus"`
	Redis    string `json:"redis"`
	Sessions int    `json:"sessions"`
}

// benchCPU is processor time in seconds for a million events.
type benchCPU struct {
	Processor *float64 `json:"processor"`
	Redis     *float64 `json:"redis"`  // all that Redis did, for others too
	Broker    *float64 `json:"broker"` // the same; brokers on other machines are not measured
	Bench     *float64 `json:"bench"`  // making the load and reading the outputs, not part of the system
}

// benchLateness are percentiles in milliseconds.
type benchLateness struct {
	Count uint64  `json:"count"`
	Mean  float64 `json:"mean"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p99.9"`
	Max   float64 `json:"max"`
}

// benchLag is how far behind the outputs were, and how late what was to be sent then.
type benchLag struct {
	Seconds float64  `json:"seconds"` // since the start, at the beginning of the slice
	Records int64    `json:"records"` // sent and not seen, or not in Redis, the most
	OldestM *float64 `json:"oldestMs"`
	P50     *float64 `json:"p50Ms"`
	P99     *float64 `json:"p99Ms"`
	Max     *float64 `json:"maxMs"`
}

func latenessOf(h *benchHistogram) *benchLateness {
	if h.count == 0 {
		return nil
	}
	return &benchLateness{Count: h.count, Mean: millis(h.sum / time.Duration(h.count)), P50: millis(h.percentile(50)), P90: millis(h.percentile(90)),
		P99: millis(h.percentile(99)), P999: millis(h.percentile(99.9)), Max: millis(h.longest)}
}

func newBenchReport(p *benchPlan, c *Config) *benchReport {
	return &benchReport{Workload: p.Workload, Plan: *p, Namespace: c.Namespace, Began: time.Now().UTC(), Lag: []benchLag{},
		Environment: benchEnvironment{Version: buildVersion(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
			CPUs: runtime.NumCPU(), Redis: c.Redis.String(), Sessions: c.Sessions}}
}

// measured notes what so many events took.
func (r *benchReport) measured(events int, took time.Duration, cost benchCost) {
	r.Events, r.Seconds, r.EventsSecond = events, took.Seconds(), float64(events)/took.Seconds()
	millions := float64(events) / 1e6
	each := func(d *time.Duration) *float64 {
		if d == nil {
			return nil
		}
		seconds := d.Seconds() / millions
		return &seconds
	}
	r.CPU = benchCPU{Redis: each(cost.Redis), Broker: each(cost.Broker), Bench: each(cost.Self)}
	if p := cost.Processor; p != nil {
		r.CPU.Processor = each(&p.CPU)
		r.Resident = &p.Resident
		if p.Allocations > 0 { // a system that is not ours does not say
			bytes, allocations := p.AllocBytes/float64(events), p.Allocations/float64(events)
			r.AllocatedBytes, r.Allocations = &bytes, &allocations
		}
	}
}

// watched notes what was seen of a flow.
func (r *benchReport) watched(w *benchWatcher) {
	r.Unseen, _ = w.look(time.Now())
	w.mu.Lock()
	defer w.mu.Unlock()
	var updates, results benchHistogram
	each := (len(w.slots) + 2*benchSlots - 1) / (2 * benchSlots) // a flow that took longer is drawn coarser
	for i := 0; i < len(w.slots); i += max(1, each) {
		var slot benchSlot
		for j := i; j < min(i+each, len(w.slots)); j++ {
			slot.updates.merge(&w.slots[j].updates)
			slot.unseen, slot.oldest = max(slot.unseen, w.slots[j].unseen), max(slot.oldest, w.slots[j].oldest)
			results.merge(&w.slots[j].results)
		}
		updates.merge(&slot.updates)
		oldest := millis(slot.oldest)
		lag := benchLag{Seconds: (time.Duration(i) * w.width).Seconds(), Records: int64(slot.unseen), OldestM: &oldest}
		if l := latenessOf(&slot.updates); l != nil {
			lag.P50, lag.P99, lag.Max = &l.P50, &l.P99, &l.Max
		}
		r.Lag = append(r.Lag, lag)
	}
	r.Updates, r.Results, r.Releases = latenessOf(&updates), latenessOf(&results), latenessOf(&w.lateness)
}

// checked notes what the check has counted.
func (r *benchReport) checked(b *benchChecker, footprint *cache.Footprint) {
	r.Check, r.Outputs = &b.found, b.outputs
	if footprint != nil && b.found.Balances > 0 {
		each := float64(footprint.Bytes) / float64(b.found.Balances)
		r.RedisBytes, r.BalanceBytes = &footprint.Bytes, &each
	}
}

// thinned are at most benchSlots of the lags, each the most of its neighbours.
func thinned(lags []benchLag) []benchLag {
	if len(lags) <= benchSlots {
		return lags
	}
	last := lags[len(lags)-1].Seconds
	slots := make([]benchLag, benchSlots)
	for i := range slots {
		slots[i].Seconds = last * float64(i) / benchSlots
	}
	for _, lag := range lags {
		slot := &slots[min(benchSlots-1, int(lag.Seconds/last*benchSlots))]
		slot.Records = max(slot.Records, lag.Records)
	}
	return slots
}

// print writes the report for a person.
func (r *benchReport) print(w io.Writer) error {
	p := &r.Plan
	fmt.Fprintf(w, "%s, seed %d: %s SKUs × %s locations, %d groups, %d per location, %d partitions, %s\n", r.Workload, p.Seed,
		thousands(int64(p.SKUs)), thousands(int64(p.Locations)), p.Groups, p.GroupsEach, p.Partitions, p.Skew)
	fmt.Fprintf(w, "sales %v %%, receipts %v %%, reservations %v %% (%v %% of them at groups), counts %v %%; of all %v %% repeated, %v %% poison\n",
		p.Sales, p.Receipts, p.Reservations, p.AtGroups, p.Counts, p.Duplicates, p.Poison)
	if p.Scale != 1 {
		fmt.Fprintf(w, "the workload is scaled by %v: these figures are not its own\n", p.Scale)
	}
	fmt.Fprintf(w, "%s, %s on %d processors, %s\n\n", r.Environment.Version, r.Environment.Go, r.Environment.CPUs, r.Environment.Redis)
	t := newTable("MEASURED", "")
	r.rows(t)
	if err := t.print(w); err != nil {
		return err
	}
	if err := r.printLateness(w); err != nil {
		return err
	}
	r.printLag(w)
	if err := r.printIncident(w); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%s\n", r.Check.summary())
	return nil
}

// rows are the figures that every run has.
func (r *benchReport) rows(t *table) {
	t.add("events", thousands(int64(r.Events)))
	t.add("time", fmt.Sprintf("%.1f s", r.Seconds))
	t.add("events/s", thousands(int64(r.EventsSecond)))
	events := float64(max(1, r.Events))
	t.add("updates per event", fmt.Sprintf("%.2f", float64(r.Outputs.Updates)/events))
	o := &r.Check.Outcomes
	t.add("results", fmt.Sprintf("%s (%s accepted, %s partial, %s rejected)", thousands(r.Outputs.Results), thousands(o.Accepted), thousands(o.Partial), thousands(o.Rejected)))
	t.add("dead letters", thousands(r.Outputs.DeadLetters))
	for _, row := range []struct {
		name string
		n    *float64
	}{{"processor", r.CPU.Processor}, {"Redis", r.CPU.Redis}, {"broker", r.CPU.Broker}, {"bench itself", r.CPU.Bench}} {
		t.add("CPU-s per million events, "+row.name, figure(row.n, "%.1f"))
	}
	t.add("allocated per event", figure(r.AllocatedBytes, "%.0f B"))
	t.add("allocations per event", figure(r.Allocations, "%.2f"))
	t.add("processor memory", mebibytes(r.Resident))
	t.add("Redis memory", mebibytes(r.RedisBytes))
	t.add("Redis bytes per balance", figure(r.BalanceBytes, "%.1f"))
}

func figure(n *float64, format string) string {
	if n == nil {
		return "not measured"
	}
	return fmt.Sprintf(format, *n)
}

func mebibytes(n *int64) string {
	if n == nil {
		return "not measured"
	}
	return fmt.Sprintf("%.1f MiB", float64(*n)/(1<<20))
}

func (r *benchReport) printLateness(w io.Writer) error {
	if r.Updates == nil && r.Results == nil && r.Releases == nil {
		return nil
	}
	fmt.Fprintln(w)
	t := newTable("LATENESS, ms", ">COUNT", ">MEAN", ">P50", ">P90", ">P99", ">P99.9", ">MAX")
	for _, row := range []struct {
		name string
		l    *benchLateness
	}{{"delta to update", r.Updates}, {"reservation to result", r.Results}, {"expiry to release", r.Releases}} {
		if l := row.l; l != nil {
			cells := []any{row.name, thousands(int64(l.Count))}
			for _, ms := range []float64{l.Mean, l.P50, l.P90, l.P99, l.P999, l.Max} {
				cells = append(cells, fmt.Sprintf("%.1f", ms))
			}
			t.add(cells...)
		}
	}
	if err := t.print(w); err != nil {
		return err
	}
	if r.Unseen > 0 {
		fmt.Fprintf(w, "%s not counted: no update names them, for later events of the same batch changed the same levels\n", plural(r.Unseen, "event"))
	}
	return nil
}

// printLag draws lateness and lag over time.
func (r *benchReport) printLag(w io.Writer) {
	if len(r.Lag) < 2 {
		return
	}
	var p99, records []float64
	for _, l := range r.Lag {
		if l.P99 != nil {
			p99 = append(p99, *l.P99)
		} else if r.Updates != nil {
			p99 = append(p99, 0)
		}
		records = append(records, float64(l.Records))
	}
	fmt.Fprintln(w)
	draw := func(name string, values []float64, format string) {
		most := 0.0
		for _, v := range values {
			most = max(most, v)
		}
		fmt.Fprintf(w, "%-16s %s  most "+format+"\n", name, sparkline(values), most)
	}
	if len(p99) > 0 {
		draw("p99 over time", p99, "%.1f ms")
	}
	draw("lag over time", records, "%.0f records")
	fmt.Fprintf(w, "%-16s %s\n", "", fmt.Sprintf("0%*s", len(r.Lag)-1, fmt.Sprintf("%.0f s", r.Lag[len(r.Lag)-1].Seconds)))
}

func (r *benchReport) printIncident(w io.Writer) error {
	if s := r.System; s != nil {
		fmt.Fprintf(w, "\n%s: first output %.1f s after its start\n", s.Command, s.FirstOutput)
		if k := s.Killed; k != nil {
			d := r.Check.Differences
			fmt.Fprintf(w, "killed with %s left, next output after %.0f ms; of the locations' levels %d are %s units too high, %d are %s too low, %d missing\n",
				plural(int(k.Left), "event"), k.BackMillis, d.Higher, d.UnitsHigher, d.Lower, d.UnitsLower, d.Missing)
		}
	}
	if s := r.Restart; s != nil {
		fmt.Fprintf(w, "\nfirst update of the new process after %.0f ms, of every partition after %.0f ms; caught up (nothing unseen older than %s) after %.0f ms; %s waited at most\n",
			s.FirstUpdateMS, s.EveryTaskMS, benchCaughtUp, s.CaughtUpMS, plural(s.UnseenMost, "event"))
	}
	if j := r.Join; j != nil {
		fmt.Fprintf(w, "\nthe second process took %s and was ready after %.0f ms; longest silence of a partition %.0f ms (median %.0f ms), before the join %.0f ms\n",
			plural(j.Moved, "task"), j.ReadyMS, j.SilenceMS, j.SilenceMedianMS, j.SilenceBeforeMS)
	}
	if len(r.Changes) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	t := newTable("GRAPH CHANGE", ">AT, s", ">SWEPT AFTER, ms", ">P99 BEFORE, ms", ">DURING", ">AFTER")
	for _, c := range r.Changes {
		t.add(c.Change, fmt.Sprintf("%.1f", c.At), fmt.Sprintf("%.0f", c.SweptMS), figure(c.BeforeMS, "%.1f"), figure(c.DuringMS, "%.1f"), figure(c.AfterMS, "%.1f"))
	}
	return t.print(w)
}

// note tells a person what happens.
func (a *app) note(format string, args ...any) {
	fmt.Fprintln(a.err, strings.TrimSpace(fmt.Sprintf(format, args...)))
}
