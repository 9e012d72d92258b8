package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"golang.org/x/sync/errgroup"

	"onhand/cache"
	"onhand/processor"
	"onhand/schemas"
	"onhand/topics"
)

// devSystem is all of onhand that onhand dev runs against its services: the contract, the processor, a storefront that
// follows the topics, and the sample traffic.
type devSystem struct {
	config  *Config
	options devOptions
	board   *devBoard
	traffic *devTraffic
	log     *slog.Logger
	metrics *adminServer // nil: none

	wire    *wire
	admin   *kadm.Client
	decoder *schemas.Decoder
	ids     topics.IDs
	writer  *topics.Writer
	store   *cache.Redis
}

// run sets up what is missing and works until ctx ends.
func (s *devSystem) run(ctx context.Context) error {
	if err := s.connect(ctx); err != nil {
		return err
	}
	defer s.close()
	if err := s.contract(ctx); err != nil {
		return err
	}
	graph, err := s.graph(ctx)
	if err != nil {
		return err
	}
	deltas, err := sampleFeed(graph, time.Now())
	if err != nil {
		return err
	}
	seed := s.options.seed
	for seed == 0 {
		seed = rand.Uint64()
	}
	simulator := newSimulator(seed, devRun(time.Now()), sampleSKUs(deltas), s.board.stock)
	simulator.setGraph(graph)
	s.board.say(graphText(graph), time.Now())
	watch, err := newDevWatch(ctx, devWatchOptions{board: s.board, names: s.wire.names, decoder: s.decoder, admin: s.admin, client: s.clientOptions(),
		graph: func(g *schemas.LocationGraph) {
			simulator.setGraph(g)
			s.board.say(graphText(g), time.Now())
		},
		answered: func(d *topics.Decision) {
			simulator.answered(d.ReservationID, d.RequestID, d.Result.Granted, time.Now())
		}})
	if err != nil {
		return err
	}
	gap, err := s.gap(ctx)
	if err != nil {
		watch.close()
		return err
	}
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error { return watch.run(running) })
	group.Go(func() error { return s.process(running) })
	group.Go(func() error {
		if err := s.rebuild(running, gap); err != nil {
			return err
		}
		if err := s.load(running, deltas); err != nil {
			return err
		}
		select { // who knows old levels only would count wrongly
		case <-watch.caughtUp:
		case <-running.Done():
		}
		return s.simulate(running, simulator)
	})
	return group.Wait()
}

func graphText(g *schemas.LocationGraph) string {
	return fmt.Sprintf("location graph version %d: %s, %s", g.Version, plural(len(g.Locations), "location"), plural(len(g.Groups), "group"))
}

func (s *devSystem) clientOptions() []kgo.Opt {
	opts, err := kafkaOptions(s.config, s.log)
	if err != nil {
		panic(err) // only certificates can be wrong, and there are none
	}
	return opts
}

func (s *devSystem) connect(ctx context.Context) (err error) {
	names, err := topics.NamesOf(s.config.Namespace)
	if err != nil {
		return err
	}
	s.wire = &wire{config: s.config, log: s.log, names: names, partitions: devPartitions}
	if s.wire.client, err = connectKafka(ctx, s.config, s.log, names.ProducerOpts()...); err != nil {
		return err
	}
	s.admin = kadm.NewClient(s.wire.client)
	if s.wire.registry, err = openRegistry(s.config, s.log); err != nil {
		s.wire.client.Close()
		return err
	}
	s.decoder = newDecoder(s.wire.registry)
	s.wire.reader = topics.NewReader(s.decoder, topics.Options{})
	if s.store, err = cache.Open(ctx, string(s.config.Redis), cache.Options{Namespace: s.config.Namespace}); err != nil {
		s.wire.close()
	}
	return err
}

func (s *devSystem) close() {
	s.wire.close()
	if err := s.store.Close(); err != nil {
		s.log.Warn("connection ends badly", "err", err)
	}
}

// contract creates the topics and registers the schemas.
func (s *devSystem) contract(ctx context.Context) error {
	if _, err := topics.Apply(ctx, s.admin, topics.Settings{Namespace: s.config.Namespace, Partitions: devPartitions}); err != nil {
		return fmt.Errorf("creating the topics: %w", err)
	}
	if s.options.data != "" {
		if err := s.keepForever(ctx); err != nil {
			return err
		}
	}
	registered, err := s.wire.registry.RegisterAll(ctx, s.config.Namespace)
	if err != nil {
		return fmt.Errorf("registering the schemas: %w", err)
	}
	ids := map[string]int{}
	for _, r := range registered {
		ids[r.Record] = r.ID
	}
	if s.ids, err = topics.IDsOf(ids); err != nil {
		return err
	}
	s.writer = topics.NewWriter(s.wire.names, s.ids, devPartitions)
	return nil
}

// keepForever lifts the retention of what Redis is rebuilt from. The balances of a week ago would else be gone with the
// records that led to them, as Redis keeps nothing here.
func (s *devSystem) keepForever(ctx context.Context) error {
	unbounded := "-1"
	responses, err := s.admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: &unbounded}},
		s.wire.names.StockDeltas, s.wire.names.ReservationEvents, s.wire.names.ReservationResults, s.wire.names.DeadLetters)
	if err == nil {
		for _, r := range responses {
			err = errors.Join(err, r.Err)
		}
	}
	if err != nil {
		return fmt.Errorf("lifting the retention of the topics: %w", err)
	}
	return nil
}

// graph returns the newest published location graph. Where there is none, the sample is published.
func (s *devSystem) graph(ctx context.Context) (*schemas.LocationGraph, error) {
	newest, err := s.wire.graph(ctx)
	if err != nil || newest.record.Version > 0 {
		return &newest.record, err
	}
	sample, err := sampleGraph(time.Now())
	if err != nil {
		return nil, err
	}
	if err := s.wire.client.ProduceSync(ctx, s.writer.Graph(sample)).FirstErr(); err != nil {
		return nil, fmt.Errorf("publishing the sample graph: %w", err)
	}
	return sample, nil
}

// load imports the sample feed, once in the life of a data directory. To be interrupted does no harm: a count that is
// imported again is the same count.
func (s *devSystem) load(ctx context.Context, deltas []schemas.StockDelta) error {
	mark := filepath.Join(s.options.data, "sample-imported")
	if s.options.data != "" {
		if _, err := os.Stat(mark); err == nil {
			return nil
		}
	}
	if err := publishSample(ctx, s.wire.client, s.writer, deltas, time.Now()); err != nil {
		return err
	}
	s.board.say(fmt.Sprintf("sample feed imported: %s", plural(len(deltas), "record")), time.Now())
	if s.options.data == "" {
		return nil
	}
	if err := os.WriteFile(mark, []byte(s.config.Namespace+"\n"), 0o644); err != nil {
		return fmt.Errorf("marking the sample as imported: %w", err)
	}
	return nil
}

// process runs the processor.
func (s *devSystem) process(ctx context.Context) error {
	var meters metric.MeterProvider = metricnoop.NewMeterProvider()
	registry := prometheus.NewRegistry()
	if s.metrics != nil {
		telemetry, err := newTelemetry(ctx, "dev", s.log)
		if err != nil {
			return err
		}
		defer func() {
			if ended := telemetry.shutdown(ctx); ended != nil {
				s.log.Warn("the last telemetry is lost", "err", ended)
			}
		}()
		meters, registry = telemetry.metrics, telemetry.registry
	}
	observer, err := processor.NewObserver(tracenoop.NewTracerProvider(), meters, propagation.TraceContext{})
	if err != nil {
		return fmt.Errorf("preparing the processor: %w", err)
	}
	p, err := processor.New(processor.Options{
		Namespace: s.config.Namespace, Instance: "dev", Client: s.clientOptions(), Store: s.store,
		Reader: topics.NewReader(s.decoder, topics.Options{}), IDs: s.ids, Observer: observer, Logger: s.log,
		Workers: s.config.workers(), CacheBytes: 64 << 20,
	})
	if err != nil {
		return err
	}
	if s.metrics != nil {
		s.metrics.serve(registry, s.log, p.Live, p.Ready)
	}
	return p.Run(ctx)
}

// simulate lets the sample traffic flow until ctx ends. What is late is made up for, up to a second of it: timers are too
// coarse for hundreds of events a second.
func (s *devSystem) simulate(ctx context.Context, simulator *simulator) error {
	next := time.Now()
	for {
		rate, changed := s.traffic.get()
		var wait <-chan time.Time
		if rate > 0 {
			next = next.Add(simulator.pause(rate))
			if late := time.Since(next); late > time.Second {
				next = next.Add(late)
			}
			wait = time.After(time.Until(next))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
			next = time.Now()
		case now := <-wait:
			if event, ok := simulator.next(now); ok {
				s.send(ctx, event, now)
			}
		}
	}
}

// send publishes an event of the simulator. What becomes of it is seen on the topics.
func (s *devSystem) send(ctx context.Context, event simEvent, now time.Time) {
	var record *kgo.Record
	if event.delta != nil {
		record = s.writer.Delta(event.delta, now)
	} else {
		record = s.writer.Event(event.reservation)
	}
	record.Headers = append(record.Headers, kgo.RecordHeader{Key: topics.HeaderTraceParent, Value: []byte(event.trace)})
	s.wire.client.Produce(ctx, record, func(r *kgo.Record, err error) {
		if err != nil && ctx.Err() == nil {
			s.log.Warn("sample traffic is not accepted", "topic", r.Topic, "err", err)
		}
	})
}
