package processor

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
)

// drainWait bounds how long a partition that is handed over waits for its last commits to reach the store. What does not
// is replayed by the next owner.
const drainWait = 3 * time.Second

// onAssigned makes a task of every partition number that is assigned for all inputs. Its partitions rest until it is
// claimed.
func (s *session) onAssigned(ctx context.Context, client *kgo.Client, partitions map[string][]int32) {
	client.PauseFetchPartitions(partitions)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.assigned == nil {
		s.assigned = make(map[int32]int)
	}
	for _, numbers := range partitions {
		for _, n := range numbers {
			if s.assigned[n]++; s.assigned[n] == availability.Inputs {
				s.tasks[n] = newTask(ctx, n, s.shared, s.wake)
			}
		}
	}
	for n := range s.parked { // order-free: each by itself
		if s.tasks[n] == nil {
			delete(s.parked, n)
		}
	}
	if s.wakePoll != nil {
		s.wakePoll()
	}
}

// onRevoked hands partitions over in order. No batch is under way: the poll loop holds off rebalances while it works.
func (s *session) onRevoked(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	s.park(s.remove(partitions))
}

// onLost gives up partitions that another member may have already. What was published may still reach the store: it is a
// prefix of the log, and the compare-and-set of the new owner's claim fences it.
func (s *session) onLost(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	for _, t := range s.remove(partitions) {
		t.end()
	}
}

// blockedMax is how long a rebalance waits for the transaction under way.
const blockedMax = 2 * time.Second

// onBlocked is called when a callback waits for the poll loop. Where the member was lost, the end of a transaction waits for
// a heartbeat that nobody sends any more, and the callback that would tell it so waits for the poll loop: it is cut.
func (s *session) onBlocked(ctx context.Context, _ *kgo.Client) {
	s.mu.Lock()
	giveUp := s.giveUp
	s.mu.Unlock()
	pause(ctx, blockedMax)
	if giveUp != nil {
		giveUp()
	}
}

func (s *session) remove(partitions map[string][]int32) map[int32]*task {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rebalanced = true
	removed := make(map[int32]*task)
	for _, numbers := range partitions {
		for _, n := range numbers {
			delete(s.assigned, n)
			if t := s.tasks[n]; t != nil {
				removed[n] = t
				delete(s.tasks, n)
			}
		}
	}
	return removed
}

// park ends tasks once their published batches are in the store, and keeps what they hold in memory: if the partition
// comes back and nobody has claimed it since, it is still right.
func (s *session) park(tasks map[int32]*task) {
	ctx, cancel := context.WithTimeout(context.Background(), drainWait) // the process may be stopping: bounded by its own time
	defer cancel()
	for n, t := range tasks {
		if t.is(running) && t.committer.close(ctx) {
			s.mu.Lock()
			s.parked[n] = t
			s.mu.Unlock()
		}
		t.end()
	}
}

func (t *task) end() {
	t.cancel()
	t.shared.obs.left(t.number)
	if !t.is(closed) {
		t.setState(closed)
	}
}
