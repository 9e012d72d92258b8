package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"onhand/topics"
)

// stage is Kafka, a registry and Redis for one test, and a namespace of its own in them.
type stage struct {
	*testing.T
	brokers, registry, redis string
	namespace                string
	environ                  []string
	real                     bool // not in this process, and others use them too

	broker *kfake.Cluster       // nil: real
	memory *miniredis.Miniredis // nil: real
}

// services are the variables that name real services, and the file that says that a test has used them.
var services = []struct{ variable, used string }{
	{"ONHAND_TEST_BROKERS", "kafka"}, {"ONHAND_TEST_REGISTRY", "registry"}, {"ONHAND_TEST_REDIS", "redis"},
}

// onStages runs a test with the real services where all of them are named, else with stand-ins in this process.
func onStages(t *testing.T, test func(*stage)) {
	t.Helper()
	for _, s := range services {
		if os.Getenv(s.variable) == "" {
			t.Parallel()
			test(fakeStage(t))
			return
		}
	}
	test(realStage(t))
}

func (s *stage) settle() *stage {
	random := make([]byte, 6)
	if _, err := rand.Read(random); err != nil {
		s.Fatal(err)
	}
	s.namespace = "t" + hex.EncodeToString(random)
	s.environ = []string{"ONHAND_BROKERS=" + s.brokers, "ONHAND_REGISTRY=" + s.registry, "ONHAND_REDIS=" + s.redis, "ONHAND_NAMESPACE=" + s.namespace}
	return s
}

func fakeStage(t *testing.T) *stage {
	t.Helper()
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	registry := srfake.New()
	t.Cleanup(registry.Close)
	memory := miniredis.RunT(t)
	return (&stage{T: t, brokers: kafka.ListenAddrs()[0], registry: registry.URL(), redis: "redis://" + memory.Addr() + "/0", broker: kafka, memory: memory}).settle()
}

func realStage(t *testing.T) *stage {
	t.Helper()
	s := (&stage{T: t, brokers: os.Getenv("ONHAND_TEST_BROKERS"), registry: os.Getenv("ONHAND_TEST_REGISTRY"), redis: os.Getenv("ONHAND_TEST_REDIS"), real: true}).settle()
	if dir := os.Getenv("ONHAND_TEST_USED"); dir != "" {
		for _, service := range services {
			if err := os.WriteFile(filepath.Join(dir, service.used), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Cleanup(s.clear)
	return s
}

// clear deletes the namespace from real services.
func (s *stage) clear() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second) // the test's own has ended
	defer cancel()
	names, err := topics.NamesOf(s.namespace)
	if err != nil {
		s.Error(err)
		return
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(s.brokers, ",")...))
	if err != nil {
		s.Error(err)
		return
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	if _, err := admin.DeleteTopics(ctx, names.All()...); err != nil {
		s.Error(err)
	}
	if _, err := admin.DeleteGroups(ctx, names.ConsumerGroup()); err != nil {
		s.Error(err)
	}
	options, err := redis.ParseURL(s.redis)
	if err != nil {
		s.Error(err)
		return
	}
	balances := redis.NewClient(options)
	defer balances.Close()
	for keys := balances.Scan(ctx, 0, "*"+s.namespace+":*", 1000).Iterator(); keys.Next(ctx); {
		if err := balances.Del(ctx, keys.Val()).Err(); err != nil {
			s.Error(err)
		}
	}
}

// onhand calls the command line in the namespace of the stage.
func (s *stage) onhand(args ...string) result { return onhand(s.T, s.environ, args...) }

// must is onhand, for a call that has to end well.
func (s *stage) must(args ...string) result {
	s.Helper()
	r := s.onhand(args...)
	if r.code != 0 {
		s.Fatalf("onhand %s: exit code %d\n%s%s", strings.Join(args, " "), r.code, r.out, r.err)
	}
	return r
}

// setUp creates topics of four partitions and registers the schemas.
func (s *stage) setUp() {
	s.Helper()
	s.must("topics", "apply", "--partitions", "4")
	s.must("schemas", "register")
}

// publishGraph publishes testGraph, or another.
func (s *stage) publishGraph(text string) {
	s.Helper()
	s.must("graph", "publish", writeFile(s.T, "graph.yaml", text), "--no-wait")
}

// running is a command that runs beside the test.
type running struct {
	t       *testing.T
	stop    context.CancelFunc
	done    chan int
	mu      sync.Mutex // guards both buffers
	out     bytes.Buffer
	err     bytes.Buffer
	stopped bool
}

// locked lets a command write while a test reads.
type locked struct {
	mu  *sync.Mutex
	out *bytes.Buffer
}

func (w locked) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.Write(p)
}

// start runs a command until end, or the end of the test.
func (s *stage) start(args ...string) *running {
	ctx, stop := context.WithCancel(s.Context())
	r := &running{t: s.T, stop: stop, done: make(chan int, 1)}
	a := &app{in: strings.NewReader(""), out: locked{&r.mu, &r.out}, err: locked{&r.mu, &r.err}, environ: s.environ}
	go func() { r.done <- a.run(ctx, args) }() // ended by end, which waits for it
	s.Cleanup(func() {
		r.end()
		if out, err := r.output(); s.Failed() {
			s.Logf("onhand %s ends with\n%s%s", strings.Join(args, " "), out, err[max(0, len(err)-4000):])
		}
	})
	return r
}

// output is what the command has printed so far.
func (r *running) output() (out, err string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out.String(), r.err.String()
}

// end stops the command as Ctrl-C does and returns its exit code.
func (r *running) end() int {
	r.t.Helper()
	if r.stopped {
		return 0
	}
	r.stopped = true
	r.stop()
	select {
	case code := <-r.done:
		return code
	case <-time.After(30 * time.Second):
		out, err := r.output()
		r.t.Fatalf("the command does not end\n%s%s", out, err)
	}
	return -1
}

// eventually waits until what is true, which it must be soon.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for !is() {
		if sleep(ctx, 10*time.Millisecond) != nil {
			t.Fatalf("still not: %s", what)
		}
	}
}

// startProcessor runs `onhand run` until its tasks run, and returns where it answers.
func (s *stage) startProcessor() (r *running, admin string) {
	s.Helper()
	r = s.start("run", "--admin", "127.0.0.1:0", "--instance", "one", "--log-level", "warn")
	eventually(s.T, "metrics and health are printed", func() bool {
		out, _ := r.output()
		_, after, ok := strings.Cut(out, "metrics and health on ")
		admin = strings.TrimSpace(after)
		return ok
	})
	eventually(s.T, "the processor is ready", func() bool {
		code, _ := httpGet(s.T, admin+"/readyz")
		return code == http.StatusOK
	})
	return r, admin
}

func httpGet(t *testing.T, url string) (code int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// unusedAddress is an address at which nothing listens.
func unusedAddress(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return address
}
