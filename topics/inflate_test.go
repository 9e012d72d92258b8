package topics

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// hundredfold inflates each byte to a hundred.
type hundredfold struct{}

// Decompress is that of kgo.Decompressor.
func (hundredfold) Decompress(src []byte, _ kgo.CompressionCodecType) ([]byte, error) {
	return make([]byte, 100*len(src)), nil
}

// TestAClientInflatesSoMuchBetweenTwoPolls asks for more than that: it is refused until a poll has brought records, or has
// told of the refusal.
func TestAClientInflatesSoMuchBetweenTwoPolls(t *testing.T) {
	client, err := kgo.NewClient(kgo.WithDecompressor(hundredfold{}))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	i, err := NewInflater(client, 250)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(want error) {
		t.Helper()
		if _, err := i.Decompress([]byte{1}, kgo.CodecZstd); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	full := func() {
		t.Helper()
		for range 3 {
			ask(nil) // the last may exceed the bound
		}
		ask(ErrInflated)
	}
	partition := func(p kgo.FetchPartition) kgo.Fetches {
		return kgo.Fetches{{Topics: []kgo.FetchTopic{{Topic: "t", Partitions: []kgo.FetchPartition{p}}}}}
	}
	i.Polled(nil)
	full()
	i.Polled(partition(kgo.FetchPartition{Err: errors.New("another")}))
	ask(ErrInflated)
	i.Polled(partition(kgo.FetchPartition{Records: []*kgo.Record{{}}}))
	full()
	i.Polled(partition(kgo.FetchPartition{Err: ErrInflated}))
	full()
}
