package processor

import "onhand/topics"

// inflatedMax is how many bytes of batches a session's client inflates between two polls that bring some, and
// readerInflatedMax that of a replay. The last batch may exceed it, and each broker's fetch is polled by itself.
const (
	inflatedMax       = 64 << 20
	readerInflatedMax = 16 << 20
)

// newInflater returns a decompressor for one client.
func (s *shared) newInflater(bytesMax int) (*topics.Inflater, error) {
	return topics.NewInflater(s.admin, bytesMax)
}
