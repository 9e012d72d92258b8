package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"onhand/cache"
	"onhand/processor/availability"
	"onhand/topics"
)

// restoreFlags are the flags of restore.
type restoreFlags struct {
	partitions int32
	replace    string
	force      bool
	verify     bool
	wait       time.Duration
}

func newRestoreCommand(a *app) *cobra.Command {
	f := &restoreFlags{}
	cmd := &cobra.Command{
		Use:   "restore DIR",
		Short: "Bring a snapshot back into Redis",
		Long: `Bring a snapshot back into Redis, of any kind, once every checksum of it was checked. No processor of the
namespace may run. The checkpoint of a task is written last, so that a restore that was interrupted is not taken
for state; called again, it goes on where it was.

Into the namespace it was made of, the tasks then rewind to their checkpoints, and replay what came later as
soon as processors run. The topics have to be the same ones and to reach back that far.

Into another namespace, or with --partitions, it is moved: every SKU goes to the task that the topics of the new
namespace have for it. The inputs there have to be empty, and the snapshot drained: made when producers had
stopped and every record was folded. The location graph is published in the new namespace as it was; the
processors there publish every level anew, with versions above all there were.`,
		Example: `  onhand restore /backup/onhand-2026-11-23
  onhand restore /backup/onhand-2026-11-23 --replace onhand
  onhand restore /backup/now --namespace onhand2 --partitions 128
  onhand restore /backup/now --verify`,
		Args: arguments("DIR"),
	}
	cmd.Flags().Int32Var(&f.partitions, "partitions", 0, "move the snapshot to topics of so many partitions; 0: as many as it has")
	cmd.Flags().StringVar(&f.replace, "replace", "", "delete the state that the `namespace` has in Redis first; its name has to be said")
	cmd.Flags().BoolVar(&f.force, "force", false, "restore although records are lost by it, or counted twice, which is told without it")
	cmd.Flags().BoolVar(&f.verify, "verify", false, "check the files and do nothing else")
	cmd.Flags().DurationVar(&f.wait, "wait", 30*time.Second, "how long to wait for processors that have stopped to count as gone, with unit; a session lasts 15 s")
	asJSON := addJSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.config(cmd)
		if err != nil {
			return err
		}
		if f.partitions < 0 {
			return usagef("--partitions must be above 0")
		}
		if f.replace != "" && f.replace != c.Namespace {
			return hinted(usagef("--replace names %q, and the namespace is %q", f.replace, c.Namespace), "name the namespace whose state is to be deleted")
		}
		r, err := a.restore(cmd.Context(), c.Config, f, args[0])
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(a.out, r)
		}
		r.print(a.out, f)
		return nil
	}
	return cmd
}

// restoreReport is what a restore has done.
type restoreReport struct {
	Snapshot     string `json:"snapshot"`
	Checksum     string `json:"checksum"` // of its manifest
	Namespace    string `json:"namespace"`
	Partitions   int32  `json:"partitions"`
	Moved        bool   `json:"moved"`
	Resumed      bool   `json:"resumed"` // an interrupted restore went on
	Tasks        int    `json:"tasks"`
	SKUs         int64  `json:"skus"`
	Balances     int64  `json:"balances"`
	Reservations int64  `json:"reservations"`
	IDs          int64  `json:"ids"`
	GraphVersion int64  `json:"graphVersion"`
}

func (r *restoreReport) print(out io.Writer, f *restoreFlags) {
	if f.verify {
		fmt.Fprintf(out, "%s is good: %s, %d SKUs, %d balances, %d reservations, %d ids\n", r.Snapshot, plural(r.Tasks, "task"), r.SKUs, r.Balances, r.Reservations, r.IDs)
		return
	}
	fmt.Fprintf(out, "%s of namespace %s restored: %d SKUs, %d balances, %d reservations, %d ids\n", plural(r.Tasks, "task"), r.Namespace, r.SKUs, r.Balances, r.Reservations, r.IDs)
	if r.Moved {
		fmt.Fprintf(out, "location graph %d is published; start processors with `onhand run`, and switch over once `onhand graph status` says that the sweep is done\n", r.GraphVersion)
		return
	}
	fmt.Fprintln(out, "start processors with `onhand run`: they replay what came after the snapshot")
}

// restoring is one call of restore.
type restoring struct {
	app      *app
	flags    *restoreFlags
	config   *Config
	dir      string
	manifest *manifest
	heads    map[int32]cache.SnapshotHead // of the files
	futures  bool                         // some file's index of what is due had futures
	wire     *wire
	store    *cache.Redis
	report   *restoreReport
}

func (a *app) restore(ctx context.Context, c *Config, f *restoreFlags, dir string) (*restoreReport, error) {
	m, err := readManifest(dir)
	if err != nil {
		return nil, err
	}
	sum, _, _ := m.sums()
	r := &restoring{app: a, flags: f, config: c, dir: dir, manifest: m, heads: make(map[int32]cache.SnapshotHead), report: &restoreReport{
		Snapshot: dir, Checksum: m.Checksum, Namespace: c.Namespace, Partitions: m.Partitions, Tasks: len(m.Tasks),
		SKUs: sum.SKUs, Balances: sum.Cells, Reservations: sum.Reservations, IDs: sum.IDs, GraphVersion: m.GraphVersion,
	}}
	if err := r.verify(ctx); err != nil || f.verify {
		return r.report, err
	}
	if r.wire, err = a.connect(ctx, c); err != nil {
		return nil, err
	}
	defer r.wire.close()
	if r.store, err = openRedis(ctx, c, nil); err != nil {
		return nil, err
	}
	defer closeRead(r.store)
	if err := r.idle(ctx); err != nil {
		return nil, err
	}
	r.report.Moved, r.report.Partitions = f.partitions != 0 || c.Namespace != m.Namespace, r.wire.partitions
	var p *restorePlan
	if r.report.Moved {
		p, err = r.planMove(ctx)
	} else {
		p, err = r.planBack(ctx)
	}
	if err != nil {
		return nil, err
	}
	r.report.Tasks = len(p.targets)
	if err := r.write(ctx, p); err != nil {
		if ctx.Err() != nil {
			err = interruptedf("the same command goes on where it was")
		}
		return nil, err
	}
	return r.report, nil
}

// verify reads every file to its end.
func (r *restoring) verify(ctx context.Context) error {
	bar := newProgress(r.app.err, "checking", int32(len(r.manifest.Tasks)))
	defer bar.end()
	for i := range r.manifest.Tasks {
		bar.set(i)
		if err := ctx.Err(); err != nil {
			return err
		}
		want := &r.manifest.Tasks[i]
		if want.File == "" {
			continue
		}
		path := filepath.Join(r.dir, want.File)
		got, head, err := readTaskFile(path, r.belongs(want.Task, &cache.SnapshotVisitor{}))
		r.futures = r.futures || got.futures
		if errors.Is(err, cache.ErrSnapshot) {
			return damaged(err)
		}
		if err != nil {
			return err
		}
		if head.Task != want.Task || head.Namespace != r.manifest.Namespace || head.Checkpoint.Partitions != r.manifest.Partitions {
			return damaged(fmt.Errorf("%s is the file of task %d of %d of namespace %s, not of task %d of %d of %s", path, head.Task, head.Checkpoint.Partitions, head.Namespace, want.Task, r.manifest.Partitions, r.manifest.Namespace))
		}
		if got.SHA256 != want.SHA256 || got.Bytes != want.Bytes {
			return damaged(fmt.Errorf("%s is not the file that the manifest names: its SHA-256 is %s, not %s", path, got.SHA256, want.SHA256))
		}
		r.heads[want.Task] = head
	}
	return nil
}

// idle waits for the processors of the namespace to be gone, and refuses to go on while one is there: it would take what is
// written for its own. One that was stopped stays a member until its session is over.
func (r *restoring) idle(ctx context.Context) error {
	told := false
	for deadline := time.Now().Add(r.flags.wait); ; {
		group, err := r.wire.group(ctx)
		if err != nil || group.Members == 0 {
			return err
		}
		if !time.Now().Before(deadline) {
			return hinted(fmt.Errorf("%s of namespace %s: the group is %s", plural(group.Members, "processor"), r.config.Namespace, group.State), "stop every `onhand run` of the namespace, and wait until `onhand status` says that the group is Empty")
		}
		if !told {
			told = true
			fmt.Fprintf(r.app.err, "waiting for %s to leave the group\n", plural(group.Members, "processor"))
		}
		if err := sleep(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

// write brings the state of the tasks into Redis.
func (r *restoring) write(ctx context.Context, p *restorePlan) error {
	tasks, err := r.open(ctx, p)
	if err != nil {
		return err
	}
	if err := p.prepare(ctx); err != nil {
		return err
	}
	bar := newProgress(r.app.err, "restoring", int32(len(p.sources)))
	defer bar.end()
	for i, source := range p.sources {
		skus := 0
		v := r.writes(ctx, p, tasks, source)
		stock := v.Stock
		v.Stock = func(d *availability.StockData) error {
			if !d.Exists {
				skus++
			}
			bar.show(int64(i), fmt.Sprintf("restoring: task %d of %d, %s", i+1, len(p.sources), plural(skus, "SKU")))
			return stock(d)
		}
		if _, _, err := readTaskFile(filepath.Join(r.dir, snapshotFile(source)), v); err != nil {
			return explainRestore(r.config, err)
		}
		if r.report.Moved {
			continue
		}
		if err := tasks[source].Finish(ctx, p.checkpoints[source]); err != nil {
			return explainRestore(r.config, err)
		}
	}
	for _, target := range p.targets {
		if !r.report.Moved {
			break
		}
		if err := tasks[target].Finish(ctx, p.checkpoints[target]); err != nil {
			return explainRestore(r.config, err)
		}
	}
	return r.stands(ctx, p)
}

// stands looks once more for each task: a Redis that was replaced meanwhile may have forgotten some.
func (r *restoring) stands(ctx context.Context, p *restorePlan) error {
	for _, target := range p.targets {
		c, err := r.store.Checkpoint(ctx, target)
		if errors.Is(err, availability.ErrCorrupt) || err == nil && c.CommitID == (availability.CommitID{}) {
			err = hinted(fmt.Errorf("task %d was restored, and Redis has forgotten it since: it failed over, or was started without its data", target),
				"the same command restores what is missing, and leaves the rest")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// writes gives what the file of a task has to the tasks that get it. A move leaves out what is owed, and older graphs: it
// publishes all there is.
func (r *restoring) writes(ctx context.Context, p *restorePlan, tasks map[int32]*cache.Restore, source int32) *cache.SnapshotVisitor {
	v := &cache.SnapshotVisitor{
		Stock: func(d *availability.StockData) error {
			return tasks[topics.PartitionOf(d.SKU, r.wire.partitions)].Stock(ctx, d)
		},
		IDs: func(b availability.IDBatch) error {
			for _, target := range p.targets {
				if !p.shares(source, target) {
					continue
				}
				if err := tasks[target].IDs(ctx, b); err != nil {
					return err
				}
			}
			return nil
		},
	}
	if !r.report.Moved {
		v.Owed = func(skus []availability.SKU) error { return tasks[source].Owed(ctx, skus) }
		v.Graph = func(g availability.GraphData) error { return tasks[source].Graph(ctx, g) }
	}
	return v
}

// open begins the restore of every task, or goes on with it. What is there already is deleted if that was asked for, and
// only once it is clear that nothing else is in the way.
func (r *restoring) open(ctx context.Context, p *restorePlan) (map[int32]*cache.Restore, error) {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %d %t", r.manifest.Checksum, r.config.Namespace, r.wire.partitions, r.report.Moved))
	tasks := make(map[int32]*cache.Restore)
	var occupied []int32
	for _, task := range p.targets {
		x, err := r.store.Restore(ctx, task, [16]byte(sum[:16]))
		switch {
		case r.flags.replace != "" && (errors.Is(err, cache.ErrOccupied) || errors.Is(err, cache.ErrOtherRestore)):
			occupied = append(occupied, task)
		case err != nil:
			return nil, explainRestore(r.config, err)
		}
		if err == nil {
			x.Futures = r.futures
			r.report.Resumed = r.report.Resumed || x.Begun()
		}
		tasks[task] = x
	}
	// Tasks of a greater partition count, of before.
	for task := r.wire.partitions; task < r.manifest.Partitions; task++ {
		there, err := r.store.Occupied(ctx, task)
		if err == nil && there && r.flags.replace == "" {
			err = fmt.Errorf("task %d: %w", task, cache.ErrOccupied)
		}
		if err != nil {
			return nil, explainRestore(r.config, err)
		}
		if there {
			occupied = append(occupied, task)
		}
	}
	bar := newProgress(r.app.err, "deleting", int32(len(occupied)))
	defer bar.end()
	for i, task := range occupied {
		bar.set(i)
		if err := r.store.Erase(ctx, task); err != nil {
			return nil, err
		}
		if tasks[task] == nil && task >= r.wire.partitions {
			continue
		}
		var err error
		if tasks[task], err = r.store.Restore(ctx, task, [16]byte(sum[:16])); err != nil {
			return nil, explainRestore(r.config, err)
		}
		tasks[task].Futures = r.futures
	}
	return tasks, nil
}

// explainRestore adds the way out to what a restore refuses.
func explainRestore(c *Config, err error) error {
	replace := fmt.Sprintf("restore into an empty namespace, or delete what is there with --replace %s", c.Namespace)
	switch {
	case errors.Is(err, cache.ErrOccupied):
		return hinted(fmt.Errorf("namespace %s has state in Redis: %w", c.Namespace, err), replace)
	case errors.Is(err, cache.ErrOtherRestore):
		return hinted(fmt.Errorf("namespace %s has a part of another restore, which was interrupted or is under way: %w", c.Namespace, err), "let that one end, or finish it with the same command, or "+replace)
	case errors.Is(err, cache.ErrSnapshot):
		return damaged(err)
	}
	return err
}
