package topics

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The vectors of Kafka's own test of its hash.
func TestMurmur2KnownVectors(t *testing.T) {
	for key, want := range map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536, "a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971, "abc": 479470107,
	} {
		if got := int32(murmur2(key)); got != want {
			t.Errorf("murmur2(%q) = %d, want %d", key, got, want)
		}
	}
}

// Random keys of every length up to a SKU's greatest must get the partition that the client's partitioner, which is
// Kafka's, gives them. Replay: go test ./topics -run TestPartitionOf -seed SEED.
func TestPartitionOfIsKafkasDefault(t *testing.T) {
	random := newRandom(t)
	kafkas := kgo.StickyKeyPartitioner(nil).ForTopic("any")
	for length := range 251 {
		for range 20 {
			key := make([]byte, length)
			for i := range key {
				key[i] = byte(random.Uint32())
			}
			partitions := 1 + random.Int32N(1000)
			want := int32(kafkas.Partition(&kgo.Record{Key: key}, int(partitions)))
			if got := PartitionOf(key, partitions); got != want {
				t.Fatalf("key %x of %d partitions: %d, want %d", key, partitions, got, want)
			}
			if got := PartitionOf(string(key), partitions); got != want {
				t.Fatalf("text %x of %d partitions: %d, want %d", key, partitions, got, want)
			}
		}
	}
}

func TestMisplacedRecordIsSentOnOnceUnchanged(t *testing.T) {
	reader := newReader(t, Options{Partitions: 8})
	right := PartitionOf("sku-1", 8)
	rec := deltaRecord(t, "sku-1")
	rec.Partition = right
	if to, misplaced := reader.Misplaced(rec); misplaced {
		t.Errorf("a record in its partition is sent to %d", to)
	}

	rec.Partition, rec.Headers = (right+3)%8, []kgo.RecordHeader{{Key: "a", Value: []byte("b")}}
	to, misplaced := reader.Misplaced(rec)
	if !misplaced || to != right {
		t.Fatalf("a record in partition %d is sent to %d, %v; want %d", rec.Partition, to, misplaced, right)
	}
	sent := Forward(rec, to)
	if sent.Topic != rec.Topic || sent.Partition != right || !bytes.Equal(sent.Key, rec.Key) || !bytes.Equal(sent.Value, rec.Value) || !sent.Timestamp.Equal(rec.Timestamp) {
		t.Errorf("sent on as %+v, from %+v", sent, rec)
	}
	if diff := lineDiff(headerLines(sent), []string{"a: b", "onhand.forwarded: " + fmt.Sprint(rec.Partition)}); diff != "" {
		t.Error(diff)
	}
	if len(rec.Headers) != 1 {
		t.Errorf("forwarding changed the record: %v", rec.Headers)
	}

	// Again in the wrong place: only another partition count can do that.
	sent.Partition = (right + 1) % 8
	if to, misplaced := reader.Misplaced(sent); misplaced {
		t.Errorf("a record is sent on a second time, to %d", to)
	}
	refusal := refusalOf(t, readDelta(t, reader, sent))
	if refusal.Code != CodeKeyMismatch {
		t.Errorf("sent on and misplaced: %v", refusal)
	}
}

// What would be refused anyway is refused where it stands.
func TestRecordThatCannotBeSentOnIsNotMisplaced(t *testing.T) {
	reader := newReader(t, Options{Partitions: 8})
	wrong := (PartitionOf("sku-1", 8) + 1) % 8
	for _, p := range []provocation{
		{"no key", &kgo.Record{Value: deltaRecord(t, "sku-1").Value, Partition: wrong}, CodeKeyMismatch, "has no key"},
		{"large value", &kgo.Record{Key: []byte("sku-1"), Value: make([]byte, 1<<20+1), Partition: wrong}, CodeTooLarge, "uncompressed"},
		{"large headers", &kgo.Record{Key: []byte("sku-1"), Partition: wrong, Headers: []kgo.RecordHeader{
			{Key: "h", Value: make([]byte, envelopeBytesMax)},
		}}, CodeTooLarge, "key and headers"},
	} {
		if to, misplaced := reader.Misplaced(p.rec); misplaced {
			t.Errorf("%s: sent to %d", p.name, to)
		}
		p.check(t, readDelta(t, reader, p.rec))
	}
	if _, misplaced := newReader(t, Options{}).Misplaced(&kgo.Record{Key: []byte("sku-1"), Partition: 77}); misplaced {
		t.Error("a reader that knows no partitions finds a record misplaced")
	}
}

func newRandom(t testing.TB) *rand.Rand {
	t.Helper()
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}
