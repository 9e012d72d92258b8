package processor

import "time"

// A broker answers the end of a transaction before its markers stand in every partition. What the next one sends before
// that is held up, for 20 ms each time the broker looks again (add.partitions.to.txn.retry.backoff.ms). To begin a little
// later is to be done sooner, and to take along what comes meanwhile.
const (
	gapMost   = 15 * time.Millisecond
	gapStep   = time.Millisecond
	gapHeldUp = 15 * time.Millisecond // longer than the quickest: the broker held it up
	gapProbe  = 64                    // every so many turns one waits for gapMost, which tells how quick a transaction can be
	gapBehind = 60 * time.Millisecond // a transaction that takes longer is of a backlog, and a hold-up does not count
)

// gap finds out how long after the end of a transaction the next may begin without being held up.
type gap struct {
	ended    time.Time     // the last transaction
	length   time.Duration // from there to the next turn
	quickest time.Duration // flush of late
	turns    int
}

// wait is how long the next turn is put off.
func (g *gap) wait(now time.Time) time.Duration {
	length := g.length
	if g.turns%gapProbe == 0 && g.quickest > 0 {
		length = gapMost
	}
	return length - now.Sub(g.ended)
}

// flushed learns from how long the brokers took to acknowledge what a transaction has.
func (g *gap) flushed(took time.Duration) {
	if took > gapBehind {
		*g = gap{ended: g.ended}
		return
	}
	g.turns++
	if g.quickest += g.quickest / 256; g.quickest == 0 || took < g.quickest {
		g.quickest = took
	}
	if took > g.quickest+gapHeldUp {
		g.length = min(g.length+gapStep, gapMost)
	} else {
		g.length -= g.length / 128
	}
}
