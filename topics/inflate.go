package topics

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A fetch is bounded in bytes as compressed, and a kilobyte may say megabytes: records that repeat themselves would fill the
// memory of every process that reads them, one after the other. So what a client inflates is bounded too, between two
// polls. A batch beyond that is read with the next fetch.

// BatchBytesMax bounds what one batch may grow to, for whoever reads. An input takes 2 MiB compressed, and a producer fills
// a batch by uncompressed bytes: one with records of 1 MiB, the largest that are read, holds two or three of them, and one of
// dead letters has 16 MiB. It is part of what the log means: with another bound a replay would apply other records than
// those decided on.
const BatchBytesMax = 32 << 20

// Inflater is a client's decompressor. It is used by the client's goroutines, Polled by whoever polls.
type Inflater struct {
	inner kgo.Decompressor // refuses batches above BatchBytesMax
	max   int

	mu    sync.Mutex
	used  int // bytes since
	since time.Time
}

// ErrInflated says that a batch waits for the next fetch. The client keeps its position; where other batches of the
// partition came before it, nobody is told.
var ErrInflated = errors.New("enough was inflated for now")

// NewInflater returns a decompressor for one client that inflates that many bytes between two polls; the last batch may
// exceed it. It takes over how of another client, whose bound for a batch it keeps.
func NewInflater(of *kgo.Client, bytesMax int) (*Inflater, error) {
	inner, ok := of.OptValue(kgo.WithDecompressor).(kgo.Decompressor)
	if !ok {
		return nil, fmt.Errorf("the client has no decompressor: %T", of.OptValue(kgo.WithDecompressor))
	}
	return &Inflater{inner: inner, max: bytesMax}, nil
}

// Decompress is that of kgo.Decompressor.
func (i *Inflater) Decompress(src []byte, codec kgo.CompressionCodecType) ([]byte, error) {
	i.mu.Lock()
	full := i.used >= i.max
	i.mu.Unlock()
	if full {
		return nil, ErrInflated
	}
	out, err := i.inner.Decompress(src, codec)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.used += len(out)
	return out, err
}

// inflatedAgain is how long what was inflated counts at most: a fetch may be dropped without having been polled, where a
// partition is paused or leaves.
const inflatedAgain = 5 * time.Second

// Polled begins to count anew where a poll has brought what was inflated, or has told that enough was.
func (i *Inflater) Polled(fetches kgo.Fetches) {
	brought := fetches.NumRecords() > 0
	fetches.EachError(func(_ string, _ int32, err error) { brought = brought || errors.Is(err, ErrInflated) })
	i.mu.Lock()
	defer i.mu.Unlock()
	if now := time.Now(); brought || now.Sub(i.since) > inflatedAgain {
		i.used, i.since = 0, now
	}
}
