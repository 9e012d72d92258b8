package processor_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// schedule is what happens in a simulation, as text, a step a line. It begins with settings, then says what happens when:
//
//	set partitions 1 | brokers 1 | batch 2 | cache 1 | rising 1 | drop 1
//	  0.500s start a                  a process; start a 2: one that folds 2 records at once
//	  0.500s stop a | cut a | freeze a 8s   in order, as kill -9, its network stalls
//	  1s kick a                       the group forgets a member
//	  1s arm a EndTxn> 2 drop         at the second such step of a from now on:
//	                                  cut, drop: the connection breaks, lose: the message is lost,
//	                                  late 3s: it comes later, freeze 8s, kick 3s: thrown out and late,
//	                                  mark M, back M; from the first such step on, agree: a heartbeat is
//	                                  answered well whatever is true, lag: a marker is not there yet;
//	                                unknown: a transaction has ended, its answer is an unknown error
//	  1s fail EndTxn 2 NOT_COORDINATOR   the brokers refuse that many requests of the processors
//	  2s rollback 3                   Redis goes back by three commits; state 2: to what it held after the second
//	  2s empty                        Redis is empty
//	  2s mark M | back M              Redis goes back to what it held at the mark
//	  2s leaders                      partitions get other leaders, coordinators move
//	  2s graph other                  one of the graphs
//	  2s registry down | up
//	  2s forget-offsets [deltas]      the group and its offsets are deleted, once nobody runs; or those of one input
//	  2s skew -1h                     added to the timestamps of records from now on
//	  3s adjust ID SKU LOC 2 …        records: see words
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
	drop       bool  // overdue futures are dropped
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
	number := map[bool]int{true: 1}
	fmt.Fprintf(&b, "set partitions %d\nset brokers %d\nset batch %d\nset cache %d\nset rising %d\nset drop %d\n",
		s.settings.partitions, s.settings.brokers, s.settings.batch, s.settings.cache, number[s.settings.rising], number[s.settings.drop])
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
	case "drop":
		s.drop = n != 0
	default:
		return fmt.Errorf("there is no setting %s", words[0])
	}
	return nil
}
