package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/spf13/cobra"

	"onhand/processor/availability"
	"onhand/topics"
)

func newAuditCommand(a *app) *cobra.Command {
	f := &auditFlags{}
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Recompute every level and compare with Redis and with the topic",
		Long: `Recompute every pool, group and level from the location balances, and every reserved quantity from the open
reservations, and compare them with what Redis holds and with the newest record of each key in
availability-updates. It runs beside live traffic, and unless told to repair it reads only:

A SKU is read from Redis in one step, as some commit of its task left it. A task publishes before it writes to
Redis, so the topic, read on to its end after that, holds every level up to that commit: Redis may trail the topic,
never lead it. A level is compared with the newest record of its key that is not newer than the commit, which the
checkpoints before and after the read tell; where a record falls between the two, or none old enough is left, the
SKU is read again. So is one that differs: a difference is told only if it is there a second time. A SKU that was
not yet swept to the newest location graph is compared as of the graph it was computed with. While a task recovers
what Redis has forgotten, its SKUs wait. What cannot be compared within --wait is named. A record with a version
that its task has not given out is another writer's, and a difference.

With --repair, the task of each SKU that differs is told to compute it anew from its counts, movements and open
reservations, which are the truth, and to publish all its levels, above the versions that another writer has left;
what the topic has at places without the SKU is taken back. The SKUs are compared again when that is done. Counts
and reservations that cannot be read are not to be had from anywhere else: restore a snapshot.

Exit codes: 0 no differences, or none after the repair; 1 differences; 2 it could not look, or not at every SKU,
or the repair was not done in time. It remembers the newest
record of each key, of one task at a time: at most some 400 MB of memory.`,
		Example: `  onhand audit
  onhand audit --sku SHIRT-M-BLUE
  onhand audit --repair
  onhand audit --task 3,17 --sample 5% --json | jq '.differences[]'`,
		Args: arguments(),
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&f.skus, "sku", nil, "only these SKUs, several separated by commas")
	flags.Int32SliceVar(&f.tasks, "task", nil, "only the SKUs of these tasks (partition `numbers`), several separated by commas")
	flags.StringVar(&f.sample, "sample", "100%", "only so many of the SKUs, others at each run; of no effect on those named")
	flags.DurationVar(&f.wait, "wait", 30*time.Second, "how long to read SKUs of a task again that cannot be compared yet, with unit")
	flags.BoolVar(&f.repair, "repair", false, "have the processor compute and publish anew what differs, then look again")
	flags.BoolVar(&f.dry, "dry-run", false, "with --repair: only look")
	flags.DurationVar(&f.timeout, "timeout", 2*time.Minute, "with --repair: how long to wait for the processor each time, with unit")
	asJSON := addJSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.config(cmd)
		if err == nil {
			err = f.check(time.Now())
		}
		if err != nil {
			return err
		}
		r, err := a.audit(cmd.Context(), c.Config, f)
		if err != nil {
			return cannotLook(err)
		}
		return a.reportAudit(r, *asJSON)
	}
	return cmd
}

// cannotLook gives an error the exit code of an audit that could not look, which is that of a wrong command line. An
// interruption keeps its own.
func cannotLook(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return &usageError{err}
}

// auditFlags are the flags of audit.
type auditFlags struct {
	skus   []string
	tasks  []int32
	sample string
	wait   time.Duration

	repair, dry bool
	timeout     time.Duration

	named map[string]bool // the SKUs of skus
	seed  string          // another sample at each run
	share uint64          // a SKU is looked at if its hash is not above this
}

func (f *auditFlags) check(now time.Time) error {
	for _, sku := range f.skus {
		if err := availability.CheckSKU(sku); err != nil {
			return usagef("SKU %q: %w", sku, err)
		}
	}
	percent, err := strconv.ParseFloat(strings.TrimSuffix(f.sample, "%"), 64)
	if err != nil || !(percent > 0 && percent <= 100) { // not NaN
		return usagef("--sample %q is no share such as 5%%, above 0 and at most 100%%", f.sample)
	}
	if f.wait <= 0 {
		return usagef("--wait must be above 0")
	}
	if f.timeout <= 0 {
		return usagef("--timeout must be above 0")
	}
	f.name()
	f.seed, f.share = strconv.FormatInt(now.UnixNano(), 36), ^uint64(0)
	if percent < 100 {
		f.share = uint64(percent / 100 * (1 << 63) * 2)
	}
	return nil
}

// name makes a set of the SKUs that are named.
func (f *auditFlags) name() {
	f.named = make(map[string]bool, len(f.skus))
	for _, sku := range f.skus {
		f.named[sku] = true
	}
}

// selects says whether the flags let the SKU through. Those that are named are no matter of a sample.
func (f *auditFlags) selects(sku string) bool {
	if len(f.skus) > 0 {
		return f.named[sku]
	}
	return f.share == ^uint64(0) || xxhash.Sum64String(f.seed+sku) <= f.share
}

// tasksOf are the tasks to look at.
func (f *auditFlags) tasksOf(partitions int32) ([]int32, error) {
	var tasks []int32
	for task := range partitions {
		holds := func(sku string) bool { return topics.PartitionOf(sku, partitions) == task }
		if (len(f.skus) == 0 || slices.ContainsFunc(f.skus, holds)) && (len(f.tasks) == 0 || slices.Contains(f.tasks, task)) {
			tasks = append(tasks, task)
		}
	}
	for _, task := range f.tasks {
		if task < 0 || task >= partitions {
			return nil, usagef("--task %d: there are tasks 0 to %d", task, partitions-1)
		}
	}
	if len(tasks) == 0 {
		return nil, usagef("no SKU of --sku belongs to a task of --task")
	}
	return tasks, nil
}

// audit looks at every task in turn.
func (a *app) audit(ctx context.Context, c *Config, f *auditFlags) (*auditReport, error) {
	w, err := a.connect(ctx, c)
	if err != nil {
		return nil, err
	}
	defer w.close()
	store, err := openRedis(ctx, c, nil)
	if err != nil {
		return nil, err
	}
	defer closeRead(store)
	tasks, err := f.tasksOf(w.partitions)
	if err != nil {
		return nil, err
	}
	r := &auditReport{Tasks: len(tasks), Differences: []auditDifference{}, Unsettled: []auditUnsettled{}}
	if f.repair && !f.dry {
		r.Repair = &repairReport{Impossible: []auditUnsettled{}, Differences: []auditDifference{}, Unsettled: []auditUnsettled{}}
	}
	bar := newProgress(a.err, "auditing", int32(len(tasks)*availability.SKUShards))
	defer bar.end()
	for i, task := range tasks {
		t := &auditTask{flags: f, wire: w, store: store, number: task, report: r}
		t.show = func(shard int) {
			bar.show(int64(i*availability.SKUShards+shard), fmt.Sprintf("auditing: task %d of %d, %s, %s", i+1, len(tasks), plural(r.SKUs, "SKU"), plural(r.Different, "difference")))
		}
		if err := t.audit(ctx); err != nil {
			return nil, fmt.Errorf("auditing task %d: %w", task, err)
		}
		if r.Repair == nil {
			continue
		}
		if err := t.repair(ctx, bar); err != nil {
			return nil, fmt.Errorf("repairing task %d: %w", task, err)
		}
	}
	r.UnreadBatches = w.unreadBatches()
	return r, nil
}

// auditReport is what an audit comes to.
type auditReport struct {
	Tasks       int               `json:"tasks"`
	SKUs        int               `json:"skus"`   // compared
	Levels      int               `json:"levels"` // of these
	Different   int               `json:"different"`
	Differences []auditDifference `json:"differences"` // the first of them
	Unsettled   []auditUnsettled  `json:"unsettled"`   // SKUs that could not be compared: the first of them
	Waiting     int               `json:"waiting"`     // how many those are
	Repair      *repairReport     `json:"repair,omitempty"`

	UnreadBatches []topics.Source `json:"unreadBatches"` // of availability-updates, which nobody reads
}

// auditDifference is one field that is not everywhere what it should be.
type auditDifference struct {
	Task         int32   `json:"task"`
	SKU          string  `json:"sku"`
	GraphVersion int64   `json:"graphVersion"` // of the graph that the SKU was computed with
	Place        string  `json:"place"`        // a location, a group, or a pool: "pool 3 (NJ-1, NY-2)"
	Field        string  `json:"field"`
	Stored       *string `json:"stored"` // null: not a matter of Redis
	Computed     string  `json:"computed"`
	Published    *string `json:"published"` // null: not a matter of the topic
}

// auditUnsettled is a SKU that could not be compared, and why.
type auditUnsettled struct {
	Task   int32  `json:"task"`
	SKU    string `json:"sku"`
	Reason string `json:"reason"`
}

// auditListMax bounds what a report lists; the rest is counted.
const auditListMax = 1000

func (r *auditReport) differ(d auditDifference) {
	if r.Different++; len(r.Differences) < auditListMax {
		r.Differences = append(r.Differences, d)
	}
}

func (r *auditReport) unsettled(u auditUnsettled) {
	if r.Waiting++; len(r.Unsettled) < auditListMax {
		r.Unsettled = append(r.Unsettled, u)
	}
}

// reportAudit prints the report, and makes it an exit code.
func (a *app) reportAudit(r *auditReport, asJSON bool) error {
	var err error
	if asJSON {
		err = printJSON(a.out, r)
	} else {
		err = a.printAudit(r)
	}
	switch {
	case err != nil:
		return cannotLook(err)
	case r.remain() > 0:
		return errReported
	case r.Waiting > 0 || r.Repair != nil && r.Repair.Waiting > 0:
		return cannotLook(errReported)
	}
	return nil
}

// remain is how many differences there are in the end.
func (r *auditReport) remain() int {
	if r.Repair != nil {
		return r.Repair.Different
	}
	return r.Different
}

func (a *app) printAudit(r *auditReport) error {
	if err := a.printDifferences(r.Differences, r.Different); err != nil {
		return err
	}
	a.printUnsettled(r.Unsettled, "not compared", r.Waiting-len(r.Unsettled))
	if len(r.UnreadBatches) > 0 {
		fmt.Fprintln(a.err, unreadNote(r.UnreadBatches, "consumers stop there, and the processor wrote none of them"))
	}
	text := fmt.Sprintf("%s of %s, %s: %s", plural(r.SKUs, "SKU"), plural(r.Tasks, "task"), plural(r.Levels, "level"), plural(r.Different, "difference"))
	if r.Waiting > 0 {
		text += fmt.Sprintf(", %s not compared; try again, or see `onhand status`", plural(r.Waiting, "SKU"))
	}
	if _, err := fmt.Fprintln(a.out, text); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return a.printRepair(r)
}

// printDifferences lists the first of so many differences.
func (a *app) printDifferences(list []auditDifference, all int) error {
	if all == 0 {
		return nil
	}
	t := newTable(">TASK", "SKU", "PLACE", "FIELD", ">STORED", ">COMPUTED", ">PUBLISHED")
	for _, d := range list {
		t.add(d.Task, d.SKU, d.Place, d.Field, textOrDash(d.Stored), d.Computed, textOrDash(d.Published))
	}
	if err := t.print(a.out); err != nil {
		return err
	}
	if rest := all - len(list); rest > 0 {
		fmt.Fprintf(a.out, "and %d more\n", rest)
	}
	return nil
}

// printUnsettled lists SKUs that something was not done with, and counts the rest.
func (a *app) printUnsettled(list []auditUnsettled, what string, rest int) {
	for _, u := range list {
		fmt.Fprintf(a.err, "task %d, SKU %s: %s: %s\n", u.Task, u.SKU, what, u.Reason)
	}
	if rest > 0 {
		fmt.Fprintf(a.err, "and %s more\n", plural(rest, "SKU"))
	}
}

func textOrDash(text *string) string {
	if text == nil {
		return "-"
	}
	return *text
}
