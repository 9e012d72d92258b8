package processor

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

// inflatedMax is how many bytes of batches a session's client inflates between two polls that bring some, and
// readerInflatedMax that of a replay. The last batch may exceed it, and each broker's fetch is polled by itself.
const (
	inflatedMax       = 64 << 20
	readerInflatedMax = 16 << 20
)

// inflater is a client's decompressor. It is used by the client's goroutines, polled by whoever polls.
type inflater struct {
	inner kgo.Decompressor // refuses batches above decompressBytesMax
	max   int

	mu    sync.Mutex
	used  int // bytes since
	since time.Time
}

// errInflated says that a batch waits for the next fetch. The client keeps its position; where other batches of the
// partition came before it, nobody is told.
var errInflated = errors.New("enough was inflated for now")

// newInflater returns a decompressor for one client.
func (s *shared) newInflater(bytesMax int) (*inflater, error) {
	inner, ok := s.admin.OptValue(kgo.WithDecompressor).(kgo.Decompressor)
	if !ok {
		return nil, fmt.Errorf("the client has no decompressor: %T", s.admin.OptValue(kgo.WithDecompressor))
	}
	return &inflater{inner: inner, max: bytesMax}, nil
}

// Decompress is that of kgo.Decompressor.
func (i *inflater) Decompress(src []byte, codec kgo.CompressionCodecType) ([]byte, error) {
	i.mu.Lock()
	full := i.used >= i.max
	i.mu.Unlock()
	if full {
		return nil, errInflated
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

// polled begins to count anew where a poll has brought what was inflated, or has told that enough was.
func (i *inflater) polled(fetches kgo.Fetches) {
	brought := fetches.NumRecords() > 0
	fetches.EachError(func(_ string, _ int32, err error) { brought = brought || errors.Is(err, errInflated) })
	i.mu.Lock()
	defer i.mu.Unlock()
	if now := time.Now(); brought || now.Sub(i.since) > inflatedAgain {
		i.used, i.since = 0, now
	}
}
