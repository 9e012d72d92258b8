// Command goka is a goka processor: its table holds what each location has of a SKU, and every stock delta publishes the
// level of its location and those of its groups.
//
// It is at-least-once: what was processed and not committed before a crash is added to the table again.
package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"log"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/IBM/sarama"
	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"
	"github.com/lovoo/goka/storage"

	"onhand/deploy/bench/levels"
	"onhand/schemas"
	"onhand/topics"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "goka:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	s, err := levels.Read()
	if err != nil {
		return err
	}
	p := &processor{setting: s}
	if p.graph, err = levels.ReadGraph(s.Places); err != nil {
		return err
	}
	if p.decoder, err = levels.NewDecoder(s.Registry); err != nil {
		return err
	}
	goka.ReplaceGlobalConfig(settings(s))
	for left := restarts; ; left-- {
		if err = p.run(ctx); err == nil || left == 0 || ctx.Err() != nil {
			return err
		}
		fmt.Fprintln(os.Stderr, "goka: again after:", err)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

// restarts is how often the processor is built anew, as a supervisor would: a broker that has just made the table may not
// lead it yet, and goka ends then.
const restarts = 5

// run builds a processor and runs it until ctx ends.
func (p *processor) run(ctx context.Context) error {
	s, topic := p.setting, goka.NewTopicManagerConfig()
	topic.Table.Replication = 1
	graph := goka.DefineGroup(goka.Group(s.Names.ConsumerGroup()),
		goka.Input(goka.Stream(s.Names.StockDeltas), new(codec.Bytes), p.process),
		goka.Output(goka.Stream(s.Names.AvailabilityUpdates), new(codec.Bytes)),
		goka.Persist(stockCodec{}))
	runner, err := goka.NewProcessor(s.Brokers, graph,
		goka.WithHasher(func() hash.Hash32 { return &hasher{partitions: s.Partitions} }),
		goka.WithStorageBuilder(storage.DefaultBuilder(s.State)),
		goka.WithTopicManagerBuilder(goka.TopicManagerBuilderWithTopicManagerConfig(topic)),
		goka.WithLogger(log.New(io.Discard, "", 0)))
	if err != nil {
		return fmt.Errorf("building the processor: %w", err)
	}
	return runner.Run(ctx)
}

// settings are those of goka, changed where the comparison or its documentation asks for it.
func settings(s levels.Setting) *sarama.Config {
	c := goka.DefaultConfig()
	c.Version = sarama.V3_6_0_0
	c.ChannelBufferSize = 4096
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.Offsets.AutoCommit.Interval = 100 * time.Millisecond // 1 s by default
	c.Consumer.Fetch.Default = 4 << 20
	c.Consumer.Group.InstanceId = s.Instance               // comes back without waiting for the end of its session
	c.Producer.RequiredAcks = sarama.WaitForAll            // the leader's alone by default
	c.Producer.Idempotent, c.Net.MaxOpenRequests = true, 1 // as all others here; not by default
	c.Producer.Compression = sarama.CompressionZSTD        // as the topics want it; snappy by default
	c.Producer.CompressionLevel = 1
	c.Producer.Flush.Frequency = 50 * time.Millisecond
	c.Producer.Flush.Bytes = 1 << 20
	return c
}

type processor struct {
	setting levels.Setting
	graph   *levels.Graph
	decoder *levels.Decoder
}

// process changes the table and emits the levels that change with it.
func (p *processor) process(ctx goka.Context, message any) {
	d, err := p.decoder.Decode(ctx.Context(), message.([]byte))
	if err != nil {
		ctx.Fail(err)
	}
	stock, ok := ctx.Value().([]int64)
	if !ok {
		stock = p.graph.Stock()
	}
	location, err := p.graph.Apply(stock, &d)
	if err != nil {
		ctx.Fail(err)
	}
	ctx.SetValue(stock)
	now := time.Now()
	var update schemas.AvailabilityUpdate
	for _, place := range p.graph.Touched[location] {
		p.graph.Level(d.SKU, stock, place, now, &update)
		ctx.Emit(goka.Stream(p.setting.Names.AvailabilityUpdates), update.Place+"/"+d.SKU,
			schemas.AppendAvailabilityUpdate(nil, p.setting.SchemaID, &update))
	}
}

// stockCodec writes what the locations hold, eight bytes each.
type stockCodec struct{}

func (stockCodec) Encode(value any) ([]byte, error) {
	var data []byte
	for _, held := range value.([]int64) {
		data = binary.LittleEndian.AppendUint64(data, uint64(held))
	}
	return data, nil
}

func (stockCodec) Decode(data []byte) (any, error) {
	stock := make([]int64, len(data)/8)
	for i := range stock {
		stock[i] = int64(binary.LittleEndian.Uint64(data[8*i:]))
	}
	return stock, nil
}

// hasher is the partition itself: that of the SKU, also for a key of the form place/SKU. Its sum modulo the partitions is
// the same.
type hasher struct {
	partitions int32
	key        []byte
}

func (h *hasher) Write(p []byte) (int, error) {
	h.key = append(h.key, p...)
	return len(p), nil
}

func (h *hasher) Reset() { h.key = h.key[:0] }

func (h *hasher) Sum32() uint32 {
	_, sku, found := bytes.Cut(h.key, []byte("/"))
	if !found {
		sku = h.key
	}
	return uint32(topics.PartitionOf(sku, h.partitions))
}

func (h *hasher) Sum(b []byte) []byte { return strconv.AppendUint(b, uint64(h.Sum32()), 10) }
func (h *hasher) Size() int           { return 4 }
func (h *hasher) BlockSize() int      { return 1 }
