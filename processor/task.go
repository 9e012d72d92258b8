package processor

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/topics"
)

// taskState is where a task stands in its life:
//
//	created ──▶ claiming ──▶ recovering ──▶ claim done ──▶ running ──▶ closed
//	               ▲                                          │
//	               └──────────────────────────────────────────┘ fenced, forgotten, transaction not committed
//	any state ──▶ stopped: an operator must act; the task's partitions rest, the others go on
type taskState uint8

const (
	created taskState = iota
	claiming
	recovering
	claimDone // the session sets the positions of its consumer, and the task runs
	running
	taskStopped
	closed
)

var taskStates = [...]string{"created", "claiming", "recovering", "claimed", "running", "stopped", "closed"}

func (s taskState) String() string { return taskStates[s] }

// task is the processing of one partition number across all inputs, and the only writer of its cells. Its goroutines are
// its session's, at any time one: the claim and the recovery while it is claiming or recovering, else the cycle.
type task struct {
	number int32
	shared *shared
	log    *slog.Logger
	ctx    context.Context //nolint:containedctx // it ends with the task, and with it what the task waits for
	cancel context.CancelFunc
	wake   func() // ends a poll of the session that waits

	mu    sync.Mutex
	state taskState
	err   error // why it stopped
	waits error // what a task waits for that has not stopped

	// What a claim builds anew.
	claim     claimed
	folder    *availability.Folder
	window    *availability.Window
	stocks    *stocks
	committer *committer
	graphs    map[int64]*availability.Graph // versions that SKUs may have been computed with
	folded    availability.Checkpoint       // as of the newest batch published

	buffer [availability.Inputs][]*kgo.Record // polled, not folded
	// bufferBytes is how long the values in buffer are.
	bufferBytes int
	owed        []availability.SKU        // to publish without suppression before anything else
	corrupt     map[availability.SKU]bool // set aside, as they cannot be read
	owes        map[availability.SKU]bool // while a replay is under way: what is owed after it
	graphIn     bool                      // the store has the newest graph's bytes
	joins       []joined                  // as of the newest batch published, oldest version first
	witnessed   int64                     // the version of the graph that it told of
	recalled    []availability.GraphData  // older graphs that the store shall keep until the sweep is over

	sweep    sweep
	expiries expiries

	atOnce        int           // records, or SKUs owed or swept, that a batch may have for now; see pace
	resting       bool          // its partitions are not fetched: the buffer is full
	retryAt       time.Time     // not before this time again, after a passing error
	patience      time.Duration // how long it was put off the last time
	registryAsked time.Time     // since when the registry cannot be asked for what the next record needs
	lastCommit    time.Time
}

func newTask(ctx context.Context, number int32, s *shared, wake func()) *task {
	ctx, cancel := context.WithCancel(ctx)
	t := &task{number: number, shared: s, log: s.log.With("task", number), ctx: ctx, cancel: cancel, wake: wake}
	s.obs.taskState(created, 1)
	return t
}

func (t *task) setState(to taskState) {
	t.mu.Lock()
	from := t.state
	t.state = to
	t.mu.Unlock()
	t.shared.obs.taskState(from, -1)
	if to != closed {
		t.shared.obs.taskState(to, 1)
	}
}

func (t *task) is(s taskState) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state == s
}

// halt stops the task until an operator has acted and the partition is assigned anew.
func (t *task) halt(err error) {
	t.mu.Lock()
	t.err = err
	t.mu.Unlock()
	t.setState(taskStopped)
	t.log.Error("task stopped", "err", err)
}

// take adds polled records. Those folded before, which a rewind of the client brings again, are dropped.
func (t *task) take(input int, records []*kgo.Record) {
	for _, r := range records {
		if r.Offset >= t.expected(input) {
			t.buffer[input] = append(t.buffer[input], r)
			t.bufferBytes += len(r.Value)
		}
	}
}

// expected is the lowest offset of an input that the task has not seen.
func (t *task) expected(input int) int64 {
	if b := t.buffer[input]; len(b) > 0 {
		return b[len(b)-1].Offset + 1
	}
	return t.folded.Offsets[input]
}

// full says whether no more records shall be fetched for the task for now.
func (t *task) full() bool {
	return t.buffered() >= 2*t.shared.BatchRecords || t.bufferBytes >= 2*batchBytesMax
}

// batchBytesMax bounds the values of a batch: eight of the largest, or 8,000 of 1 KB. A buffer holds two batches and what
// one fetch brings.
const batchBytesMax = 8 << 20

// buffered is how many records wait.
func (t *task) buffered() int { return len(t.buffer[0]) + len(t.buffer[1]) }

// due says whether a cycle has something to do for the task, and can.
func (t *task) due(now time.Time) bool {
	if !t.is(running) || now.Before(t.retryAt) || !t.committer.room() {
		return false
	}
	return t.buffered() > 0 || len(t.owed) > 0 || t.newer() != nil || t.sweepDue(now) || expiryDue(now, &t.expiries)
}

// newer is the newest graph if the task has yet to take it over, or to give it to the store; else nil.
func (t *task) newer() *published {
	newest := t.shared.graphs.newest.Load()
	if v := t.folder.Graph().Version; newest.graph.Version > v || newest.graph.Version == v && !t.graphIn {
		return newest
	}
	return nil
}

// writes returns what writes the task's commits now; nil before the first claim.
func (t *task) writes() *committer {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.committer
}

// next returns up to max records of the buffers in the order of their timestamps; they stay there until they are folded.
func (t *task) next(max int) []*kgo.Record {
	return merge(t.buffer[availability.Deltas], t.buffer[availability.Events], max, batchBytesMax)
}

// merge puts the records of both inputs in the order of their timestamps, of equal ones the delta first, up to max of them and up to the
// one that reaches bytesMax of values.
func merge(d, e []*kgo.Record, max, bytesMax int) []*kgo.Record {
	merged := make([]*kgo.Record, 0, min(max, len(d)+len(e)))
	for bytes := 0; len(merged) < max && bytes < bytesMax && len(d)+len(e) > 0; bytes += len(merged[len(merged)-1].Value) {
		if len(e) == 0 || len(d) > 0 && !e[0].Timestamp.Before(d[0].Timestamp) {
			merged, d = append(merged, d[0]), d[1:]
		} else {
			merged, e = append(merged, e[0]), e[1:]
		}
	}
	return merged
}

// drop removes the first records of the buffers that are below the given offsets.
func (t *task) drop(below [availability.Inputs]int64) {
	for input := range t.buffer {
		n := 0
		for n < len(t.buffer[input]) && t.buffer[input][n].Offset < below[input] {
			t.bufferBytes -= len(t.buffer[input][n].Value)
			n++
		}
		t.buffer[input] = slices.Delete(t.buffer[input], 0, n)
	}
}

// inputOf is the number of the input that a record came from.
func (s *shared) inputOf(r *kgo.Record) int {
	if r.Topic == s.names.ReservationEvents {
		return availability.Events
	}
	return availability.Deltas
}

func (s *shared) inputs() [availability.Inputs]string {
	return [availability.Inputs]string{s.names.StockDeltas, s.names.ReservationEvents}
}

// shared is what all tasks of a process have in common.
type shared struct {
	Options
	names      topics.Names
	partitions int32
	topicIDs   map[string][16]byte
	reader     *topics.Reader // knows the partition count; cloned for each goroutine
	writer     *topics.Writer
	graphs     *graphs
	admin      *kgo.Client // for claims and recoveries, outside the group
	obs        *Observer
	log        *slog.Logger
}
