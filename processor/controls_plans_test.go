package processor_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// directed makes a schedule from text and chance: a line that begins with ? is there or not, and of a list in braces one
// word is taken; {step} is a step of a batch.
func directed(seed uint64, text string) *schedule {
	r := rand.New(rand.NewPCG(seed, 2))
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if optional, is := strings.CutPrefix(line, "?"); is {
			if line = strings.TrimSpace(optional); r.IntN(2) == 0 {
				continue
			}
		}
		lines = append(lines, choose(r, line))
	}
	s, err := parseSchedule(strings.Join(lines, "\n"))
	if err != nil {
		panic(fmt.Sprintf("a schedule of the tests: %v", err))
	}
	return s
}

// choose takes one word of every list in braces.
func choose(r *rand.Rand, line string) string {
	for {
		before, rest, some := strings.Cut(line, "{")
		if !some {
			return line
		}
		list, after, _ := strings.Cut(rest, "}")
		words := strings.Split(list, "|")
		if list == "step" {
			words = stepsOfABatch
		}
		line = before + words[r.IntN(len(words))] + after
	}
}

// committedOnTop lets a commit come right after Redis went back.
func committedOnTop(seed uint64) *schedule {
	return directed(seed, `
		0s start a
		4s adjust d1 SKU-0 L01 1
		6s adjust d2 SKU-1 L01 1
		9.3s rollback 1
		9.3s adjust d3 SKU-0 L01 1`)
}

// epochForgotten lets Redis forget an epoch that Kafka has seen.
func epochForgotten(seed uint64) *schedule {
	return directed(seed, `
		0s start a
		4s adjust d1 SKU-0 L01 1
		6s stop a
		14s start a
		18s adjust d2 SKU-0 L01 1
		20s adjust d3 SKU-0 L01 1
		24s state 1
		30s adjust d4 SKU-0 L01 1`)
}

// polledNotFolded cuts a process that has polled more than it has folded.
func polledNotFolded(seed uint64) *schedule {
	return directed(seed, `
		set batch 1
		0s start a
		4s adjust d1 SKU-0 L01 3
		6s arm a EndTxn< {1|2|3} cut
		6s reserve r1 SKU-0 L01 1
		6s reserve r2 SKU-0 L01 1
		6s reserve r3 SKU-0 L01 1
		6s reserve r4 SKU-0 L01 1
		6s reserve r5 SKU-0 L01 1
		8s start a`)
}

// repeated sends a record twice; repeatedLater restarts in between.
func repeated(seed uint64) *schedule {
	return directed(seed, `
		0s start a
		4s adjust d1 SKU-0 L01 1
		6s again 0`)
}

func repeatedLater(seed uint64) *schedule {
	return directed(seed, `
		0s start a
		4s adjust d1 SKU-0 L01 1
		6s stop a
		14s start a
		18s again 0`)
}

// lostTransaction aborts transactions after the batch may have reached the store.
func lostTransaction(seed uint64) *schedule {
	return directed(seed, `
		set batch 2
		0s start a
		4s adjust d1 SKU-0 L01 2
		5s fail TxnOffsetCommit 9 UNKNOWN_SERVER_ERROR
		5s reserve r1 SKU-0 L01 1
		5.2s adjust d2 SKU-0 L01 1
		5.3s cut a
		? 6s adjust d3 SKU-0 L02 1
		30s start a`)
}

// twoBranches lets two owners replay the same range in batches of other sizes under the same epoch, and brings the first
// one's state back under the second.
func twoBranches(seed uint64) *schedule {
	return directed(seed, `
		set cache 1
		0s start a
		4s adjust d1 SKU-0 L01 1
		4s adjust d2 SKU-1 L01 1
		4s adjust d3 SKU-2 L01 1
		4s adjust d4 SKU-3 L01 1
		7s stop a
		15s state 1
		15s arm b commit< 2 mark first
		15s arm b Produce> 1 cut
		15s start b 100
		24s state 1
		24s arm c compare> 3 back first
		24s start c 1
		40s adjust d5 SKU-0 L01 1`)
}

// zombieBeforeOffsets throws a member out before it sends its offsets, and keeps it believing that it is in.
func zombieBeforeOffsets(seed uint64) *schedule {
	return directed(seed, `
		set rising 1
		0s start a
		6s start b
		15s adjust d1 SKU-0 L01 1
		20s arm a Heartbeat< 1 agree
		20s arm a TxnOffsetCommit> 1 kick 1900ms
		20s reserve r1 SKU-0 L01 1 whole
		20s reserve r2 SKU-0 L01 1 whole
		35s reserve r3 SKU-0 L01 1`)
}

// zombieBeforeEnd throws a member out while the end of its transaction is on its way.
func zombieBeforeEnd(seed uint64) *schedule {
	return directed(seed, `
		set rising 1
		0s start a
		6s start b
		15s adjust d1 SKU-0 L01 1
		20s arm a EndTxn> 1 kick 3s
		20s reserve r1 SKU-0 L01 1 whole
		20100ms reserve r2 SKU-0 L01 1 whole
		35s reserve r3 SKU-0 L01 1`)
}

// markerHeldBack claims while the marker of the newest transaction has not reached reservation-results.
func markerHeldBack(seed uint64) *schedule {
	return directed(seed, `
		0s start a
		4s adjust d1 SKU-0 L01 1
		6s reserve r1 SKU-0 L01 1
		9s cut a
		9s rollback 2
		9s arm a ListStable< 1 lag
		10s start a`)
}

// decidedUnderAnotherGraph forgets a decision, and the graph is another when the event is replayed.
func decidedUnderAnotherGraph(seed uint64) *schedule {
	return directed(seed, `
		0s start a
		4s adjust d1 SKU-0 L00 1
		? 4s adjust d0 SKU-1 L01 1
		6s reserve r1 SKU-0 EAST 1 whole
		9s stop a
		18s state {0|1}
		18s graph other
		19s start a`)
}

// mergedInAnotherOrder has so many movements that they are merged minute by minute, then a count within the minute, which
// keeps all of it; by the times of the records the count comes before the movement that merges them. It forgets that.
func mergedInAnotherOrder(seed uint64) *schedule {
	return directed(seed, `
		set batch {1|4|2000}
		0s start a
		4s fill d1 SKU-0 L01 15
		6s reserve r1 SKU-0 L01 1 whole
		8s fulfill f1 res-r1 SKU-0 L01 1
		10s skew -3s
		10s count c1 SKU-0 L01 5
		? 11s reserve r2 SKU-0 L01 15
		12s {state 0|state 2|rollback 1}
		? 20s fulfill f2 res-r2 SKU-0 L01 2`)
}

// knownSince refuses a record for its location, which a later graph knows, and replays it under that.
func knownSince(seed uint64) *schedule {
	return directed(seed, `
		0s start a
		4s adjust d1 SKU-0 L01 1
		4s adjust d2 SKU-0 L04 1
		? 5s poison bytes p1 SKU-0
		7s graph more
		9s again 1
		? 10s stop a
		12s state 1
		13s start a`)
}

// replayedWithAnotherGraph replays under a graph that came while nobody ran: no sweep finds anything to change.
func replayedWithAnotherGraph(seed uint64) *schedule {
	return directed(seed, `
		0s start a
		4s adjust d1 SKU-0 L00 1
		4s adjust d2 SKU-1 L02 1
		7s mark before
		8s adjust d3 SKU-0 L00 1
		? 8s adjust d4 SKU-1 L00 1
		12s stop a
		20s back before
		20s graph other
		21s start a`)
}

// coldAfterRollback decides on what Redis has, right after it went back.
func coldAfterRollback(seed uint64) *schedule {
	return directed(seed, `
		set cache 1
		set batch 1
		set rising 1
		0s start a
		4s adjust d1 SKU-0 L01 1
		5s mark before
		6s reserve r1 SKU-0 L01 1 whole
		7s adjust d2 SKU-1 L01 1
		8s adjust d3 SKU-2 L01 1
		9.3s back before
		9.3s reserve r2 SKU-0 L01 1 whole`)
}

// moreThanWasReplayed leaves records beyond what is replayed.
func moreThanWasReplayed(seed uint64) *schedule {
	return directed(seed, `
		0s start a
		4s adjust d1 SKU-0 L01 1
		? 5s reserve r1 SKU-0 L01 1
		7s stop a
		15s poison negative p1 SKU-0
		15s adjust d2 SKU-0 L01 1
		15s state 1
		16s start a`)
}

// idleRollback lets Redis go back under processes that have nothing to do.
func idleRollback(seed uint64) *schedule {
	return directed(seed, `
		0s start a
		4s adjust d1 SKU-0 L01 1
		5s reserve r1 SKU-0 L01 1 expires 20s
		9s rollback 1`)
}

// manyMembers shares partitions among members that come one by one.
func manyMembers(seed uint64) *schedule {
	return directed(seed, `
		set partitions 3
		0s start a
		? 5s start b
		5s start c
		25s adjust d1 SKU-0 L01 1
		25s adjust d2 SKU-1 L01 1
		25s adjust d3 SKU-2 L01 1
		25s reserve r0 SKU-0 L01 1
		25s reserve r1 SKU-1 L01 1
		25s reserve r2 SKU-2 L01 1`)
}

// sweptAndForgotten publishes levels of a graph, forgets it, and goes on with one like the graph before.
func sweptAndForgotten(seed uint64) *schedule {
	return directed(seed, `
		0s start a
		4s adjust d1 SKU-0 L00 1
		4s adjust d2 SKU-1 L02 1
		7s mark before
		8s graph other
		14s stop a
		22s back before
		22s graph first
		23s start a`)
}

// leftAndReturned lets a location leave and return, and Redis go back behind both, or behind the return alone.
func leftAndReturned(seed uint64) *schedule {
	return directed(seed, `
		set cache {1|1000000}
		set batch {1|2|2000}
		0s start a
		3s graph more
		5s adjust d1 SKU-0 L04 5
		5s count d2 SKU-1 L04 3
		5s adjust d3 SKU-1 L01 1
		6s reserve r1 SKU-0 L04 1
		8s mark {old|unused}
		? 9s adjust d4 SKU-0 L04 2
		9s adjust d5 SKU-1 L04 2
		11s graph first
		? 12s fulfill f1 res-r1 SKU-0 L04 1
		14s mark {old|unused}
		? 14.5s adjust d6 SKU-0 L01 1
		15s fulfill f2 res-r1 SKU-0 L04 1
		16s graph {more|other}
		? 19s adjust d7 SKU-0 L04 1
		? 19s release x1 res-r1 SKU-0
		22s {state 2|state 3|back old|empty}
		? 24s adjust d8 SKU-1 L04 1`)
}
