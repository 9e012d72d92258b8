//go:build !race

package processor_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/topics"
)

// TestMemoryIsBoundedWhateverTheBacklog has a backlog of records of nearly 1 MiB that say almost nothing, so that a fetch
// brings hundreds of megabytes of them. What the process has ever had in memory is taken from the kernel. It is not a
// measure of its own: the bound is what the runbook states, with a limit for the runtime as the deployment sets one. The
// race detector takes many times the memory.
func TestMemoryIsBoundedWhateverTheBacklog(t *testing.T) {
	const (
		records     = 1500
		limit       = 400 << 20
		residentMax = 1000 << 20
	)
	w := newWorldOn(t, 2, (*world).standIns)
	w.publish(graphOf(3, overlap()))
	value := make([]byte, 1<<20-1000)
	for n := range records / 50 {
		var batch []*kgo.Record
		for i := range 50 {
			key := []byte(fmt.Sprint("SKU-", n, "-", i))
			batch = append(batch, &kgo.Record{Topic: w.names.StockDeltas, Partition: topics.PartitionOf(key, w.partitions), Key: key, Value: value, Timestamp: time.Now()})
		}
		w.send(batch...)
	}
	t.Setenv("GOMEMLIMIT", fmt.Sprint(limit))
	m := w.newMember(childSettings{Instance: "a", Session: 12 * time.Second})
	m.start()
	admin := kadm.NewClient(w.client)
	w.patience = 2 * time.Minute
	w.eventually("the backlog is worked off", func() bool {
		var sum int64
		found, err := admin.FetchOffsets(w.Context(), w.names.ConsumerGroup())
		found.Each(func(o kadm.OffsetResponse) { sum += o.At })
		return err == nil && sum >= records
	})
	resident := residentPeak(t, m.process.Process.Pid)
	m.leave()
	t.Logf("%d records of 1 MiB: at most %d MiB resident", records, resident>>20)
	if resident > residentMax {
		t.Errorf("%d MiB resident, want at most %d", resident>>20, residentMax>>20)
	}
	letters, err := admin.ListCommittedOffsets(w.Context(), w.names.DeadLetters)
	w.must(err)
	var dead int64
	letters.Each(func(o kadm.ListedOffset) { dead += o.Offset })
	if dead < records {
		t.Errorf("%d records in dead-letters, want %d and the markers of transactions", dead, records)
	}
}

// residentPeak is the most bytes that a process has ever had in memory. What its parent is told when it has ended has the
// parent's own in it.
func residentPeak(t *testing.T, pid int) (bytes int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	if _, err := fmt.Sscanf(after, "%d kB", &bytes); err != nil {
		t.Fatal(err)
	}
	return bytes << 10
}
