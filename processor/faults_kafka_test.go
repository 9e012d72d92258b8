package processor_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// brokers returns how many brokers there are that a test may break.
func brokers() int {
	if list := os.Getenv("ONHAND_TEST_BROKERS"); list != "" && breakable() {
		return len(strings.Split(list, ","))
	}
	return 0
}

// TestFaultBrokerKills kills the only broker with SIGKILL and starts it again, or stops it for one to ten seconds, in turn.
//
//	go test -run TestFaultBrokerKills ./processor -faults 50 -timeout 3h
func TestFaultBrokerKills(t *testing.T) {
	if brokers() != 1 {
		return
	}
	faultKind{few: 2, members: []string{"a", "b"}, inflict: func(t *trial, n int) struck {
		at := time.Now()
		if n%2 == 0 {
			t.services("kill", "kafka", "1")
			t.startBroker("1")
			return t.struck("broker killed", at, t.all())
		}
		t.services("pause", "kafka", "1")
		<-time.After(time.Second + time.Duration(t.rand.IntN(t.pauseMax()))*time.Millisecond)
		t.services("cont", "kafka", "1")
		return t.struck("broker stopped", at, t.all())
	}}.run(t)
}

// startBroker waits longer than the script does: on a machine that has much else to do a broker takes minutes to listen.
func (t *trial) startBroker(broker string) {
	t.Helper()
	t.eventually("a broker that listens", func() bool {
		return exec.CommandContext(t.Context(), os.Getenv(servicesVariable), "start", "kafka", broker).Run() == nil
	})
}

// pauseMax is in milliseconds: longer than transactions and sessions last, but in the short form.
func (t *trial) pauseMax() int {
	if *faultsFlag == 0 {
		return 2000
	}
	return 20_000
}

// TestFaultRollingBrokers kills one broker of three after the other and starts it again, while the others go on.
//
//	go test -run TestFaultRollingBrokers ./processor -faults 30 -timeout 3h
func TestFaultRollingBrokers(t *testing.T) {
	if brokers() != 3 {
		return
	}
	faultKind{few: 3, members: []string{"a", "b"}, rate: 200, slow: true, inflict: func(t *trial, n int) struck {
		admin := kadm.NewClient(t.client)
		t.eventually("replicas in step", func() bool {
			found, err := admin.ListTopics(t.Context(), append(t.names.All(), "__consumer_offsets", "__transaction_state")...)
			if err != nil {
				return false
			}
			for _, topic := range found {
				for _, p := range topic.Partitions {
					if p.Err != nil || len(p.ISR) < len(p.Replicas) {
						return false
					}
				}
			}
			return true
		})
		at, broker := time.Now(), fmt.Sprint(n%3+1)
		t.services("kill", "kafka", broker)
		s := t.struck("one broker of three killed", at, t.all())
		<-time.After(time.Duration(t.rand.IntN(5000)) * time.Millisecond)
		t.startBroker(broker)
		return s
	}}.run(t)
}
