package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/topics"
)

// bomb writes a batch of some kilobytes into partition 0 of a topic that takes 40 MiB when it is read.
func (s *stage) bomb(topic string) {
	s.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(s.brokers, ",")...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(time.Minute),
		kgo.ProducerBatchMaxBytesFn(func(string) int32 { return 64 << 20 }), kgo.ProducerBatchCompression(kgo.ZstdCompression()))
	s.need(err)
	defer client.Close()
	produce := func(value []byte) {
		client.Produce(s.Context(), &kgo.Record{Topic: topic, Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				s.Error(err)
			}
		})
	}
	produce([]byte("the topic is asked for")) // what is sent meanwhile does not wait for company
	s.need(client.Flush(s.Context()))
	for range 40 {
		produce(make([]byte, 1<<20))
	}
	s.need(client.Flush(s.Context()))
}

// TestBatchesThatInflateAreNotRead has a batch of 40 MiB uncompressed in the topics that commands read back. Those that read
// what a processor passes over pass over it too; watch, which would miss levels, ends and says why.
func TestBatchesThatInflateAreNotRead(t *testing.T) {
	t.Parallel()
	s := fakeStage(t)
	s.setUp()
	s.publishGraph(testGraph)
	processor, _ := s.startProcessor()
	beside := "BESIDE"
	for topics.PartitionOf(availability.SKU(beside), s.wire().partitions) != 0 {
		beside += "-"
	}
	s.must("import", writeFile(t, "feed.ndjson", fmt.Sprintf("%s{\"recordId\":\"beside\",\"sku\":%q,\"onHand\":1,\"effectiveDate\":\"2026-01-01T00:00:00Z\"}\n", storyFeed, beside)))
	s.bomb(s.topics().StockDeltas)
	s.status(0)
	before := s.must("dlq", "ls").out
	notRead := func(r result, topic string) {
		t.Helper()
		if want := fmt.Sprintf("1 batch not read, for more than %d MiB uncompressed: %s/0/", topics.BatchBytesMax>>20, topic); !strings.Contains(r.err, want) {
			t.Errorf("nothing is said of the batch that was passed over:\n%s\nwant %s", r.err, want)
		}
	}
	notRead(s.must("why", beside), s.topics().StockDeltas)
	s.bomb(s.topics().DeadLetters)
	r := s.must("dlq", "ls")
	if r.out != before {
		t.Errorf("dlq ls printed\n%s\nwant\n%s", r.out, before)
	}
	notRead(r, s.topics().DeadLetters)
	notRead(s.onhand("dlq", "replay", "--all", "--dry-run"), s.topics().DeadLetters) // fails, for a letter of a whole batch cannot be put back
	if !strings.Contains(before, string(topics.CodeTooLarge)) {
		t.Errorf("the batch in the input is no dead letter:\n%s", before)
	}
	s.must("snapshot", filepath.Join(t.TempDir(), "snapshot"))
	s.must("audit")
	s.bomb(s.topics().AvailabilityUpdates)
	notRead(s.must("audit"), s.topics().AvailabilityUpdates)
	s.onhand("watch", "--from-start").want(t, exitFailure, fmt.Sprintf("takes more than %d MiB uncompressed", topics.BatchBytesMax>>20), "who may write there")
	if code := processor.end(); code != 0 {
		t.Errorf("the processor ends with %d", code)
	}
}
