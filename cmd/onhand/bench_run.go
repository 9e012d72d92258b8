package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/cache"
	"onhand/processor/availability"
	"onhand/schemas"
	"onhand/topics"
)

// benchRun is one run of a plan in a namespace of its own.
type benchRun struct {
	app     *app
	config  *Config
	flags   *benchFlags
	plan    benchPlan
	report  *benchReport
	started []string // arguments of every processor
	environ []string

	namespace *benchNamespace
	admin     *kadm.Client
	store     *cache.Redis
	wire      *wire
	graph     *schemas.LocationGraph
	traffic   *benchTraffic
	sender    *benchSender
	meter     *benchMeter
	from      kadm.ListedOffsets // where the outputs of what is measured begin
	state     string             // directory of a system that is not ours, empty until it is started

	mu        sync.Mutex // guards processes
	processes []*benchProcess
}

// sendWait bounds how long a record waits for Kafka. It counts from the time when the record was to be sent.
const sendWait = time.Hour

// settleWait is how long the processor may stand still, with records to fold, before a run gives up.
const settleWait = 2 * time.Minute

// run makes the namespace, runs the plan in it, compares what came of it with the model, and leaves nothing behind.
func (r *benchRun) run(ctx context.Context) (err error) {
	client, err := connectKafka(ctx, r.config, r.app.quietLogger(r.config))
	if err != nil {
		return err
	}
	defer client.Close()
	r.admin = kadm.NewClient(client)
	if r.store, err = openRedis(ctx, r.config, nil); err != nil {
		return err
	}
	defer closeRead(r.store)
	names, err := topics.NamesOf(r.config.Namespace)
	if err != nil {
		return err
	}
	r.namespace = &benchNamespace{app: r.app, config: r.config, admin: r.admin, names: names, store: r.store, foreign: r.plan.System != ""}
	defer func() {
		err = errors.Join(err, r.stopAll(ctx))
		if !r.flags.keep {
			err = errors.Join(err, r.namespace.leave(ctx))
		}
	}()
	r.app.note("%s: preparing namespace %s", r.plan.Workload, r.config.Namespace)
	if err := r.namespace.prepare(ctx, r.plan.Partitions, r.flags); err != nil {
		return err
	}
	if err := r.connect(ctx); err != nil {
		return err
	}
	defer r.wire.close()
	if err := r.measure(ctx); err != nil {
		return err
	}
	return r.conclude(ctx)
}

// connect publishes the graph and makes all that the run works with.
func (r *benchRun) connect(ctx context.Context) (err error) {
	r.graph = benchGraph(&r.plan)
	if !r.namespace.reused {
		if err := r.namespace.publish(ctx, r.graph, false); err != nil {
			return err
		}
	}
	r.wire, err = r.app.connect(ctx, r.config, kgo.ProducerLinger(r.plan.Linger), kgo.MaxBufferedRecords(benchBuffered), kgo.RecordDeliveryTimeout(sendWait))
	if err != nil {
		return err
	}
	r.plan.Partitions = r.wire.partitions
	var ids topics.IDs
	for topic, id := range map[string]*int{"stock-deltas": &ids.StockDelta, "reservation-events": &ids.ReservationEvent} {
		if *id, err = schemaID(ctx, r.config, r.wire.registry, topic); err != nil {
			r.wire.close()
			return err
		}
	}
	r.traffic = newBenchTraffic(&r.plan, topics.NewWriter(r.namespace.names, ids, r.wire.partitions), r.graph)
	r.sender = newBenchSender(r.wire, r.wire.client)
	r.meter = &benchMeter{store: r.store, processes: r.all, metrics: r.flags.metrics, brokers: r.flags.brokerPIDs}
	if len(r.meter.brokers) == 0 {
		r.meter.brokers = brokersHere(ctx, r.admin)
	}
	return nil
}

// all are the processes that were started so far, those that have ended included.
func (r *benchRun) all() []*benchProcess {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.processes)
}

// start starts a processor of that instance name; nothing where the processor is not ours.
func (r *benchRun) start(ctx context.Context, instance string) (*benchProcess, error) {
	if r.plan.External {
		return nil, nil
	}
	p, err := r.launch(ctx, instance)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.processes = append(r.processes, p)
	return p, nil
}

func (r *benchRun) launch(ctx context.Context, instance string) (*benchProcess, error) {
	if r.plan.System == "" {
		return startBenchProcess(ctx, r.environ, append(slices.Clone(r.started), "--namespace", r.config.Namespace), instance)
	}
	environ, err := r.systemEnviron(ctx, instance)
	if err != nil {
		return nil, err
	}
	return startBenchSystem(ctx, environ, r.plan.System, instance)
}

// startReady starts a processor and waits until its tasks run.
func (r *benchRun) startReady(ctx context.Context, instance string) (*benchProcess, error) {
	p, err := r.start(ctx, instance)
	if err != nil || p == nil {
		return nil, err
	}
	return p, p.ready(ctx)
}

// failed is the error of a processor that has ended by itself.
func (r *benchRun) failed() error {
	for _, p := range r.all() {
		if !p.asked.Load() {
			if err := p.failed(); err != nil {
				return err
			}
		}
	}
	return nil
}

// stopAll ends every processor that runs, in order.
func (r *benchRun) stopAll(ctx context.Context) error {
	var errs []error
	for _, p := range r.all() {
		if !p.asked.Load() {
			errs = append(errs, p.stop(ctx))
		}
	}
	return errors.Join(errs...)
}

// measure is the run itself.
func (r *benchRun) measure(ctx context.Context) error {
	counted := time.Now()
	if r.plan.System != "" {
		return r.drainSystem(ctx)
	}
	if r.plan.Fill {
		if err := r.fill(ctx, counted); err != nil {
			return err
		}
	}
	if r.plan.Rate == 0 {
		return r.drain(ctx, counted)
	}
	return r.flow(ctx)
}

// instances of the processors of a run.
const (
	benchFirst  = "bench-0"
	benchSecond = "bench-1"
)

// fill counts every SKU at every location and waits until Redis has it. Unless the flow goes on with that process, it
// ends then.
func (r *benchRun) fill(ctx context.Context, counted time.Time) error {
	p, err := r.startReady(ctx, benchFirst)
	if err != nil {
		return err
	}
	shown := newCountProgress(r.app.err, r.plan.Workload+": filling", r.plan.Balances)
	defer shown.end()
	err = r.sender.preload(ctx, shown, r.plan.Balances, func(i int, at time.Time) benchRecord { return r.traffic.fill(i, counted, at) })
	if err == nil {
		err = r.settle(ctx, shown, nil)
	}
	if err == nil && p != nil && (r.plan.Rate == 0 || r.plan.Incident == incidentCold) {
		err = p.stop(ctx)
	}
	return err
}

// drain preloads the inputs, starts a processor and measures until Redis has everything.
func (r *benchRun) drain(ctx context.Context, counted time.Time) error {
	records, record := r.plan.Events, func(_ int, at time.Time) benchRecord { return r.traffic.next(at) }
	if r.plan.Feed > 0 {
		records, record = r.plan.Balances, func(i int, at time.Time) benchRecord { return r.traffic.feed(i, counted, at) }
	}
	loading := newCountProgress(r.app.err, r.plan.Workload+": preloading", records)
	err := r.sender.preload(ctx, loading, records, record)
	loading.end()
	if err != nil {
		return err
	}
	if r.from, err = r.outputs(ctx); err != nil {
		return err
	}
	before, began := r.meter.now(ctx), time.Now()
	if _, err := r.start(ctx, benchFirst); err != nil {
		return err
	}
	shown := newCountProgress(r.app.err, r.plan.Workload+": draining", records)
	defer shown.end()
	var lags []benchLag
	err = r.settle(ctx, shown, func(left int64) {
		lags = append(lags, benchLag{Seconds: time.Since(began).Seconds(), Records: left})
	})
	if err != nil {
		return err
	}
	took := time.Since(began)
	r.report.measured(records, took, r.meter.now(ctx).since(before))
	r.report.Lag = thinned(lags)
	return nil
}

// outputs are where the outputs end.
func (r *benchRun) outputs(ctx context.Context) (kadm.ListedOffsets, error) {
	names := r.wire.names
	ends, err := r.admin.ListEndOffsets(ctx, names.AvailabilityUpdates, names.ReservationResults, names.DeadLetters)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, explainKafka(r.config, fmt.Errorf("asking for the ends of the outputs: %w", err))
	}
	return ends, nil
}

// conclude measures Redis, ends the processors and compares with the model.
func (r *benchRun) conclude(ctx context.Context) error {
	if err := r.stopAll(ctx); err != nil {
		return err
	}
	footprint := r.footprint(ctx)
	checker, err := r.checker(ctx)
	if err != nil {
		return err
	}
	shown := newProgress(r.app.err, r.plan.Workload+": checked", r.wire.partitions)
	defer shown.end()
	acked, _, poison := r.sender.totals()
	r.report.Plan = r.plan
	if err := checker.check(ctx, shown, acked, poison); err != nil {
		return err
	}
	r.report.checked(checker, footprint)
	return nil
}

// checker compares with the graph that is published, by the rules of the settings.
func (r *benchRun) checker(ctx context.Context) (*benchChecker, error) {
	published, err := r.wire.graph(ctx)
	if err != nil {
		return nil, err
	}
	graph, err := published.spec.Compile()
	if err != nil {
		return nil, fmt.Errorf("reading the location graph: %w", err)
	}
	return &benchChecker{wire: r.wire, store: r.store, graph: graph, from: r.from, decoder: r.decoder(), rules: availability.Rules{
		Horizon: availability.Instant(r.config.MovementHorizon.Microseconds()), Window: availability.Instant(r.config.DedupeWindow.Microseconds()),
	}}, nil
}

// decoder is for the levels of a system that is not ours, nil where there is none.
func (r *benchRun) decoder() *schemas.Decoder {
	if r.plan.System == "" {
		return nil
	}
	return newDecoder(r.wire.registry)
}

// footprintSample is how many SKUs of each part of a task are measured in Redis.
const footprintSample = 1

// footprint is the memory of all tasks in Redis, nil where it does not say.
func (r *benchRun) footprint(ctx context.Context) *cache.Footprint {
	if r.plan.System != "" {
		return nil
	}
	var sum cache.Footprint
	for task := range r.wire.partitions {
		f, err := r.store.Footprint(ctx, task, footprintSample)
		if err != nil {
			return nil
		}
		sum.SKUs, sum.Bytes = sum.SKUs+f.SKUs, sum.Bytes+f.Bytes
	}
	return &sum
}
