package processor

import (
	"fmt"

	"onhand/processor/availability"
)

// Metadata is what a task writes beside the offsets it commits: a second witness of its checkpoint.
type Metadata struct {
	Epoch        int64
	CommitSeq    int64
	GraphVersion int64
	SweepCursor  int64
	Origin       int64 // log start of this input at the first claim ever
}

const metadataFormat = "v1 epoch=%d seq=%d graph=%d sweep=%d origin=%d"

func metadataOf(c *availability.Checkpoint, input int) Metadata {
	return Metadata{Epoch: c.Epoch, CommitSeq: c.CommitSeq, GraphVersion: c.GraphVersion, SweepCursor: c.SweepCursor, Origin: c.Origin[input]}
}

// after says whether a batch later than the checkpoint's has committed it.
func (m *Metadata) after(c *availability.Checkpoint) bool {
	return m.Epoch > c.Epoch || m.Epoch == c.Epoch && m.CommitSeq > c.CommitSeq
}

// String is the text that stands in the offset commit.
func (m Metadata) String() string {
	return fmt.Sprintf(metadataFormat, m.Epoch, m.CommitSeq, m.GraphVersion, m.SweepCursor, m.Origin)
}

// ParseMetadata reads the text of an offset commit. It fails on one that no task wrote.
func ParseMetadata(text string) (Metadata, error) {
	var m Metadata
	if _, err := fmt.Sscanf(text, metadataFormat, &m.Epoch, &m.CommitSeq, &m.GraphVersion, &m.SweepCursor, &m.Origin); err != nil {
		return Metadata{}, fmt.Errorf("reading offset metadata %q: %w", text, err)
	}
	return m, nil
}
