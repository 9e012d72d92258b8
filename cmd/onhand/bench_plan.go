package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// benchPlan is what one run of a benchmark does. Shares are in percent.
type benchPlan struct {
	Workload string `json:"workload"`
	Seed     uint64 `json:"seed"`

	SKUs       int   `json:"skus"`
	Locations  int   `json:"locations"`
	Groups     int   `json:"groups"`
	GroupsEach int   `json:"groupsPerLocation"`
	Partitions int32 `json:"partitions"`

	Sales        float64   `json:"sales"`
	Receipts     float64   `json:"receipts"`
	Reservations float64   `json:"reservations"`
	Counts       float64   `json:"counts"`
	AtGroups     float64   `json:"reservationsAtGroups"` // of the reservations
	Duplicates   float64   `json:"duplicates"`           // of all events: one sent before, again
	Poison       float64   `json:"poison"`               // of all events: bytes that are no record
	Skew         benchSkew `json:"skew"`

	Fill     bool          `json:"fill"`        // count every SKU at every location before
	Feed     float64       `json:"feed"`        // above 0: drain a full feed of counts, of which so much differs from the fill
	Expiring int           `json:"expiring"`    // reservations that expire during the run
	Rate     float64       `json:"rate"`        // events a second; 0: preload, then drain
	Events   int           `json:"events"`      // of a drain
	Duration time.Duration `json:"-"`           // of a flow
	Seconds  float64       `json:"seconds"`     // the same
	Incident benchIncident `json:"incident"`    // what happens in the middle of a flow
	Linger   time.Duration `json:"-"`           // of the producer
	LingerMS float64       `json:"lingerMs"`    // the same
	External bool          `json:"external"`    // the processor is not bench's to start and stop
	System   string        `json:"-"`           // command of a system that is not ours; empty: ours
	Scale    float64       `json:"scaledBy"`    // of the workload as it is defined; 1: as it is
	Balances int           `json:"balancesMax"` // SKUs × locations
}

// benchIncident is what happens to the processor, or to the graph, in the middle of a flow.
type benchIncident string

const (
	incidentNone  benchIncident = "none"
	incidentKill  benchIncident = "kill"  // kill -9, and the same instance again at once
	incidentCold  benchIncident = "cold"  // the process starts when the flow does, with nothing in memory
	incidentJoin  benchIncident = "join"  // a second instance joins
	incidentGraph benchIncident = "graph" // locations move between groups, a group goes, locations come
)

var benchIncidents = []string{string(incidentNone), string(incidentKill), string(incidentCold), string(incidentJoin), string(incidentGraph)}

// benchSkew is how the events spread over the SKUs.
type benchSkew struct {
	Zipf float64 // exponent s of a Zipf distribution, above 1; 0: uniform
	Hot  float64 // percent of the events that go to one SKU
}

const benchSkewForm = "uniform, zipf:S with S above 1, or hot:P with P percent for one SKU"

func parseBenchSkew(text string) (benchSkew, error) {
	kind, number, _ := strings.Cut(text, ":")
	n, err := strconv.ParseFloat(number, 64)
	switch {
	case text == "uniform":
		return benchSkew{}, nil
	case kind == "zipf" && err == nil && n > 1 && n <= 10:
		return benchSkew{Zipf: n}, nil
	case kind == "hot" && err == nil && n > 0 && n <= 100:
		return benchSkew{Hot: n}, nil
	}
	return benchSkew{}, fmt.Errorf("skew %q is not %s", text, benchSkewForm)
}

// String is what parseBenchSkew reads.
func (s benchSkew) String() string {
	switch {
	case s.Zipf > 0:
		return "zipf:" + strconv.FormatFloat(s.Zipf, 'g', -1, 64)
	case s.Hot > 0:
		return "hot:" + strconv.FormatFloat(s.Hot, 'g', -1, 64)
	}
	return "uniform"
}

// MarshalText is String.
func (s benchSkew) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is parseBenchSkew.
func (s *benchSkew) UnmarshalText(text []byte) (err error) {
	*s, err = parseBenchSkew(string(text))
	return err
}

// basicPlan is the mix that all workloads begin with.
func basicPlan(name string) benchPlan {
	return benchPlan{
		Workload: name, SKUs: 100_000, Locations: 20, Groups: 12, GroupsEach: 3, Partitions: 16,
		Sales: 70, Receipts: 10, Reservations: 15, Counts: 5, AtGroups: 50,
		Incident: incidentNone, Linger: time.Millisecond, Scale: 1,
	}
}

// benchWorkload is a question that is asked with one or several runs.
type benchWorkload struct {
	name  string
	asks  string
	plans []benchPlan
}

// planned is a basicPlan, changed.
func planned(name string, change func(*benchPlan)) benchPlan {
	p := basicPlan(name)
	change(&p)
	return p
}

// benchWorkloads are the workloads by name. Their sizes are part of what BENCHMARKS.md says: another size gets another name.
func benchWorkloads() []benchWorkload {
	drained := func(name string, change func(*benchPlan)) benchPlan {
		return planned(name, func(p *benchPlan) {
			p.Events, p.Duplicates, p.Poison = 3_000_000, 1, 0.1
			change(p)
		})
	}
	flowing := func(name string, rate float64, change func(*benchPlan)) benchPlan {
		return planned(name, func(p *benchPlan) {
			p.SKUs, p.Fill, p.Rate, p.Duration = 20_000, true, rate, time.Minute
			change(p)
		})
	}
	same := func(*benchPlan) {}
	return []benchWorkload{
		{"W1", "how fast a backlog of 3 M mixed events is folded, by a processor with an empty state", []benchPlan{
			drained("W1-uniform", same),
			drained("W1-zipf", func(p *benchPlan) { p.Skew.Zipf = 1.1 }),
			drained("W1-deltas", func(p *benchPlan) { p.Sales, p.Receipts, p.Reservations, p.Counts = 80, 15, 0, 5 }),
		}},
		{"W2", "how late updates are at a steady rate", []benchPlan{
			flowing("W2-5k", 5_000, same), flowing("W2-20k", 20_000, same), flowing("W2-40k", 40_000, same),
		}},
		{"W3", "how long a kill -9 of the only processor is felt", []benchPlan{
			flowing("W3", 5_000, func(p *benchPlan) { p.Incident = incidentKill }),
		}},
		{"W4", "how long a process without anything in memory takes to keep up, with 2 M balances in Redis", []benchPlan{
			flowing("W4", 5_000, func(p *benchPlan) { p.SKUs, p.Incident = 100_000, incidentCold }),
		}},
		{"W5", "how long partitions are silent when a second instance joins", []benchPlan{
			flowing("W5", 5_000, func(p *benchPlan) { p.Incident = incidentJoin }),
		}},
		{"W6", "what a change of the location graph costs under load", []benchPlan{
			flowing("W6", 5_000, func(p *benchPlan) { p.Incident, p.Duration = incidentGraph, 2*time.Minute }),
		}},
		{"W7", "what one SKU with half of the traffic does", []benchPlan{
			flowing("W7", 5_000, func(p *benchPlan) { p.Skew.Hot = 50 }),
		}},
		{"W8", "what 5,000 locations cost", []benchPlan{
			flowing("W8", 5_000, func(p *benchPlan) { p.SKUs, p.Locations = 400, 5_000 }),
		}},
		{"W9", "what a full feed costs of which 5 % is real change", []benchPlan{
			planned("W9", func(p *benchPlan) { p.Fill, p.Feed = true, 5 }),
		}},
		{"W10", "how late 100,000 expiring reservations are released while events flow", []benchPlan{
			flowing("W10", 5_000, func(p *benchPlan) { p.Expiring = 100_000 }),
		}},
	}
}

// benchWorkloadNames are all names that --workload takes: those of workloads and those of their single runs.
func benchWorkloadNames() (names []string) {
	for _, w := range benchWorkloads() {
		names = append(names, w.name)
		for _, p := range w.plans {
			if p.Workload != w.name {
				names = append(names, p.Workload)
			}
		}
	}
	return names
}

// findBenchPlans are the runs of a workload, or the one run of that name.
func findBenchPlans(name string) ([]benchPlan, error) {
	for _, w := range benchWorkloads() {
		if strings.EqualFold(w.name, name) {
			return w.plans, nil
		}
		for _, p := range w.plans {
			if strings.EqualFold(p.Workload, name) {
				return []benchPlan{p}, nil
			}
		}
	}
	return nil, usagef("there is no workload %q%s", name, didYouMean(name, benchWorkloadNames()))
}

// scaled is the plan with everything that makes it long or large multiplied, so that it is the same question in small.
func (p benchPlan) scaled(by float64) benchPlan {
	if by == 1 {
		return p
	}
	count := func(n, least int) int { return min(n, max(least, int(float64(n)*by))) }
	p.SKUs, p.Events = count(p.SKUs, 20), count(p.Events, 200)
	if p.Locations > 1000 {
		p.Locations = count(p.Locations, 50)
	}
	p.Expiring = count(p.Expiring, 50)
	p.Rate = min(p.Rate, max(500, p.Rate*by))
	p.Duration = min(p.Duration, max(500*time.Millisecond, time.Duration(float64(p.Duration)*by)))
	p.Scale *= by
	return p
}

// finish fills in what follows from the rest, and returns every problem.
func (p *benchPlan) finish() error {
	var problems []error
	refuse := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	between := func(name string, n, low, high float64) {
		if math.IsNaN(n) || n < low || n > high {
			refuse("%s is %v and must be from %v to %v", name, n, low, high)
		}
	}
	between("--skus", float64(p.SKUs), 1, 10_000_000)
	between("--locations", float64(p.Locations), 1, 20_000)
	between("--groups", float64(p.Groups), 0, 1_000)
	between("--groups-per-location", float64(p.GroupsEach), 0, float64(p.Groups))
	between("--partitions", float64(p.Partitions), 1, 10_000)
	between("--rate", p.Rate, 0, 10_000_000)
	between("--linger", p.Linger.Seconds(), 0, 10)
	between("--expiring", float64(p.Expiring), 0, 10_000_000)
	for _, share := range []struct {
		name string
		n    float64
	}{
		{"--sales", p.Sales}, {"--receipts", p.Receipts}, {"--reservations", p.Reservations}, {"--counts", p.Counts},
		{"--at-groups", p.AtGroups}, {"--duplicates", p.Duplicates}, {"--poison", p.Poison}, {"--feed", p.Feed},
	} {
		between(share.name, share.n, 0, 100)
	}
	if sum := p.Sales + p.Receipts + p.Reservations + p.Counts; math.Abs(sum-100) > 1e-9 {
		refuse("--sales, --receipts, --reservations and --counts come to %v %% and must be 100", sum)
	}
	if p.Groups > 0 && p.GroupsEach == 0 {
		refuse("--groups-per-location is 0 and there are %d groups: a group has a location at least", p.Groups)
	}
	if p.Groups > p.Locations*p.GroupsEach {
		refuse("--groups is %d and %d locations in %d groups each do not fill them", p.Groups, p.Locations, p.GroupsEach)
	}
	problems = append(problems, p.relations()...)
	p.Seconds, p.LingerMS, p.Balances = p.Duration.Seconds(), float64(p.Linger.Microseconds())/1000, p.SKUs*p.Locations
	if err := errors.Join(problems...); err != nil {
		return &usageError{err}
	}
	return nil
}

// systemRelations returns what a system that is not ours cannot be put to.
func (p *benchPlan) systemRelations() (problems []error) {
	refuse := func(text string) { problems = append(problems, errors.New(text)) }
	if p.Rate > 0 || p.Fill || p.Feed > 0 || p.Expiring > 0 || p.External {
		refuse("--system drains --events: leave --rate, --fill, --feed, --expiring and --external out")
	}
	if p.Reservations > 0 || p.Duplicates > 0 || p.Poison > 0 {
		refuse("--system wants counts, sales and receipts alone: --reservations, --duplicates and --poison must be 0")
	}
	if p.Incident != incidentNone && p.Incident != incidentKill {
		refuse("--system and --incident " + string(p.Incident) + " do not go together: it can be killed, and nothing else")
	}
	return problems
}

// relations returns the problems of what does not go together.
func (p *benchPlan) relations() (problems []error) {
	refuse := func(text string) { problems = append(problems, errors.New(text)) }
	if p.Rate > 0 && p.Duration < 100*time.Millisecond {
		refuse("--duration must be 100ms at least where --rate is given")
	}
	if p.Rate == 0 && p.Feed == 0 && p.Events < 1 {
		refuse("--events must be 1 at least where no --rate is given")
	}
	if p.System != "" {
		return append(problems, p.systemRelations()...)
	}
	if p.Rate == 0 && (p.Incident != incidentNone || p.Expiring > 0) {
		refuse("--incident and --expiring need a --rate")
	}
	if p.Expiring > 0 && !p.Fill {
		refuse("--expiring needs --fill: without stock nothing is reserved")
	}
	if p.Feed > 0 && (!p.Fill || p.Rate > 0) {
		refuse("--feed needs --fill and no --rate")
	}
	if p.External && (p.Rate == 0 || p.Incident == incidentKill || p.Incident == incidentCold || p.Incident == incidentJoin) {
		refuse("--external needs a --rate, and the only --incident it can have is graph: the processor is not bench's to start and stop")
	}
	if p.Incident == incidentGraph && p.Groups < 3 {
		refuse("--incident graph needs 3 --groups at least")
	}
	return problems
}
