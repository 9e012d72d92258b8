package main

import (
	"slices"
	"time"
)

// devSample is a latency and when it was measured.
type devSample struct {
	at      time.Time
	latency time.Duration
}

func (b *devBoard) sample(sample devSample) {
	if len(b.samples) < devBoardSamplesMax {
		b.samples = append(b.samples, sample)
		return
	}
	b.samples[b.next] = sample
	b.next = (b.next + 1) % devBoardSamplesMax
}

// latencies returns the latencies of the last while, sorted.
func (b *devBoard) latencies(now time.Time) []time.Duration {
	var latencies []time.Duration
	for _, s := range b.samples {
		if now.Sub(s.at) < devLatencyWindow {
			latencies = append(latencies, s.latency)
		}
	}
	slices.Sort(latencies)
	return latencies
}

// devLatencyWindow is the time over which percentiles are taken.
const devLatencyWindow = 10 * time.Second

// devFigures are the numbers of the foot of the view.
type devFigures struct {
	events, updates   float64 // a second, over the last ten
	eventsSum         int64
	updatesSum        int64
	p50, p99          time.Duration // of the last ten seconds; zero: nothing was updated
	letters, refusals int64
	skipped           int
	progress          devProgress
}

func (b *devBoard) figures(now time.Time) devFigures {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := devFigures{events: b.inputs.perSecond(now), updates: b.updates.perSecond(now), eventsSum: b.inputs.sum,
		updatesSum: b.updates.sum, letters: b.letters, refusals: b.refusals, skipped: b.skipped, progress: b.progress}
	if l := b.latencies(now); len(l) > 0 {
		f.p50, f.p99 = l[len(l)/2], l[len(l)*99/100]
	}
	return f
}

// devRateSeconds is the time over which a rate is taken.
const devRateSeconds = 10

// devRate counts by the second.
type devRate struct {
	sum     int64
	first   int64 // second of the first count, since the Unix epoch
	counts  [devRateSeconds + 1]int64
	seconds [devRateSeconds + 1]int64 // which second each count is of
}

func (r *devRate) add(now time.Time) {
	second := now.Unix()
	if r.sum == 0 {
		r.first = second
	}
	r.sum++
	i := second % int64(len(r.counts))
	if r.seconds[i] != second {
		r.seconds[i], r.counts[i] = second, 0
	}
	r.counts[i]++
}

// perSecond is the rate over the last whole seconds, at most ten.
func (r *devRate) perSecond(now time.Time) float64 {
	second := now.Unix()
	var sum int64
	for i, of := range r.seconds {
		if of < second && of >= second-devRateSeconds {
			sum += r.counts[i]
		}
	}
	whole := min(devRateSeconds, second-r.first)
	if r.sum == 0 || whole <= 0 {
		return 0
	}
	return float64(sum) / float64(whole)
}
