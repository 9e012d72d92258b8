package processor_test

import (
	"context"
	"flag"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
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

var killsFlag = flag.Int("kills", 5, "how often TestSurvivesKill kills the processor")

// childVariable makes the test binary a processor: brokers, Redis and namespace, separated by spaces.
const childVariable = "ONHAND_TEST_CHILD"

func TestMain(m *testing.M) {
	if settings := os.Getenv(childVariable); settings != "" {
		child(strings.Fields(settings))
		return
	}
	flag.Parse()
	os.Exit(m.Run()) //nolint:forbidigo // the exit code of the tests
}

// child runs a processor until it is killed.
func child(settings []string) {
	check := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	ctx := context.Background()
	namespace := settings[2]
	store, err := cache.Open(ctx, settings[1], cache.Options{Namespace: namespace})
	check(err)
	static, byRecord := schemas.Static{}, map[string]int{}
	for i, s := range schemas.Subjects(namespace) {
		static[i+1], byRecord[s.Record] = s.Text, i+1
	}
	static[fourDigits] = strings.ReplaceAll(static[1], `"scale":3`, `"scale":4`)
	ids, err := topics.IDsOf(byRecord)
	check(err)
	observer, err := processor.NewObserver(tracenoop.NewTracerProvider(), metricnoop.NewMeterProvider(), propagation.TraceContext{})
	check(err)
	p, err := processor.New(processor.Options{
		Namespace: namespace, Instance: "killed", Client: []kgo.Opt{kgo.SeedBrokers(strings.Split(settings[0], ",")...)}, Store: store,
		Reader: topics.NewReader(schemas.NewDecoder(static, schemas.DecoderOptions{}), topics.Options{}), IDs: ids, Observer: observer,
		Logger: slog.New(slog.DiscardHandler), TransactionTimeout: 10 * time.Second, SessionTimeout: 15 * time.Second,
	})
	check(err)
	check(p.Run(ctx))
}

// startChild runs a processor in a process of its own.
func (w *world) startChild() *exec.Cmd {
	w.Helper()
	binary, err := os.Executable()
	w.must(err)
	c := exec.CommandContext(w.Context(), binary)
	c.Env = append(os.Environ(), childVariable+"="+strings.Join([]string{strings.Join(w.brokers, ","), w.redisURL, w.namespace}, " "))
	c.Stderr = os.Stderr
	w.must(c.Start())
	return c
}

// epoch returns the sum of the tasks' epochs and commits: it grows with the first commit after a restart.
func (w *world) progress(store closingStore) (epochs, commits int64) {
	for n := range w.partitions {
		if c, err := store.Checkpoint(w.Context(), n); err == nil {
			epochs, commits = epochs+c.Epoch, commits+c.CommitSeq
		}
	}
	return epochs, commits
}

// TestSurvivesKill kills a processor process with SIGKILL at random moments of its work and starts it anew at once. After
// the last restart everything is as a recount says. It prints how long the first new commit took. Long form:
//
//	go test -run SurvivesKill ./processor -kills 500 -timeout 60m
func TestSurvivesKill(t *testing.T) {
	w := newWorld(t, 4)
	w.publish(graphOf(4, trafficGroups()))
	traffic := newTraffic(w, seed())
	store := w.open()
	defer func() { _ = store.Close() }()
	var first []time.Duration
	c := w.startChild()
	for i := range *killsFlag {
		traffic.send(30 + traffic.rand.IntN(100))
		<-time.After(time.Duration(traffic.rand.IntN(150)) * time.Millisecond)
		w.must(c.Process.Kill())
		_ = c.Wait()
		epochs, _ := w.progress(store)
		began := time.Now()
		c = w.startChild()
		traffic.send(20)
		w.eventually("a commit after restart "+strconv.Itoa(i), func() bool {
			e, commits := w.progress(store)
			return e > epochs && commits > 0
		})
		first = append(first, time.Since(began))
	}
	w.settled()
	w.must(c.Process.Kill())
	_ = c.Wait()
	w.check()
	slices.Sort(first)
	t.Logf("%d kills; first new commit after p50 %s, max %s", len(first), first[len(first)/2], first[len(first)-1])
}
