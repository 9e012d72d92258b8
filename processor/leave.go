package processor

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func (s *session) leave() {
	s.mu.Lock()
	tasks := s.tasks
	s.tasks = make(map[int32]*task)
	s.mu.Unlock()
	s.park(tasks)
	s.member, _ = s.client.GroupMetadata()
	s.group.AllowRebalance()
	s.group.Close()
	s.background.Wait()
}

// leaveWait bounds how long a process that stops waits for the group to let it go.
const leaveWait = 2 * time.Second

// leaveGroup gives up the place that the group keeps for a member with a name of its own. It names the member too: a process
// that has started under the same name meanwhile is another one.
func (s *session) leaveGroup() {
	if !s.shared.LeaveOnStop || s.member == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveWait) // the process is stopping: bounded by its own time
	defer cancel()
	r := kmsg.NewPtrLeaveGroupRequest()
	r.Group = s.shared.names.ConsumerGroup()
	member := kmsg.NewLeaveGroupRequestMember()
	member.MemberID, member.InstanceID, member.Reason = s.member, &s.id, kmsg.StringPtr("stopped, and leaves")
	r.Members = append(r.Members, member)
	resp, err := r.RequestWith(ctx, s.shared.admin)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	for i := 0; err == nil && i < len(resp.Members); i++ {
		err = kerr.ErrorForCode(resp.Members[i].ErrorCode)
	}
	if err != nil {
		s.log.Warn("the group keeps this member's tasks until its session is over", "err", err)
	}
}
