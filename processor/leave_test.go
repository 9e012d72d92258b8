package processor_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"onhand/processor"
	"onhand/processor/availability"
)

// members are the members of the processor's group, by their instance.
func (w *world) members() (instances []string) {
	w.Helper()
	groups, err := kadm.NewClient(w.client).DescribeGroups(w.Context(), w.names.ConsumerGroup())
	w.must(err)
	for _, m := range groups[w.names.ConsumerGroup()].Members {
		if m.InstanceID != nil {
			instances = append(instances, *m.InstanceID)
		}
	}
	return instances
}

// TestAMemberThatLeavesGivesItsTasksAway has two members, with sessions longer than anything is waited for. The one that is
// told to leave is out of the group when it has ended, and the other one goes on with everything at once; back, it takes its
// share, and told to stop without leaving it keeps its place.
func TestAMemberThatLeavesGivesItsTasksAway(t *testing.T) {
	virtually(t, settings{partitions: 4}, func(s *simulation) {
		w := s.world
		w.wired, w.patience = nil, time.Minute
		as := func(leaves bool) func(*processor.Options) {
			return func(o *processor.Options) { o.SessionTimeout, o.LeaveOnStop = 100*time.Second, leaves }
		}
		w.start("stays", as(false))
		leaver := w.start("leaves", as(true))
		w.eventually("both are members", func() bool { return len(w.members()) == 2 })
		for n := range 20 {
			w.send(w.adjust(fmt.Sprint("a", n), fmt.Sprint("SKU-", n), "L00", 1))
		}
		w.settled()
		leaver.stop()
		if have := w.members(); len(have) != 1 {
			w.Fatalf("members %q after one has left", have)
		}
		for n := range 20 {
			w.send(w.adjust(fmt.Sprint("b", n), fmt.Sprint("SKU-", n), "L00", 1))
		}
		w.settled()
		back := w.start("leaves", as(false))
		w.eventually("both are members again", func() bool { return len(w.members()) == 2 })
		w.settled()
		back.stop()
		if have := w.members(); len(have) != 2 {
			w.Errorf("members %q after one has stopped that is to keep its place", have)
		}
		for n := range 20 {
			if have := w.published()[fmt.Sprint("L00/SKU-", n)].level.OnHand; have != 2*availability.Unit {
				w.Errorf("on hand of SKU-%d %s, want 2", n, have)
			}
		}
		w.check()
	})
}
