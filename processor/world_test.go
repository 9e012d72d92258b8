package processor_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"onhand/cache"
	"onhand/processor"
	"onhand/processor/availability"
	"onhand/schemas"
	"onhand/topics"
)

// world is a Kafka, a Redis and the contract of a namespace of its own, for one test. It is real where the environment
// names real services, and in the process otherwise.
type world struct {
	testing.TB
	namespace  string
	names      topics.Names
	partitions int32
	brokers    []string
	redisURL   string
	fake       *kfake.Cluster       // nil: real
	mini       *miniredis.Miniredis // nil: real
	memory     *cache.Memory        // instead of Redis, where a test needs to make it forget
	client     *kgo.Client
	writer     *topics.Writer
	static     schemas.Static
	decoder    *schemas.Decoder
	ids        topics.IDs
	graph      *schemas.LocationGraph
	tracers    trace.TracerProvider
	options    []kgo.Opt // of every client
	dialer     dialer
	tick       time.Duration // between two looks of eventually
	patience   time.Duration // how long eventually waits

	stored func(instance string, s closingStore) closingStore     // around the store of a processor; nil: none
	wired  func(instance, address string, conn net.Conn) net.Conn // around the connections of a processor; nil: none
}

// dialer opens a connection of a client.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// fourDigits is the id of a schema of deltas whose quantities have four fraction digits, fourDigitsEvent one of events.
const (
	fourDigits      = 44
	fourDigitsEvent = 45
)

var noTracers = tracenoop.NewTracerProvider()

// newWorld makes topics with that many partitions.
func newWorld(t testing.TB, partitions int32) *world {
	t.Helper()
	return newWorldOn(t, partitions, (*world).connect)
}

// newWorldOn is newWorld with services of the caller's choice.
func newWorldOn(t testing.TB, partitions int32, connect func(*world)) *world {
	t.Helper()
	random := make([]byte, 6)
	_, _ = rand.Read(random)
	w := &world{TB: t, namespace: "test-" + hex.EncodeToString(random), partitions: partitions, tracers: noTracers,
		dialer: new(net.Dialer).DialContext, tick: 10 * time.Millisecond, patience: 30 * time.Second}
	connect(w)
	w.furnish()
	return w
}

// furnish makes the contract of the namespace: schemas and topics.
func (w *world) furnish() {
	w.Helper()
	names, err := topics.NamesOf(w.namespace)
	w.must(err)
	w.names = names
	byRecord := map[string]int{}
	w.static = schemas.Static{}
	for i, s := range schemas.Subjects(w.namespace) {
		w.static[i+1], byRecord[s.Record] = s.Text, i+1
	}
	w.static[fourDigits] = strings.ReplaceAll(w.static[1], `"scale":3`, `"scale":4`)
	w.ids, err = topics.IDsOf(byRecord)
	w.must(err)
	w.static[fourDigitsEvent] = strings.ReplaceAll(w.static[w.ids.ReservationEvent], `"scale":3`, `"scale":4`)
	w.decoder = schemas.NewDecoder(w.static, schemas.DecoderOptions{})
	w.writer = topics.NewWriter(names, w.ids, w.partitions)
	w.client, err = kgo.NewClient(w.kafka(names.ProducerOpts()...)...)
	w.must(err)
	w.Cleanup(w.client.Close)
	admin := kadm.NewClient(w.client)
	_, err = topics.Apply(w.Context(), admin, topics.Settings{Namespace: w.namespace, Partitions: w.partitions})
	w.must(err)
	w.Cleanup(func() { _, _ = admin.DeleteTopics(context.Background(), names.All()...) })
}

// kafka adds how to reach the brokers to the options of a client.
func (w *world) kafka(o ...kgo.Opt) []kgo.Opt {
	return slices.Concat([]kgo.Opt{kgo.SeedBrokers(w.brokers...), kgo.Dialer(w.dialer)}, w.options, o)
}

func (w *world) connect() {
	if brokers := os.Getenv("ONHAND_TEST_BROKERS"); brokers != "" {
		w.brokers = strings.Split(brokers, ",")
		used(w, "kafka")
	} else {
		fake, err := kfake.NewCluster(kfake.NumBrokers(1))
		w.must(err)
		w.Cleanup(fake.Close)
		w.fake, w.brokers = fake, fake.ListenAddrs()
	}
	if url := os.Getenv("ONHAND_TEST_REDIS"); url != "" {
		w.redisURL = url
		used(w, "redis")
		w.Cleanup(w.erase)
	} else {
		w.mini = miniredis.RunT(w)
		w.redisURL = "redis://" + w.mini.Addr()
	}
}

// erase removes what the world has in a real Redis, as far as that can be reached: the next one is not to be slower for it.
func (w *world) erase() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	store, err := cache.Open(ctx, w.redisURL, cache.Options{Namespace: w.namespace})
	if err != nil {
		w.Logf("keys of %s stay in Redis: %v", w.namespace, err)
		return
	}
	defer func() { _ = store.Close() }()
	for n := range w.partitions {
		if err := store.Erase(ctx, n); err != nil {
			w.Logf("keys of task %d of %s stay in Redis: %v", n, w.namespace, err)
		}
	}
}

// used tells the one who runs the tests that a real service was.
func used(t testing.TB, service string) {
	if dir := os.Getenv("ONHAND_TEST_USED"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, service), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// publish appends a graph, one version above the last, and sets since of locations that were not in it.
func (w *world) publish(g schemas.LocationGraph) {
	w.Helper()
	g.Version, g.PublishedAt = 1, schemas.Micros(time.Now().UnixMicro())
	since := make(map[string]int64)
	if w.graph != nil {
		g.Version = w.graph.Version + 1
		for _, l := range w.graph.Locations {
			since[l.ExternalReference] = l.Since
		}
	}
	for i := range g.Locations {
		l := &g.Locations[i]
		if l.Since = since[l.ExternalReference]; l.Since == 0 {
			l.Since = g.Version
		}
	}
	w.graph = &g
	w.must(w.client.ProduceSync(w.Context(), w.writer.Graph(&g)).FirstErr())
}

// graphOf builds a graph of locations L0…, and of groups by the numbers of their members.
func graphOf(locations int, groups map[string][]int) schemas.LocationGraph {
	var g schemas.LocationGraph
	name := func(n int) string { return "L" + string(rune('0'+n/10)) + string(rune('0'+n%10)) }
	for i := range locations {
		g.Locations = append(g.Locations, schemas.Location{ExternalReference: name(i), Name: name(i), InventoryLocation: true, Sync: true})
	}
	for id, members := range groups {
		group := schemas.LocationGroup{ExternalReference: id, Name: id, Enabled: true, Sync: true}
		for _, m := range members {
			group.Locations = append(group.Locations, name(m))
		}
		g.Groups = append(g.Groups, group)
	}
	return g
}

// send produces records and waits until they are acknowledged.
func (w *world) send(records ...*kgo.Record) {
	w.Helper()
	w.must(w.client.ProduceSync(w.Context(), records...).FirstErr())
}

func milli(q int64) schemas.Optional[schemas.Milli] {
	return schemas.Optional[schemas.Milli]{Value: schemas.Milli(q * 1000), Valid: true}
}

func micros(t time.Time) schemas.Optional[schemas.Micros] {
	return schemas.Optional[schemas.Micros]{Value: schemas.Micros(t.UnixMicro()), Valid: true}
}

func (w *world) count(id, sku, location string, q int64) *kgo.Record {
	now := time.Now()
	return w.writer.Delta(&schemas.StockDelta{RecordID: id, SKU: sku, Location: location, Mode: schemas.ModeUpdate, OnHand: milli(q), EffectiveDate: micros(now)}, now)
}

func (w *world) adjust(id, sku, location string, q int64) *kgo.Record {
	return w.writer.Delta(&schemas.StockDelta{RecordID: id, SKU: sku, Location: location, Mode: schemas.ModeAdjust, OnHand: milli(q)}, time.Now())
}

func (w *world) reserve(id, sku string, at availability.Place, q int64) *kgo.Record {
	e := availability.ReservationEvent{RequestID: id, ReservationID: "res-" + id, SKU: availability.SKU(sku), Quantity: availability.Quantity(q * 1000), HasQuantity: true,
		EventAt: availability.None, ExpiresAt: availability.None, At: availability.Instant(time.Now().UnixMicro())}
	if at.Type == availability.GroupPlace {
		e.Group = availability.GroupID(at.ID)
	} else {
		e.Location = availability.LocationID(at.ID)
	}
	return w.writer.Event(&e)
}

type closingStore interface {
	processor.Store
	Close() error
}

// memoryStore is the memory store as a process sees it that can be cut off.
type memoryStore struct {
	*cache.Memory
	cutOff *atomic.Bool
}

func (s *memoryStore) Commit(ctx context.Context, task int32, c *availability.Commit) error {
	if s.cutOff.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	return s.Memory.Commit(ctx, task, c)
}

// open returns the store for looking into it.
func (w *world) open() closingStore {
	w.Helper()
	if w.memory != nil {
		return w.memory
	}
	store, err := cache.Open(w.Context(), w.redisURL, cache.Options{Namespace: w.namespace, Dialer: w.dialer})
	w.must(err)
	return store
}

// runner is a processor at work, as in a process of its own: cut takes its network away, as kill -9 would.
type runner struct {
	*processor.Processor
	world    *world
	instance string
	store    closingStore
	cutOff   atomic.Bool
	mu       sync.Mutex
	conns    []net.Conn
	cancel   context.CancelFunc
	done     chan error
	log      *logTo
}

// start runs a processor under the given instance name.
func (w *world) start(instance string, change ...func(*processor.Options)) *runner {
	w.Helper()
	r := &runner{world: w, instance: instance, done: make(chan error, 1)}
	ctx, cancel := context.WithCancel(context.Background()) // ended by stop or cut
	r.cancel = cancel
	var err error
	if w.memory != nil {
		r.store = &memoryStore{w.memory, &r.cutOff}
	} else {
		r.store, err = cache.Open(ctx, w.redisURL, cache.Options{Namespace: w.namespace, Dialer: r.dial})
		w.must(err)
	}
	if w.stored != nil {
		r.store = w.stored(instance, r.store)
	}
	observer, err := processor.NewObserver(w.tracers, metricnoop.NewMeterProvider(), propagation.TraceContext{})
	w.must(err)
	r.log = testLog(w, instance)
	o := processor.Options{
		Namespace: w.namespace, Instance: instance, Client: w.kafka(kgo.Dialer(r.dial)), Store: r.store,
		Reader: topics.NewReader(w.decoder, topics.Options{}), IDs: w.ids, Observer: observer, Logger: r.log.logger(),
		TransactionTimeout: 5 * time.Second, SessionTimeout: 6 * time.Second,
	}
	for _, c := range change {
		c(&o)
	}
	r.Processor, err = processor.New(o)
	w.must(err)
	go func() { r.done <- r.Run(ctx) }()
	w.Cleanup(func() {
		r.cancel()
		r.disconnect()
		select {
		case err := <-r.done:
			w.Logf("%s ended: %v", instance, err)
		case <-time.After(20 * time.Second):
			w.Errorf("%s does not end", instance)
		}
		_ = r.store.Close()
	})
	return r
}

func (r *runner) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if r.cutOff.Load() {
		return nil, errors.New("the process is dead")
	}
	conn, err := r.world.dialer(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if r.world.wired != nil {
		conn = r.world.wired(r.instance, address, conn)
	}
	r.mu.Lock()
	r.conns = append(r.conns, conn)
	r.mu.Unlock()
	return conn, nil
}

func (r *runner) disconnect() {
	r.cutOff.Store(true)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		_ = c.Close()
	}
}

// cut ends the processor as kill -9 does: from one moment on nothing more leaves it.
func (r *runner) cut() {
	r.disconnect()
	r.cancel()
}

// stop ends it in order.
func (r *runner) stop() {
	r.world.Helper()
	r.cancel()
	err := <-r.done
	r.done <- err
	r.world.must(err)
}

// testLog keeps a processor's last lines, and prints them where its test has failed.
func testLog(t testing.TB, instance string) *logTo {
	l := &logTo{instance: instance}
	t.Cleanup(func() {
		if t.Failed() {
			l.mu.Lock()
			defer l.mu.Unlock()
			t.Logf("the log of %s ends with:\n%s", instance, strings.Join(l.lines, ""))
		}
	})
	return l
}

type logTo struct {
	instance string
	mu       sync.Mutex
	lines    []string
}

func (l *logTo) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

func (l *logTo) said(what string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(strings.Join(l.lines, ""), what)
}

// logLines is how many lines of a processor a failed test prints.
const logLines = 40

func (l *logTo) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines[max(0, len(l.lines)-logLines+1):], string(line))
	if os.Getenv("ONHAND_TEST_LOG") != "" {
		_, _ = os.Stderr.WriteString(l.instance + " " + string(line))
	}
	return len(line), nil
}

// eventually waits for a condition to hold.
func (w *world) eventually(what string, holds func() bool) {
	w.Helper()
	deadline := time.Now().Add(w.patience)
	for !holds() {
		if time.Now().After(deadline) {
			w.Fatalf("not within %s: %s", w.patience, what)
		}
		<-time.After(w.tick)
	}
}
