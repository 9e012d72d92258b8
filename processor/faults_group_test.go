package processor_test

import (
	"syscall"
	"testing"
	"time"
)

// TestFaultRebalances lets members join, leave in order, die for good, and hang for longer than their session lasts, in
// turn. Two to four of them share the partitions. Sessions last 6 s here, which is what the death of a member costs.
//
//	go test -run TestFaultRebalances ./processor -faults 50 -timeout 3h
func TestFaultRebalances(t *testing.T) {
	faultKind{few: 4, members: []string{"a", "b", "c"}, session: 6 * time.Second, inflict: rebalance}.run(t)
}

func rebalance(t *trial, n int) struck {
	var alive, gone []string
	for _, name := range []string{"a", "b", "c", "d"} {
		if t.member(name).alive() {
			alive = append(alive, name)
		} else {
			gone = append(gone, name)
		}
	}
	victim := alive[t.rand.IntN(len(alive))]
	kind := []string{"join", "hang", "leave", "die"}[n%4]
	switch {
	case kind == "join" && len(gone) == 0:
		kind = "leave"
	case (kind == "leave" || kind == "die") && len(alive) == 2:
		kind = "join"
	}
	t.assigned()
	<-time.After(time.Second) // whoever got something has claimed it
	if kind == "join" {
		s := t.strikes("join", t.all())
		t.member(gone[t.rand.IntN(len(gone))]).start()
		return s
	}
	s := t.strikes(kind, t.assigned(victim))
	switch m := t.member(victim); kind {
	case "leave":
		m.leave()
	case "die":
		m.kill()
	case "hang":
		m.signal(syscall.SIGSTOP)
		t.eventually("others take over from a member that hangs", func() bool {
			_, came := t.follower.came()
			return came
		})
		m.signal(syscall.SIGCONT)
	}
	return s
}
