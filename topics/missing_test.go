package topics

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestACoordinatorThatIsNotThereYetIsNoMissingRight asks a cluster that was just started, which has nobody yet who knows of
// groups.
func TestACoordinatorThatIsNotThereYetIsNoMissingRight(t *testing.T) {
	fake, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer fake.Close()
	asked := 0
	fake.ControlKey(int16(kmsg.FindCoordinator), func(r kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		asked++
		response := r.ResponseKind().(*kmsg.FindCoordinatorResponse)
		response.ErrorCode = kerr.CoordinatorNotAvailable.Code
		for _, key := range r.(*kmsg.FindCoordinatorRequest).CoordinatorKeys {
			c := kmsg.NewFindCoordinatorResponseCoordinator()
			c.Key, c.ErrorCode = key, kerr.CoordinatorNotAvailable.Code
			response.Coordinators = append(response.Coordinators, c)
		}
		return response, nil, true
	})
	client, err := kgo.NewClient(kgo.SeedBrokers(fake.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	began := time.Now()
	missing, err := Missing(t.Context(), client, []Right{{Resource: kmsg.ACLResourceTypeGroup, Name: "acme.processor", Operation: kmsg.ACLOperationRead}})
	if err != nil || len(missing) > 0 {
		t.Errorf("missing %v: %v", missing, err)
	}
	if asked == 0 {
		t.Error("nobody was asked")
	}
	if took := time.Since(began); took > 5*coordinatorWait {
		t.Errorf("took %s", took)
	}
}
