package processor_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor"
	"onhand/processor/availability"
	"onhand/topics"
)

// settled waits until every record of the inputs is folded and the store has it. What stands in the inputs is looked at after
// the offsets: a transaction that moves them may have sent a record on.
func (w *world) settled() {
	w.Helper()
	admin := kadm.NewClient(w.client)
	store := w.open()
	defer func() { _ = store.Close() }()
	w.eventually("every input folded, and in the store", func() bool {
		committed, err := admin.FetchOffsets(w.Context(), w.names.ConsumerGroup())
		if err != nil || !w.marked(admin) {
			return false
		}
		last := w.lastOffsets()
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
		return true
	})
}

// marked says whether every transaction has ended in the topics of tasks: End returns, and the group's offsets move, before its
// markers are in every partition.
func (w *world) marked(admin *kadm.Client) bool {
	names := []string{w.names.StockDeltas, w.names.ReservationEvents, w.names.AvailabilityUpdates, w.names.ReservationResults, w.names.DeadLetters}
	ends, err := admin.ListEndOffsets(w.Context(), names...)
	if err != nil {
		return false
	}
	stable, err := admin.ListCommittedOffsets(w.Context(), names...)
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
	open := make(map[string][]*kgo.Record)
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		w.must(ctx.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			w.decided(open, r)
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

// decided fails where a record was read as committed and the next marker of its producer in the partition says that it was
// aborted, or where the producer's next epoch follows without a marker: no fault of a processor then, but of a broker, or of
// the client that reads.
func (w *world) decided(open map[string][]*kgo.Record, r *kgo.Record) {
	w.Helper()
	producer := fmt.Sprint(r.Topic, "/", r.Partition, " of producer ", r.ProducerID)
	switch {
	case !r.Attrs.IsControl() && r.Attrs.IsTransactional():
		if records := open[producer]; len(records) > 0 && records[0].ProducerEpoch != r.ProducerEpoch {
			w.Errorf("%s: %d records from %d on, of epoch %d, have no marker: those of epoch %d follow at %d, whose marker ends them too",
				producer, len(records), records[0].Offset, records[0].ProducerEpoch, r.ProducerEpoch, r.Offset)
			delete(open, producer)
		}
		open[producer] = append(open[producer], r)
	case r.Attrs.IsControl():
		if records := open[producer]; len(records) > 0 && len(r.Key) >= 4 && binary.BigEndian.Uint16(r.Key[2:]) == 0 {
			w.Errorf("%s: read as committed %d records from %d on, of epoch %d, and aborted by the marker at %d of epoch %d",
				producer, len(records), records[0].Offset, records[0].ProducerEpoch, r.Offset, r.ProducerEpoch)
		}
		delete(open, producer)
	}
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
	gone  bool // its location joined the graph after it
}

func (d *told) fold(f *availability.Folder, s *availability.Stock) {
	if d.drop != nil {
		f.DropOverdue(s, d.drop.Location, d.drop.Until, 0)
	} else {
		f.Again(s, d.delta, 0)
	}
}

// decided is a reservation event with the decision that stands.
type decided struct {
	event  availability.ReservationEvent
	result availability.Result
	after  int  // of what the SKU was told, how much before it
	gone   bool // the location it names joined the graph after it
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

// ordered holds a result against the one before it in its partition: a replay expects them in the order of their events.
func (w *world) ordered(newest map[int32]topics.Source, result *kgo.Record, event topics.Source) {
	w.Helper()
	if last, ok := newest[result.Partition]; ok && event.Offset < last.Offset {
		w.Errorf("offset %d of %s/%d is the result of %s, and stands after that of %s", result.Offset, result.Topic, result.Partition, event, last)
	}
	newest[result.Partition] = event
}

func (w *world) recounted(inputs []*kgo.Record) *recounted {
	w.Helper()
	reader := topics.NewReader(w.decoder, topics.Options{})
	decisions, after := make(map[topics.Source]availability.Result), make(map[topics.Source]int64)
	newest := make(map[int32]topics.Source)
	first := make(map[topics.Source]*kgo.Record)
	for _, r := range w.read(w.names.ReservationResults) {
		var d topics.Decision
		w.must(reader.Result(w.Context(), r, &d))
		w.ordered(newest, r, d.Source)
		if f := first[d.Source]; f != nil {
			w.Errorf("two decisions stand on %s: at %d of producer %d/%d and at %d of producer %d/%d", d.Source, f.Offset, f.ProducerID, f.ProducerEpoch, r.Offset, r.ProducerID, r.ProducerEpoch)
		}
		first[d.Source] = r
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
	all := &recounted{stocks: make(map[availability.SKU]*availability.Stock), told: make(map[availability.SKU][]told), events: make(map[availability.SKU][]decided)}
	window := availability.NewWindow(24 * availability.Hour)
	parts := make(map[int32]*part)
	for n, joins := range w.joins() {
		parts[n] = newPart(w, graph, joins, window)
	}
	for _, r := range w.asDecided(inputs, after) {
		source := topics.SourceAt(r)
		if dead[source] || topics.PartitionOf(r.Key, w.partitions) != r.Partition {
			continue
		}
		p := parts[r.Partition]
		if r.Topic == w.names.ReservationEvents {
			var e availability.ReservationEvent
			w.must(reader.Event(w.Context(), r, &e))
			result, ok := decisions[source]
			if !ok {
				w.Errorf("no decision stands on %s", source)
			}
			p.reach(availability.Events, r.Offset)
			p.folder.Standing(p.stock(e.SKU), &e, result, 0)
			all.events[e.SKU] = append(all.events[e.SKU], decided{e, result, len(all.told[e.SKU]), p.gone(e.Location)})
			continue
		}
		p.reach(availability.Deltas, r.Offset)
		if sku, what, is := w.toldBy(reader, r, p); is {
			what.fold(p.folder, p.stock(sku))
			all.told[sku] = append(all.told[sku], what)
		}
	}
	all.folder = availability.NewFolder(graph, availability.DefaultRules(), window)
	for _, p := range parts {
		p.reach(availability.Deltas, math.MaxInt64)
		maps.Copy(all.stocks, p.stocks)
	}
	return all
}

// toldBy reads a record of the deltas.
func (w *world) toldBy(reader *topics.Reader, r *kgo.Record, p *part) (availability.SKU, told, bool) {
	w.Helper()
	if topics.Instructs(r) {
		var i topics.Instruction
		w.must(reader.Instruction(r, &i))
		return i.SKU, told{drop: &i, gone: p.gone(i.Location)}, i.Kind == topics.DropOverdue
	}
	var d availability.Delta
	w.must(reader.Delta(w.Context(), r, &d))
	return d.SKU, told{delta: &d, gone: p.gone(d.Location)}, true
}

// part is the recount of a partition. Locations of its graph that joined at a position which it has not reached are others
// there than those of the newest graph by the same name: these begin with nothing.
type part struct {
	world  *world
	graphs []*availability.Graph // before the first join, after the first, and so on
	joins  []joinedAt            // not reached yet, in their order
	folder *availability.Folder
	stocks map[availability.SKU]*availability.Stock
	spec   availability.GraphSpec
}

// joinedAt is a version of the graph and where a task took it over.
type joinedAt struct {
	version int64
	at      [availability.Inputs]int64
}

// joins returns the versions with which locations joined, by task, as the offsets of the group tell of them.
func (w *world) joins() map[int32][]joinedAt {
	w.Helper()
	committed, err := kadm.NewClient(w.client).FetchOffsets(w.Context(), w.names.ConsumerGroup())
	w.must(err)
	all := make(map[int32][]joinedAt)
	for n := range w.partitions {
		all[n] = nil
		for input, topic := range []string{w.names.StockDeltas, w.names.ReservationEvents} {
			k, _ := committed.Lookup(topic, n)
			m, err := processor.ParseMetadata(k.Metadata)
			if err != nil {
				continue // of a group whose offsets were set by hand
			}
			for i, j := range m.Joined {
				if input == availability.Deltas {
					all[n] = append(all[n], joinedAt{version: j.Version})
				}
				all[n][i].at[input] = j.At
			}
		}
	}
	return all
}

func newPart(w *world, newest *availability.Graph, joins []joinedAt, ids *availability.Window) *part {
	p := &part{world: w, joins: joins, stocks: make(map[availability.SKU]*availability.Stock), spec: topics.GraphSpec(w.graph)}
	for _, j := range joins {
		spec := topics.GraphSpec(w.graph)
		spec.Locations = slices.Clone(spec.Locations)
		for i := range spec.Locations {
			if spec.Locations[i].Since >= j.version {
				spec.Locations[i].Since = -1
			}
		}
		g, err := spec.Compile()
		w.must(err)
		p.graphs = append(p.graphs, g)
	}
	p.graphs = append(p.graphs, newest)
	p.folder = availability.NewFolder(p.graphs[0], availability.DefaultRules(), ids)
	return p
}

func (p *part) stock(sku availability.SKU) *availability.Stock {
	if p.stocks[sku] == nil {
		p.stocks[sku] = availability.NewStock(p.folder.Graph(), &availability.StockData{SKU: sku, Complete: true})
	}
	return p.stocks[sku]
}

// reach takes over the graphs up to a position.
func (p *part) reach(input int, offset int64) {
	for len(p.joins) > 0 && offset >= p.joins[0].at[input] {
		p.joins, p.graphs = p.joins[1:], p.graphs[1:]
		p.folder.SetGraph(p.graphs[0])
		for _, s := range p.stocks { // order-free: each by itself
			p.folder.Adopt(s, 0)
			p.folder.Finish(s, nil)
		}
	}
}

// gone says whether the location joins after the position reached.
func (p *part) gone(at availability.LocationID) bool {
	return slices.ContainsFunc(p.spec.Locations, func(l availability.LocationSpec) bool {
		return l.ID == at && len(p.joins) > 0 && l.Since >= p.joins[0].version
	})
}
