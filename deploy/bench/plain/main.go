// Command plain is the consumer that a team writes in an afternoon: it polls a batch of stock deltas, changes a Redis hash
// for each, HINCRBY for an adjustment and HSET for a count, reads the hashes of the SKUs that were touched in the same
// round trip, publishes the levels that follow, and commits its offsets. Redis is the only state.
//
// What is polled twice is added twice: after a crash between Redis and the commit of the offsets, and after a rebalance.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"onhand/deploy/bench/levels"
	"onhand/schemas"
)

// members is how many members of the consumer group run in the process, batchMax how many records one polls at once.
const (
	members  = 2
	batchMax = 4000
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "plain:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	s, err := levels.Read()
	if err != nil {
		return err
	}
	graph, err := levels.ReadGraph(s.Places)
	if err != nil {
		return err
	}
	options, err := redis.ParseURL(s.Redis)
	if err != nil {
		return fmt.Errorf("reading ONHAND_REDIS: %w", err)
	}
	store := redis.NewClient(options)
	defer func() { _ = store.Close() }()
	decoder, err := levels.NewDecoder(s.Registry)
	if err != nil {
		return err
	}
	all, ctx := errgroup.WithContext(ctx)
	for n := range members {
		all.Go(func() error {
			return (&member{setting: s, graph: graph, decoder: decoder, store: store}).run(ctx, strconv.Itoa(n))
		})
	}
	return all.Wait()
}

// member is one member of the consumer group.
type member struct {
	setting levels.Setting
	graph   *levels.Graph
	decoder *levels.Decoder
	store   *redis.Client
	client  *kgo.Client
}

func (m *member) run(ctx context.Context, name string) (err error) {
	m.client, err = kgo.NewClient(append(m.setting.Names.ProducerOpts(), // zstd of level 1, acks of all replicas; idempotent by default
		kgo.SeedBrokers(m.setting.Brokers...),
		kgo.ConsumerGroup(m.setting.Names.ConsumerGroup()), kgo.InstanceID(m.setting.Instance+"-"+name),
		kgo.ConsumeTopics(m.setting.Names.StockDeltas), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.ProducerLinger(50*time.Millisecond), kgo.MaxBufferedRecords(4*batchMax),
	)...)
	if err != nil {
		return fmt.Errorf("connecting to Kafka: %w", err)
	}
	defer m.client.CloseAllowingRebalance()
	for {
		fetches := m.client.PollRecords(ctx, batchMax)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("polling: %w", err)
		}
		if err := m.batch(ctx, fetches.Records()); err != nil {
			return err
		}
		if err := m.client.CommitUncommittedOffsets(ctx); err != nil {
			return fmt.Errorf("committing offsets: %w", err)
		}
		m.client.AllowRebalance()
	}
}

// touched is a SKU of a batch: what Redis holds of it, and which of its places have changed.
type touched struct {
	partition int32
	places    map[int]bool
	held      *redis.MapStringStringCmd
}

// batch changes Redis, and publishes the level of every place that has changed once.
func (m *member) batch(ctx context.Context, records []*kgo.Record) error {
	skus, order := map[string]*touched{}, []string(nil)
	pipe := m.store.Pipeline()
	for _, r := range records {
		d, err := m.decoder.Decode(ctx, r.Value)
		if err != nil {
			return err
		}
		location, known := m.graph.Index[d.Location]
		if !known {
			return fmt.Errorf("location %q is in no line of the places", d.Location)
		}
		if d.Mode == schemas.ModeUpdate {
			pipe.HSet(ctx, "stock:"+d.SKU, d.Location, int64(d.OnHand.Value))
		} else {
			pipe.HIncrBy(ctx, "stock:"+d.SKU, d.Location, int64(d.OnHand.Value))
		}
		t := skus[d.SKU]
		if t == nil {
			t = &touched{partition: r.Partition, places: map[int]bool{}}
			skus[d.SKU], order = t, append(order, d.SKU)
		}
		for _, place := range m.graph.Touched[location] {
			t.places[place] = true
		}
	}
	for _, sku := range order {
		skus[sku].held = pipe.HGetAll(ctx, "stock:"+sku)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("changing Redis: %w", err)
	}
	return m.publish(ctx, skus, order)
}

// publish sends the levels and waits until Kafka has them.
func (m *member) publish(ctx context.Context, skus map[string]*touched, order []string) error {
	now := time.Now()
	var update schemas.AvailabilityUpdate
	var failed kgo.FirstErrPromise
	for _, sku := range order {
		stock := m.graph.Stock()
		for name, held := range skus[sku].held.Val() {
			onHand, err := strconv.ParseInt(held, 10, 64)
			if err != nil {
				return fmt.Errorf("reading what %s holds of %s: %w", name, sku, err)
			}
			stock[m.graph.Index[name]] = onHand
		}
		for place := range skus[sku].places {
			m.graph.Level(sku, stock, place, now, &update)
			m.client.Produce(ctx, &kgo.Record{
				Topic: m.setting.Names.AvailabilityUpdates, Partition: skus[sku].partition, Timestamp: now,
				Key: []byte(update.Place + "/" + sku), Value: schemas.AppendAvailabilityUpdate(nil, m.setting.SchemaID, &update),
			}, failed.Promise())
		}
	}
	if err := m.client.Flush(ctx); err != nil {
		return fmt.Errorf("waiting for Kafka: %w", err)
	}
	if err := failed.Err(); err != nil {
		return fmt.Errorf("publishing levels: %w", err)
	}
	return nil
}
