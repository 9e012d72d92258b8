package processor_test

import (
	"os"
	"os/exec"
	"strings"

	"github.com/alicebob/miniredis/v2"
	"github.com/twmb/franz-go/pkg/kfake"
)

// servicesVariable names the script that breaks the services that a test uses, in .ci. Tests that break them run only where
// it is set: nobody else may be using them.
const servicesVariable = "ONHAND_TEST_BREAK"

// services runs the script.
func (t *trial) services(arguments ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), os.Getenv(servicesVariable), arguments...).CombinedOutput(); err != nil {
		t.Fatalf("services %s: %v\n%s", strings.Join(arguments, " "), err, out)
	}
}

// breakable says whether there are services that a test may break.
func breakable() bool { return os.Getenv(servicesVariable) != "" }

// connectToBreak connects to services that may be broken: real ones, or stand-ins of the test's own.
func connectToBreak(w *world) {
	if breakable() {
		w.connect()
		return
	}
	fake, err := kfake.NewCluster(kfake.NumBrokers(1))
	w.must(err)
	w.Cleanup(fake.Close)
	w.fake, w.brokers = fake, fake.ListenAddrs()
	w.mini = miniredis.RunT(w)
	w.redisURL = "redis://" + w.mini.Addr()
}
