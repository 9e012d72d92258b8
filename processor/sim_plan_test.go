package processor_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// plan makes a schedule by chance.
type plan struct {
	*rand.Rand
	schedule
	at    time.Duration
	n     int      // records made
	holds []string // requests that reserved, with SKU, place and kind
	alive []string
}

// planned makes the schedule of a seed: traffic of 7 to 50 records over 1 to 3 SKUs, with 2 to 6 faults.
func planned(seed uint64) *schedule {
	p := &plan{Rand: rand.New(rand.NewPCG(seed, 1))}
	p.settings = settings{partitions: int32(1 + p.IntN(2)), brokers: 1, batch: []int{1, 2, 5, 2000}[p.IntN(4)], cache: []int64{1, 1, 1 << 20}[p.IntN(3)], rising: p.IntN(2) == 0, drop: p.IntN(2) == 0}
	if p.IntN(4) == 0 {
		p.settings.brokers = 2
	}
	p.add("start a")
	p.alive = []string{"a"}
	if p.IntN(3) > 0 {
		p.pass(3 * time.Second)
		p.add("start b")
		p.alive = append(p.alive, "b")
	}
	p.pass(8 * time.Second)
	for i, at := range []string{"L01", "L00", "L02"} {
		p.n++
		p.add("adjust base%d SKU-%d %s %d", i, i, at, 1+p.IntN(3))
	}
	faults := 2 + p.IntN(5)
	for range 4 + p.IntN(8) {
		for range 1 + p.IntN(4) {
			p.record()
		}
		p.pass(2 * time.Second)
		if faults > 0 && p.IntN(3) > 0 {
			faults--
			p.fault()
			p.pass(time.Second)
		}
	}
	slices.SortStableFunc(p.steps, func(a, b scheduled) int { return cmp.Compare(a.at, b.at) })
	return &p.schedule
}

func (p *plan) add(format string, args ...any) {
	p.steps = append(p.steps, scheduled{p.at, strings.Fields(fmt.Sprintf(format, args...))})
}

// pass lets time go by, mostly little.
func (p *plan) pass(most time.Duration) {
	if p.IntN(3) == 0 {
		p.at += time.Duration(p.Int64N(int64(most))).Truncate(time.Millisecond)
	} else {
		p.at += time.Duration(p.IntN(120)) * time.Millisecond
	}
}

func (p *plan) one(of ...string) string { return of[p.IntN(len(of))] }

func (p *plan) sku() string   { return p.one("SKU-0", "SKU-0", "SKU-0", "SKU-1", "SKU-2") }
func (p *plan) where() string { return p.one("L00", "L01", "L01", "L01", "L02", "L03") }

// record adds one of any kind.
func (p *plan) record() {
	p.n++
	id := fmt.Sprint("id", p.n)
	switch n := p.IntN(100); {
	case n < 18:
		p.add("adjust %s %s %s %d%s", id, p.sku(), p.where(), 1+p.IntN(3), p.ago())
	case n < 42 && !p.settings.rising:
		p.stock(id)
	case n < 64 || len(p.holds) == 0:
		p.reserve(id)
	case n < 76:
		p.follow(id)
	case n < 79:
		p.race(id)
	case n < 85:
		p.add("%s %d", p.one("again", "again", "other"), p.IntN(p.n))
	case n < 88:
		p.add("poison %s %s %s", p.one("bytes", "nowhere", "negative", "event"), id, p.sku())
	case n < 92:
		p.add("adjust %s %s L04 2", id, p.sku()) // known from another graph on
	case n < 95 && p.settings.partitions > 1:
		p.add("misrouted %s %s %s 1", id, p.sku(), p.where())
	case n < 97:
		p.add("skew %s", p.one("-30m", "-2m", "0s", "2m"))
	case n < 98:
		p.add("fill %s %s %s %d", id, p.sku(), p.where(), 14+p.IntN(4)) // so many are merged minute by minute
	default:
		p.add("republish %s %s above %d", id, p.sku(), p.IntN(3)*p.IntN(9))
	}
}

// stock adds a delta that may take something away.
func (p *plan) stock(id string) {
	sku, where := p.sku(), p.where()
	switch n := p.IntN(100); {
	case n < 30:
		p.add("adjust %s %s %s %d%s", id, sku, where, -1-p.IntN(3), p.ago())
	case n < 55:
		p.add("count %s %s %s %d%s", id, sku, where, p.IntN(6), p.ago())
	case n < 75:
		var list []string
		for range p.IntN(3) {
			list = append(list, fmt.Sprintf("%d@%s", 1+p.IntN(3), p.day()))
		}
		p.add("futures %s %s %s %s%s", id, sku, where, strings.Join(list, " "), p.ago())
	case n < 82:
		p.add("safety %s %s %s %d%s", id, sku, where, p.IntN(3), p.ago())
	case n < 87:
		p.add("clear %s %s %s %s%s", id, sku, where, p.one("onHand", "safety", "futures"), p.ago())
	case n < 94:
		p.add("delete %s %s %s%s", id, sku, where, p.ago())
	default:
		p.add("drop %s %s %s %s", id, sku, where, p.day())
	}
}

// ago is how far the effective date lies behind, mostly not at all: dates cross those of other records.
func (p *plan) ago() string {
	if p.IntN(3) > 0 {
		return ""
	}
	return " ago " + p.one("100ms", "1s", "3s", "10s", "40s", "2h")
}

// day is when a future is expected, of few so that they meet: soon, or not while the simulation lasts.
func (p *plan) day() string { return p.one("3s", "9s", "14s", "2000h", "2001h") }

func (p *plan) reserve(id string) {
	sku, place := p.sku(), p.one("EAST", "WEST", "ALL", "L00", "L01", "L02", "L04")
	more := p.one("", "", "", " whole", " now", " expires 3s", " expires 50ms", " expires 20s")
	reservation := "res-" + id
	if len(p.holds) > 0 && p.IntN(6) == 0 { // one more line of another
		reservation = strings.Fields(p.holds[p.IntN(len(p.holds))])[0]
		more += " in " + reservation
	}
	p.add("reserve %s %s %s %d%s", id, sku, place, 1+p.IntN(3), more)
	p.holds = append(p.holds, fmt.Sprintf("%s %s %s", reservation, sku, place))
}

// follow does something to what was held, or not granted, or is gone.
func (p *plan) follow(id string) {
	held := strings.Fields(p.holds[p.IntN(len(p.holds))])
	reservation, sku, place := held[0], held[1], held[2]
	to := p.one(p.where(), p.where(), p.one("EAST", "WEST", "ALL"))
	switch n := p.IntN(6); {
	case n == 0:
		p.add("release %s %s %s", id, reservation, sku)
	case n == 1:
		p.add("release %s %s %s %s 1", id, reservation, sku, p.one(place, "any"))
	case n < 4 && strings.HasPrefix(place, "L") && !p.settings.rising:
		p.add("fulfill %s %s %s %s 1%s", id, reservation, sku, place, p.ago())
	default:
		unchecked := ""
		if !p.settings.rising && p.IntN(4) == 0 {
			unchecked = " unchecked"
		}
		p.add("transfer %s %s %s %s %s 1%s", id, reservation, sku, place, to, unchecked)
		p.holds = append(p.holds, fmt.Sprintf("%s %s %s", reservation, sku, to))
	}
}

// race reserves for a moment, and takes what is reserved at about the moment when it expires.
func (p *plan) race(id string) {
	sku, place, lasts := p.sku(), p.where(), time.Duration(50+p.IntN(2000))*time.Millisecond
	p.add("reserve %s %s %s %d expires %s", id, sku, place, 1+p.IntN(2), lasts)
	now := p.at
	p.at += max(0, lasts+time.Duration(p.IntN(300)-100)*time.Millisecond)
	switch action := p.IntN(3); {
	case action == 0 && !p.settings.rising:
		p.add("fulfill %s-f res-%s %s %s 1", id, id, sku, place)
	case action == 1:
		p.add("transfer %s-t res-%s %s %s %s 1", id, id, sku, place, p.one(p.where(), "ALL"))
	default:
		p.add("release %s-r res-%s %s", id, id, sku)
	}
	p.at = now
}

// stepsOfABatch are where a batch can be interrupted.
var stepsOfABatch = []string{"load>", "load<", "Produce>", "Produce<", "TxnOffsetCommit>", "TxnOffsetCommit<", "EndTxn>", "EndTxn<", "commit>", "commit<",
	"OffsetFetch>", "OffsetFetch<", "checkpoint>", "checkpoint<", "ListOffsets>", "ListOffsets<", "InitProducerID<", "Heartbeat>", "JoinGroup<", "SyncGroup<", "Fetch<"}

// refusals are what brokers say to what.
var refusals = map[string][]string{
	"Produce": {"NOT_LEADER_FOR_PARTITION", "REQUEST_TIMED_OUT", "NOT_ENOUGH_REPLICAS"}, "Fetch": {"NOT_LEADER_FOR_PARTITION", "UNKNOWN_SERVER_ERROR"},
	"TxnOffsetCommit": {"COORDINATOR_LOAD_IN_PROGRESS", "NOT_COORDINATOR", "REQUEST_TIMED_OUT", "UNKNOWN_SERVER_ERROR", "ILLEGAL_GENERATION"},
	"EndTxn":          {"CONCURRENT_TRANSACTIONS", "COORDINATOR_NOT_AVAILABLE", "INVALID_TXN_STATE", "REQUEST_TIMED_OUT", "UNKNOWN_SERVER_ERROR"},
	"OffsetFetch":     {"UNSTABLE_OFFSET_COMMIT", "NOT_COORDINATOR", "COORDINATOR_LOAD_IN_PROGRESS"}, "Heartbeat": {"REBALANCE_IN_PROGRESS", "UNKNOWN_MEMBER_ID", "ILLEGAL_GENERATION"},
	"ListOffsets": {"NOT_LEADER_FOR_PARTITION", "UNKNOWN_SERVER_ERROR"}, "InitProducerID": {"CONCURRENT_TRANSACTIONS", "COORDINATOR_LOAD_IN_PROGRESS"},
	"AddPartitionsToTxn": {"CONCURRENT_TRANSACTIONS", "NOT_COORDINATOR"}, "AddOffsetsToTxn": {"CONCURRENT_TRANSACTIONS", "COORDINATOR_NOT_AVAILABLE"},
	"JoinGroup": {"COORDINATOR_NOT_AVAILABLE", "UNKNOWN_MEMBER_ID"}, "SyncGroup": {"REBALANCE_IN_PROGRESS", "UNKNOWN_MEMBER_ID"},
}

// fault adds one of any kind, and what brings a process back.
func (p *plan) fault() {
	who := p.alive[p.IntN(len(p.alive))]
	switch n := p.IntN(100); {
	case n < 45:
		effect := p.one("cut", "cut", "drop", "lose", "late 300ms", "late 9s", "freeze 9s", "freeze 700ms")
		p.add("arm %s %s %d %s", who, stepsOfABatch[p.IntN(len(stepsOfABatch))], 1+p.IntN(3), effect)
		p.back(who)
	case n < 65:
		p.add("rollback %d", 1+p.IntN(5))
	case n < 69:
		p.add("empty")
	case n < 72:
		p.add("cut %s", who)
		p.back(who)
	case n < 75:
		p.add("stop %s", who)
		p.back(who)
	case n < 79:
		p.add("kick %s", who)
	case n < 82:
		p.add("freeze %s %s", who, p.one("1s", "9s"))
	case n < 86:
		p.other()
	case n < 87:
		p.graph()
	case n < 90:
		p.returns()
	case n < 91:
		p.closes()
	case n < 93:
		p.add("registry down")
		p.pass(20 * time.Second)
		p.add("registry up")
	case n < 95 && p.settings.brokers > 1:
		p.add("leaders")
	default:
		key := stepsRefused[p.IntN(len(stepsRefused))]
		p.add("fail %s %d %s", key, 1+p.IntN(3), p.one(refusals[key]...))
	}
}

// graph publishes one; where stock must not shrink, groups do not either.
func (p *plan) graph() {
	name := p.one("first", "other", "more")
	if p.settings.rising {
		name = "more"
	}
	p.add("graph %s", name)
}

// returns lets a location that has stock leave and return, and Redis go back to a time before one or the other.
func (p *plan) returns() {
	if p.settings.rising {
		p.graph()
		return
	}
	back := func() {
		if p.IntN(3) == 0 {
			p.add("rollback %d", 1+p.IntN(8))
		}
		p.pass(2 * time.Second)
	}
	p.add("graph %s", p.one("other", "more"))
	p.pass(time.Second)
	for range 1 + p.IntN(3) {
		p.n++
		p.add("adjust stock%d %s L04 %d", p.n, p.sku(), 1+p.IntN(3))
	}
	p.reserve(fmt.Sprint("held", p.n))
	p.pass(2 * time.Second)
	p.add("graph first")
	p.pass(2 * time.Second)
	p.record()
	back()
	p.add("graph %s", p.one("other", "more"))
	p.pass(2 * time.Second)
	p.record()
	back()
}

// closes lets a location that has stock take none for a while, and Redis go back to a time before that.
func (p *plan) closes() {
	if p.settings.rising {
		p.graph()
		return
	}
	for range 1 + p.IntN(3) {
		p.n++
		p.add("adjust stock%d %s L01 %d", p.n, p.sku(), 1+p.IntN(3))
	}
	p.pass(2 * time.Second)
	p.add("graph closed")
	p.pass(2 * time.Second)
	p.record()
	if p.IntN(3) > 0 {
		p.add("rollback %d", 1+p.IntN(8))
	}
	p.pass(2 * time.Second)
	p.record()
	if p.IntN(3) > 0 {
		p.add("graph %s", p.one("first", "other", "more"))
	}
	p.pass(2 * time.Second)
}

var stepsRefused = []string{"Produce", "Fetch", "TxnOffsetCommit", "EndTxn", "OffsetFetch", "Heartbeat", "ListOffsets", "InitProducerID", "JoinGroup", "SyncGroup",
	"AddPartitionsToTxn", "AddOffsetsToTxn"}

// other lets one more member come, up to four.
func (p *plan) other() {
	if name := string(rune('a' + len(p.alive))); len(p.alive) < 4 {
		p.add("start %s", name)
		p.alive = append(p.alive, name)
	}
}

func (p *plan) back(who string) {
	if p.IntN(2) == 0 {
		p.pass(4 * time.Second)
		p.add("start %s", who)
	}
}
