package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Times of a flow.
const (
	benchLook     = 20 * time.Millisecond  // between two looks at what is unseen
	benchCaughtUp = 250 * time.Millisecond // caught up: every event sent and not seen is younger
	benchLinger   = time.Second            // how long the outputs must bring nothing before the rest counts as unseen
)

// flow sends events at their times, watches the outputs, and lets the incident happen meanwhile.
func (r *benchRun) flow(ctx context.Context) error {
	if !r.plan.Fill && r.plan.Incident != incidentCold {
		if _, err := r.startReady(ctx, benchFirst); err != nil {
			return err
		}
	}
	begins := time.Now().Add(200 * time.Millisecond)
	if r.plan.Expiring > 0 {
		begins = time.Now().Add(time.Second + time.Duration(r.plan.Expiring)*time.Second/5000)
	}
	watcher := newBenchWatcher(r.wire, begins, r.plan.Duration)
	client, err := watcher.open(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	r.sender.watchedBy(watcher)
	defer r.sender.watchedBy(nil)
	var beside sync.WaitGroup
	defer beside.Wait()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	beside.Go(func() {
		err := watcher.run(ctx, client)
		if ctx.Err() == nil {
			end(err)
		}
	})
	if err := r.flowWatched(ctx, watcher, end, &beside); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return err
	}
	return nil
}

// flowWatched is flow once the watcher runs. What runs beside it ends with ctx, or ends ctx with what went wrong.
func (r *benchRun) flowWatched(ctx context.Context, watcher *benchWatcher, end context.CancelCauseFunc, beside *sync.WaitGroup) (err error) {
	if r.plan.Expiring > 0 {
		if err := r.hold(ctx, watcher); err != nil {
			return err
		}
	}
	if r.from, err = r.outputs(ctx); err != nil {
		return err
	}
	if err := sleep(ctx, time.Until(watcher.began)); err != nil {
		return err
	}
	before, acked := r.meter.now(ctx), r.acked()
	shown := newCountProgress(r.app.err, r.plan.Workload+": flowing", int(r.plan.Rate*r.plan.Duration.Seconds()))
	defer shown.end()
	beside.Go(func() { r.look(ctx, watcher, shown, end) })
	var happened atomic.Bool
	beside.Go(func() {
		if err := r.incident(ctx, watcher); err != nil {
			end(err)
		}
		happened.Store(true)
	})
	// An incident that takes longer than the flow was to shall not end in silence.
	lasts := func(since time.Duration) bool { return since < r.plan.Duration || !happened.Load() }
	if err := r.sender.flow(ctx, watcher.began, r.plan.Rate, lasts, r.traffic.next); err != nil {
		return err
	}
	if err := r.released(ctx, watcher); err != nil {
		return err
	}
	if err := r.settle(ctx, shown, nil); err != nil {
		return err
	}
	r.report.measured(r.acked()-acked, time.Since(watcher.began), r.meter.now(ctx).since(before))
	if err := watcher.still(ctx); err != nil {
		return err
	}
	r.report.watched(watcher)
	return nil
}

func (r *benchRun) acked() int {
	acked, _, _ := r.sender.totals()
	return acked
}

// look looks at what is unseen, again and again, and at whether the processors live.
func (r *benchRun) look(ctx context.Context, watcher *benchWatcher, shown *progress, end context.CancelCauseFunc) {
	from := r.acked()
	for sleep(ctx, benchLook) == nil {
		unseen, oldest := watcher.look(time.Now())
		sent := r.acked() - from
		shown.show(int64(sent), fmt.Sprintf("%s: %d events, %d not seen yet, the oldest for %s", shown.what, sent, unseen, oldest.Round(time.Millisecond)))
		if err := r.failed(); err != nil {
			end(err)
			return
		}
	}
}

// still waits until the outputs bring nothing more.
func (b *benchWatcher) still(ctx context.Context) error {
	last, _, _ := b.progress()
	for changed := time.Now(); time.Since(changed) < benchLinger; {
		if unseen, _ := b.look(time.Now()); unseen == 0 {
			return nil
		}
		if err := sleep(ctx, benchLook); err != nil {
			return err
		}
		if now, _, _ := b.progress(); now != last {
			last, changed = now, time.Now()
		}
	}
	return nil
}

// hold reserves what is to expire while the flow lasts, evenly, and waits until all of it is decided.
func (r *benchRun) hold(ctx context.Context, watcher *benchWatcher) error {
	shown := newCountProgress(r.app.err, r.plan.Workload+": reserving", r.plan.Expiring)
	defer shown.end()
	err := r.sender.preload(ctx, shown, r.plan.Expiring, func(i int, at time.Time) benchRecord {
		return r.traffic.hold(at, watcher.began.Add(time.Duration(float64(r.plan.Duration)*float64(i)/float64(r.plan.Expiring))))
	})
	if err != nil {
		return err
	}
	return r.settle(ctx, shown, nil)
}

// released waits until every reservation that was to expire is released.
func (r *benchRun) released(ctx context.Context, watcher *benchWatcher) error {
	if r.plan.Expiring == 0 {
		return nil
	}
	moved, last := time.Now(), -1
	for {
		_, granted, released := watcher.progress()
		if released >= granted {
			return nil
		}
		if released > last {
			moved, last = time.Now(), released
		} else if time.Since(moved) > settleWait {
			return fmt.Errorf("%d of %d reservations that have expired are not released, and none was for %s", granted-released, granted, settleWait)
		}
		if err := sleep(ctx, benchLook); err != nil {
			return err
		}
	}
}

// incident lets happen what the plan says, in the middle of the flow.
func (r *benchRun) incident(ctx context.Context, watcher *benchWatcher) error {
	wait := func(part float64) error {
		return sleep(ctx, time.Until(watcher.began.Add(time.Duration(part*float64(r.plan.Duration)))))
	}
	switch r.plan.Incident {
	case incidentKill:
		if err := wait(0.5); err != nil {
			return err
		}
		return r.kill(ctx, watcher)
	case incidentCold:
		return r.restart(ctx, watcher, time.Now())
	case incidentJoin:
		watcher.quiet(time.Now())
		if err := wait(0.5); err != nil {
			return err
		}
		return r.join(ctx, watcher, func() error { return wait(1) })
	case incidentGraph:
		return r.changeGraph(ctx, watcher, wait)
	case incidentNone:
	}
	return nil
}

// benchRestart is how a process that starts under load came back. Times are from the kill, or from its start.
type benchRestart struct {
	FirstUpdateMS float64 `json:"firstUpdateMs"` // the first update that the new process has published
	EveryTaskMS   float64 `json:"everyTaskMs"`   // an update of each partition
	CaughtUpMS    float64 `json:"caughtUpMs"`    // every event sent and not seen is younger than benchCaughtUp
	UnseenMost    int     `json:"unseenMost"`    // events that waited, the most
}

// kill ends the processor as kill -9 does, and starts the same instance again at once.
func (r *benchRun) kill(ctx context.Context, watcher *benchWatcher) error {
	running := r.all()
	p := running[len(running)-1]
	p.used(ctx)
	killed := time.Now()
	if err := p.kill(); err != nil {
		return err
	}
	return r.restart(ctx, watcher, killed)
}

// restart starts a process and waits until it has caught up.
func (r *benchRun) restart(ctx context.Context, watcher *benchWatcher, from time.Time) error {
	before, _ := watcher.epochsSeen()
	if _, err := r.start(ctx, benchFirst); err != nil {
		return err
	}
	found := &benchRestart{}
	r.report.Restart = found
	waiting, cancel := context.WithTimeout(ctx, settleWait)
	defer cancel()
	for {
		unseen, oldest := watcher.look(time.Now())
		found.UnseenMost = max(found.UnseenMost, unseen)
		epochs, firstOf := watcher.epochsSeen()
		newer := 0
		for i := range epochs {
			if epochs[i] > before[i] {
				newer++
				since := millis(firstOf[i].Sub(from))
				if found.FirstUpdateMS == 0 || since < found.FirstUpdateMS {
					found.FirstUpdateMS = since
				}
				found.EveryTaskMS = max(found.EveryTaskMS, since)
			}
		}
		if newer > 0 && oldest < benchCaughtUp {
			found.CaughtUpMS = millis(time.Since(from))
			return nil
		}
		if err := sleep(waiting, benchLook); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("the processor has not caught up within %s: %d events are not seen, the oldest for %s", settleWait, unseen, oldest.Round(time.Millisecond))
		}
	}
}

// benchJoin is how the partitions fared when a second process joined.
type benchJoin struct {
	ReadyMS         float64 `json:"readyMs"`         // the second process runs its tasks
	Moved           int     `json:"moved"`           // tasks that it took over
	SilenceBeforeMS float64 `json:"silenceBeforeMs"` // longest time without an update of any partition, before
	SilenceMS       float64 `json:"silenceMs"`       // the same from the join on
	SilenceMedianMS float64 `json:"silenceMedianMs"` // of the partitions
}

// join starts a second process, and watches how long each partition is silent until rest returns.
func (r *benchRun) join(ctx context.Context, watcher *benchWatcher, rest func() error) error {
	joined := time.Now()
	found := &benchJoin{SilenceBeforeMS: millis(slices.Max(watcher.silences(joined)))}
	r.report.Join = found
	watcher.quiet(joined)
	if _, err := r.startReady(ctx, benchSecond); err != nil {
		return err
	}
	found.ReadyMS = millis(time.Since(joined))
	if err := rest(); err != nil {
		return err
	}
	silences := watcher.silences(time.Now())
	slices.Sort(silences)
	found.SilenceMS, found.SilenceMedianMS = millis(silences[len(silences)-1]), millis(silences[len(silences)/2])
	state, err := r.wire.group(ctx)
	if err != nil {
		return err
	}
	found.Moved = state.count(func(t *taskState) bool { return strings.HasPrefix(t.Member, benchSecond) })
	return nil
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
