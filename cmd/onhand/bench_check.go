package main

import (
	"bytes"
	"context"
	"fmt"
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
