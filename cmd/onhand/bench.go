package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// benchFlags are the flags of bench that are no part of a plan.
type benchFlags struct {
	workload   string
	scale      float64
	skew       string
	incident   string
	metrics    string
	brokerPIDs []int
	keep, wipe bool
	reuse      bool
	asJSON     *bool
}

func newBenchCommand(a *app) *cobra.Command {
	f, given := &benchFlags{}, basicPlan("custom")
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Put load on a processor and measure it",
		Long: "Put load on a processor and measure it: throughput, lateness as a consumer of the topics sees it, processor time, memory.\n" + benchHelp() + `
A run makes a namespace of its own, runs the processor as a child of this process with the settings given here, and
removes all of it at the end. Then it folds all that it sent anew, with the decisions that were published, and compares
availability-updates and Redis with what that comes to: a difference is shown, and the exit code is 1.

Without --rate the events stand in Kafka before the processor starts, and the time until Redis has them is measured.
With --rate they are sent at their times, and lateness counts from the time an event was to be sent, whether that
succeeded or not. An event counts as seen when an output is read, read committed, that it or a later record of its
partition has caused.

With --system a command takes the place of the processor, to compare onhand with what else there is: deploy/bench has some,
and says what such a command is told and must do. It drains counts, sales and receipts, and its levels are compared alone.

Redis and the brokers are shared with whoever uses them meanwhile, and so are their figures. Brokers are measured where
all of them run on this machine.`,
		Example: `  onhand bench --workload W1-uniform --scale 0.1
  onhand bench --rate 5000 --duration 30s --skus 20000 --fill --sessions 2
  onhand bench --rate 2000 --duration 1m --incident kill --json
  onhand bench --sales 80 --receipts 15 --counts 5 --reservations 0 --system ./another --incident kill`,
		Args: arguments(),
	}
	cmd.Flags().SortFlags = false
	addBenchFlags(cmd.Flags(), f, &given)
	f.asJSON = addJSONFlag(cmd)
	addRunFlags(cmd)
	for name, choices := range map[string][]string{"workload": benchWorkloadNames(), "incident": benchIncidents, "skew": {"uniform", "zipf:1.1", "hot:50"}} {
		// It fails only for a flag that is not there.
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(choices, cobra.ShellCompDirectiveNoFileComp))
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.config(cmd)
		if err != nil {
			return err
		}
		plans, err := f.plans(cmd.Flags(), &given)
		if err != nil {
			return err
		}
		return a.bench(cmd, c, f, plans)
	}
	return cmd
}

// benchHelp lists the workloads.
func benchHelp() string {
	var b strings.Builder
	for _, w := range benchWorkloads() {
		var names []string
		for _, p := range w.plans {
			if p.Workload != w.name {
				names = append(names, p.Workload)
			}
		}
		fmt.Fprintf(&b, "  %-4s %s", w.name, w.asks)
		if names != nil {
			fmt.Fprintf(&b, " (%s)", strings.Join(names, ", "))
		}
		b.WriteByte('\n')
	}
	return "\nWorkloads:\n" + b.String()
}

func addBenchFlags(flags *pflag.FlagSet, f *benchFlags, p *benchPlan) {
	flags.StringVar(&f.workload, "workload", "", "`name` of a workload, or of one of its runs; other flags change it")
	flags.Float64Var(&f.scale, "scale", 1, "multiplies SKUs, events, reservations, rate and duration of the workload")
	flags.Uint64Var(&p.Seed, "seed", 1, "the same seed gives the same events")
	flags.IntVar(&p.SKUs, "skus", p.SKUs, "SKUs, 1 to 10000000")
	flags.IntVar(&p.Locations, "locations", p.Locations, "locations, 1 to 20000")
	flags.IntVar(&p.Groups, "groups", p.Groups, "location groups, 0 to 1000")
	flags.IntVar(&p.GroupsEach, "groups-per-location", p.GroupsEach, "groups that each location is in")
	flags.Int32Var(&p.Partitions, "partitions", p.Partitions, "partitions of the topics; those of a namespace that exists stay")
	flags.Float64Var(&p.Sales, "sales", p.Sales, "percent of the events: one unit sold")
	flags.Float64Var(&p.Receipts, "receipts", p.Receipts, "percent: 10 to 49 units received")
	flags.Float64Var(&p.Reservations, "reservations", p.Reservations, "percent: one unit reserved")
	flags.Float64Var(&p.Counts, "counts", p.Counts, "percent: a location counted")
	flags.Float64Var(&p.AtGroups, "at-groups", p.AtGroups, "percent of the reservations: at a group, not at a location")
	flags.Float64Var(&p.Duplicates, "duplicates", 0, "percent of all events that were sent before")
	flags.Float64Var(&p.Poison, "poison", 0, "percent of all events that are no record")
	flags.StringVar(&f.skew, "skew", p.Skew.String(), "SKUs of the events: "+benchSkewForm)
	flags.BoolVar(&p.Fill, "fill", false, "count every SKU at every location before")
	flags.Float64Var(&p.Feed, "feed", 0, "drain a full feed of counts, of which so many percent differ from those before; 0: none")
	flags.IntVar(&p.Expiring, "expiring", 0, "reservations that expire evenly during the flow")
	flags.Float64Var(&p.Rate, "rate", 0, "events a second, whatever becomes of those before; 0: preload, then drain")
	flags.DurationVar(&p.Duration, "duration", 30*time.Second, "how long events flow, with unit; with a --rate")
	flags.IntVar(&p.Events, "events", 1_000_000, "events to drain; without a --rate")
	flags.StringVar(&f.incident, "incident", string(p.Incident), "what happens in the middle of the flow: "+orList(benchIncidents))
	flags.DurationVar(&p.Linger, "linger", p.Linger, "how long the producer waits for company for a record, with unit")
	flags.BoolVar(&p.External, "external", false, "measure a processor that runs elsewhere, in the --namespace")
	flags.StringVar(&f.metrics, "metrics", "", "`URL` of its metrics, such as http://onhand-0:9464/metrics, for processor time and allocations")
	flags.IntSliceVar(&f.brokerPIDs, "broker-pid", nil, "process `ids` of the brokers, where they are not found by their ports")
	flags.StringVar(&p.System, "system", "", "measure another system: a `command` of the shell that reads stock-deltas and writes levels, see deploy/bench")
	flags.BoolVar(&f.reuse, "reuse", false, "with a --system: drain the events that a run with --keep has left in --namespace once more, if there are any")
	flags.BoolVar(&f.keep, "keep", false, "leave topics, schemas and keys of the run where they are")
	flags.BoolVar(&f.wipe, "wipe", false, "delete what --namespace holds before")
}

// plans are the runs that the flags ask for: the workload, changed by what was given besides.
func (f *benchFlags) plans(flags *pflag.FlagSet, given *benchPlan) ([]benchPlan, error) {
	plans := []benchPlan{*given}
	if f.workload != "" {
		var err error
		if plans, err = findBenchPlans(f.workload); err != nil {
			return nil, err
		}
	}
	if f.scale <= 0 || f.scale > 100 {
		return nil, usagef("--scale is %v and must be above 0 and at most 100", f.scale)
	}
	for i := range plans {
		p := plans[i].scaled(f.scale)
		if err := f.change(flags, &p, given); err != nil {
			return nil, err
		}
		if err := p.finish(); err != nil {
			return nil, err
		}
		plans[i] = p
	}
	return plans, nil
}

// change takes over what was given by flags.
func (f *benchFlags) change(flags *pflag.FlagSet, p, given *benchPlan) (err error) {
	for name, take := range map[string]func(){
		"skus": func() { p.SKUs = given.SKUs }, "locations": func() { p.Locations = given.Locations }, "groups": func() { p.Groups = given.Groups },
		"groups-per-location": func() { p.GroupsEach = given.GroupsEach }, "partitions": func() { p.Partitions = given.Partitions },
		"sales": func() { p.Sales = given.Sales }, "receipts": func() { p.Receipts = given.Receipts },
		"reservations": func() { p.Reservations = given.Reservations }, "counts": func() { p.Counts = given.Counts },
		"at-groups": func() { p.AtGroups = given.AtGroups }, "duplicates": func() { p.Duplicates = given.Duplicates },
		"poison": func() { p.Poison = given.Poison }, "fill": func() { p.Fill = given.Fill }, "feed": func() { p.Feed = given.Feed },
		"expiring": func() { p.Expiring = given.Expiring }, "rate": func() { p.Rate = given.Rate },
		"duration": func() { p.Duration = given.Duration }, "events": func() { p.Events = given.Events },
		"linger":   func() { p.Linger = given.Linger },
		"incident": func() { p.Incident = benchIncident(f.incident) },
	} {
		if flags.Changed(name) {
			take()
		}
	}
	p.Seed, p.External, p.System = given.Seed, given.External, given.System
	if flags.Changed("skew") {
		if p.Skew, err = parseBenchSkew(f.skew); err != nil {
			return &usageError{err}
		}
	}
	for _, incident := range benchIncidents {
		if string(p.Incident) == incident {
			return nil
		}
	}
	return usagef("--incident %q is not %s%s", p.Incident, orList(benchIncidents), didYouMean(string(p.Incident), benchIncidents))
}

// bench runs the plans one after the other. One that came out wrong does not keep the others from running.
func (a *app) bench(cmd *cobra.Command, c *sourced, f *benchFlags, plans []benchPlan) error {
	named := strings.HasPrefix(c.sources["namespace"], "flag ")
	switch {
	case plans[0].External && (!named || len(plans) > 1):
		return usagef("--external wants one run and the --namespace of the processor")
	case f.reuse && (!named || f.wipe || plans[0].System == "" || len(plans) > 1):
		return usagef("--reuse wants one run of a --system in the --namespace of an earlier one, and no --wipe")
	case f.wipe && !named:
		return usagef("--wipe wants a --namespace: the variable and the file may name one that is in use")
	}
	reports, wrong := []*benchReport{}, int64(0)
	for i := range plans {
		own := *c.Config
		if !named {
			own.Namespace = "bench-" + randomHex(4)
		} else if len(plans) > 1 {
			own.Namespace += "-" + strings.ToLower(plans[i].Workload)
		}
		report, err := a.benchOne(cmd, &own, f, &plans[i])
		if err != nil {
			return errors.Join(fmt.Errorf("running %s: %w", plans[i].Workload, err), a.printReports(reports, *f.asJSON))
		}
		reports, wrong = append(reports, report), wrong+report.Check.Wrong
		if !*f.asJSON {
			if err := report.print(a.out); err != nil {
				return err
			}
			if i+1 < len(plans) {
				fmt.Fprintln(a.out)
			}
		}
	}
	if err := a.printReports(reports, *f.asJSON); err != nil {
		return err
	}
	if wrong > 0 {
		return fmt.Errorf("the processor came to wrong levels: %s; the figures do not count", plural(int(wrong), "difference"))
	}
	return nil
}

// printReports prints those of all runs as JSON, if that is asked for.
func (a *app) printReports(reports []*benchReport, asJSON bool) error {
	if !asJSON {
		return nil
	}
	return printJSON(a.out, reports)
}

func (a *app) benchOne(cmd *cobra.Command, c *Config, f *benchFlags, p *benchPlan) (*benchReport, error) {
	report := newBenchReport(p, c)
	r := &benchRun{app: a, config: c, flags: f, plan: *p, report: report, started: a.runArguments(cmd), environ: a.environ}
	if err := r.run(cmd.Context()); err != nil {
		if cause := cmd.Context().Err(); cause != nil && !errors.Is(err, context.Canceled) {
			return nil, errors.Join(cause, err)
		}
		return nil, err
	}
	return report, nil
}

// runArguments are the settings that this command was given as flags, for `onhand run`. Those of the environment and the
// file it finds itself.
func (a *app) runArguments(cmd *cobra.Command) (args []string) {
	if a.configPath != "" {
		args = append(args, "--config", a.configPath)
	}
	for _, s := range settings {
		if s.key == "namespace" || s.key == "instance" || s.key == "admin" {
			continue
		}
		if flag := cmd.Flags().Lookup(s.flag()); flag != nil && flag.Changed {
			args = append(args, "--"+s.flag()+"="+flag.Value.String())
		}
	}
	return args
}

// randomHex is a name that nobody has taken, of twice as many letters.
func randomHex(bytes int) string {
	random := make([]byte, bytes)
	_, _ = rand.Read(random) // it never fails
	return hex.EncodeToString(random)
}
