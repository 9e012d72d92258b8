package processor_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"onhand/topics"
)

// TestAHangingTransactionEndsAsItWas makes what a broker that leaves markers out makes: a transaction that its coordinator
// has ended, and that is open in results, updates and the group's offsets. The processor whose transactional id it is ends
// it the same way before it works: its record is read where it was committed, and is not where it was aborted.
func TestAHangingTransactionEndsAsItWas(t *testing.T) {
	if brokers() == 0 {
		return // the stand-in makes none: see the next test
	}
	for _, kind := range []struct{ commit, records bool }{{true, true}, {false, true}, {true, false}, {false, false}} {
		t.Run(fmt.Sprintf("%+v", kind), func(t *testing.T) {
			w := newWorld(t, 1)
			w.publish(graphOf(1, nil))
			w.hang("one-0", kind.commit, kind.records)
			n := &w.names
			if kind.records && w.marked(kadm.NewClient(w.client)) {
				t.Fatal("nothing hangs")
			}
			r := w.start("one")
			for i := range 10 {
				w.send(w.adjust(fmt.Sprint("a", i), fmt.Sprint("SKU-", i), "L00", 1))
			}
			w.settled()
			if r.log.said("a transaction hangs, and is ended") != kind.records {
				t.Errorf("it says so: %v", !kind.records)
			}
			for _, topic := range []string{n.ReservationResults, n.AvailabilityUpdates} {
				visible := slices.ContainsFunc(w.read(topic), func(r *kgo.Record) bool { return string(r.Value) == hung })
				if visible != (kind.commit && kind.records) {
					t.Errorf("%s: the record that hung is visible: %v", topic, visible)
				}
			}
		})
	}
}

// hung is the value of the records that hang.
const hung = "hung"

// hang ends a transaction of the transactional id one way or the other, and then writes records and offsets with its
// producer that the coordinator does not hear of, or offsets alone.
func (w *world) hang(id string, commit, records bool) {
	w.Helper()
	old := kversion.V3_9_0() // of the protocol: neither produces nor commits offsets in a transaction without being told to
	client, err := kgo.NewClient(w.kafka(kgo.MaxVersions(old))...)
	w.must(err)
	defer client.Close()
	id = w.namespace + "." + id
	init := kmsg.NewPtrInitProducerIDRequest()
	init.TransactionalID, init.TransactionTimeoutMillis = &id, 5000
	producer, err := init.RequestWith(w.Context(), client)
	w.must(err)
	w.must(kerr.ErrorForCode(producer.ErrorCode))

	add := kmsg.NewPtrAddPartitionsToTxnRequest()
	add.TransactionalID, add.ProducerID, add.ProducerEpoch = id, producer.ProducerID, producer.ProducerEpoch
	topic := kmsg.NewAddPartitionsToTxnRequestTopic()
	topic.Topic, topic.Partitions = w.names.DeadLetters, []int32{0}
	add.Topics = append(add.Topics, topic)
	_, err = add.RequestWith(w.Context(), client)
	w.must(err)
	end := kmsg.NewPtrEndTxnRequest()
	end.TransactionalID, end.ProducerID, end.ProducerEpoch, end.Commit = id, producer.ProducerID, producer.ProducerEpoch, commit
	ended, err := end.RequestWith(w.Context(), client)
	w.must(err)
	w.must(kerr.ErrorForCode(ended.ErrorCode))

	defer w.verify(true)
	w.verify(false)
	for _, topic := range []string{w.names.ReservationResults, w.names.AvailabilityUpdates} {
		if !records {
			break
		}
		w.eventually("a record is taken unverified", func() bool {
			err := w.produceUnheard(client, id, topic, producer)
			if err != nil && !errors.Is(err, kerr.TransactionAbortable) { // the brokers have not heard yet
				w.Fatal(err)
			}
			return err == nil
		})
	}
	offsets := kmsg.NewPtrTxnOffsetCommitRequest()
	offsets.TransactionalID, offsets.Group, offsets.ProducerID, offsets.ProducerEpoch = id, w.names.ConsumerGroup(), producer.ProducerID, producer.ProducerEpoch
	offsets.Generation = -1
	of := kmsg.NewTxnOffsetCommitRequestTopic()
	of.Topic = w.names.StockDeltas
	p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	of.Partitions = append(of.Partitions, p)
	offsets.Topics = append(offsets.Topics, of)
	w.eventually("offsets are taken unverified", func() bool {
		resp, err := offsets.RequestWith(w.Context(), client)
		w.must(err)
		err = kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
		if err != nil && !errors.Is(err, kerr.TransactionAbortable) {
			w.Fatal(err)
		}
		return err == nil
	})
}

// verify lets the brokers ask the coordinator whether a transaction has the partition it writes to, or not.
func (w *world) verify(on bool) {
	w.Helper()
	value := fmt.Sprint(on)
	_, err := kadm.NewClient(w.client).AlterBrokerConfigs(w.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "transaction.partition.verification.enable", Value: &value}})
	w.must(err)
}

func (w *world) produceUnheard(client *kgo.Client, id, topic string, producer *kmsg.InitProducerIDResponse) error {
	w.Helper()
	r := kmsg.Record{Key: []byte(hung), Value: []byte(hung)}
	r.Length = int32(len(r.AppendTo(nil)) - 1)
	now := time.Now().UnixMilli()
	b := kmsg.RecordBatch{Magic: 2, PartitionLeaderEpoch: -1, Attributes: 0x10, FirstTimestamp: now, MaxTimestamp: now,
		ProducerID: producer.ProducerID, ProducerEpoch: producer.ProducerEpoch, NumRecords: 1, Records: r.AppendTo(nil)}
	packed := b.AppendTo(nil)
	binary.BigEndian.PutUint32(packed[8:], uint32(len(packed)-12))
	binary.BigEndian.PutUint32(packed[17:], crc32.Checksum(packed[21:], crc32.MakeTable(crc32.Castagnoli)))
	produce := kmsg.NewPtrProduceRequest()
	produce.TransactionID, produce.Acks, produce.TimeoutMillis = &id, -1, 5000
	t := kmsg.NewProduceRequestTopic()
	t.Topic = topic
	p := kmsg.NewProduceRequestTopicPartition()
	p.Records = packed
	t.Partitions = append(t.Partitions, p)
	produce.Topics = append(produce.Topics, t)
	resp, err := produce.RequestWith(w.Context(), client)
	w.must(err)
	return kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
}

// hanging is a stand-in for brokers of which some have a transaction open that its coordinator has ended.
type hanging struct {
	mu     sync.Mutex
	state  string
	topic  string // in whose partition 1 it is open
	asked  int    // how often for that
	added  []string
	ended  []bool
	writes int       // produced while it is open
	mute   time.Time // until then the partition does not answer
	again  bool      // it is left open once more when it is ended for the first time
}

const hangingProducer = 4711

// stage answers for the brokers what they would say, until somebody ends a transaction that has the partition.
func (h *hanging) stage(w *world) {
	w.fake.ControlKey(int16(kmsg.DescribeTransactions), func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.fake.KeepControl()
		h.mu.Lock()
		defer h.mu.Unlock()
		resp := r.ResponseKind().(*kmsg.DescribeTransactionsResponse)
		state := kmsg.NewDescribeTransactionsResponseTransactionState()
		state.TransactionalID, state.ProducerID, state.State = w.namespace+".one-0", hangingProducer, h.state
		resp.TransactionStates = append(resp.TransactionStates, state)
		return resp, nil, true
	})
	w.fake.ControlKey(int16(kmsg.DescribeProducers), func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.fake.KeepControl()
		h.mu.Lock()
		defer h.mu.Unlock()
		if !h.open() {
			return nil, nil, false
		}
		h.asked++
		return h.producers(r, hangingProducer, 1), nil, true
	})
	w.fake.ControlKey(int16(kmsg.AddPartitionsToTxn), func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.fake.KeepControl()
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, t := range r.(*kmsg.AddPartitionsToTxnRequest).Topics {
			h.added = append(h.added, fmt.Sprint(t.Topic, t.Partitions))
		}
		return nil, nil, false
	})
	w.fake.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.fake.KeepControl()
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.open() && r.(*kmsg.ProduceRequest).TransactionID != nil {
			h.writes++
		}
		return nil, nil, false
	})
	w.fake.ControlKey(int16(kmsg.EndTxn), func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.fake.KeepControl()
		h.mu.Lock()
		defer h.mu.Unlock()
		h.ended = append(h.ended, r.(*kmsg.EndTxnRequest).Commit)
		return nil, nil, false
	})
}

func (h *hanging) open() bool { return len(h.added) == 0 || h.again && len(h.added) == 1 }

// producers answers that a producer has a transaction open in one partition of the topic.
func (h *hanging) producers(r kmsg.Request, producer int64, partition int32) kmsg.Response {
	resp := r.ResponseKind().(*kmsg.DescribeProducersResponse)
	for _, t := range r.(*kmsg.DescribeProducersRequest).Topics {
		topic := kmsg.NewDescribeProducersResponseTopic()
		topic.Topic = t.Topic
		for _, n := range t.Partitions {
			p := kmsg.NewDescribeProducersResponseTopicPartition()
			p.Partition = n
			switch {
			case n != partition || t.Topic != h.topic:
			case time.Now().Before(h.mute):
				continue
			default:
				active := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
				active.ProducerID, active.CurrentTxnStartOffset = producer, 0
				p.ActiveProducers = append(p.ActiveProducers, active)
			}
			topic.Partitions = append(topic.Partitions, p)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return resp
}

// TestWhatHangsIsEndedBeforeTheFirstRecord has a stand-in say that a transaction hangs. Nothing is written before it is
// ended with the outcome that it had; where nobody knows that any more nothing is ever written, and the log says where to look.
func TestWhatHangsIsEndedBeforeTheFirstRecord(t *testing.T) {
	for _, kind := range []struct {
		state string
		again bool
	}{{"CompleteCommit", false}, {"CompleteAbort", false}, {"CompleteAbort", true}, {"Empty", false}} {
		t.Run(fmt.Sprintf("%+v", kind), func(t *testing.T) {
			state, ends := kind.state, 1
			if kind.again {
				ends = 2
			}
			virtually(t, settings{partitions: 2}, func(s *simulation) {
				w := s.world
				w.wired, w.patience = nil, time.Minute
				h := &hanging{state: state, topic: w.names.ReservationResults, again: kind.again}
				h.stage(w)
				r := w.start("one")
				w.send(w.adjust("a", "SKU", "L00", 1))
				if state == "Empty" {
					w.eventually("it says where to look", func() bool { return r.log.said("RUNBOOK.md") })
					<-time.After(time.Minute)
				} else {
					w.settled()
				}
				h.mu.Lock()
				defer h.mu.Unlock()
				switch want := fmt.Sprint(h.topic, []int32{1}); {
				case h.asked == 0 || h.writes > 0:
					t.Errorf("it asked %d times, and wrote %d records before", h.asked, h.writes)
				case state == "Empty" && len(h.ended) > 0:
					t.Error("it ended what nobody knows the outcome of")
				case state != "Empty" && (!slices.Equal(h.added, slices.Repeat([]string{want}, ends)) || slices.Contains(h.ended[:ends], state != "CompleteCommit")):
					t.Errorf("it ended %v of %q, want %q", h.ended, h.added, want)
				}
			})
		})
	}
}

// TestASessionWaitsForPartitionsThatMayHang has one partition without a leader for 40 s when a processor begins. Nothing is written
// before it has answered, and what hangs there is ended.
func TestASessionWaitsForPartitionsThatMayHang(t *testing.T) {
	virtually(t, settings{partitions: 2}, func(s *simulation) {
		w := s.world
		w.wired, w.patience = nil, time.Minute
		h := &hanging{state: "CompleteAbort", topic: w.names.AvailabilityUpdates, mute: time.Now().Add(40 * time.Second)}
		h.stage(w)
		r := w.start("one")
		w.send(w.adjust("a", "SKU", "L00", 1))
		w.eventually("it says where", func() bool { return r.log.said("no leader tells whether a transaction hangs in " + h.topic + "/1") })
		w.settled()
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.writes > 0 || time.Now().Before(h.mute) || len(h.added) != 1 || h.ended[0] {
			t.Errorf("%d times produced before what hangs was ended, in %q", h.writes, h.added)
		}
	})
}

// TestAnAbortedTransactionIsOverBeforeTheNext has brokers refuse the offsets of one transaction, which is aborted, and then say
// for four seconds that it is open yet, in a partition or in the group's offsets. Nothing is written meanwhile: it would be
// committed together with the next.
func TestAnAbortedTransactionIsOverBeforeTheNext(t *testing.T) {
	for _, in := range []string{"updates", "offsets"} {
		t.Run(in, func(t *testing.T) { abortedIsOver(t, in == "offsets") })
	}
}

func abortedIsOver(t *testing.T, offsets bool) {
	virtually(t, settings{partitions: 2}, func(s *simulation) {
		w := s.world
		w.wired, w.patience = nil, time.Minute
		a := &abortedStand{offsets: offsets, refusals: 1}
		if offsets {
			a.refusals = 4 // then the tasks claim again, and the other one finds its offsets decided
		}
		a.stage(w)
		w.start("one")
		skus := make(map[int32]string)
		for n := 0; len(skus) < 2; n++ {
			sku := fmt.Sprint("SKU-", n)
			skus[topics.PartitionOf(sku, 2)] = sku
		}
		w.send(w.adjust("a", skus[0], "L00", 1))
		w.eventually("a transaction is aborted", func() bool {
			a.mu.Lock()
			defer a.mu.Unlock()
			return a.refusals == 0
		})
		w.send(w.adjust("b", skus[1], "L00", 1))
		w.settled()
		s.check()
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.until.IsZero() || a.early > 0 {
			t.Errorf("aborted until %s, %d records written before", a.until, a.early)
		}
	})
}

// abortedStand is a stand-in for brokers that refuse offsets some times, and then say for a while that the transaction is open yet.
type abortedStand struct {
	offsets bool // it is open in the group's offsets of partition 0, else in its updates

	mu       sync.Mutex
	refusals int // yet to come
	producer int64
	until    time.Time
	produced bool
	early    int // requests to produce before until
}

func (a *abortedStand) stage(w *world) {
	on := func(key kmsg.Key, answer func(r kmsg.Request) (kmsg.Response, bool)) {
		w.fake.ControlKey(key.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
			w.fake.KeepControl()
			a.mu.Lock()
			defer a.mu.Unlock()
			resp, ok := answer(r)
			return resp, nil, ok
		})
	}
	on(kmsg.TxnOffsetCommit, a.refuse)
	on(kmsg.DescribeProducers, func(r kmsg.Request) (kmsg.Response, bool) {
		if a.offsets || !time.Now().Before(a.until) {
			return nil, false
		}
		h := hanging{topic: w.names.AvailabilityUpdates}
		return h.producers(r, a.producer, 0), true
	})
	on(kmsg.Produce, func(r kmsg.Request) (kmsg.Response, bool) {
		if r.(*kmsg.ProduceRequest).TransactionID != nil {
			a.produced = true
			if time.Now().Before(a.until) {
				a.early++
			}
		}
		return nil, false
	})
	on(kmsg.OffsetFetch, func(r kmsg.Request) (kmsg.Response, bool) {
		ask := r.(*kmsg.OffsetFetchRequest)
		if !a.offsets || !time.Now().Before(a.until) || !ask.RequireStable || ask.Groups[0].Topics[0].Partitions[0] != 0 {
			return nil, false
		}
		answer := r.ResponseKind()
		unstable(r, answer)
		return answer, true
	})
}

// refuse answers the offsets of a transaction that has written.
func (a *abortedStand) refuse(r kmsg.Request) (kmsg.Response, bool) {
	if !a.produced || a.refusals == 0 {
		return nil, false
	}
	commit := r.(*kmsg.TxnOffsetCommitRequest)
	if a.refusals--; a.refusals == 0 {
		a.producer, a.until = commit.ProducerID, time.Now().Add(4*time.Second)
	}
	resp := r.ResponseKind().(*kmsg.TxnOffsetCommitResponse)
	for _, t := range commit.Topics {
		topic := kmsg.NewTxnOffsetCommitResponseTopic()
		topic.Topic, topic.TopicID = t.Topic, t.TopicID
		for _, p := range t.Partitions {
			refused := kmsg.NewTxnOffsetCommitResponseTopicPartition()
			refused.Partition, refused.ErrorCode = p.Partition, kerr.UnknownServerError.Code
			topic.Partitions = append(topic.Partitions, refused)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return resp, true
}
