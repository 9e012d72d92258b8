package processor

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"onhand/processor/availability"
	"onhand/topics"
)

// Observer makes the spans and counts of a process. Attributes are bounded: no SKU, no place.
type Observer struct {
	tracer     trace.Tracer
	propagator propagation.TextMapPropagator

	records      metric.Int64Counter
	levels       metric.Int64Counter
	deadLetters  metric.Int64Counter
	recoveries   metric.Int64Counter
	replays      metric.Int64Counter
	overlooks    metric.Int64Counter
	storeErrors  metric.Int64Counter
	denied       metric.Int64Counter
	batchRecords metric.Int64Histogram
	commits      metric.Float64Histogram
	latency      metric.Float64Histogram

	mu       sync.Mutex
	tasks    map[taskState]int64
	lag      map[lagKey]int64
	toReplay map[int32]int64
	aside    map[int32]int // SKUs, by task
}

type lagKey struct {
	topic     string
	partition int32
}

// NewObserver registers the instruments.
func NewObserver(tracers trace.TracerProvider, meters metric.MeterProvider, propagator propagation.TextMapPropagator) (*Observer, error) {
	const scope = "onhand/processor"
	o := &Observer{tracer: tracers.Tracer(scope), propagator: propagator, tasks: make(map[taskState]int64), lag: make(map[lagKey]int64), toReplay: make(map[int32]int64), aside: make(map[int32]int)}
	m := meters.Meter(scope)
	var errs []error
	counter := func(name, unit, text string) metric.Int64Counter {
		c, err := m.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(text))
		errs = append(errs, err)
		return c
	}
	seconds := func(name, text string, bounds ...float64) metric.Float64Histogram {
		h, err := m.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(text), metric.WithExplicitBucketBoundaries(bounds...))
		errs = append(errs, err)
		return h
	}
	o.records = counter("onhand.records", "{record}", "Input records folded, by topic and by what became of them.")
	o.levels = counter("onhand.levels", "{level}", "Levels published.")
	o.deadLetters = counter("onhand.dead_letters", "{record}", "Dead letters, by code.")
	o.recoveries = counter("onhand.recoveries", "{claim}", "Claims, by case: new, equal, behind, empty, no commit.")
	o.replays = counter("onhand.replayed", "{record}", "Records replayed into the store.")
	o.overlooks = counter("onhand.replays_before_joins", "{replay}", "Replays that began before the oldest version of the graph that is remembered with which locations joined.")
	o.denied = counter("onhand.denied", "{answer}", "Answers of Kafka (service=kafka) or the store (service=store) that a right is missing.")
	o.storeErrors = counter("onhand.commit_failures", "{commit}", "Commits that the store refused: the task claims again.")
	o.commits = seconds("onhand.commit_duration", "Time of a commit to the store.", .0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 5)
	o.latency = seconds("onhand.update_latency", "From the oldest record's timestamp to the acknowledged update, a batch each.", .002, .005, .01, .015, .025, .05, .1, .25, .5, 1, 5, 30, 300)
	var err error
	o.batchRecords, err = m.Int64Histogram("onhand.batch_records", metric.WithUnit("{record}"), metric.WithDescription("Records of a batch."), metric.WithExplicitBucketBoundaries(1, 5, 10, 50, 100, 500, 1000, 2000, 5000, 10000))
	errs = append(errs, err, o.gauges(m))
	return o, errors.Join(errs...)
}

func (o *Observer) gauges(m metric.Meter) error {
	tasks, err1 := m.Int64ObservableGauge("onhand.tasks", metric.WithUnit("{task}"), metric.WithDescription("Tasks of this process, by state."))
	lag, err2 := m.Int64ObservableGauge("onhand.lag", metric.WithUnit("{record}"), metric.WithDescription("Records behind the end of a partition at the last poll."))
	left, err3 := m.Int64ObservableGauge("onhand.replay_left", metric.WithUnit("{record}"), metric.WithDescription("Records that a recovery has still to replay."))
	aside, err4 := m.Int64ObservableGauge("onhand.skus_aside", metric.WithUnit("{SKU}"), metric.WithDescription("SKUs set aside, as what the store holds of them cannot be read."))
	_, err5 := m.RegisterCallback(func(_ context.Context, r metric.Observer) error {
		o.mu.Lock()
		defer o.mu.Unlock()
		for s := created; s < closed; s++ {
			r.ObserveInt64(tasks, o.tasks[s], metric.WithAttributes(attribute.String("state", s.String())))
		}
		for k, n := range o.lag { // order-free: each is a series of its own
			r.ObserveInt64(lag, n, metric.WithAttributes(attribute.String("topic", k.topic), attribute.Int("partition", int(k.partition))))
		}
		for task, n := range o.toReplay { // order-free
			r.ObserveInt64(left, n, metric.WithAttributes(attribute.Int("partition", int(task))))
		}
		for task, n := range o.aside { // order-free
			r.ObserveInt64(aside, int64(n), metric.WithAttributes(attribute.Int("partition", int(task))))
		}
		return nil
	}, tasks, lag, left, aside)
	return errors.Join(err1, err2, err3, err4, err5)
}

// span begins a span of a task's step; task -1 is the whole session. The function that it returns ends it.
func (o *Observer) span(ctx context.Context, name string, task int32) (context.Context, func(error)) {
	ctx, span := o.tracer.Start(ctx, name, trace.WithAttributes(partitionAttribute(task)...))
	return ctx, func(err error) { endSpan(span, err) }
}

func partitionAttribute(task int32) []attribute.KeyValue {
	if task < 0 {
		return nil
	}
	return []attribute.KeyValue{attribute.String("messaging.destination.partition.id", strconv.Itoa(int(task)))}
}

func endSpan(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}

// pollSpan makes the span of a poll that brought records.
func (o *Observer) pollSpan(ctx context.Context, began time.Time, records int) {
	if records == 0 {
		return
	}
	_, span := o.tracer.Start(ctx, "poll", trace.WithTimestamp(began), trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attribute.String("messaging.system", "kafka"), attribute.Int("messaging.batch.message_count", records)))
	span.End()
}

// linksMax bounds the links of a batch's span.
const linksMax = 128

// batchSpan begins a span of a batch, linked to the contexts that its records carry.
func (o *Observer) batchSpan(ctx context.Context, name string, task int32, records []*kgo.Record) (context.Context, func(error)) {
	ctx, span := o.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(partitionAttribute(task)...))
	if span.IsRecording() {
		span.SetAttributes(attribute.String("messaging.system", "kafka"), attribute.Int("messaging.batch.message_count", len(records)))
		links := 0
		for _, r := range records {
			if c := o.contextOf(topics.TraceOf(r)); c.IsValid() && links < linksMax {
				span.AddLink(trace.Link{SpanContext: c, Attributes: []attribute.KeyValue{attribute.Int64("messaging.kafka.offset", r.Offset)}})
				links++
			}
		}
	}
	return ctx, func(err error) { endSpan(span, err) }
}

func (o *Observer) contextOf(t topics.Trace) trace.SpanContext {
	if t.Parent == nil {
		return trace.SpanContext{}
	}
	carrier := propagation.MapCarrier{topics.HeaderTraceParent: string(t.Parent), topics.HeaderTraceState: string(t.State)}
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier))
}

// carryOn returns the context that an update carries: that of its cause. Where the batch is traced, a span of the cause's
// trace stands in between, which links to the batch; so one trace id leads from the source's record to the storefront's.
func (o *Observer) carryOn(batch context.Context, cause topics.Trace) topics.Trace {
	folded := trace.SpanFromContext(batch)
	if cause.Parent == nil || !folded.IsRecording() {
		return cause
	}
	parent := o.contextOf(cause)
	if !parent.IsValid() {
		return cause
	}
	ctx, span := o.tracer.Start(trace.ContextWithRemoteSpanContext(context.Background(), parent), "update availability",
		trace.WithSpanKind(trace.SpanKindProducer), trace.WithLinks(trace.Link{SpanContext: folded.SpanContext()}))
	span.End()
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return topics.Trace{Parent: []byte(carrier[topics.HeaderTraceParent]), State: cause.State}
}

func (o *Observer) taskState(s taskState, by int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tasks[s] += by
}

func (o *Observer) polled(topic string, partition int32, lag int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lag[lagKey{topic, partition}] = lag
}

// left ends the gauges of a partition that leaves the process.
func (o *Observer) left(partition int32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for k := range o.lag { // order-free
		if k.partition == partition {
			delete(o.lag, k)
		}
	}
	delete(o.toReplay, partition)
	delete(o.aside, partition)
}

// setAside keeps how many SKUs of a task are set aside.
func (o *Observer) setAside(task int32, skus int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.aside[task] = skus; skus == 0 {
		delete(o.aside, task)
	}
}

func (o *Observer) claimed(kind string) {
	o.recoveries.Add(context.Background(), 1, metric.WithAttributes(attribute.String("case", kind)))
}

func (o *Observer) overlooked() { o.overlooks.Add(context.Background(), 1) }

func (o *Observer) replayed(task int32, records int, left int64) {
	o.replays.Add(context.Background(), int64(records))
	o.mu.Lock()
	defer o.mu.Unlock()
	o.toReplay[task] = left
	if left == 0 {
		delete(o.toReplay, task)
	}
}

// noteDenied counts an answer that a right is missing; other errors are none of its matter.
func (o *Observer) noteDenied(err error) {
	service := "kafka"
	if errors.Is(err, availability.ErrDenied) {
		service = "store"
	}
	if isDenied(err) {
		o.denied.Add(context.Background(), 1, metric.WithAttributes(attribute.String("service", service)))
	}
}

func (o *Observer) stored(took time.Duration, err error) {
	if err != nil {
		o.storeErrors.Add(context.Background(), 1)
		return
	}
	o.commits.Record(context.Background(), took.Seconds())
}

// published counts a batch that stands.
func (o *Observer) published(f *folded, now time.Time) {
	ctx := context.Background()
	o.batchRecords.Record(ctx, int64(len(f.batch.records)))
	o.levels.Add(ctx, int64(f.levels))
	if !f.oldest.IsZero() {
		o.latency.Record(ctx, now.Sub(f.oldest).Seconds())
	}
	c := &f.counts
	for _, n := range []struct {
		outcome string
		n       int
	}{
		{"applied", c.applied}, {"stale", c.stale}, {"duplicate", c.duplicate}, {"dead_letter", c.dead}, {"forwarded", c.forwarded},
		{"accepted", c.accepted}, {"partial", c.partial}, {"rejected", c.rejected}, {"repeated", c.repeated},
	} {
		if n.n > 0 {
			o.records.Add(ctx, int64(n.n), metric.WithAttributes(attribute.String("outcome", n.outcome)))
		}
	}
	for code, n := range c.deadByCode { // order-free
		o.deadLetters.Add(ctx, int64(n), metric.WithAttributes(attribute.String("code", string(code))))
	}
}
