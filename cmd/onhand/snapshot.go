package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/cache"
	"onhand/processor/availability"
	"onhand/schemas"
	"onhand/topics"
)

// snapshotFlags are the flags of snapshot.
type snapshotFlags struct {
	tasks []int32
	rate  int
	wait  time.Duration
}

func newSnapshotCommand(a *app) *cobra.Command {
	f := &snapshotFlags{}
	cmd := &cobra.Command{
		Use:   "snapshot DIR",
		Short: "Copy the state of every task into a directory",
		Long: `Copy the state of every task, with its checkpoint, into a directory: one compressed file for each task, and a
manifest. It only reads, and processors go on meanwhile. The file of a task is its state at exactly one
checkpoint: SKUs are read piece by piece, and read again where the inputs say that they have changed since.
"onhand restore" brings it back, into any kind of Redis; the tasks then rewind to it and replay what came later.

The files of tasks are written whole or not at all, and the manifest last. A snapshot that was interrupted goes on
with the tasks that are missing when it is called again with the same directory; those there keep their age.

It takes the space of the state twice for the task under way, and some 150 bytes of memory for each of its SKUs.`,
		Example: `  onhand snapshot /backup/onhand-$(date +%F)
  onhand snapshot /backup/now --rate 5000 --json`,
		Args: arguments("DIR"),
	}
	cmd.Flags().Int32SliceVar(&f.tasks, "tasks", nil, "only these tasks (partition `numbers`), several separated by commas")
	cmd.Flags().IntVar(&f.rate, "rate", 20_000, "how many SKUs are read from Redis in a second at most")
	cmd.Flags().DurationVar(&f.wait, "wait", 2*time.Minute, "how long a task may change faster than it is read, or recover, with unit")
	asJSON := addJSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.config(cmd)
		if err != nil {
			return err
		}
		if f.rate <= 0 || f.wait <= 0 {
			return usagef("--rate and --wait must be above 0")
		}
		m, err := a.snapshot(cmd.Context(), c.Config, f, args[0])
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(a.out, m)
		}
		m.print(a.out, args[0])
		return nil
	}
	return cmd
}

// snapshotRun is one call of snapshot.
type snapshotRun struct {
	app   *app
	flags *snapshotFlags
	dir   string
	wire  *wire
	store *cache.Redis
	pace  *pace
}

func (a *app) snapshot(ctx context.Context, c *Config, f *snapshotFlags, dir string) (*manifest, error) {
	unlock, err := lockSnapshot(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := beginDir(dir); err != nil {
		return nil, err
	}
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
	s := &snapshotRun{app: a, flags: f, dir: dir, wire: w, store: store, pace: &pace{perSecond: f.rate}}
	m := &manifest{Format: manifestFormat, Namespace: c.Namespace, Partitions: w.partitions, OnhandVersion: buildVersion()}
	if err = s.copyTasks(ctx, m); err == nil {
		err = s.complete(ctx, m)
	}
	if err != nil {
		if ctx.Err() != nil {
			err = interruptedf("`onhand snapshot %s` goes on with the tasks that are missing", dir)
		}
		return nil, err
	}
	text, err := m.text()
	if err != nil {
		return nil, err
	}
	return m, replaceFile(dir, manifestName, func(out *os.File) error {
		_, err := out.Write(text)
		return err
	})
}

// lockSnapshot makes the directory, and keeps it for this process until unlock. Two that write into it would each remove
// what the other has begun, or leave a manifest beside files that are not those it names.
func lockSnapshot(dir string) (unlock func(), err error) {
	const writable = "name a directory that can be made and written to"
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, hinted(fmt.Errorf("making the directory %s: %w", dir, pathReason(err)), writable)
	}
	path := filepath.Join(dir, ".lock")
	for {
		lock, err := openLocked(path)
		switch {
		case errors.Is(err, errLocked):
			return nil, hinted(fmt.Errorf("another onhand snapshot writes into %s", dir), "let it end, or name another directory")
		case err != nil:
			return nil, hinted(fmt.Errorf("writing into %s: %w", dir, pathReason(err)), writable)
		}
		// One that ends takes the file away, and a lock on what is gone keeps nobody out.
		mine, err := lock.Stat()
		there, gone := os.Stat(path)
		if err == nil && gone == nil && os.SameFile(mine, there) {
			return func() {
				_ = os.Remove(path) // Windows removes no open file; to leave it does no harm
				closeRead(lock)
			}, nil
		}
		if closeRead(lock); err != nil || gone != nil && !errors.Is(gone, fs.ErrNotExist) {
			return nil, fmt.Errorf("locking %s: %w", dir, errors.Join(err, gone))
		}
	}
}

// beginDir looks that the directory has no snapshot yet, and removes what an interruption has left behind.
func beginDir(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, manifestName)); err == nil {
		return hinted(fmt.Errorf("%s has a whole snapshot already", dir), "name another directory")
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("looking at the directory: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("looking at the directory: %w", err)
	}
	for _, e := range entries {
		if name := e.Name(); strings.HasPrefix(name, ".spool-") || strings.HasPrefix(name, ".task-") || strings.HasPrefix(name, "."+manifestName) {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				return fmt.Errorf("removing what is left of an interrupted snapshot: %w", err)
			}
		}
	}
	return nil
}

func (s *snapshotRun) copyTasks(ctx context.Context, m *manifest) error {
	var tasks []int32
	for task := range s.wire.partitions {
		if len(s.flags.tasks) == 0 || slices.Contains(s.flags.tasks, task) {
			tasks = append(tasks, task)
		}
	}
	for _, task := range s.flags.tasks {
		if task < 0 || task >= s.wire.partitions {
			return usagef("--tasks %d: there are tasks 0 to %d", task, s.wire.partitions-1)
		}
	}
	bar := newProgress(s.app.err, "copying", int32(len(tasks)))
	defer bar.end()
	for i, task := range tasks {
		t, there, err := s.kept(ctx, task)
		if err == nil && !there {
			t, err = s.copyTask(ctx, task, func(skus int) {
				bar.show(int64(i), fmt.Sprintf("copying: task %d of %d, %s", i+1, len(tasks), plural(skus, "SKU")))
			})
		}
		if err != nil {
			return err
		}
		m.Tasks = append(m.Tasks, t)
	}
	return nil
}

// kept returns the file of a task that an interrupted snapshot has left, if it is whole and of a state that the task has
// gone on from, and whether there is one.
func (s *snapshotRun) kept(ctx context.Context, task int32) (t manifestTask, there bool, err error) {
	path := filepath.Join(s.dir, snapshotFile(task))
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return t, false, nil
	}
	t, head, err := readTaskFile(path, &cache.SnapshotVisitor{})
	good := !errors.Is(err, cache.ErrSnapshot)
	if err != nil && good {
		return t, false, err
	}
	var now availability.Checkpoint
	err = askRedis(ctx, s.store, func(ctx context.Context) (err error) {
		now, err = s.store.Checkpoint(ctx, task)
		return err
	})
	if err != nil {
		return t, false, err
	}
	at := &head.Checkpoint
	if !good || head.Task != task || head.Namespace != s.wire.config.Namespace || at.Partitions != s.wire.partitions || at.Version() > now.Version() {
		fmt.Fprintf(s.app.err, "task %d: %s is of something else and is written anew\n", task, path)
		return t, false, nil
	}
	fmt.Fprintf(s.app.err, "task %d: %s is kept, of %s\n", task, path, t.CreatedAt.Format(time.RFC3339))
	return t, true, nil
}

// copyTask writes the file of a task.
func (s *snapshotRun) copyTask(ctx context.Context, task int32, show func(skus int)) (manifestTask, error) {
	t := &taskCopy{
		store: s.store, number: task, pace: s.pace, wait: s.flags.wait, dir: s.dir, show: show,
		mine: func(key []byte) bool {
			return availability.CheckSKU(string(key)) == nil && topics.PartitionOf(key, s.wire.partitions) == task
		},
		changes: func(from [availability.Inputs]int64) (changeLog, error) { return s.wire.openInputLog(ctx, task, from) },
		settled: func(ctx context.Context, at *availability.Checkpoint) (string, error) {
			return s.blocked(ctx, task, at)
		},
	}
	written := false
	err := replaceFile(s.dir, snapshotFile(task), func(file *os.File) error {
		at, _, err := t.copyTask(ctx, func(c *availability.Checkpoint) (*cache.SnapshotWriter, error) {
			if _, err := file.Seek(0, io.SeekStart); err != nil {
				return nil, err
			}
			if err := file.Truncate(0); err != nil {
				return nil, err
			}
			return cache.NewSnapshotWriter(file, &cache.SnapshotHead{Namespace: s.wire.config.Namespace, Task: task,
				CreatedAt: availability.Instant(time.Now().UnixMicro()), Version: buildVersion(), Checkpoint: *c})
		})
		if written = at.CommitID != (availability.CommitID{}); err == nil && !written {
			return errNoState
		}
		return err
	})
	if errors.Is(err, errNoState) && !written {
		return manifestTask{Task: task, CreatedAt: time.Now().UTC()}, nil
	}
	if err != nil {
		return manifestTask{}, err
	}
	done, _, err := readTaskFile(filepath.Join(s.dir, snapshotFile(task)), &cache.SnapshotVisitor{})
	return done, err
}

// errNoState ends the file of a task that has no state.
var errNoState = errors.New("the task has no state")

// blocked says why a task cannot be copied now. Kafka is asked after the checkpoint was read: an owner publishes nothing
// under its epoch before it has recovered.
func (s *snapshotRun) blocked(ctx context.Context, task int32, at *availability.Checkpoint) (string, error) {
	if at.CommitID != (availability.CommitID{}) && at.Partitions != s.wire.partitions {
		return "", hinted(fmt.Errorf("Redis has the state of %d partitions, the topics have %d", at.Partitions, s.wire.partitions), "check --brokers, --redis and --namespace")
	}
	group, err := s.wire.group(ctx)
	if err != nil {
		return "", err
	}
	kafka := &group.Tasks[task]
	for input := range at.Offsets {
		switch committed := kafka.Inputs[input].Committed; {
		case committed < 0:
		case at.CommitID == (availability.CommitID{}):
			return "Redis has no checkpoint of it, and Kafka has offsets", nil
		case kafka.Epoch < at.Epoch && at.Offsets[input] < committed:
			return "it recovers what Redis has forgotten", nil
		}
	}
	return "", nil
}

// complete adds what there is beside the tasks: how far the inputs are now that all tasks are copied, and the graph.
func (s *snapshotRun) complete(ctx context.Context, m *manifest) error {
	group, err := s.wire.group(ctx)
	if err != nil {
		return err
	}
	for i := range m.Tasks {
		t := &m.Tasks[i]
		for input, topic := range s.wire.inputs() {
			lag := &group.Tasks[t.Task].Inputs[input]
			at := &t.Inputs[input]
			at.Topic, at.Committed, at.End = topic, lag.Committed, lag.End
		}
	}
	if err := s.countUnread(ctx, m); err != nil {
		return err
	}
	if m.TopicIDs, err = s.wire.topicIDs(ctx); err != nil {
		return err
	}
	graph, err := s.wire.graph(ctx)
	if err != nil {
		return err
	}
	if m.GraphVersion = graph.spec.Version; m.GraphVersion > 0 {
		m.Graph = new(schemas.LocationGraph)
		*m.Graph = graph.record
	}
	m.CreatedAt = time.Now().UTC().Round(0)
	return nil
}

// unreadCounted is up to how many offsets behind the checkpoint are read, to tell records from the marks of transactions.
const unreadCounted = 1000

// countUnread counts the records that the state of each task does not have. Of many, marks of transactions are counted too.
func (s *snapshotRun) countUnread(ctx context.Context, m *manifest) error {
	for input, topic := range s.wire.inputs() {
		spans, of := make(map[int32]span), make(map[int32]*manifestInput)
		for i := range m.Tasks {
			at := &m.Tasks[i].Inputs[input]
			if n := at.End - at.Checkpoint; n > unreadCounted {
				at.Unread = n
			} else if n > 0 {
				spans[m.Tasks[i].Task], of[m.Tasks[i].Task] = span{at.Checkpoint, at.End}, at
			}
		}
		if len(spans) == 0 {
			continue
		}
		err := s.wire.readSpans(ctx, topic, spans, func(r *kgo.Record) error {
			if r.Offset < spans[r.Partition].to {
				of[r.Partition].Unread++
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// topicIDs tell the topics of a namespace from others of the same names.
func (w *wire) topicIDs(ctx context.Context) (map[string]string, error) {
	asking, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	inputs := w.inputs()
	details, err := kadm.NewClient(w.client).ListTopics(asking, inputs[:]...)
	if err == nil {
		err = details.Error()
	}
	if err != nil {
		return nil, explainKafka(w.config, fmt.Errorf("asking for the topics: %w", err))
	}
	ids := make(map[string]string)
	for _, topic := range inputs {
		ids[topic] = details[topic].ID.String()
	}
	return ids, nil
}
