package processor_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// steadily sends an adjustment a millisecond, and says after each how many there were.
func (s *simulation) steadily(records int, sent func(int)) {
	for n := range records {
		s.send(s.adjust(fmt.Sprint("a", n), "SKU-0", "L00", 1))
		sent(n + 1)
		<-time.After(time.Millisecond)
	}
}

// TestATransactionLeavesTheMarkersOfTheLastTheirTime has a broker hold up, for 20 ms, what comes within 6 ms of the end of the
// transaction before, as Kafka does while markers are written: few transactions are.
func TestATransactionLeavesTheMarkersOfTheLastTheirTime(t *testing.T) {
	const records = 3000
	virtually(t, settings{partitions: 1, batch: 2000, cache: 1 << 20}, func(s *simulation) {
		s.slow(false, time.Millisecond, 0)
		var mu sync.Mutex
		var ended time.Time
		var turns, held int // of the second half
		second, soon := false, false
		s.fake.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
			s.fake.KeepControl()
			mu.Lock()
			early := r.(*kmsg.ProduceRequest).TransactionID != nil && !soon && time.Since(ended) < 6*time.Millisecond
			soon = soon || early
			mu.Unlock()
			if !early {
				return nil, nil, false
			}
			s.fake.SleepControl(func() { <-time.After(20 * time.Millisecond) })
			return nil, nil, false
		})
		s.fake.ControlKey(int16(kmsg.EndTxn), func(kmsg.Request) (kmsg.Response, error, bool) {
			s.fake.KeepControl()
			mu.Lock()
			defer mu.Unlock()
			if ended = time.Now(); second {
				turns++
			}
			if soon && second {
				held++
			}
			soon = false
			return nil, nil, false
		})
		s.process("a", 0)
		s.settled()
		s.steadily(records, func(n int) {
			mu.Lock()
			second = n > records/2
			mu.Unlock()
		})
		s.settled()
		s.check()
		mu.Lock()
		defer mu.Unlock()
		if turns < records/2/12 || held > turns/5 {
			s.Errorf("%d of %d transactions were held up, want a fifth at most, of %d or more", held, turns, records/2/12)
		}
	})
}

// TestATurnTakesWhatCameMeanwhile has every transaction end after 50 ms. What came meanwhile is in the next one, not in the one
// after it.
func TestATurnTakesWhatCameMeanwhile(t *testing.T) {
	const records, end = 2000, 50 * time.Millisecond
	virtually(t, settings{partitions: 1, batch: 2000, cache: 1 << 20}, func(s *simulation) {
		var mu sync.Mutex
		var sent int64
		var left []int64 // by transaction: records sent that it does not have
		deltas := s.fake.TopicInfo(s.names.StockDeltas).TopicID
		s.fake.ControlKey(int16(kmsg.TxnOffsetCommit), func(r kmsg.Request) (kmsg.Response, error, bool) {
			s.fake.KeepControl()
			mu.Lock()
			defer mu.Unlock()
			for _, topic := range r.(*kmsg.TxnOffsetCommitRequest).Topics {
				if topic.TopicID == deltas || topic.Topic == s.names.StockDeltas {
					left = append(left, sent-topic.Partitions[0].Offset)
				}
			}
			return nil, nil, false
		})
		s.fake.ControlKey(int16(kmsg.EndTxn), func(kmsg.Request) (kmsg.Response, error, bool) {
			s.fake.KeepControl()
			s.fake.SleepControl(func() { <-time.After(end) })
			return nil, nil, false
		})
		s.process("a", 0)
		s.settled()
		s.steadily(records, func(n int) {
			mu.Lock()
			sent = int64(n)
			mu.Unlock()
		})
		s.settled()
		s.check()
		mu.Lock()
		defer mu.Unlock()
		slices.Sort(left)
		if len(left) < 20 || left[len(left)/2] > int64(end/time.Millisecond)/2 {
			s.Errorf("transactions leave %v records behind of those that came in the %s of the one before", left, end)
		}
	})
}
