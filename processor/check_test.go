package processor_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/topics"
)

// settled waits until every record of the inputs is folded and the store has it.
func (w *world) settled() {
	w.Helper()
	admin := kadm.NewClient(w.client)
	store := w.open()
	defer func() { _ = store.Close() }()
	w.eventually("every input folded, and in the store", func() bool {
		last := w.lastOffsets()
		committed, err := admin.FetchOffsets(w.Context(), w.names.ConsumerGroup())
		if err != nil {
			return false
		}
		for n := range w.partitions {
			c, err := store.Checkpoint(w.Context(), n)
			if err != nil {
				return false
			}
			for input, topic := range []string{w.names.StockDeltas, w.names.ReservationEvents} {
				k, ok := committed.Lookup(topic, n)
				if !ok || k.At < last[topic][n] || c.Offsets[input] != k.At {
					return false
				}
			}
		}
		return w.marked(admin)
	})
}

// marked says whether every transaction has ended in the outputs: End returns, and the group's offsets move, before its
// markers are in every partition.
func (w *world) marked(admin *kadm.Client) bool {
	outputs := []string{w.names.AvailabilityUpdates, w.names.ReservationResults, w.names.DeadLetters}
	ends, err := admin.ListEndOffsets(w.Context(), outputs...)
	if err != nil {
		return false
	}
	stable, err := admin.ListCommittedOffsets(w.Context(), outputs...)
	if err != nil {
		return false
	}
	marked := true
	ends.Each(func(end kadm.ListedOffset) {
		if s, ok := stable.Lookup(end.Topic, end.Partition); !ok || s.Err != nil || end.Err != nil || s.Offset != end.Offset {
			marked = false
		}
	})
	return marked
}

// lastOffsets returns, for each partition of the inputs, the offset after its last record.
func (w *world) lastOffsets() map[string]map[int32]int64 {
	last := map[string]map[int32]int64{w.names.StockDeltas: {}, w.names.ReservationEvents: {}}
	for _, r := range w.read(w.names.StockDeltas, w.names.ReservationEvents) {
		last[r.Topic][r.Partition] = r.Offset + 1
	}
	return last
}

// read returns everything that stands committed in the topics, in the order of each partition.
func (w *world) read(names ...string) []*kgo.Record {
	w.Helper()
	admin := kadm.NewClient(w.client)
	ends, err := admin.ListCommittedOffsets(w.Context(), names...)
	w.must(err)
	starts, err := admin.ListStartOffsets(w.Context(), names...)
	w.must(err)
	positions := make(map[string]map[int32]kgo.Offset)
	left := make(map[string]bool)
	ends.Each(func(o kadm.ListedOffset) {
		s, _ := starts.Lookup(o.Topic, o.Partition)
		if s.Offset >= o.Offset {
			return
		}
		if positions[o.Topic] == nil {
			positions[o.Topic] = make(map[int32]kgo.Offset)
		}
		positions[o.Topic][o.Partition] = kgo.NewOffset().At(s.Offset)
		left[fmt.Sprint(o.Topic, o.Partition)] = true
	})
	if len(left) == 0 {
		return nil
	}
	client, err := kgo.NewClient(w.kafka(kgo.ConsumePartitions(positions), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.FetchMaxWait(50*time.Millisecond))...)
	w.must(err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(w.Context(), w.patience)
	defer cancel()
	var records []*kgo.Record
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		w.must(ctx.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				records = append(records, r)
			}
			if end, _ := ends.Lookup(r.Topic, r.Partition); r.Offset+1 >= end.Offset {
				delete(left, fmt.Sprint(r.Topic, r.Partition))
			}
		})
	}
	slices.SortStableFunc(records, func(a, b *kgo.Record) int { return strings.Compare(a.Topic, b.Topic) })
	return records
}

// last is a key's last record in the topic.
type last struct {
	level   availability.Level
	version int64
}

// published returns the last level of every key, and fails where a key's version went back or its last record is not the
// newest.
func (w *world) published() map[string]last {
	w.Helper()
	levels := make(map[string]last)
	reader := topics.NewReader(w.decoder, topics.Options{})
	for _, r := range w.read(w.names.AvailabilityUpdates) {
		var l last
		var from topics.Provenance
		w.must(reader.Update(w.Context(), r, &l.level, &from))
		l.version = from.Version
		if before, ok := levels[string(r.Key)]; ok && l.version <= before.version {
			w.Errorf("%s: version %d comes after %d", r.Key, l.version, before.version)
		}
		levels[string(r.Key)] = l
	}
	return levels
}

// check folds all that stands in the inputs anew, with the decisions and dead letters that stand, and compares with the
// topic of levels and with the store: nothing lost, nothing twice, one decision for each event.
func (w *world) check() {
	w.Helper()
	w.compare(w.recount(), w.published())
}

// compare holds what was published last of every key, and what the store has, against what is true.
func (w *world) compare(want map[string]availability.Level, have map[string]last) {
	w.Helper()
	for key, l := range have {
		if w2, ok := want[key]; l.level.Present != (ok && w2.Present) {
			w.Errorf("%s: published present=%v, true %v", key, l.level.Present, ok)
		}
	}
	for key, l := range want {
		h, ok := have[key]
		if !ok || !h.level.Equal(&l) {
			w.Errorf("%s:\npublished %+v\ntrue      %+v", key, h.level, l)
		}
	}
	w.checkStore(want)
}

// checkStore compares the levels that the store's cells come to.
func (w *world) checkStore(want map[string]availability.Level) {
	w.Helper()
	store := w.open()
	defer func() { _ = store.Close() }()
	bySKU := make(map[availability.SKU]int)
	for _, l := range want {
		bySKU[l.SKU]++
	}
	graph := w.compiled()
	for sku, n := range bySKU {
		data, _, err := store.Load(w.Context(), topics.PartitionOf(sku, w.partitions), graph, []availability.Want{{SKU: sku, All: true}})
		w.must(err)
		f := availability.NewFolder(graph, availability.DefaultRules(), availability.NewWindow(availability.Hour))
		s := availability.NewStock(graph, &data[0])
		levels := f.Levels(s)
		if len(levels) != n {
			w.Errorf("%s: the store has %d levels, true are %d", sku, len(levels), n)
		}
		for _, l := range levels {
			if true := want[l.Place.ID+"/"+string(sku)]; !l.Equal(&true) {
				w.Errorf("%s at %s:\nstored %+v\ntrue   %+v", sku, l.Place.ID, l, true)
			}
		}
	}
}

func (w *world) compiled() *availability.Graph {
	spec := topics.GraphSpec(w.graph)
	g, err := spec.Compile()
	w.must(err)
	return g
}

// recount is the plain model: every record of the inputs once, decisions as they stand.
func (w *world) recount() map[string]availability.Level {
	w.Helper()
	return w.recountOf(w.read(w.names.StockDeltas, w.names.ReservationEvents))
}

// recountOf is the plain model of these inputs.
func (w *world) recountOf(inputs []*kgo.Record) map[string]availability.Level {
	w.Helper()
	return w.recounted(inputs).levels()
}

// recounted is what a recount has in its hands.
type recounted struct {
	folder *availability.Folder
	stocks map[availability.SKU]*availability.Stock
	told   map[availability.SKU][]told // in the order of their partition
	events map[availability.SKU][]decided
}

func (r *recounted) levels() map[string]availability.Level {
	levels := make(map[string]availability.Level)
	for _, s := range r.stocks {
		for _, l := range r.folder.Levels(s) {
			levels[l.Place.ID+"/"+string(s.SKU)] = l
		}
	}
	return levels
}

// told is a delta, or the drop of futures.
type told struct {
	delta *availability.Delta
	drop  *topics.Instruction
}

func (d *told) fold(f *availability.Folder, s *availability.Stock) {
	if d.drop != nil {
		f.DropOverdue(s, d.drop.Location, d.drop.Until, 0)
	} else {
		f.Delta(s, d.delta, 0)
	}
}

// decided is a reservation event with the decision that stands.
type decided struct {
	event  availability.ReservationEvent
	result availability.Result
	after  int // of what the SKU was told, how much before it
}

// asDecided puts the inputs in the order in which they were folded first, as the results tell it. Only where a cell has 16
// movements since its count does the order of the two inputs make a difference.
func (w *world) asDecided(inputs []*kgo.Record, after map[topics.Source]int64) (ordered []*kgo.Record) {
	w.Helper()
	deltas := make(map[int32][]*kgo.Record)
	var events []*kgo.Record
	for _, r := range inputs {
		if r.Topic == w.names.StockDeltas {
			deltas[r.Partition] = append(deltas[r.Partition], r)
		} else {
			events = append(events, r)
		}
	}
	newest := make(map[int32]int64)
	for _, e := range events {
		to, is := after[topics.SourceAt(e)]
		if is && to < newest[e.Partition] {
			w.Errorf("%s was decided after fewer deltas than an event before it", topics.SourceAt(e))
		}
		newest[e.Partition] = max(to, newest[e.Partition])
		waiting := deltas[e.Partition]
		n := 0
		for n < len(waiting) && waiting[n].Offset < to {
			n++
		}
		ordered, deltas[e.Partition] = append(append(ordered, waiting[:n]...), e), waiting[n:]
	}
	for n := range w.partitions {
		ordered = append(ordered, deltas[n]...)
	}
	return ordered
}

func (w *world) recounted(inputs []*kgo.Record) *recounted {
	w.Helper()
	reader := topics.NewReader(w.decoder, topics.Options{})
	decisions, after := make(map[topics.Source]availability.Result), make(map[topics.Source]int64)
	for _, r := range w.read(w.names.ReservationResults) {
		var d topics.Decision
		w.must(reader.Result(w.Context(), r, &d))
		if _, twice := decisions[d.Source]; twice {
			w.Errorf("two decisions stand on %s", d.Source)
		}
		decisions[d.Source], after[d.Source] = d.Result, d.After
	}
	dead := make(map[topics.Source]bool)
	for _, r := range w.read(w.names.DeadLetters) {
		source, err := topics.SourceOf(r)
		w.must(err)
		if dead[source] {
			w.Errorf("%s stands in dead-letters twice", source)
		}
		dead[source] = true
	}
	graph := w.compiled()
	stocks := make(map[availability.SKU]*availability.Stock)
	all := &recounted{stocks: stocks, told: make(map[availability.SKU][]told), events: make(map[availability.SKU][]decided)}
	f := availability.NewFolder(graph, availability.DefaultRules(), availability.NewWindow(24*availability.Hour))
	stock := func(sku availability.SKU) *availability.Stock {
		if stocks[sku] == nil {
			stocks[sku] = availability.NewStock(graph, &availability.StockData{SKU: sku, Complete: true})
		}
		return stocks[sku]
	}
	tell := func(sku availability.SKU, what told) {
		what.fold(f, stock(sku))
		all.told[sku] = append(all.told[sku], what)
	}
	for _, r := range w.asDecided(inputs, after) {
		source := topics.SourceAt(r)
		if dead[source] || topics.PartitionOf(r.Key, w.partitions) != r.Partition {
			continue
		}
		if topics.Instructs(r) {
			var i topics.Instruction
			w.must(reader.Instruction(r, &i))
			if i.Kind == topics.DropOverdue {
				tell(i.SKU, told{drop: &i})
			}
			continue
		}
		if r.Topic == w.names.StockDeltas {
			var d availability.Delta
			w.must(reader.Delta(w.Context(), r, &d))
			tell(d.SKU, told{delta: &d})
			continue
		}
		var e availability.ReservationEvent
		w.must(reader.Event(w.Context(), r, &e))
		result, ok := decisions[source]
		if !ok {
			w.Errorf("no decision stands on %s", source)
		}
		f.Standing(stock(e.SKU), &e, result, 0)
		all.events[e.SKU] = append(all.events[e.SKU], decided{e, result, len(all.told[e.SKU])})
	}
	all.folder = f
	return all
}
