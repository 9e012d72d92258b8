package processor_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/topics"
)

// virtually runs a test in virtual time, where services may be as slow as they like.
func virtually(t *testing.T, s settings, do func(*simulation)) {
	t.Helper()
	var b *bubble
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		b = &bubble{TB: t, ctx: ctx}
		func() {
			defer func() {
				if r := recover(); r != nil && r != (over{}) {
					panic(r)
				}
			}()
			sim := newSimulation(b, s)
			sim.publishGraph("first")
			do(sim)
		}()
		cancel()
		b.finish()
	})
	for _, failure := range b.failures {
		t.Error(failure)
	}
	if t.Failed() {
		for _, line := range b.logs {
			t.Log(line)
		}
	}
}

// slowLink delays what is written to a connection.
type slowLink struct {
	net.Conn
	perCall, perByte time.Duration
}

func (l slowLink) Write(p []byte) (int, error) {
	<-time.After(l.perCall + time.Duration(len(p))*l.perByte)
	return l.Conn.Write(p)
}

// slow makes the way from the processors to Kafka or to Redis slow.
func (s *simulation) slow(redis bool, perCall, perByte time.Duration) {
	s.world.wired = func(_, address string, conn net.Conn) net.Conn {
		if (address == simRedis) == redis {
			return slowLink{conn, perCall, perByte}
		}
		return conn
	}
}

// watchedStore counts claims, and lets commits wait while it is shut.
type watchedStore struct {
	closingStore
	watch *storeWatch
}

type storeWatch struct {
	mu     sync.Mutex
	claims int
	shut   chan struct{} // commits wait until it is closed; nil: they do not wait
}

func (s *watchedStore) Commit(ctx context.Context, task int32, c *availability.Commit) error {
	s.watch.mu.Lock()
	if c.Checkpoint.CommitSeq == 0 {
		s.watch.claims++
	}
	shut := s.watch.shut
	s.watch.mu.Unlock()
	if shut != nil {
		select {
		case <-shut:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return s.closingStore.Commit(ctx, task, c)
}

// watched puts a watchedStore around the store of every process.
func (s *simulation) watched() *storeWatch {
	watch := new(storeWatch)
	s.stored = func(_ string, store closingStore) closingStore { return &watchedStore{store, watch} }
	return watch
}

// claimed fails unless every task was claimed once.
func (s *simulation) claimed(w *storeWatch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.claims != int(s.partitions) {
		s.Errorf("%d claims of %d tasks", w.claims, s.partitions)
	}
}

// backlog sends that many adjustments and reservations of a quarter as many SKUs, all of one partition.
func (s *simulation) backlog(partition int32, records int) {
	var skus []string
	for n := 0; len(skus) < records/4; n++ {
		if sku := fmt.Sprint("SKU-", n); topics.PartitionOf(sku, s.partitions) == partition {
			skus = append(skus, sku)
		}
	}
	var batch []*kgo.Record
	began := time.Now().UnixMilli() // ids of another backlog are others
	for n := range records {
		id, sku := fmt.Sprint("b", partition, "-", began, "-", n), skus[n%len(skus)]
		if n%4 == 3 {
			batch = append(batch, s.reserve(id, sku, group("EAST"), 1))
		} else {
			batch = append(batch, s.adjust(id, sku, fmt.Sprintf("L0%d", n%4), 2))
		}
	}
	s.send(batch...)
}

// TestASlowKafkaIsSentLessAtOnce has brokers take so few bytes a second that a full batch would never be through before its
// transaction is aborted. The backlog is worked off in smaller ones, and the processor is its old self again afterwards.
func TestASlowKafkaIsSentLessAtOnce(t *testing.T) {
	virtually(t, settings{partitions: 1, batch: 400, cache: 1 << 20}, func(s *simulation) {
		s.slow(false, 0, 25*time.Microsecond) // 40 kB a second
		s.backlog(0, 1200)
		s.process("a", 0)
		s.settled()
		s.check()
	})
}

// TestASlowRedisIsWaitedFor has every answer of Redis take 20 ms more. No task is claimed again for that.
func TestASlowRedisIsWaitedFor(t *testing.T) {
	virtually(t, settings{partitions: 2, batch: 50, cache: 1 << 20}, func(s *simulation) {
		watch := s.watched()
		s.slow(true, 20*time.Millisecond, 0)
		s.process("a", 0)
		for n := range 10 {
			s.backlog(0, 100)
			s.send(s.count(fmt.Sprint("c", n), "SKU-0", "L00", 7))
			<-time.After(100 * time.Millisecond)
		}
		s.settled()
		s.claimed(watch)
		s.check()
	})
}

// TestNothingRunsAheadOfARedisThatHangs shuts Redis for a minute under load: at most two batches of a task are published
// without it, a third waits. Nothing is claimed or replayed when it goes on.
func TestNothingRunsAheadOfARedisThatHangs(t *testing.T) {
	const batch = 40
	virtually(t, settings{partitions: 2, batch: batch, cache: 1 << 20}, func(s *simulation) {
		watch := s.watched()
		s.process("a", 0)
		s.backlog(0, 200)
		s.settled()
		shut := make(chan struct{})
		watch.mu.Lock()
		watch.shut = shut
		watch.mu.Unlock()
		before := s.folded(0)
		s.backlog(0, 300)
		s.backlog(1, 300)
		<-time.After(time.Minute)
		if ahead := s.folded(0) - before; ahead < 1 || ahead > 2*batch {
			s.Errorf("%d records of a task were published that Redis does not have, want up to 2 batches of %d", ahead, batch)
		}
		watch.mu.Lock()
		watch.shut = nil
		watch.mu.Unlock()
		close(shut)
		s.settled()
		s.claimed(watch)
		s.check()
	})
}

// folded is how many records of a task's inputs are folded and published: what is committed of them.
func (s *simulation) folded(task int32) int64 {
	found, err := kadm.NewClient(s.client).FetchOffsets(s.Context(), s.names.ConsumerGroup())
	s.must(err)
	var sum int64
	for _, topic := range []string{s.names.StockDeltas, s.names.ReservationEvents} {
		o, _ := found.Lookup(topic, task)
		sum += o.At
	}
	return sum
}

// TestABusyPartitionKeepsNoQuietOneWaiting works off a backlog of one partition over brokers that are slow. Records of
// another partition come one after the other; each is published while some of the backlog is still there.
func TestABusyPartitionKeepsNoQuietOneWaiting(t *testing.T) {
	virtually(t, settings{partitions: 2, batch: 100, cache: 1 << 20}, func(s *simulation) {
		s.slow(false, 0, 25*time.Microsecond)
		s.tick = 100 * time.Millisecond
		quiet := "QUIET"
		for topics.PartitionOf(quiet, s.partitions) != 1 {
			quiet += "+"
		}
		s.process("a", 0)
		s.settled()
		const records = 1200
		s.backlog(0, records)
		for n := range 3 {
			s.send(s.count(fmt.Sprint("q", n), quiet, "L00", int64(n+1)))
			s.eventually("the quiet partition's record is published", func() bool {
				return s.world.published()["L00/"+quiet].level.OnHand == availability.Quantity(n+1)*availability.Unit
			})
			if done := s.folded(0); done >= records {
				s.Errorf("%d of %d records of the busy partition came before the record %d of the quiet one", done, records, n)
			}
		}
		s.settled()
		s.check()
	})
}

// standIns connects to stand-ins, whatever real services there are.
func (w *world) standIns() {
	fake, err := kfake.NewCluster(kfake.NumBrokers(1))
	w.must(err)
	w.Cleanup(fake.Close)
	w.fake, w.brokers = fake, fake.ListenAddrs()
	w.mini = miniredis.RunT(w)
	w.redisURL = "redis://" + w.mini.Addr()
}
