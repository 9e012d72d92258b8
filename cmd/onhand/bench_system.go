package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"onhand/processor/availability"
	"onhand/schemas"
)

// benchSystem is what was measured of a system that is not ours: a command that reads stock-deltas and writes levels to
// availability-updates. It is done when the offsets of its consumer group have reached the ends of the input and the
// output stands still; time and cost are of the moment when its last output could be read, read committed.
type benchSystem struct {
	Command     string           `json:"command"`
	FirstOutput float64          `json:"firstOutputSeconds"` // from the start of the process until the first output could be read
	Killed      *benchSystemKill `json:"killed,omitempty"`
}

// benchSystemKill is what a kill -9 in the middle did.
type benchSystemKill struct {
	Left       int64   `json:"eventsLeft"`        // events that no offset was committed for when it was killed
	BackMillis float64 `json:"nextOutputAfterMs"` // from the kill until the new process had an output that could be read
}

// Variables that tell the system what the settings do not.
const (
	benchPlacesVariable = "BENCH_PLACES"        // file: a line for each location, its name and those of its groups, with a space between
	benchStateVariable  = "BENCH_STATE"         // directory, empty at the start, for what the system keeps on disk
	benchSchemaVariable = "BENCH_UPDATE_SCHEMA" // id of AvailabilityUpdate in the registry
	benchCountVariable  = "BENCH_PARTITIONS"    // partitions of the input and the output
)

// benchSystemLook is the time between two looks at a system, benchSystemStill how long its output must stand still at the end.
const (
	benchSystemLook  = 50 * time.Millisecond
	benchSystemStill = time.Second
)

// startBenchSystem starts a command of the shell, which the command replaces, so that the process is the system's own.
func startBenchSystem(ctx context.Context, environ []string, command, instance string) (*benchProcess, error) {
	p := newBenchProcess(ctx, "sh", "-c", "exec "+command)
	p.instance, p.foreign, p.cmd.Env = instance, true, environ
	if err := p.launch(); err != nil {
		return nil, err
	}
	return p, nil
}

// systemEnviron is the environment of a system: that of this process, the settings, and what else it needs to know.
func (r *benchRun) systemEnviron(ctx context.Context, instance string) ([]string, error) {
	if r.state == "" {
		state, err := os.MkdirTemp("", "onhand-bench-")
		if err != nil {
			return nil, fmt.Errorf("making a directory for the system: %w", err)
		}
		r.state = state
		if err := os.WriteFile(filepath.Join(state, "places"), placesText(r.graph), 0o600); err != nil {
			return nil, fmt.Errorf("writing the places: %w", err)
		}
		if err := os.Mkdir(filepath.Join(state, "state"), 0o700); err != nil {
			return nil, fmt.Errorf("making a directory for the system: %w", err)
		}
	}
	id, err := schemaID(ctx, r.config, r.wire.registry, "availability-updates")
	if err != nil {
		return nil, err
	}
	return append(append([]string{}, r.environ...),
		"ONHAND_BROKERS="+strings.Join(r.config.Brokers, ","), "ONHAND_REGISTRY="+string(r.config.Registry), "ONHAND_REDIS="+string(r.config.Redis),
		"ONHAND_NAMESPACE="+r.config.Namespace, "ONHAND_INSTANCE="+instance, "ONHAND_ADMIN=127.0.0.1:0",
		benchPlacesVariable+"="+filepath.Join(r.state, "places"), benchStateVariable+"="+filepath.Join(r.state, "state"),
		benchSchemaVariable+"="+strconv.Itoa(id), benchCountVariable+"="+strconv.Itoa(int(r.wire.partitions))), nil
}

// placesText has a line for each location: its name and those of its groups.
func placesText(g *schemas.LocationGraph) []byte {
	groups := make(map[string][]string, len(g.Locations))
	for _, group := range g.Groups {
		for _, l := range group.Locations {
			groups[l] = append(groups[l], group.ExternalReference)
		}
	}
	var text []byte
	for _, l := range g.Locations {
		text = fmt.Appendln(text, strings.Join(append([]string{l.ExternalReference}, groups[l.ExternalReference]...), " "))
	}
	return text
}

// drainSystem preloads the input, or takes the one that stands, starts the system and measures until it is done.
func (r *benchRun) drainSystem(ctx context.Context) error {
	defer func() {
		if r.state != "" {
			_ = os.RemoveAll(r.state) // what is left is in the directory for such
		}
	}()
	if err := r.preloadSystem(ctx); err != nil {
		return err
	}
	var err error
	if r.from, err = r.outputs(ctx); err != nil {
		return err
	}
	shown := newCountProgress(r.app.err, r.plan.Workload+": draining", r.plan.Events)
	defer shown.end()
	d := &systemDrain{benchRun: r, ends: r.sender.ends()[availability.Deltas], from: r.seen(r.from), before: r.meter.now(ctx), began: time.Now()}
	r.report.System = &benchSystem{Command: r.plan.System}
	if _, err := r.start(ctx, benchFirst); err != nil {
		return err
	}
	d.end, d.moved = d.from, d.began
	for {
		done, err := d.look(ctx, shown)
		if err != nil {
			return err
		}
		if done {
			r.report.measured(r.plan.Events, d.last.Sub(d.began), d.cost)
			r.report.Lag = thinned(d.lags)
			return nil
		}
		if err := sleep(ctx, benchSystemLook); err != nil {
			return err
		}
	}
}

// preloadSystem sends the events, each a millisecond later than the one before and the last one now: so every system
// takes them in the order of their times, which in Kafka are whole milliseconds. Events that stand already are counted.
func (r *benchRun) preloadSystem(ctx context.Context) error {
	if r.namespace.reused {
		ends, err := r.admin.ListEndOffsets(ctx, r.wire.names.StockDeltas)
		if err == nil {
			err = ends.Error()
		}
		if err != nil {
			return explainKafka(r.config, fmt.Errorf("asking for the ends of the input: %w", err))
		}
		if found := r.sender.adopt(ends); found != r.plan.Events {
			return hinted(fmt.Errorf("the input holds %d events and --events is %d", found, r.plan.Events), "make them anew with --wipe in place of --reuse")
		}
		return nil
	}
	loading := newCountProgress(r.app.err, r.plan.Workload+": preloading", r.plan.Events)
	defer loading.end()
	first := time.Now().Truncate(time.Millisecond).Add(-time.Duration(r.plan.Events) * time.Millisecond)
	return r.sender.preload(ctx, loading, r.plan.Events, func(i int, _ time.Time) benchRecord {
		return r.traffic.next(first.Add(time.Duration(i) * time.Millisecond))
	})
}

// systemDrain is a drain by a system that is not ours.
type systemDrain struct {
	*benchRun
	ends   []int64 // of the input, by partition
	from   int64   // records of the output before
	before benchCost
	began  time.Time

	end   int64     // of the output that could be read at the last look
	last  time.Time // when it was seen to move last
	moved time.Time // when output or committed offsets were seen to move last
	left  int64
	cost  benchCost // at last
	lags  []benchLag

	killed  time.Time
	marking int64 // end of the output when it was killed
}

// look sees how far the system is, and kills it where that is due.
func (d *systemDrain) look(ctx context.Context, shown *progress) (done bool, err error) {
	if err := d.failed(); err != nil {
		return false, err
	}
	// Offsets first: an output that they stand for is readable when they are.
	left, err := d.uncommitted(ctx)
	if err != nil {
		return false, err
	}
	stable, open, err := d.readable(ctx)
	if err != nil {
		return false, err
	}
	now := time.Now()
	if stable != d.end {
		if d.end == d.from {
			d.report.System.FirstOutput = now.Sub(d.began).Seconds()
		}
		if k := d.report.System.Killed; k != nil && k.BackMillis == 0 && stable > d.marking {
			k.BackMillis = millis(now.Sub(d.killed))
		}
		d.end, d.last, d.moved, d.cost = stable, now, now, d.meter.now(ctx).since(d.before)
	}
	if left != d.left || d.lags == nil {
		d.left, d.moved = left, now
	}
	d.lags = append(d.lags, benchLag{Seconds: now.Sub(d.began).Seconds(), Records: left})
	shown.show(shown.total-left, fmt.Sprintf("%s: %d records left", shown.what, left))
	if d.plan.Incident == incidentKill && d.killed.IsZero() && left <= int64(d.plan.Events/2) {
		return false, d.kill(ctx, left)
	}
	if left == 0 && !open && now.Sub(d.moved) >= benchSystemStill {
		return true, nil
	}
	if now.Sub(d.moved) > settleWait {
		return false, fmt.Errorf("%d records are left and nothing moved for %s", left, settleWait)
	}
	return false, nil
}

// uncommitted is how many records of the input the consumer group has committed no offset for.
func (d *systemDrain) uncommitted(ctx context.Context) (left int64, err error) {
	committed, err := d.admin.FetchOffsets(ctx, d.namespace.names.ConsumerGroup())
	// There is no group before the system has joined, and no coordinator before the first group of a cluster.
	if err != nil && !kerr.IsRetriable(err) && !errors.Is(err, kerr.GroupIDNotFound) {
		return 0, explainKafka(d.config, fmt.Errorf("asking for the offsets of the system: %w", err))
	}
	for n, end := range d.ends {
		at := int64(0)
		if o, ok := committed.Lookup(d.wire.names.StockDeltas, int32(n)); ok {
			at = max(0, o.At)
		}
		left += max(0, end-at)
	}
	return left, nil
}

// readable is the sum of the ends up to which the output can be read, read committed. open says that there is more.
func (d *systemDrain) readable(ctx context.Context) (end int64, open bool, err error) {
	name := d.wire.names.AvailabilityUpdates
	ends, err := d.admin.ListEndOffsets(ctx, name)
	var stable kadm.ListedOffsets
	if err == nil {
		stable, err = d.admin.ListCommittedOffsets(ctx, name)
	}
	if err == nil {
		err = stable.Error()
	}
	if err != nil {
		return 0, false, explainKafka(d.config, fmt.Errorf("asking for the ends of the output: %w", err))
	}
	end = d.seen(stable)
	return end, end < d.seen(ends), nil
}

// seen is the sum of the ends of the output.
func (r *benchRun) seen(ends kadm.ListedOffsets) (sum int64) {
	for n := range r.wire.partitions {
		o, _ := ends.Lookup(r.wire.names.AvailabilityUpdates, n)
		sum += o.Offset
	}
	return sum
}

// kill ends the system as kill -9 does, and starts it again at once, with what it has on disk.
func (d *systemDrain) kill(ctx context.Context, left int64) error {
	running := d.all()
	killed := time.Now()
	if err := running[len(running)-1].kill(); err != nil {
		return err
	}
	d.killed, d.marking = killed, d.end
	if stable, _, err := d.readable(ctx); err == nil {
		d.marking = stable // what it wrote before it was killed is not the new process's
	}
	d.report.System.Killed = &benchSystemKill{Left: left}
	_, err := d.start(ctx, benchFirst)
	return err
}
