package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"onhand/cache"
	"onhand/processor/availability"
	"onhand/schemas"
	"onhand/topics"
)

// devProcess is an onhand dev inside the test.
type devProcess struct {
	config *Config
	cancel func()
	ended  chan struct{} // closed when it has; code and stderr may be read then
	code   int
	stderr *strings.Builder
	rest   chan string // what came on standard output after the settings
}

// startDev runs onhand dev --quiet on free ports and reads its settings.
func startDev(t *testing.T, args ...string) *devProcess {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	p := &devProcess{cancel: cancel, ended: make(chan struct{}), stderr: &strings.Builder{}, rest: make(chan string, 1), config: defaultConfig()}
	a := &app{in: strings.NewReader(""), out: writer, err: p.stderr}
	go func() { // ends with ctx
		defer close(p.ended)
		p.code = a.run(ctx, append([]string{"dev", "--quiet", "--port-broker", "0", "--port-registry", "0", "--port-redis", "0"}, args...))
		writer.Close()
	}()
	t.Cleanup(func() {
		cancel()
		<-p.ended
	})
	lines := bufio.NewReader(reader)
	value := func(name string) string {
		line, err := lines.ReadString('\n')
		v, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), name+"=")
		if !ok {
			t.Fatalf("line %q (%v) is not %s=…", line, err, name)
		}
		return v
	}
	p.config.Brokers = []string{value("ONHAND_BROKERS")}
	p.config.Registry, p.config.Redis = SecretURL(value("ONHAND_REGISTRY")), SecretURL(value("ONHAND_REDIS"))
	p.config.Namespace = value("ONHAND_NAMESPACE")
	go func() {
		text, _ := io.ReadAll(lines)
		p.rest <- string(text)
	}()
	return p
}

// stop ends it as Ctrl-C does, and fails if that takes long or if anything is left.
func (p *devProcess) stop(t *testing.T) {
	t.Helper()
	started := time.Now()
	p.cancel()
	<-p.ended
	if p.code != 0 {
		t.Errorf("exit code %d", p.code)
	}
	if took := time.Since(started); took > 2*time.Second {
		t.Errorf("stopping took %s, want at most 2 s", took)
	}
	if rest := <-p.rest; rest != "" {
		t.Errorf("further output: %q", rest)
	}
	if text := p.stderr.String(); strings.Contains(text, "level=ERROR") || strings.Contains(text, "onhand: ") {
		t.Errorf("standard error: %s", text)
	} else if text != "" {
		t.Log(text)
	}
}

// TestDevKeepsItsWord starts onhand dev with a data directory, lets traffic flow, stops it, and starts it again without
// traffic. All levels are checked against a recount of the whole log, as published and as in Redis, which was empty. It
// takes some seconds, for it waits for real servers.
func TestDevKeepsItsWord(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	dir := t.TempDir()
	p := startDev(t, "--data", dir, "--rate", "150", "--seed", "42")
	names, err := topics.NamesOf(p.config.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	awaitUpdates(t, p.config, names, 440)
	awaitResults(t, p.config, names, 10)
	p.stop(t)

	p = startDev(t, "--data", dir, "--rate", "0")
	awaitEqual(t.Context(), t, "levels in the topic and the recount", func() []string {
		return readRecount(t.Context(), t, p.config).differences(publishedLevels(t, p.config, names))
	})
	awaitEqual(t.Context(), t, "levels in Redis and the recount", func() []string {
		return readRecount(t.Context(), t, p.config).differences(storedLevels(t, p.config))
	})
	p.stop(t)
}

// TestDevHasMetricsWhereAskedFor looks at what Prometheus and a probe would.
func TestDevHasMetricsWhereAskedFor(t *testing.T) {
	address := unusedAddress(t)
	p := startDev(t, "--rate", "0", "--admin", address)
	url := "http://" + address
	eventually(t, "it is ready", func() bool {
		code, _ := httpGet(t, url+"/readyz")
		return code == http.StatusOK
	})
	if _, text := httpGet(t, url+"/metrics"); !strings.Contains(text, "\nonhand_") {
		t.Error(text)
	}
	onhand(t, nil, "dev", "--quiet", "--port-broker", "0", "--admin", address).want(t, exitFailure, "listening for metrics and health", "--admin")
	onhand(t, nil, "dev", "--quiet", "--admin", "nowhere").want(t, exitUsage, "--admin", "has no port")
	p.stop(t)
}

// awaitUpdates waits until so many keys have a level.
func awaitUpdates(t *testing.T, c *Config, names topics.Names, keys int) {
	t.Helper()
	seen := map[string]bool{}
	follow(t, c, names.AvailabilityUpdates, func(r *kgo.Record) { seen[string(r.Key)] = true },
		func() (string, bool) { return fmt.Sprintf("%d keys of %d", len(seen), keys), len(seen) >= keys })
}

// awaitResults waits until each action has done something so many times.
func awaitResults(t *testing.T, c *Config, names topics.Names, times int) {
	t.Helper()
	registry, err := openRegistry(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer registry.Close()
	reader := topics.NewReader(newDecoder(registry), topics.Options{})
	done := map[availability.Action]int{}
	follow(t, c, names.ReservationResults, func(r *kgo.Record) {
		var d topics.Decision
		if err := reader.Result(t.Context(), r, &d); err != nil {
			t.Error(err)
		}
		if d.Result.Granted > 0 {
			done[d.Action]++
		}
	}, func() (string, bool) {
		return fmt.Sprintf("%v of %d of each action", done, times), len(done) == 4 && slices.Min(slices.Collect(maps.Values(done))) >= times
	})
}

// follow reads a topic from its start, read committed, until enough says so.
func follow(t *testing.T, c *Config, topic string, take func(*kgo.Record), enough func() (string, bool)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers...), kgo.ConsumeTopics(topic), kgo.MetadataMinAge(100*time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for {
		fetches := client.PollFetches(ctx)
		fetches.EachRecord(take)
		have, ok := enough()
		if ok {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("%s: %s", topic, have)
		}
	}
}

// publishedLevels reads availability-updates as a storefront does: the last record of each key counts.
func publishedLevels(t *testing.T, c *Config, names topics.Names) map[recountPlace]availability.Level {
	t.Helper()
	a := &app{err: t.Output(), out: t.Output()}
	w, err := a.connect(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	levels := map[recountPlace]availability.Level{}
	versions := map[recountPlace]int64{}
	for partition := range w.partitions {
		err := readToEnd(t.Context(), c, w.log, names.AvailabilityUpdates, partition, func(r *kgo.Record) error {
			var level availability.Level
			var from topics.Provenance
			if err := w.reader.Update(t.Context(), r, &level, &from); err != nil {
				return err
			}
			at := recountPlace{string(level.SKU), level.Place.ID}
			if from.Version < versions[at] {
				t.Errorf("the version of %v goes back from %d to %d", at, versions[at], from.Version)
			}
			levels[at], versions[at] = level, from.Version
			if !level.Present {
				delete(levels, at)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return levels
}

// storedLevels works out the levels from the balances in Redis.
func storedLevels(t *testing.T, c *Config) map[recountPlace]availability.Level {
	t.Helper()
	store, err := cache.Open(t.Context(), string(c.Redis), cache.Options{Namespace: c.Namespace})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	graph, err := sampleGraph(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	spec := topics.GraphSpec(graph)
	compiled, err := spec.Compile()
	if err != nil {
		t.Fatal(err)
	}
	rules := availability.DefaultRules()
	folder := availability.NewFolder(compiled, rules, availability.NewWindow(rules.Window))
	deltas, err := sampleFeed(graph, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	levels := map[recountPlace]availability.Level{}
	for _, sku := range sampleSKUs(deltas) {
		data, _, err := store.Load(t.Context(), topics.PartitionOf(sku, devPartitions), compiled, []availability.Want{{SKU: sku, All: true}})
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range folder.Levels(availability.NewStock(compiled, &data[0])) {
			levels[recountPlace{string(l.SKU), l.Place.ID}] = l
		}
	}
	return levels
}

func TestDevIsOpenToOrdinaryClients(t *testing.T) {
	p := startDev(t, "--rate", "0")
	defer p.stop(t)
	names, err := topics.NamesOf(p.config.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	awaitUpdates(t, p.config, names, 440)

	target, err := url.Parse(string(p.config.Redis))
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(&redis.Options{Addr: target.Host, Protocol: 2})
	defer client.Close()
	keys, err := client.Keys(t.Context(), "{"+p.config.Namespace+":*").Result()
	if err != nil || len(keys) == 0 {
		t.Errorf("Redis has %d keys of the namespace (%v), want some", len(keys), err)
	}
	registry, err := schemas.NewRegistry(string(p.config.Registry), schemas.RegistryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer registry.Close()
	for _, subject := range schemas.Subjects(p.config.Namespace) {
		if _, err := registry.Latest(t.Context(), subject.Name); err != nil {
			t.Error(err)
		}
	}
}

func TestDevTakesAFreePortWhereItsOwnIsTaken(t *testing.T) {
	var config net.ListenConfig
	other, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	address, ok := other.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatalf("%v is no TCP address", other.Addr())
	}
	listener, err := listenDev(t.Context(), devPort{number: address.Port, preferred: true})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if listener.Addr().String() == other.Addr().String() {
		t.Errorf("both listen on %s", other.Addr())
	}
	if l, err := listenDev(t.Context(), devPort{number: address.Port}); err == nil || !strings.Contains(err.Error(), "choose another port") {
		t.Errorf("a port that was asked for and is taken: %v, %v; want an error with the way out", l, err)
	}
}

func TestDevRefusesADirectoryInUse(t *testing.T) {
	dir := t.TempDir()
	lock, err := lockDevDir(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	onhand(t, nil, "dev", "--quiet", "--data", dir).want(t, exitFailure, "another onhand dev uses the directory "+dir, "--data")
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	if lock, err = lockDevDir(t.Context(), dir); err != nil {
		t.Fatalf("a directory that was given back: %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Error(err)
	}
}

func TestDevFlagsAreChecked(t *testing.T) {
	for flag, want := range map[string]string{"--rate=-1": "0 to 500", "--rate=501": "0 to 500", "--port-redis=70000": "65535", "--data": "needs an argument",
		"--brokers=kafka:9092": "brings its own"} {
		onhand(t, nil, "dev", flag).want(t, exitUsage, want)
	}
}
