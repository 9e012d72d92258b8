package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/cache"
	"onhand/processor/availability"
	"onhand/schemas"
	"onhand/topics"
)

// benchCheck is what the comparison with the model found.
type benchCheck struct {
	Inputs   int64    `json:"inputs"`   // records that were folded anew
	Levels   int64    `json:"levels"`   // compared with availability-updates, tombstones included
	Stored   int64    `json:"stored"`   // SKUs whose levels in Redis were compared
	Balances int64    `json:"balances"` // locations that have a SKU, by the model
	Outcomes outcomes `json:"outcomes"` // decisions on reservation events, of the part that was measured

	Differences *benchDifferences `json:"differences,omitempty"` // of a system that is not ours

	Wrong    int64    `json:"wrong"`
	Examples []string `json:"examples"` // of what is wrong, at most benchExamples
	Seconds  float64  `json:"seconds"`
}

// outcomes count decisions.
type outcomes struct {
	Accepted int64 `json:"accepted"`
	Partial  int64 `json:"partial"`
	Rejected int64 `json:"rejected"`
}

// Limits of a check.
const (
	benchExamples   = 10
	benchStoredEach = 250 // SKUs of a partition that are looked up in Redis
)

// benchChecker folds all that stands in the inputs of a namespace anew, each record once and by itself, with the decisions
// that stand, and compares the topic of levels and Redis with what that comes to. The inputs must stand whole, from their
// first record, and nothing may be folded meanwhile.
type benchChecker struct {
	wire  *wire
	store *cache.Redis
	graph *availability.Graph
	rules availability.Rules
	from  kadm.ListedOffsets // of the outputs: what stands from there on is counted
	// decoder is set where the levels are those of a system that is not ours: they are compared, and nothing else is.
	decoder *schemas.Decoder

	mu      sync.Mutex // guards both below
	found   benchCheck
	outputs benchCounts
}

// check compares all partitions, some at the same time. The error is of what could not be found out.
func (b *benchChecker) check(ctx context.Context, p *progress, acked, poison int) error {
	began := time.Now()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	partitions := make(chan int32, b.wire.partitions)
	for n := range b.wire.partitions {
		partitions <- n
	}
	close(partitions)
	b.found.Examples = []string{}
	if b.decoder != nil {
		b.found.Differences = &benchDifferences{}
	}
	var inputs, dead int64
	var working sync.WaitGroup
	for range min(2, int(b.wire.partitions)) {
		working.Go(func() {
			for n := range partitions {
				part := &partitionCheck{benchChecker: b, reader: b.wire.reader.Clone(), number: n}
				if err := part.run(ctx); err != nil {
					cancel(fmt.Errorf("checking partition %d: %w", n, err))
					return
				}
				b.mu.Lock()
				inputs, dead = inputs+part.sent, dead+int64(len(part.dead))
				b.mu.Unlock()
				p.set(int(b.wire.partitions) - len(partitions))
			}
		})
	}
	working.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if inputs != int64(acked) {
		b.wrong("the inputs hold %d records that were sent; Kafka has acknowledged %d", inputs, acked)
	}
	if dead != int64(poison) {
		b.wrong("%d records are dead letters; %d were sent that must be", dead, poison)
	}
	b.found.Seconds = time.Since(began).Seconds()
	return nil
}

// wrong notes a difference.
func (b *benchChecker) wrong(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.found.Wrong++; len(b.found.Examples) < benchExamples {
		b.found.Examples = append(b.found.Examples, fmt.Sprintf(format, args...))
	}
}

// partitionCheck is the check of one partition number.
type partitionCheck struct {
	*benchChecker
	reader *topics.Reader
	number int32

	decisions map[int64]availability.Result // by the offset of the event
	dead      map[topics.Source]bool
	folder    *availability.Folder
	stocks    map[availability.SKU]*availability.Stock
	sent      int64 // records of the inputs, but for those of the processor
}

func (p *partitionCheck) run(ctx context.Context) error {
	p.decisions, p.dead = make(map[int64]availability.Result), make(map[topics.Source]bool)
	p.stocks = make(map[availability.SKU]*availability.Stock)
	p.folder = availability.NewFolder(p.graph, p.rules, availability.NewWindow(p.rules.Window))
	names := p.wire.names
	for _, step := range []struct {
		topic string
		take  func(context.Context, *kgo.Record) error
	}{
		{names.ReservationResults, p.takeResult}, {names.DeadLetters, p.takeDead}, {names.StockDeltas, p.takeDelta}, {names.ReservationEvents, p.takeEvent},
	} {
		if err := p.read(ctx, step.topic, func(r *kgo.Record) error { return step.take(ctx, r) }); err != nil {
			return err
		}
	}
	levels := make(map[string]availability.Level)
	for _, s := range p.stocks {
		for _, l := range p.folder.Levels(s) {
			levels[l.Place.ID+"/"+string(s.SKU)] = l
		}
	}
	if p.decoder != nil {
		return p.compareSystem(ctx, levels)
	}
	if err := p.compareTopic(ctx, levels); err != nil {
		return err
	}
	return p.compareStore(ctx, levels)
}

// counts says whether a record of an output is of the part that was measured.
func (p *partitionCheck) counts(r *kgo.Record) bool {
	from, _ := p.from.Lookup(r.Topic, r.Partition)
	return r.Offset >= from.Offset
}

func (p *partitionCheck) takeResult(ctx context.Context, r *kgo.Record) error {
	var d topics.Decision
	if err := p.reader.Result(ctx, r, &d); err != nil {
		return fmt.Errorf("reading %s: %w", topics.SourceAt(r), err)
	}
	if _, twice := p.decisions[d.Source.Offset]; twice {
		p.wrong("two decisions stand on %s", d.Source)
	}
	p.decisions[d.Source.Offset] = d.Result
	if !p.counts(r) {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outputs.Results++
	switch o := &p.found.Outcomes; d.Result.Outcome {
	case availability.Accepted:
		o.Accepted++
	case availability.Partial:
		o.Partial++
	case availability.Rejected:
		o.Rejected++
	}
	return nil
}

func (p *partitionCheck) takeDead(_ context.Context, r *kgo.Record) error {
	dead, err := topics.ReadDead(r)
	if err != nil {
		return fmt.Errorf("reading %s: %w", topics.SourceAt(r), err)
	}
	if !bytes.HasPrefix(r.Value, []byte(benchGarbage)) {
		p.wrong("a good record, %s, is a dead letter: %s: %s", dead.Source, dead.Code, dead.Message)
	}
	if p.dead[dead.Source] {
		p.wrong("%s is a dead letter twice", dead.Source)
	}
	p.dead[dead.Source] = true
	if p.counts(r) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.outputs.DeadLetters++
	}
	return nil
}

func (p *partitionCheck) takeDelta(ctx context.Context, r *kgo.Record) error {
	p.sent++
	if p.dead[topics.SourceAt(r)] {
		return nil
	}
	var d availability.Delta
	if err := p.reader.Delta(ctx, r, &d); isRefusal(err) {
		p.wrong("%s is no dead letter and must be: %v", topics.SourceAt(r), err)
		return nil
	} else if err != nil {
		return err
	}
	p.folder.Delta(p.stock(d.SKU), &d, 0)
	return nil
}

func (p *partitionCheck) takeEvent(ctx context.Context, r *kgo.Record) error {
	var e availability.ReservationEvent
	if err := p.reader.Event(ctx, r, &e); err != nil {
		return err
	}
	if _, ours := expiryOf(e.RequestID); !ours {
		p.sent++
	}
	result, ok := p.decisions[r.Offset]
	if !ok {
		p.wrong("no decision stands on %s", topics.SourceAt(r))
		return nil
	}
	p.folder.Standing(p.stock(e.SKU), &e, result, 0)
	return nil
}

func (p *partitionCheck) stock(sku availability.SKU) *availability.Stock {
	s := p.stocks[sku]
	if s == nil {
		s = availability.NewStock(p.graph, &availability.StockData{SKU: sku, Complete: true})
		p.stocks[sku] = s
	}
	return s
}

// lastUpdate is the last record of a key.
type lastUpdate struct {
	version int64
	record  kgo.Record
	value   []byte // memory of record.Value, kept through tombstones
}

// keep copies a record: it shares memory with all that was fetched with it.
func (l *lastUpdate) keep(r *kgo.Record, version int64) {
	kept := &l.record
	l.version, kept.Topic, kept.Partition, kept.Offset = version, r.Topic, r.Partition, r.Offset
	kept.Key = append(kept.Key[:0], r.Key...)
	l.value = append(l.value[:0], r.Value...)
	if kept.Value = l.value; r.Value == nil {
		kept.Value = nil
	}
	for len(kept.Headers) < len(r.Headers) {
		kept.Headers = append(kept.Headers, kgo.RecordHeader{})
	}
	kept.Headers = kept.Headers[:len(r.Headers)]
	for i, h := range r.Headers {
		kept.Headers[i].Key, kept.Headers[i].Value = h.Key, append(kept.Headers[i].Value[:0], h.Value...)
	}
}

// compareTopic compares the last record of every key, and the versions of all.
func (p *partitionCheck) compareTopic(ctx context.Context, want map[string]availability.Level) error {
	last := make(map[string]*lastUpdate, len(want))
	updates := int64(0)
	err := p.read(ctx, p.wire.names.AvailabilityUpdates, func(r *kgo.Record) error {
		if p.counts(r) {
			updates++
		}
		version, err := versionOf(r)
		if err != nil {
			return err
		}
		l := last[string(r.Key)]
		if l == nil {
			l = &lastUpdate{}
			last[string(r.Key)] = l
		} else if version <= l.version {
			p.wrong("%s: version %d comes after %d", r.Key, version, l.version)
		}
		l.keep(r, version)
		return nil
	})
	if err != nil {
		return err
	}
	for key, l := range last {
		var have availability.Level
		var from topics.Provenance
		if err := p.reader.Update(ctx, &l.record, &have, &from); err != nil {
			p.wrong("%s cannot be read: %v", topics.SourceAt(&l.record), err)
			continue
		}
		if true := want[key]; !sameLevel(&have, &true) {
			p.wrong("%s is published as %s and is %s", key, levelText(&have), levelText(&true))
		}
	}
	balances := int64(0)
	for key, l := range want {
		if last[key] == nil && l.Present {
			p.wrong("%s was never published and is %s", key, levelText(&l))
		}
		if l.Present && l.Place.Type == availability.LocationPlace {
			balances++
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.found.Inputs += p.sent
	p.outputs.Updates, p.found.Levels, p.found.Balances = p.outputs.Updates+updates, p.found.Levels+int64(len(last)), p.found.Balances+balances
	return nil
}

// sameLevel is Equal; two levels that are not present are the same.
func sameLevel(a, b *availability.Level) bool {
	return !a.Present && !b.Present || a.Equal(b)
}

// levelText is what a person needs to see of a level that is wrong.
func levelText(l *availability.Level) string {
	if !l.Present {
		return "nothing"
	}
	return fmt.Sprintf("on hand %s, reserved %s, at groups %s, shared %s, ATF %s, ATO %s, shortfall %s, effective %s",
		l.OnHand, l.Reserved, l.GroupReserved, l.SharedGroupReserved, l.ATF, l.ATO, l.Shortfall, instantText(l.EffectiveAt))
}

// versionOf is the version in the header of an update.
func versionOf(r *kgo.Record) (version int64, err error) {
	for _, h := range r.Headers {
		if h.Key == topics.HeaderVersion {
			if version, err = strconv.ParseInt(string(h.Value), 10, 64); err == nil {
				return version, nil
			}
		}
	}
	return 0, fmt.Errorf("%s has no version", topics.SourceAt(r))
}

// compareStore compares the levels that Redis holds of some SKUs, evenly chosen.
func (p *partitionCheck) compareStore(ctx context.Context, want map[string]availability.Level) error {
	skus := slices.Sorted(maps.Keys(p.stocks))
	if each := (len(skus) + benchStoredEach - 1) / benchStoredEach; each > 1 {
		chosen := skus[:0]
		for i := 0; i < len(skus); i += each {
			chosen = append(chosen, skus[i])
		}
		skus = chosen
	}
	for chunk := range slices.Chunk(skus, loadChunk) {
		wants := make([]availability.Want, len(chunk))
		for i, sku := range chunk {
			wants[i] = availability.Want{SKU: sku, All: true}
		}
		var stocks []availability.StockData
		err := askRedis(ctx, p.store, func(ctx context.Context) (err error) {
			stocks, _, err = p.store.Load(ctx, p.number, p.graph, wants)
			return err
		})
		if err != nil {
			return err
		}
		for i := range stocks {
			p.compareStock(&stocks[i], want)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.found.Stored += int64(len(skus))
	return nil
}

func (p *partitionCheck) compareStock(d *availability.StockData, want map[string]availability.Level) {
	if d.Exists && d.GraphVersion != p.graph.Version {
		p.wrong("Redis has %s of graph version %d, not %d", d.SKU, d.GraphVersion, p.graph.Version)
		return
	}
	have := p.folder.Levels(availability.NewStock(p.graph, d))
	for i := range have {
		key := have[i].Place.ID + "/" + string(d.SKU)
		if true := want[key]; !sameLevel(&have[i], &true) {
			p.wrong("%s is stored as %s and is %s", key, levelText(&have[i]), levelText(&true))
		}
	}
	for _, l := range p.folder.Levels(p.stocks[d.SKU]) {
		if !slices.ContainsFunc(have, func(h availability.Level) bool { return h.Place == l.Place }) {
			p.wrong("%s/%s is not stored and is %s", l.Place.ID, d.SKU, levelText(&l))
		}
	}
}

// read calls take for each record of a topic of the partition that stands committed. Kafka may take requestTimeout for
// each answer.
func (p *partitionCheck) read(ctx context.Context, topic string, take func(*kgo.Record) error) error {
	asking, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	start, end, err := logBounds(asking, p.wire.config, p.wire.client, topic, p.number)
	if err != nil || start >= end {
		return err
	}
	client, err := connectKafka(ctx, p.wire.config, p.wire.log,
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {p.number: kgo.NewOffset().At(start)}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.FetchMaxWait(250*time.Millisecond),
		kgo.FetchMaxPartitionBytes(8<<20))
	if err != nil {
		return err
	}
	defer client.Close()
	for next := start; next < end; {
		polling, cancel := context.WithTimeout(ctx, requestTimeout)
		fetches := client.PollFetches(polling)
		cancel()
		if err := readError(client, fetches); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return fmt.Errorf("reading %s: %w", topic, explainKafka(p.wire.config, err))
		}
		for records := fetches.RecordIter(); !records.Done(); {
			r := records.Next()
			next = r.Offset + 1
			if r.Attrs.IsControl() {
				continue
			}
			if err := take(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// summary is the check in one line.
func (c *benchCheck) summary() string {
	if c.Wrong > 0 {
		return fmt.Sprintf("WRONG: %d differences\n  %s", c.Wrong, strings.Join(c.Examples, "\n  "))
	}
	if c.Differences != nil {
		return fmt.Sprintf("right: %d inputs folded anew, %d keys of availability-updates agree in place, SKU, on hand, ATF, ATO and shortfall (%.1f s)", c.Inputs, c.Levels, c.Seconds)
	}
	return fmt.Sprintf("right: %d inputs folded anew, %d keys of availability-updates and %d SKUs in Redis agree (%.1f s)", c.Inputs, c.Levels, c.Stored, c.Seconds)
}
