package processor_test

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor"
	"onhand/processor/availability"
	"onhand/schemas"
)

var (
	drainEvents = flag.Int("events", 5000, "records that BenchmarkDrain preloads")
	drainSKUs   = flag.Int("skus", 500, "SKUs of BenchmarkDrain")
	drainActive = flag.Int("active", 0, "SKUs of them that events are of; 0: all")
	drainParts  = flag.Int("partitions", 16, "partitions of BenchmarkDrain")
	drainBatch  = flag.Int("batch", 0, "BatchRecords of BenchmarkDrain; 0: the default")
	drainPoll   = flag.Int("poll", 0, "PollRecords of BenchmarkDrain; 0: the default")
	drainMember = flag.Int("sessions", 2, "Sessions of BenchmarkDrain")
	drainWarm   = flag.Bool("warm", false, "before BenchmarkDrain every SKU gets a count at each location, in memory too")
	drainProf   = flag.String("drainprofile", "", "file for a CPU profile of the drain alone, which is printed by stage")
	drainCheck  = flag.Bool("check", true, "recount after BenchmarkDrain")
)

// BenchmarkDrain preloads the inputs and measures a processor that starts with an empty state: 20 locations, 12 groups, 3
// groups per location; 70 % sales, 10 % receipts, 15 % reservations, half of them at groups, 5 % counts. It recounts the
// levels afterwards. With -warm no balance is new, and none has to be read from the store. CPU is of this process (the
// processor; the preload is not in it), of Redis, and of the broker where it runs on this machine. For the figures that count, on real services:
//
//	go test -run '^$' -bench Drain -benchtime 1x -timeout 30m ./processor -events 1000000 -skus 100000
func BenchmarkDrain(b *testing.B) {
	for b.Loop() {
		drain(b)
	}
}

func drain(b *testing.B) {
	w := newWorld(b, int32(*drainParts))
	w.publish(wideGraph(drainLocations, 12, 3))
	var r *runner
	before := 0
	if *drainWarm {
		r, before = startDrain(w), *drainSKUs*drainLocations
		preload(w, before, countOf)
		w.drained(before)
	}
	updates := w.updates()
	preload(w, *drainEvents, eventOf)
	redisBefore, brokerBefore, selfBefore := redisCPU(w), brokerCPU(), selfCPU()
	stop := profile(w)
	began := time.Now()
	if r == nil {
		r = startDrain(w)
	}
	w.drained(before + *drainEvents)
	took := time.Since(began)
	stop()
	self, redis, broker := selfCPU()-selfBefore, redisCPU(w)-redisBefore, brokerCPU()-brokerBefore
	r.stop()
	millions := float64(*drainEvents) / 1e6
	b.ReportMetric(float64(*drainEvents)/took.Seconds(), "events/s")
	b.ReportMetric(float64(w.updates()-updates)/float64(*drainEvents), "updates/event")
	b.ReportMetric(self/millions, "processor-s/M")
	b.ReportMetric(redis/millions, "redis-s/M")
	b.ReportMetric(broker/millions, "broker-s/M")
	b.ReportMetric((self+redis+broker)/millions, "total-s/M")
	if *drainProf != "" {
		b.Logf("processor, by stage\n%s", byStage(b, *drainProf, *drainEvents))
	}
	if *drainCheck {
		w.settled()
		w.check()
	}
}

func startDrain(w *world) *runner {
	return w.start("bench", func(o *processor.Options) {
		o.Sessions, o.BatchRecords, o.PollRecords = *drainMember, *drainBatch, *drainPoll
		if *drainWarm {
			o.CacheBytes = 16 << 30 // every SKU stays
		}
	})
}

// profile starts a CPU profile if one is asked for, and returns what ends it.
func profile(w *world) (stop func()) {
	if *drainProf == "" {
		return func() {}
	}
	f, err := os.Create(*drainProf)
	w.must(err)
	w.must(pprof.StartCPUProfile(f))
	return func() {
		pprof.StopCPUProfile()
		w.must(f.Close())
	}
}

// wideGraph spreads locations over overlapping groups.
func wideGraph(locations, groups, each int) schemas.LocationGraph {
	random := rand.New(rand.NewPCG(7, 7))
	members := make(map[string][]int)
	for l := range locations {
		for _, g := range random.Perm(groups)[:each] {
			id := fmt.Sprintf("GROUP-%02d", g)
			members[id] = append(members[id], l)
		}
	}
	return graphOf(locations, members)
}

const drainLocations = 20

// preload produces n records in one transaction, so that whoever reads what is committed meets all of them at once. They are
// the same for the same counts.
func preload(w *world, n int, record func(w *world, random *rand.Rand, i int) *kgo.Record) {
	random := rand.New(rand.NewPCG(uint64(n), uint64(*drainSKUs)))
	client, err := kgo.NewClient(append(w.names.ProducerOpts(), kgo.SeedBrokers(w.brokers...), kgo.ProducerLinger(50*time.Millisecond), kgo.MaxBufferedRecords(100_000),
		kgo.TransactionalID(w.namespace+".preload"), kgo.TransactionTimeout(15*time.Minute))...)
	w.must(err)
	defer client.Close()
	w.must(client.BeginTransaction())
	for i := range n {
		client.Produce(w.Context(), record(w, random, i), func(_ *kgo.Record, err error) {
			if err != nil {
				panic(err)
			}
		})
	}
	w.must(client.Flush(w.Context()))
	w.must(client.EndTransaction(w.Context(), kgo.TryCommit))
}

// countOf sets one balance after the other.
func countOf(w *world, _ *rand.Rand, i int) *kgo.Record {
	return w.count("count-"+strconv.Itoa(i), drainSKU(i/drainLocations), drainLocation(i%drainLocations), 50)
}

func eventOf(w *world, random *rand.Rand, i int) *kgo.Record {
	active := cmp.Or(*drainActive, *drainSKUs)
	sku, loc, id := drainSKU(random.IntN(active)*(*drainSKUs/active)), drainLocation(random.IntN(drainLocations)), "evt-"+strconv.Itoa(i)
	switch p := random.IntN(100); {
	case p < 70:
		return w.adjust(id, sku, loc, -1)
	case p < 80:
		return w.adjust(id, sku, loc, int64(10+random.IntN(40)))
	case p < 95:
		at := location(loc)
		if p%2 == 0 {
			at = group(fmt.Sprintf("GROUP-%02d", random.IntN(12)))
		}
		return w.reserve(id, sku, at, 1)
	default:
		return w.count(id, sku, loc, int64(random.IntN(100)))
	}
}

func drainSKU(i int) string      { return fmt.Sprintf("SKU-%06d", i) }
func drainLocation(i int) string { return fmt.Sprintf("L%02d", i) }

// drained waits until the offsets of all records are committed, and the store has them.
func (w *world) drained(records int) {
	w.Helper()
	store := w.open()
	defer func() { _ = store.Close() }()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for range ticker.C {
		var folded int64
		for n := range w.partitions {
			c, err := store.Checkpoint(context.Background(), n)
			if err == nil {
				folded += c.Offsets[availability.Deltas] + c.Offsets[availability.Events]
			}
		}
		if folded >= int64(records) {
			return
		}
	}
}

// updates is how many records stand in availability-updates, markers included.
func (w *world) updates() (n int64) {
	w.Helper()
	ends, err := kadm.NewClient(w.client).ListEndOffsets(w.Context(), w.names.AvailabilityUpdates)
	w.must(err)
	ends.Each(func(o kadm.ListedOffset) { n += o.Offset })
	return n
}

func selfCPU() float64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// redisCPU asks a real Redis for the seconds it has used.
func redisCPU(w *world) float64 {
	if w.mini != nil {
		return 0
	}
	address := strings.TrimPrefix(strings.SplitN(w.redisURL, "/", 4)[2], "redis://")
	host, port, _ := strings.Cut(address, ":")
	out, err := exec.CommandContext(w.Context(), "redis-cli", "-h", host, "-p", port, "info", "cpu").Output()
	w.must(err)
	var sum float64
	for line := range strings.SplitSeq(string(out), "\r\n") {
		if name, value, ok := strings.Cut(line, ":"); ok && (name == "used_cpu_sys" || name == "used_cpu_user") {
			f, _ := strconv.ParseFloat(value, 64)
			sum += f
		}
	}
	return sum
}

// brokerCPU adds up the processes of this machine that run a Kafka broker.
func brokerCPU() float64 {
	var ticks float64
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		cmdline, _ := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		if !strings.Contains(string(cmdline), "kafka.Kafka\x00") {
			continue
		}
		stat, _ := os.ReadFile("/proc/" + e.Name() + "/stat")
		if at := strings.LastIndexByte(string(stat), ')'); at > 0 {
			f := strings.Fields(string(stat[at+1:]))
			user, _ := strconv.ParseFloat(f[11], 64)
			system, _ := strconv.ParseFloat(f[12], 64)
			ticks += user + system
		}
	}
	return ticks / 100
}
