package processor_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"onhand/processor"
	"onhand/processor/availability"
	"onhand/topics"
)

// logs is what stands committed in the topics of a namespace at rest, and what it decodes to.
type logs struct {
	inputs    []*kgo.Record
	bySource  map[topics.Source]*kgo.Record
	decisions map[topics.Source]availability.Result
	dead      map[topics.Source]bool
}

// rest ends the traffic and waits until all of it, and all that it leads to, is folded and stored.
func (t *trial) rest() {
	t.Helper()
	t.ledger.stop()
	t.eventually("all folded, expired, and in the store", func() bool {
		for n := range t.partitions {
			due, err := t.store.Due(t.Context(), n, availability.Instant(t.ledger.expires.Add(time.Hour).UnixMicro()), 1)
			if err != nil || len(due) > 0 {
				return false
			}
		}
		return t.lag() == 0
	})
	t.settled()
}

// judge holds everything at rest against the log, the ledger, and the rules.
func (t *trial) judge() {
	t.Helper()
	have := t.follower.finish()
	l := t.logs()
	want := t.recountOf(l.inputs)
	t.compare(want, have)
	t.judgeLedger(l)
	t.judgeSums(l, want)
	t.judgeRising(want)
	decided := 0
	if t.fake == nil { // the stand-in has no topic of committed offsets
		decided = t.judgeDecisions(l)
	}
	t.Logf("checked: %d records acknowledged (%v), %d updates, %d decisions, %d of them tested in their order, %d dead letters", len(t.ledger.sent), t.ledger.counts, t.follower.updates,
		len(l.decisions), decided, len(l.dead))
}

func (t *trial) logs() *logs {
	t.Helper()
	l := &logs{inputs: t.read(t.names.StockDeltas, t.names.ReservationEvents), bySource: make(map[topics.Source]*kgo.Record),
		decisions: make(map[topics.Source]availability.Result), dead: make(map[topics.Source]bool)}
	for _, r := range l.inputs {
		l.bySource[topics.SourceAt(r)] = r
	}
	reader := topics.NewReader(t.decoder, topics.Options{})
	for _, r := range t.read(t.names.ReservationResults) {
		var d topics.Decision
		t.must(reader.Result(t.Context(), r, &d))
		l.decisions[d.Source] = d.Result
	}
	for _, r := range t.read(t.names.DeadLetters) {
		source, err := topics.SourceOf(r)
		t.must(err)
		l.dead[source] = true
	}
	return l
}

// byTask returns the inputs of each task.
func (l *logs) byTask(t *trial) map[int32]*[availability.Inputs][]*kgo.Record {
	byTask := make(map[int32]*[availability.Inputs][]*kgo.Record)
	for _, r := range l.inputs {
		if byTask[r.Partition] == nil {
			byTask[r.Partition] = new([availability.Inputs][]*kgo.Record)
		}
		input := availability.Deltas
		if r.Topic == t.names.ReservationEvents {
			input = availability.Events
		}
		byTask[r.Partition][input] = append(byTask[r.Partition][input], r)
	}
	return byTask
}

// judgeLedger looks for every record that was acknowledged, and for what became of it.
func (t *trial) judgeLedger(l *logs) {
	t.Helper()
	forwarded, sentOn := make(map[uint64]int), make(map[uint64]int)
	for source, m := range t.ledger.sent {
		r := l.bySource[source]
		if r == nil || hashOf(r.Value) != m.hash {
			t.Errorf("%s was acknowledged and does not stand there", source)
			continue
		}
		if l.dead[source] != (m.fate == poisoned) {
			t.Errorf("%s of fate %d: a dead letter: %v", source, m.fate, l.dead[source])
		}
		if m.fate == misrouted {
			forwarded[m.hash]++
		}
	}
	for _, r := range l.inputs {
		source := topics.SourceAt(r)
		if _, ours := t.ledger.sent[source]; ours {
			continue
		}
		hash := hashOf(r.Value)
		switch m, unknown := t.ledger.unknown[hash]; {
		case headerOf(r, topics.HeaderForwarded) != "":
			sentOn[hash]++
		case unknown:
			t.ledger.gain(m)
			if m.fate == misrouted {
				forwarded[hash]++
			}
		case r.Topic != t.names.ReservationEvents || !strings.Contains(string(r.Value), "expire:"):
			t.Errorf("%s stands there and nobody sent it", source)
		}
	}
	for hash, n := range forwarded {
		if sentOn[hash] != n {
			t.Errorf("a misrouted record that was sent %d times was sent on %d times", n, sentOn[hash])
		}
	}
	if len(sentOn) > len(forwarded) {
		t.Errorf("%d records were sent on, %d were misrouted", len(sentOn), len(forwarded))
	}
}

// judgeSums adds up by plain arithmetic. On hand of a SKU that is never counted is what was adjusted, each record id once,
// less what fulfilments took; what it has reserved in all is what was granted, less what was fulfilled and released.
func (t *trial) judgeSums(l *logs, want map[string]availability.Level) {
	t.Helper()
	onHand, reserved := make(map[string]availability.Quantity), make(map[availability.SKU]availability.Quantity)
	for place, units := range t.ledger.gained {
		onHand[place] = availability.Quantity(units) * availability.Unit
	}
	reader := topics.NewReader(t.decoder, topics.Options{})
	requests := make(map[string]bool)
	for _, r := range l.inputs {
		d, decided := l.decisions[topics.SourceAt(r)]
		if !decided {
			continue
		}
		var e availability.ReservationEvent
		t.must(reader.Event(t.Context(), r, &e))
		if requests[e.RequestID] {
			continue
		}
		requests[e.RequestID] = true
		switch e.Action {
		case availability.Reserve:
			reserved[e.SKU] += d.Granted
		case availability.Fulfill:
			reserved[e.SKU] -= d.Granted
			onHand[string(e.Location)+"/"+string(e.SKU)] -= d.Granted
		case availability.Release:
			reserved[e.SKU] -= d.Granted
		}
	}
	for key, level := range want {
		switch {
		case level.Place.Type == availability.GroupPlace:
			reserved[level.SKU] -= level.GroupReserved
		default:
			reserved[level.SKU] -= level.Reserved
			if level.SKU[0] == 'R' && onHand[key] != level.OnHand {
				t.Errorf("%s: on hand %v, the ledger says %v", key, level.OnHand, onHand[key])
			}
		}
	}
	for sku, left := range reserved {
		if left != 0 {
			t.Errorf("%s: %v units more were granted than are reserved, fulfilled and released", sku, left)
		}
	}
}

// judgeRising tests the promises on SKUs that never lose stock: none may be broken.
func (t *trial) judgeRising(want map[string]availability.Level) {
	t.Helper()
	levels := make(map[availability.SKU][]availability.Level)
	for _, l := range want {
		if l.SKU[0] == 'R' {
			levels[l.SKU] = append(levels[l.SKU], l)
		}
	}
	for sku, of := range levels {
		s := standingOf(of, false)
		for location := range s.free {
			s.test(t, string(sku)+" at rest", availability.Place{Type: availability.LocationPlace, ID: location})
		}
	}
}

// promised is what the promises on one SKU come to, in terms of plain sums.
type promised struct {
	free   map[string]availability.Quantity // by location, as much as there is: below zero where too much is reserved
	demand map[string]availability.Quantity // by group
}

func standingOf(levels []availability.Level, fulfill bool) promised {
	s := promised{make(map[string]availability.Quantity), make(map[string]availability.Quantity)}
	for _, l := range levels {
		switch {
		case l.Place.Type == availability.GroupPlace:
			s.demand[l.Place.ID] = l.GroupReserved
		case fulfill:
			s.free[l.Place.ID] = l.OnHand - l.Reserved - l.SafetyStock
		default:
			s.free[l.Place.ID] = l.OnHand + l.FutureQuantity - l.Reserved - l.SafetyStock
		}
	}
	return s
}

// test looks at each set of groups that has to do with the place: what they have promised must be there in the union of
// their locations. A location must have what it has reserved.
func (s promised) test(t *trial, what string, place availability.Place) {
	t.Helper()
	if s.free[place.ID] < 0 && place.Type == availability.LocationPlace {
		t.Errorf("%s: %s has reserved %v more than it has", what, place.ID, -s.free[place.ID])
	}
	groups := trafficGroups()
	names := []string{"ALL", "EAST", "WEST"}
	for set := 1; set < 1<<len(names); set++ {
		var demand, free availability.Quantity
		members, concerned := make(map[string]bool), false
		for i, name := range names {
			if set&(1<<i) == 0 {
				continue
			}
			demand += s.demand[name]
			concerned = concerned || place.ID == name
			for _, n := range groups[name] {
				members[fmt.Sprintf("L%02d", n)] = true
			}
		}
		for location := range members {
			free += max(0, s.free[location])
		}
		if (concerned || members[place.ID]) && demand > free {
			t.Errorf("%s: the groups of set %03b have promised %v of %v", what, set, demand, free)
		}
	}
}

// batchOf is how far a transaction of one task went.
type batchOf struct {
	epoch, seq int64
	offsets    [availability.Inputs]int64
}

// batches reads from the brokers' own topic of committed offsets what each transaction of each task has folded, in order.
func (t *trial) batches() map[int32][]batchOf {
	t.Helper()
	batches := make(map[int32][]batchOf)
	for _, r := range t.read("__consumer_offsets") {
		var key kmsg.OffsetCommitKey
		var value kmsg.OffsetCommitValue
		if len(r.Key) < 2 || r.Key[0] != 0 || r.Key[1] > 1 || r.Value == nil || key.ReadFrom(r.Key) != nil || key.Group != t.names.ConsumerGroup() {
			continue
		}
		t.must(value.ReadFrom(r.Value))
		m, err := processor.ParseMetadata(value.Metadata)
		t.must(err)
		input := availability.Deltas
		if key.Topic == t.names.ReservationEvents {
			input = availability.Events
		}
		of := batches[key.Partition]
		if n := len(of); n == 0 || of[n-1].epoch != m.Epoch || of[n-1].seq != m.CommitSeq {
			if n > 0 && (m.Epoch < of[n-1].epoch || m.Epoch == of[n-1].epoch && m.CommitSeq != of[n-1].seq+1) {
				t.Errorf("task %d commits batch %d of epoch %d after batch %d of epoch %d", key.Partition, m.CommitSeq, m.Epoch, of[n-1].seq, of[n-1].epoch)
			}
			of = append(of, batchOf{epoch: m.Epoch, seq: m.CommitSeq})
		}
		of[len(of)-1].offsets[input] = value.Offset
		batches[key.Partition] = of
	}
	return batches
}

// judgeDecisions folds the inputs anew in the order in which they were decided: batch by batch, in each by the records'
// times. After every reservation and transfer that was granted it tests the promises, and that the decision was published
// with the batch. It returns how many were tested.
func (t *trial) judgeDecisions(l *logs) (tested int) {
	t.Helper()
	byTask := l.byTask(t)
	var batches map[int32][]batchOf
	t.eventually("all offsets committed can be read", func() bool { // an open transaction of another group hides what follows it
		batches = t.batches()
		for n := range t.partitions {
			c, err := t.checkpoint(n)
			if of := batches[n]; err != nil || len(of) == 0 || of[len(of)-1].offsets != c.Offsets {
				return false
			}
		}
		return true
	})
	for n, batches := range batches {
		o := &order{trial: t, logs: l, graph: t.compiled(), stocks: make(map[availability.SKU]*availability.Stock), requests: make(map[string]bool), reader: topics.NewReader(t.decoder, topics.Options{})}
		o.folder = availability.NewFolder(o.graph, availability.DefaultRules(), availability.NewWindow(24*availability.Hour))
		for _, b := range batches {
			var part [availability.Inputs][]*kgo.Record
			for input, records := range byTask[n] {
				end, _ := slices.BinarySearchFunc(records, b.offsets[input], func(r *kgo.Record, offset int64) int { return int(r.Offset - offset) })
				part[input], byTask[n][input] = records[:end], records[end:]
			}
			for _, r := range byTime(part) {
				o.fold(r, b)
			}
		}
		for input, left := range byTask[n] {
			if len(left) > 0 {
				t.Errorf("%d records of input %d of task %d are in no batch", len(left), input, n)
			}
		}
		tested += o.tested
	}
	return tested
}

// byTime merges a batch by the times of its records; of two at the same time the delta comes first.
func byTime(part [availability.Inputs][]*kgo.Record) (merged []*kgo.Record) {
	d, e := part[availability.Deltas], part[availability.Events]
	for len(d)+len(e) > 0 {
		if len(e) == 0 || len(d) > 0 && !e[0].Timestamp.Before(d[0].Timestamp) {
			merged, d = append(merged, d[0]), d[1:]
		} else {
			merged, e = append(merged, e[0]), e[1:]
		}
	}
	return merged
}

// order is a task's inputs in the order in which they were decided.
type order struct {
	trial    *trial
	logs     *logs
	graph    *availability.Graph
	folder   *availability.Folder
	stocks   map[availability.SKU]*availability.Stock
	requests map[string]bool
	reader   *topics.Reader
	tested   int
}

func (o *order) stock(sku availability.SKU) *availability.Stock {
	if o.stocks[sku] == nil {
		o.stocks[sku] = availability.NewStock(o.graph, &availability.StockData{SKU: sku, Complete: true})
	}
	return o.stocks[sku]
}

func (o *order) fold(r *kgo.Record, b batchOf) {
	t, source := o.trial, topics.SourceAt(r)
	t.Helper()
	if o.logs.dead[source] || topics.PartitionOf(r.Key, t.partitions) != r.Partition {
		return
	}
	if r.Topic == t.names.StockDeltas {
		var d availability.Delta
		t.must(o.reader.Delta(t.Context(), r, &d))
		o.folder.Again(o.stock(d.SKU), &d, 0)
		return
	}
	var e availability.ReservationEvent
	t.must(o.reader.Event(t.Context(), r, &e))
	s, d := o.stock(e.SKU), o.logs.decisions[source]
	o.folder.Standing(s, &e, d, 0)
	again := o.requests[e.RequestID]
	o.requests[e.RequestID] = true
	if again {
		return
	}
	if want := b.epoch<<40 + b.seq; d.Version != want {
		t.Errorf("the decision on %s is of version %d, its batch of %d", source, d.Version, want)
	}
	place := availability.Place{Type: availability.GroupPlace, ID: string(e.Group)}
	switch {
	case d.Granted == 0 || e.Action != availability.Reserve && e.Action != availability.Transfer:
		return
	case e.Action == availability.Transfer:
		place = availability.Place{Type: availability.LocationPlace, ID: string(e.ToLocation)}
	case e.Location != "":
		place = availability.Place{Type: availability.LocationPlace, ID: string(e.Location)}
	}
	o.tested++
	standingOf(o.folder.Levels(s), e.FulfillOnly).test(t, fmt.Sprintf("%s at %s, %v granted", source, e.SKU, d.Granted), place)
}

// lag is how many records that were acknowledged the store does not reflect yet; -1 where it cannot be asked.
func (t *trial) lag() (lag int64) {
	for topic, next := range t.ledger.marks() {
		input := availability.Deltas
		if topic == t.names.ReservationEvents {
			input = availability.Events
		}
		for n, end := range next {
			c, err := t.checkpoint(int32(n))
			if err != nil {
				return -1
			}
			lag += max(0, end-c.Offsets[input])
		}
	}
	return lag
}

// assigned returns the partitions that members hold, once the group has come to rest and every member has some.
func (t *trial) assigned(names ...string) (partitions []int32) {
	t.Helper()
	admin := kadm.NewClient(t.client)
	t.eventually("a stable group in which every member has a part", func() bool {
		groups, err := admin.DescribeGroups(t.Context(), t.names.ConsumerGroup())
		group := groups[t.names.ConsumerGroup()]
		if err != nil || group.State != "Stable" {
			return false
		}
		held, all := heldBy(group.Members, t.names.StockDeltas)
		for name, m := range t.members {
			if m.alive() != (len(held[name]) > 0) {
				return false
			}
		}
		partitions = nil
		for _, name := range names {
			partitions = append(partitions, held[name]...)
		}
		return all == int(t.partitions)
	})
	return partitions
}

// heldBy returns the partitions of a topic by the name of the member that holds them, and how many they are.
func heldBy(members []kadm.DescribedGroupMember, name string) (held map[string][]int32, all int) {
	held = make(map[string][]int32)
	for _, m := range members {
		c, ok := m.Assigned.AsConsumer()
		if !ok || m.InstanceID == nil {
			continue
		}
		for _, topic := range c.Topics {
			if topic.Topic == name {
				member := strings.TrimSuffix(*m.InstanceID, "-0")
				held[member], all = append(held[member], topic.Partitions...), all+len(topic.Partitions)
			}
		}
	}
	return held, all
}
