package processor_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestNobodyWaitsInSilence lets brokers withhold a producer id, or stable offsets, for a minute. The log says what is
// waited for, and all goes on when they answer again.
func TestNobodyWaitsInSilence(t *testing.T) {
	for _, of := range []struct {
		name string
		key  kmsg.Key
		deny func(kmsg.Request, kmsg.Response)
		says []string
	}{
		{"a producer id", kmsg.InitProducerID, func(_ kmsg.Request, answer kmsg.Response) {
			answer.(*kmsg.InitProducerIDResponse).ErrorCode = kerr.ConcurrentTransactions.Code
		}, []string{"session begins anew", "asking for a producer id"}},
		{"stable offsets", kmsg.OffsetFetch, unstable, []string{"claim tried again", "UNSTABLE_OFFSET_COMMIT"}},
	} {
		t.Run(of.name, func(t *testing.T) {
			virtually(t, settings{partitions: 1, batch: 10, cache: 1 << 20}, func(s *simulation) {
				over := time.Now().Add(time.Minute)
				s.fake.ControlKey(of.key.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
					if time.Now().After(over) {
						return nil, nil, false
					}
					s.fake.KeepControl()
					answer := r.ResponseKind()
					of.deny(r, answer)
					return answer, nil, true
				})
				s.process("a", 0)
				s.send(s.adjust("one", "SKU-1", "L00", 1))
				s.eventually("the record is published", func() bool { return s.updates() > 0 })
				if time.Now().Before(over) {
					s.Errorf("published while %s was withheld", of.name)
				}
				for _, want := range of.says {
					if !s.processes["a"].runner.log.said(want) {
						s.Errorf("the log does not say %q", want)
					}
				}
			})
		})
	}
}

// unstable says of all that was asked for that a transaction is open.
func unstable(r kmsg.Request, answer kmsg.Response) {
	a := answer.(*kmsg.OffsetFetchResponse)
	for _, asked := range r.(*kmsg.OffsetFetchRequest).Groups {
		group := kmsg.NewOffsetFetchResponseGroup()
		group.Group = asked.Group
		for _, t := range asked.Topics {
			topic := kmsg.NewOffsetFetchResponseGroupTopic()
			topic.Topic, topic.TopicID = t.Topic, t.TopicID
			for _, n := range t.Partitions {
				p := kmsg.NewOffsetFetchResponseGroupTopicPartition()
				p.Partition, p.Offset, p.ErrorCode = n, -1, kerr.UnstableOffsetCommit.Code
				topic.Partitions = append(topic.Partitions, p)
			}
			group.Topics = append(group.Topics, topic)
		}
		a.Groups = append(a.Groups, group)
	}
}
