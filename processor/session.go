package processor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"onhand/processor/availability"
	"onhand/topics"
)

// session is one member of the consumer group with its transactional producer. A cycle polls, folds a batch for every
// task that has something to do, and publishes them all in one transaction.
type session struct {
	shared   *shared
	number   int
	id       string // instance and number: transactional id and group instance id
	member   string // what the group called it when it was closed
	log      *slog.Logger
	group    *kgo.GroupTransactSession
	client   *kgo.Client
	inflated *topics.Inflater // of the client

	mu         sync.Mutex
	tasks      map[int32]*task
	parked     map[int32]*task // closed in order: what they hold is right if nobody has claimed since
	assigned   map[int32]int   // inputs assigned, by partition
	rebalanced bool            // since the last transaction
	wakePoll   context.CancelFunc
	giveUp     context.CancelFunc // ends the transaction under way
	turned     time.Time          // when the loop last came round
	denied     error              // the right that it waits for

	background sync.WaitGroup // claims, recoveries and the watch
	pace       pace
	gap        gap       // between transactions
	aborted    aborted   // the last transaction, if it was
	passed     time.Time // when this life of the session first passed a batch over; zero: it did not
}

func newSession(s *shared, number int) *session {
	id := fmt.Sprintf("%s-%d", s.Instance, number)
	return &session{shared: s, number: number, id: id, log: s.log.With("session", number), parked: make(map[int32]*task), turned: time.Now(),
		pace: newPace(s.BatchRecords, s.TransactionTimeout)}
}

// run lives until ctx ends. A session that has lost its producer or its place in the group is closed and begun anew: after
// a broker's crash that is a normal path.
func (s *session) run(ctx context.Context) error {
	wait := 100 * time.Millisecond
	for ctx.Err() == nil {
		began := time.Now()
		err := s.live(ctx)
		if errors.Is(err, errStopped) {
			return err
		}
		if ctx.Err() != nil {
			s.leaveGroup()
			return err
		}
		if topics.IsDenied(err) {
			s.awaitRights(ctx, err)
			continue
		}
		if errors.Is(err, errPassedOver) {
			s.log.Info("session begins anew", "err", err)
			continue
		}
		s.log.Warn("session begins anew", "err", err)
		if time.Since(began) > time.Minute {
			wait = 100 * time.Millisecond
		}
		pause(ctx, wait)
		wait = min(2*wait, 5*time.Second)
	}
	return nil
}

func (s *session) live(ctx context.Context) error {
	if err := s.join(ctx); err != nil {
		return err
	}
	defer s.leave()
	watch, cancel := context.WithCancel(ctx)
	s.background.Add(1)
	go s.watch(watch)
	defer cancel()
	for ctx.Err() == nil {
		if err := s.cycle(ctx); err != nil {
			return err
		}
	}
	return nil
}

// join opens the client. The producer id is had before the topics are joined: a transaction that a killed predecessor
// left open is ended by that, and would otherwise hold up the offsets for its whole time-out. A client that has none after
// twice that time is given up, so that nobody waits in silence for a broker or a client that is stuck.
func (s *session) join(ctx context.Context) error {
	s.mu.Lock()
	s.tasks, s.assigned, s.rebalanced, s.passed, s.aborted = make(map[int32]*task), nil, false, time.Time{}, aborted{}
	s.mu.Unlock()
	var err error
	if s.inflated, err = s.shared.newInflater(inflatedMax); err != nil {
		return err
	}
	ask, cancel := context.WithTimeout(ctx, 2*s.shared.TransactionTimeout)
	defer cancel()
	if !without.Hanging {
		if err := s.endHanging(ask); err != nil {
			return err
		}
	}
	group, err := kgo.NewGroupTransactSession(s.options()...)
	if err != nil {
		return fmt.Errorf("opening session %s: %w", s.id, err)
	}
	s.group, s.client = group, group.Client()
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		if _, _, err = s.client.ProducerID(ask); err == nil {
			break
		}
		if ask.Err() != nil || topics.IsDenied(err) {
			group.Close()
			return errors.Join(ask.Err(), fmt.Errorf("asking for a producer id as %s: %w", s.transactionalID(), err))
		}
		s.log.Debug("waiting for a producer id", "err", err)
		pause(ask, wait)
	}
	inputs := s.shared.inputs()
	s.client.AddConsumeTopics(inputs[:]...)
	return nil
}

func (s *session) transactionalID() string { return s.shared.Namespace + "." + s.id }

func (s *session) options() []kgo.Opt {
	o := s.shared
	return append(slices.Concat(o.Client, o.names.ProducerOpts()),
		kgo.ClientID("onhand-"+s.id),
		kgo.ConsumerGroup(o.names.ConsumerGroup()),
		kgo.InstanceID(s.id),
		kgo.TransactionalID(s.transactionalID()),
		kgo.TransactionTimeout(o.TransactionTimeout),
		kgo.SessionTimeout(o.SessionTimeout),
		kgo.HeartbeatInterval(o.SessionTimeout/5),
		kgo.RebalanceTimeout(o.RebalanceTimeout),
		kgo.Balancers(balancer()),
		kgo.BlockRebalanceOnPoll(),
		kgo.DisableAutoCommit(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.AdjustFetchOffsetsFn(s.startOffsets),
		kgo.OnPartitionsAssigned(s.onAssigned),
		kgo.OnPartitionsRevoked(s.onRevoked),
		kgo.OnPartitionsLost(s.onLost),
		kgo.OnPartitionsCallbackBlocked(s.onBlocked),
		kgo.ProducerLinger(o.Linger),
		kgo.MaxBufferedRecords(outputsBuffered),
		kgo.MaxBufferedBytes(outputBytesBuffered),
		kgo.WithDecompressor(s.inflated),
		kgo.FetchMaxBytes(fetchBytesMax),
		kgo.FetchMaxPartitionBytes(fetchPartitionBytesMax),
		kgo.FetchMaxWait(500*time.Millisecond),
		kgo.MetadataMinAge(250*time.Millisecond),
	)
}

// balancer gives partition n of both inputs to the same member.
func balancer() kgo.GroupBalancer {
	if without.Assignor {
		return kgo.CooperativeStickyBalancer()
	}
	return kgo.RangeBalancer()
}

// Bounds of what a client holds of each broker: one fetch under way or not yet polled. They are in bytes as compressed; the
// first batch of a partition comes whole whatever they say.
const (
	fetchBytesMax          = 16 << 20
	fetchPartitionBytesMax = 1 << 20
)

// Bounds of what a transaction holds unsent: 200,000 records of some 500 bytes are 100 MB. With more, producing waits.
const (
	outputsBuffered     = 200_000
	outputBytesBuffered = 128 << 20
)

// cycle is one turn: poll, prepare, publish.
func (s *session) cycle(ctx context.Context) error {
	if s.passedOver() {
		return errPassedOver
	}
	s.resetAfterRebalance(ctx)
	pause(ctx, s.gap.wait(time.Now()))
	fetches := s.poll(ctx)
	defer s.group.AllowRebalance()
	if err := s.distribute(ctx, fetches); err != nil {
		return err
	}
	s.mu.Lock()
	s.turned = time.Now()
	s.wakePoll = nil
	s.mu.Unlock()
	batches := s.prepare(ctx)
	if len(batches) == 0 {
		return nil
	}
	return s.publish(ctx, batches)
}

func (s *session) list() []*task {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*task, 0, len(s.tasks))
	for _, t := range s.tasks {
		list = append(list, t)
	}
	return list
}

// prepare readies a batch for each task that is due, in parallel.
func (s *session) prepare(ctx context.Context) []*prepared {
	now := time.Now()
	var mu sync.Mutex
	var ready []*prepared
	var group errgroup.Group
	group.SetLimit(s.shared.Workers)
	s.takeOver()
	for _, t := range s.list() {
		if t.is(created) {
			s.begin(t, false)
		}
		if !t.is(running) {
			continue
		}
		if err := t.committer.failed(); err != nil {
			s.reactToCommit(t, err)
			continue
		}
		for _, c := range t.committer.settled() {
			t.stocks.settle(c)
		}
		if !t.due(now) {
			continue
		}
		group.Go(func() error {
			if p := s.prepareTask(ctx, t); p != nil {
				mu.Lock()
				ready = append(ready, p)
				mu.Unlock()
			}
			return nil
		})
	}
	_ = group.Wait() // no step returns an error
	return ready
}

// prepared is a batch that is ready to be folded.
type prepared struct {
	task  *task
	batch *batch
}

// owedMax is how many SKUs one transaction publishes after a replay.
const owedMax = 1000

func (s *session) prepareTask(ctx context.Context, t *task) *prepared {
	var records []*kgo.Record
	var b *batch
	var err error
	t.atOnce = s.pace.records
	if len(t.owed) > 0 {
		b, err = t.prepareOwed(ctx, t.owed[:min(len(t.owed), owedMax, t.atOnce)])
	} else {
		records = t.next(t.atOnce)
		b, err = t.prepare(ctx, records, nil)
	}
	if err != nil {
		s.react(t, err)
		return nil
	}
	if t.patience > 0 {
		t.patience = 0
		t.waitFor(nil)
	}
	if b.nothing() {
		b.release()
		return nil
	}
	if t.resting && t.buffered()-len(records) < s.shared.BatchRecords {
		s.resume(t.number)
		t.resting = false
	}
	return &prepared{t, b}
}

// react does what an error of a task calls for.
func (s *session) react(t *task, err error) {
	if t.ctx.Err() != nil || errors.Is(err, context.Canceled) {
		return
	}
	switch reactionTo(err) {
	case stop:
		s.rest(t.number)
		t.halt(stoppedBy(err))
	case reclaim:
		t.log.Warn("task claims again", "err", err)
		s.reclaim(t)
	case retry:
		t.putOff(err)
	}
}

// reactToCommit is react for a commit that the store did not take: what follows it in the queue is lost, so that waiting
// is no way on. A claim finds out what the store has, and waits for a store that refuses that, too.
func (s *session) reactToCommit(t *task, err error) {
	if reactionTo(err) == retry {
		s.shared.obs.noteDenied(err)
		err = fmt.Errorf("%w: %w", errForgotten, err)
	}
	s.react(t, err)
}

// resetAfterRebalance clears the mark that a rebalance leaves in the session between transactions: it would abort the next
// one, which has nothing of the old assignment in it.
func (s *session) resetAfterRebalance(ctx context.Context) {
	s.mu.Lock()
	rebalanced := s.rebalanced
	s.rebalanced = false
	s.mu.Unlock()
	if !rebalanced {
		return
	}
	if err := s.group.Begin(); err == nil {
		_, err = s.group.End(ctx, kgo.TryAbort)
		if err != nil {
			s.log.Debug("resetting the session after a rebalance", "err", err)
		}
	}
}

// rest stops fetching a task's partitions; resume goes on.
func (s *session) rest(number int32)   { s.client.PauseFetchPartitions(s.partitionsOf(number)) }
func (s *session) resume(number int32) { s.client.ResumeFetchPartitions(s.partitionsOf(number)) }

func (s *session) partitionsOf(number int32) map[string][]int32 {
	partitions := make(map[string][]int32, availability.Inputs)
	for _, topic := range s.shared.inputs() {
		partitions[topic] = []int32{number}
	}
	return partitions
}
