package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/cache"
	"onhand/processor/availability"
	"onhand/topics"
)

const (
	// auditKeysMax is how many records of a task's topic partition one pass takes in; of a longer one, each pass looks at
	// a part of the SKUs. 4 Mi keys × 90 bytes are some 400 MB.
	auditKeysMax = 4 << 20
	// auditBatch is how many SKUs are read from Redis between two looks at the checkpoint.
	auditBatch = 200
	// auditPause is how long SKUs that cannot be compared yet are left alone.
	auditPause = 50 * time.Millisecond
)

// auditTask looks at the SKUs of one task.
type auditTask struct {
	flags  *auditFlags
	wire   *wire
	store  *cache.Redis
	number int32
	report *auditReport
	show   func(shard int)

	stocks    *stockReader
	published *publishedKeys
	topic     *spanReader
	waiting   []*auditedSKU
	repairs   []auditRepair // the SKUs that differ
}

// auditedSKU is a SKU on its way through an audit.
type auditedSKU struct {
	sku     availability.SKU
	data    availability.StockData
	graph   *availability.Graph
	audit   availability.Audit
	corrupt string                 // what Redis has and cannot be read; empty: nothing
	suspect map[string]bool        // places that differed at the last look
	foreign map[string]foreignSeen // places at which the topic has a version that the task has not published
	reason  string                 // why it waits
}

// audit looks at all SKUs that the flags let through: those that Redis lists, and those that the topic has.
func (t *auditTask) audit(ctx context.Context) error {
	t.stocks = &stockReader{config: t.wire.config, store: t.store, reader: t.wire.reader, task: t.number}
	asking, cancel := context.WithTimeout(ctx, requestTimeout)
	start, end, err := logBounds(asking, t.wire.config, t.wire.client, t.wire.names.AvailabilityUpdates, t.number)
	cancel()
	if err != nil {
		return err
	}
	passes := 1
	if len(t.flags.skus) == 0 {
		passes += int((end - start) / auditKeysMax)
	}
	for pass := range passes {
		if err := t.pass(ctx, pass, passes, span{start, end}); err != nil {
			return err
		}
	}
	return nil
}

// pass looks at the SKUs of every so many shards.
func (t *auditTask) pass(ctx context.Context, pass, passes int, s span) (err error) {
	mine := func(shard int) bool { return shard%passes == pass }
	t.published = newPublishedKeys(t.wire.reader, func(sku string) bool { return t.flags.selects(sku) && mine(auditShard(sku)) })
	t.topic, err = t.wire.openSpans(ctx, t.wire.names.AvailabilityUpdates, map[int32]span{t.number: s})
	if err != nil {
		return err
	}
	defer t.topic.close()
	if err := t.readTopic(ctx, s.to); err != nil {
		return err
	}
	listed := t.publishedByShard()
	var batch []*auditedSKU
	for shard := range availability.SKUShards {
		t.show(shard)
		if !mine(shard) {
			continue
		}
		skus, err := t.list(ctx, shard, listed[shard])
		if err != nil {
			return err
		}
		for _, sku := range skus {
			if batch = append(batch, &auditedSKU{sku: sku}); len(batch) == auditBatch {
				if err := t.look(ctx, batch); err != nil {
					return err
				}
				batch = nil
			}
		}
	}
	if err := t.look(ctx, batch); err != nil {
		return err
	}
	return t.settle(ctx)
}

// auditShard is the shard of a store's lists that has the SKU.
func auditShard(sku string) int { return int(xxhash.Sum64String(sku) % availability.SKUShards) }

// publishedByShard are the SKUs that the topic has.
func (t *auditTask) publishedByShard() map[int][]availability.SKU {
	listed := make(map[int][]availability.SKU)
	for sku := range t.published.skus { // order-free: sorted by list
		shard := auditShard(string(sku))
		listed[shard] = append(listed[shard], sku)
	}
	return listed
}

// list returns the SKUs of a shard, sorted: those of the topic, and those that Redis lists. Where SKUs were named, they
// are looked at whether they are anywhere or not.
func (t *auditTask) list(ctx context.Context, shard int, skus []availability.SKU) ([]availability.SKU, error) {
	if len(t.flags.skus) > 0 {
		for _, sku := range t.flags.skus {
			if auditShard(sku) == shard && topics.PartitionOf(sku, t.wire.partitions) == t.number {
				skus = append(skus, availability.SKU(sku))
			}
		}
	} else {
		err := askRedis(ctx, t.store, func(ctx context.Context) error {
			stored, err := t.store.SKUs(ctx, t.number, shard)
			for _, sku := range stored {
				if t.flags.selects(string(sku)) {
					skus = append(skus, sku)
				}
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(skus)
	return slices.Compact(skus), nil
}

// auditAgain is how many SKUs are read together the second time: few, so that no commit falls between the checkpoints.
const auditAgain = 4

// settle looks at the SKUs that wait until none is left or the time is over.
func (t *auditTask) settle(ctx context.Context) error {
	deadline := time.Now().Add(t.flags.wait)
	for len(t.waiting) > 0 {
		if err := sleep(ctx, auditPause); err != nil {
			return err
		}
		again, together := t.waiting, auditAgain
		t.waiting = nil
		if len(again) > auditBatch {
			together = auditBatch
		}
		for len(again) > 0 && time.Now().Before(deadline) {
			n := min(len(again), together)
			if err := t.look(ctx, again[:n]); err != nil {
				return err
			}
			again = again[n:]
		}
		if again = append(again, t.waiting...); time.Now().After(deadline) {
			for _, s := range again {
				t.report.unsettled(auditUnsettled{t.number, string(s.sku), s.reason})
			}
			t.waiting = nil
			return nil
		}
		t.waiting = again
	}
	return nil
}

// look reads SKUs from Redis, then the topic to its end, and judges.
func (t *auditTask) look(ctx context.Context, batch []*auditedSKU) error {
	if len(batch) == 0 {
		return nil
	}
	for _, s := range batch {
		t.published.watch(s.sku)
	}
	low, err := t.state(ctx)
	if err != nil {
		return err
	}
	if low.blocked != "" {
		for _, s := range batch {
			t.wait(s, low.blocked)
		}
		return nil
	}
	if err := t.readStocks(ctx, batch); err != nil {
		return err
	}
	high, err := t.checkpoint(ctx)
	if err != nil {
		return err
	}
	if err := t.readTopicOn(ctx); err != nil {
		return err
	}
	for _, s := range batch {
		if err := t.judge(ctx, s, &low, &high); err != nil {
			return err
		}
	}
	return nil
}

// auditState is how Redis and Kafka stand when SKUs are read.
type auditState struct {
	availability.Checkpoint
	kafka   int64              // version of the newest batch that Kafka knows of
	owed    []availability.SKU // sorted
	blocked string             // why nothing can be compared; empty: it can
}

// state reads the checkpoint, and only then what Kafka has: an owner of the task publishes nothing under its epoch before
// it has recovered, so that Redis reflects all earlier epochs if Kafka knows the epoch, or if no offset is ahead.
func (t *auditTask) state(ctx context.Context) (s auditState, err error) {
	if s.Checkpoint, err = t.checkpoint(ctx); err != nil {
		return s, err
	}
	if s.CommitID == (availability.CommitID{}) {
		s.blocked = "Redis has no checkpoint of the task"
		return s, nil
	}
	if s.Partitions != t.wire.partitions {
		return s, hinted(fmt.Errorf("Redis has the state of %d partitions, the topics have %d", s.Partitions, t.wire.partitions), "check --brokers, --redis and --namespace")
	}
	err = askRedis(ctx, t.store, func(ctx context.Context) error {
		s.owed, err = t.store.Owed(ctx, t.number)
		return err
	})
	if err != nil {
		return s, err
	}
	group, err := t.wire.group(ctx)
	if err != nil {
		return s, err
	}
	kafka := &group.Tasks[t.number]
	s.kafka = (&availability.Checkpoint{Epoch: kafka.Epoch, CommitSeq: kafka.CommitSeq}).Version()
	if kafka.Epoch < s.Epoch {
		for input := range s.Offsets {
			if s.Offsets[input] < kafka.Inputs[input].Committed {
				s.blocked = "the task recovers what Redis has forgotten"
			}
		}
	}
	return s, nil
}

func (t *auditTask) checkpoint(ctx context.Context) (at availability.Checkpoint, err error) {
	err = askRedis(ctx, t.store, func(ctx context.Context) error {
		at, err = t.store.Checkpoint(ctx, t.number)
		return err
	})
	return at, err
}

// readStocks reads the SKUs one by one: a read of many would keep Redis from serving the task.
func (t *auditTask) readStocks(ctx context.Context, batch []*auditedSKU) error {
	for _, s := range batch {
		s.corrupt, s.graph = "", nil
		err := askRedis(ctx, t.store, func(ctx context.Context) (err error) {
			s.data, _, err = t.store.Read(ctx, t.number, s.sku)
			return err
		})
		if errors.Is(err, availability.ErrCorrupt) {
			s.corrupt = err.Error()
			continue
		}
		if err != nil {
			return err
		}
		if s.graph, err = t.graphOf(ctx, &s.data); err != nil && !errors.Is(err, errGraphGone) {
			return err
		}
		if s.graph != nil {
			s.audit = availability.NewFolder(s.graph, availability.DefaultRules(), availability.NewWindow(0)).Audit(&s.data)
		}
	}
	return nil
}

// graphOf returns the graph that the SKU was computed with; one without places for a SKU that is not in Redis.
func (t *auditTask) graphOf(ctx context.Context, d *availability.StockData) (*availability.Graph, error) {
	if !d.Exists {
		return (&availability.GraphSpec{}).Compile()
	}
	return t.stocks.graph(ctx, d.GraphVersion)
}

// readTopic reads the topic up to an offset.
func (t *auditTask) readTopic(ctx context.Context, end int64) error {
	t.topic.ends[t.number] = max(end, t.topic.ends[t.number])
	return t.topic.read(ctx, func(r *kgo.Record) error {
		if err := t.published.take(ctx, r); err != nil {
			return explainRegistry(t.wire.config, err)
		}
		return nil
	})
}

// readTopicOn reads on to the end that the topic has now. Markers of a transaction may come after its offsets: to the high
// watermark, not to what is visible.
func (t *auditTask) readTopicOn(ctx context.Context) error {
	asking, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	ends, err := kadm.NewClient(t.wire.client).ListEndOffsets(asking, t.wire.names.AvailabilityUpdates)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return explainKafka(t.wire.config, fmt.Errorf("asking for the end of %s: %w", t.wire.names.AvailabilityUpdates, err))
	}
	end, _ := ends.Lookup(t.wire.names.AvailabilityUpdates, t.number)
	return t.readTopic(ctx, end.Offset)
}

// judge compares what a look found. What differs for the first time is looked at again.
func (t *auditTask) judge(ctx context.Context, s *auditedSKU, low *auditState, high *availability.Checkpoint) error {
	_, owed := slices.BinarySearch(low.owed, s.sku)
	switch {
	case low.Epoch != high.Epoch || low.CommitSeq > high.CommitSeq:
		t.wait(s, "the task has a new owner, or Redis has forgotten writes")
	case owed:
		t.wait(s, "it is to be published again after a recovery")
	case s.corrupt == "" && s.graph == nil:
		t.wait(s, errGraphGone.Error())
	default:
		return t.compare(ctx, s, low, high)
	}
	return nil
}

// compare is judge where both sides are of one history.
func (t *auditTask) compare(ctx context.Context, s *auditedSKU, low *auditState, high *availability.Checkpoint) error {
	found, ok, err := t.differences(ctx, s, &auditRange{low.Version(), high.Version(), max(high.Version(), low.kafka)})
	if err != nil {
		return err
	}
	if !ok {
		t.wait(s, "the topic is ahead of Redis, or the SKU changes with every commit")
		return nil
	}
	// A cursor beyond the shards is that of a sweep that publishes every level, changed or not.
	if len(found) > 0 && low.SweepCursor >= availability.SKUShards {
		t.wait(s, "everything is swept anew after a recovery")
		return nil
	}
	confirmed := found[:0:0]
	suspect := make(map[string]bool, len(found))
	for _, d := range found {
		suspect[d.Place] = true
		if s.suspect[d.Place] {
			confirmed = append(confirmed, d)
		}
	}
	if len(found) > 0 && len(confirmed) == 0 {
		s.suspect = suspect
		t.wait(s, "it differs in another place at each look")
		return nil
	}
	t.report.SKUs++
	t.report.Levels += len(s.audit.Levels)
	slices.SortStableFunc(confirmed, func(a, b auditDifference) int { return cmp.Compare(a.Place, b.Place) })
	for _, d := range confirmed {
		t.report.differ(d)
	}
	if len(confirmed) > 0 && t.flags.repair {
		t.repairs = append(t.repairs, t.repairOf(s))
	}
	t.published.unwatch(s.sku)
	return nil
}

// wait puts a SKU aside for another look, without what this one has read.
func (t *auditTask) wait(s *auditedSKU, reason string) {
	t.waiting = append(t.waiting, &auditedSKU{sku: s.sku, suspect: s.suspect, foreign: s.foreign, reason: reason})
}
