package processor_test

import (
	"context"
	"encoding/json"
	"flag"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"onhand/cache"
	"onhand/processor"
	"onhand/schemas"
	"onhand/topics"
)

// childVariable makes the test binary a processor: what it holds is childSettings as JSON.
const childVariable = "ONHAND_TEST_CHILD"

// childSettings are what a processor in a process of its own needs to know.
type childSettings struct {
	Brokers               []string
	Redis, Namespace      string
	Instance              string
	Session, RedisTimeout time.Duration     // session time-out; how long a call of Redis may take, 0: the default
	Without               string            // guard that is taken out; see processor.Guards
	Through               map[string]string // address: proxy that connections to it go through
}

func TestMain(m *testing.M) {
	if settings := os.Getenv(childVariable); settings != "" {
		child(settings)
		return
	}
	flag.Parse()
	os.Exit(m.Run()) //nolint:forbidigo // the exit code of the tests
}

// child runs a processor until it is killed, told to end by SIGTERM, or its parent is gone.
func child(text string) {
	check := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	var s childSettings
	check(json.Unmarshal([]byte(text), &s))
	if s.Without != "" {
		processor.Without(func(g *processor.Guards) { reflect.ValueOf(g).Elem().FieldByName(s.Without).SetBool(true) })
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() { // until the parent, dead or alive, closes its end
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1) //nolint:forbidigo // nobody is left to tell
	}()
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		if proxy, ok := s.Through[address]; ok {
			address = proxy
		}
		return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, address)
	}
	store, err := cache.Open(ctx, s.Redis, cache.Options{Namespace: s.Namespace, Dialer: dial, Timeout: s.RedisTimeout})
	check(err)
	static, byRecord := schemas.Static{}, map[string]int{}
	for i, s := range schemas.Subjects(s.Namespace) {
		static[i+1], byRecord[s.Record] = s.Text, i+1
	}
	static[fourDigits] = strings.ReplaceAll(static[1], `"scale":3`, `"scale":4`)
	ids, err := topics.IDsOf(byRecord)
	check(err)
	observer, err := processor.NewObserver(tracenoop.NewTracerProvider(), metricnoop.NewMeterProvider(), propagation.TraceContext{})
	check(err)
	p, err := processor.New(processor.Options{
		Namespace: s.Namespace, Instance: s.Instance, Client: []kgo.Opt{kgo.SeedBrokers(s.Brokers...), kgo.Dialer(dial)}, Store: store,
		Reader: topics.NewReader(schemas.NewDecoder(static, schemas.DecoderOptions{}), topics.Options{}), IDs: ids, Observer: observer,
		Logger:             slog.New(slog.NewTextHandler(os.Stderr, nil)),
		TransactionTimeout: s.Session * 5 / 6, SessionTimeout: s.Session,
	})
	check(err)
	check(p.Run(ctx))
}

// member is a processor in a process of its own.
type member struct {
	world    *world
	settings childSettings
	log      string // file
	process  *exec.Cmd
	stdin    io.Closer
	ended    chan struct{}
	wanted   *atomic.Bool // that it ends
}

// newMember returns a processor that is not started yet. A test that fails prints the end of its log.
func (w *world) newMember(s childSettings) *member {
	w.Helper()
	s.Brokers, s.Redis, s.Namespace = w.brokers, w.redisURL, w.namespace
	m := &member{world: w, settings: s, log: filepath.Join(w.TempDir(), s.Instance+".log")}
	w.Cleanup(func() {
		m.kill()
		if w.Failed() {
			text, _ := os.ReadFile(m.log)
			lines := strings.SplitAfter(string(text), "\n")
			w.Logf("the log of %s ends with:\n%s", s.Instance, strings.Join(lines[max(0, len(lines)-logLines):], ""))
		}
	})
	return m
}

// start starts the process; one that ends before it is told to fails the test.
func (m *member) start() {
	w := m.world
	w.Helper()
	binary, err := os.Executable()
	w.must(err)
	settings, err := json.Marshal(m.settings)
	w.must(err)
	log, err := os.OpenFile(m.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	w.must(err)
	defer log.Close()
	c := exec.CommandContext(context.Background(), binary)
	c.Env = append(os.Environ(), childVariable+"="+string(settings))
	c.Stdout, c.Stderr = log, log
	m.stdin, err = c.StdinPipe()
	w.must(err)
	w.must(c.Start())
	m.process, m.ended, m.wanted = c, make(chan struct{}), new(atomic.Bool)
	ended, wanted := m.ended, m.wanted
	go func() { // until the process is gone, which kill sees to
		err := c.Wait()
		if !wanted.Load() {
			w.Errorf("%s ended by itself: %v", m.settings.Instance, err)
		}
		close(ended)
	}()
}

// kill ends the process at once, whatever it does, and returns when it is gone.
func (m *member) kill() {
	if m.process == nil {
		return
	}
	m.wanted.Store(true)
	_ = m.process.Process.Kill()
	<-m.ended
	m.process = nil
}

// leave tells the process to end in order, and waits until it has.
func (m *member) leave() {
	m.world.Helper()
	m.wanted.Store(true)
	m.signal(syscall.SIGTERM)
	select {
	case <-m.ended:
	case <-time.After(time.Minute):
		m.world.Fatalf("%s does not end in order", m.settings.Instance)
	}
	m.process = nil
}

func (m *member) alive() bool { return m.process != nil }

// signal sends SIGSTOP and SIGCONT too: a process that hangs, as under a debugger or on a machine that swaps.
func (m *member) signal(s os.Signal) {
	m.world.Helper()
	m.world.must(m.process.Process.Signal(s))
}
