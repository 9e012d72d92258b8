package processor

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	"onhand/processor/availability"
)

// commitsWaiting is how many published batches of a task may wait for the store. A third batch is not folded before.
const commitsWaiting = 2

// committer writes the published batches of one claim to the store, in order, behind the publishing. Its goroutine is
// started by start and ended by close or abandon, or with the task.
//
// The next commit's Expect is the id of the one before, so a chain of commits needs no answer in between; when one is
// fenced, all after it are.
type committer struct {
	store Store
	task  int32
	obs   *Observer
	wake  func() // called when a commit was stored, or failed

	mu      sync.Mutex
	acked   availability.CommitID   // newest commit known to be in the store
	waiting []availability.CommitID // published, not known to be stored
	stored  int64                   // commits stored
	queued  int64                   // commits enqueued
	done    []*availability.Commit  // stored, not yet taken by settled
	err     error                   // what ended it

	queue  chan *availability.Commit
	ended  chan struct{}
	cancel context.CancelFunc
}

func newCommitter(store Store, task int32, acked availability.CommitID, obs *Observer, wake func()) *committer {
	return &committer{store: store, task: task, obs: obs, wake: wake, acked: acked, queue: make(chan *availability.Commit, commitsWaiting), ended: make(chan struct{})}
}

func (c *committer) start(ctx context.Context) {
	ctx, c.cancel = context.WithCancel(ctx)
	go func() {
		defer c.cancel()
		defer close(c.ended)
		for {
			select {
			case commit, more := <-c.queue:
				if !more {
					return
				}
				if c.failed() == nil {
					c.write(ctx, commit)
				}
			case <-ctx.Done():
				return
			}
		}
	}()
}

func (c *committer) write(ctx context.Context, commit *availability.Commit) {
	began := time.Now()
	ctx, end := c.obs.span(ctx, "commit", c.task)
	err := c.store.Commit(ctx, c.task, commit)
	end(err)
	c.obs.stored(time.Since(began), err)
	c.mu.Lock()
	if err != nil {
		c.err = err
	} else {
		c.acked, c.waiting = c.waiting[0], c.waiting[1:]
		c.stored++
		c.done = append(c.done, commit)
	}
	c.mu.Unlock()
	c.wake()
}

// settled returns the commits stored since the last call.
func (c *committer) settled() []*availability.Commit {
	c.mu.Lock()
	defer c.mu.Unlock()
	done := c.done
	c.done = nil
	return done
}

// room says whether one more commit may wait.
func (c *committer) room() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.waiting) < commitsWaiting
}

// tail is the id that the next commit expects.
func (c *committer) tail() availability.CommitID {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.waiting); n > 0 {
		return c.waiting[n-1]
	}
	return c.acked
}

// enqueue hands over a published commit; there is room. It returns the commit's number.
func (c *committer) enqueue(commit *availability.Commit) int64 {
	c.mu.Lock()
	c.waiting = append(c.waiting, commit.Checkpoint.CommitID)
	c.queued++
	number := c.queued
	c.mu.Unlock()
	c.queue <- commit
	return number
}

// known returns the ids that a checkpoint read from now on may have, as long as nothing more is enqueued.
func (c *committer) known() []availability.CommitID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]availability.CommitID{c.acked}, c.waiting...)
}

// numbers returns how many commits were stored, and how many enqueued.
func (c *committer) numbers() (stored, queued int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stored, c.queued
}

func (c *committer) failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// fail makes the task claim again.
func (c *committer) fail(err error) {
	c.mu.Lock()
	if c.err == nil {
		c.err = err
	}
	c.mu.Unlock()
	c.wake()
}

// close takes no more commits and waits until those that wait are stored or ctx ends. It says whether all are stored.
func (c *committer) close(ctx context.Context) bool {
	close(c.queue)
	select {
	case <-c.ended:
	case <-ctx.Done():
		return false
	}
	stored, queued := c.numbers()
	return stored == queued
}

// abandon ends the committer without waiting: what it was to write is replayed by the next claim.
func (c *committer) abandon() { c.cancel() }

func newCommitID() (id availability.CommitID) {
	_, _ = rand.Read(id[:]) // never fails, says crypto/rand
	return id
}
