package processor_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// schedule is what happens in a simulation, as text, a step a line. It begins with settings, then says what happens when:
//
//	set partitions 1 | brokers 1 | batch 2 | cache 1 | rising 1
//	  0.500s start a                  a process; start a 2: one that folds 2 records at once
//	  0.500s stop a | cut a | freeze a 8s   in order, as kill -9, its network stalls
//	  1s kick a                       the group forgets a member
//	  1s arm a EndTxn> 2 drop         at the second such step of a from now on:
//	                                  cut, drop: the connection breaks, lose: the message is lost,
//	                                  late 3s: it comes later, freeze 8s, kick 3s: thrown out and late,
//	                                  mark M, back M; from the first such step on, agree: a heartbeat is
//	                                  answered well whatever is true, lag: a marker is not there yet
//	  1s fail EndTxn 2 NOT_COORDINATOR   the brokers refuse that many requests of the processors
//	  2s rollback 3                   Redis goes back by three commits; state 2: to what it held after the second
//	  2s empty                        Redis is empty
//	  2s mark M | back M              Redis goes back to what it held at the mark
//	  2s leaders                      partitions get other leaders, coordinators move
//	  2s graph other                  one of the graphs
//	  2s registry down | up
//	  2s forget-offsets               the group and its offsets are deleted, once nobody runs
//	  2s skew -1h                     added to the timestamps of records from now on
//	  3s adjust ID SKU LOC 2 …        records: see send
//
// A schedule says everything that chance decided but how goroutines interleave.
type schedule struct {
	settings settings
	steps    []scheduled
}

type scheduled struct {
	at    time.Duration
	words []string
}

// settings are of the whole simulation.
type settings struct {
	partitions int32
	brokers    int
	batch      int
	cache      int64 // bytes of memory for the SKUs of a task
	rising     bool  // stock and groups never shrink, so no promise may ever be broken
}

func (s *settings) ports() []int {
	ports := make([]int, max(1, s.brokers))
	for i := range ports {
		ports[i] = 9092 + i
	}
	return ports
}

func (s *schedule) String() string {
	var b strings.Builder
	rising := 0
	if s.settings.rising {
		rising = 1
	}
	fmt.Fprintf(&b, "set partitions %d\nset brokers %d\nset batch %d\nset cache %d\nset rising %d\n", s.settings.partitions, s.settings.brokers, s.settings.batch, s.settings.cache, rising)
	for _, step := range s.steps {
		fmt.Fprintf(&b, "%9s %s\n", step.at, strings.Join(step.words, " "))
	}
	return b.String()
}

// parseSchedule reads what String writes. Lines that begin with # are passed over.
func parseSchedule(text string) (*schedule, error) {
	s := &schedule{settings: settings{partitions: 1, brokers: 1, batch: 2000, cache: 1 << 20}}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if len(words) < 2 {
			return nil, fmt.Errorf("line %q says nothing", line)
		}
		if words[0] == "set" {
			if err := s.settings.set(words[1:]); err != nil {
				return nil, fmt.Errorf("line %q: %w", line, err)
			}
			continue
		}
		at, err := time.ParseDuration(words[0])
		if err != nil {
			return nil, fmt.Errorf("line %q: %w", line, err)
		}
		s.steps = append(s.steps, scheduled{at, words[1:]})
	}
	slices.SortStableFunc(s.steps, func(a, b scheduled) int { return int(a.at - b.at) })
	return s, nil
}

func (s *settings) set(words []string) error {
	if len(words) != 2 {
		return errors.New("a setting has a name and a number")
	}
	n, err := strconv.Atoi(words[1])
	if err != nil {
		return err
	}
	switch words[0] {
	case "partitions":
		s.partitions = int32(n)
	case "brokers":
		s.brokers = n
	case "batch":
		s.batch = n
	case "cache":
		s.cache = int64(n)
	case "rising":
		s.rising = n != 0
	default:
		return fmt.Errorf("there is no setting %s", words[0])
	}
	return nil
}

// plan makes a schedule by chance.
type plan struct {
	*rand.Rand
	schedule
	at    time.Duration
	n     int      // records made
	holds []string // requests that reserved, with SKU, place and kind
	alive []string
}

// planned makes the schedule of a seed: traffic of 5 to 25 records over 1 to 3 SKUs, with 2 to 6 faults.
func planned(seed uint64) *schedule {
	p := &plan{Rand: rand.New(rand.NewPCG(seed, 1))}
	p.settings = settings{partitions: int32(1 + p.IntN(2)), brokers: 1, batch: []int{1, 2, 5, 2000}[p.IntN(4)], cache: []int64{1, 1, 1 << 20}[p.IntN(3)], rising: p.IntN(2) == 0}
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
	p.add("adjust base0 SKU-0 L01 2")
	faults := 2 + p.IntN(5)
	for range 3 + p.IntN(8) {
		for range 1 + p.IntN(3) {
			p.record()
		}
		p.pass(2 * time.Second)
		if faults > 0 && p.IntN(3) > 0 {
			faults--
			p.fault()
			p.pass(time.Second)
		}
	}
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

func (p *plan) sku() string   { return fmt.Sprintf("SKU-%d", p.IntN(3)) }
func (p *plan) where() string { return fmt.Sprintf("L0%d", p.IntN(4)) }

// record adds one of any kind.
func (p *plan) record() {
	p.n++
	id := fmt.Sprint("id", p.n)
	switch n := p.IntN(100); {
	case n < 25:
		p.add("adjust %s %s %s %d", id, p.sku(), p.where(), 1+p.IntN(3))
	case n < 35 && !p.settings.rising:
		p.add("adjust %s %s %s %d", id, p.sku(), p.where(), -1-p.IntN(3))
	case n < 42 && !p.settings.rising:
		p.add("count %s %s %s %d", id, p.sku(), p.where(), p.IntN(6))
	case n < 70 || len(p.holds) == 0:
		p.reserve(id)
	case n < 82:
		p.follow(id)
	case n < 87 && p.n > 1:
		p.add("again %d", p.IntN(p.n))
	case n < 90:
		p.add("poison %s %s %s", p.one("bytes", "nowhere", "negative", "event"), id, p.sku())
	case n < 94:
		p.add("adjust %s %s L04 2", id, p.sku()) // known from another graph on
	case n < 97 && p.settings.partitions > 1:
		p.add("misrouted %s %s %s 1", id, p.sku(), p.where())
	case n < 98:
		p.add("skew %s", p.one("-30m", "-2m", "0s", "2m"))
	default:
		p.add("again %d", p.IntN(p.n))
	}
}

func (p *plan) reserve(id string) {
	sku, place := p.sku(), p.one("EAST", "WEST", "ALL", "L00", "L01", "L02")
	more := p.one("", "", "", " whole", " expires 3s", " expires 50ms", " expires 20s")
	p.add("reserve %s %s %s %d%s", id, sku, place, 1+p.IntN(3), more)
	p.holds = append(p.holds, fmt.Sprintf("res-%s %s %s", id, sku, place))
}

func (p *plan) follow(id string) {
	held := strings.Fields(p.holds[p.IntN(len(p.holds))])
	reservation, sku, place := held[0], held[1], held[2]
	switch {
	case p.IntN(3) == 0:
		p.add("release %s %s %s", id, reservation, sku)
	case strings.HasPrefix(place, "L"):
		if p.settings.rising {
			p.add("release %s %s %s", id, reservation, sku)
		} else {
			p.add("fulfill %s %s %s %s 1", id, reservation, sku, place)
		}
	default:
		to := p.where()
		p.add("transfer %s %s %s %s %s 1", id, reservation, sku, place, to)
		p.holds = append(p.holds, fmt.Sprintf("%s %s %s", reservation, sku, to))
	}
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
	case n < 91:
		p.graph()
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
	if p.settings.rising {
		p.add("graph more")
	} else {
		p.add("graph %s", p.one("first", "other", "more"))
	}
}

var stepsRefused = []string{"Produce", "Fetch", "TxnOffsetCommit", "EndTxn", "OffsetFetch", "Heartbeat", "ListOffsets", "InitProducerID", "JoinGroup", "SyncGroup"}

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
