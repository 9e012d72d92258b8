package processor

import (
	"fmt"
	"strings"

	"onhand/processor/availability"
)

// Metadata is what a task writes beside the offsets it commits: a second witness of its checkpoint.
type Metadata struct {
	Epoch        int64
	CommitSeq    int64
	GraphVersion int64
	SweepCursor  int64
	Origin       int64    // log start of this input at the first claim ever
	Joined       []Joined // oldest version first
}

// metadataFormat is followed by what locations joined with, if that is anything: " joined=VERSION@OFFSET,…". A binary that
// does not know of it passes it over, and forgets it with its first commit.
const metadataFormat = "v1 epoch=%d seq=%d graph=%d sweep=%d origin=%d"

func metadataOf(c *availability.Checkpoint, joins []joined, input int) Metadata {
	m := Metadata{Epoch: c.Epoch, CommitSeq: c.CommitSeq, GraphVersion: c.GraphVersion, SweepCursor: c.SweepCursor, Origin: c.Origin[input]}
	for _, j := range joins {
		m.Joined = append(m.Joined, Joined{j.version, j.at[input]})
	}
	return m
}

// after says whether a batch later than the checkpoint's has committed it.
func (m *Metadata) after(c *availability.Checkpoint) bool {
	return m.Epoch > c.Epoch || m.Epoch == c.Epoch && m.CommitSeq > c.CommitSeq
}

const joinedText = " joined="

// String is the text that stands in the offset commit.
func (m Metadata) String() string {
	text := fmt.Appendf(nil, metadataFormat, m.Epoch, m.CommitSeq, m.GraphVersion, m.SweepCursor, m.Origin)
	for i, j := range m.Joined {
		before := ","
		if i == 0 {
			before = joinedText
		}
		text = fmt.Appendf(text, "%s%d@%d", before, j.Version, j.At)
	}
	return string(text)
}

// ParseMetadata reads the text of an offset commit. It fails on one that no task wrote.
func ParseMetadata(text string) (Metadata, error) {
	var m Metadata
	if _, err := fmt.Sscanf(text, metadataFormat, &m.Epoch, &m.CommitSeq, &m.GraphVersion, &m.SweepCursor, &m.Origin); err != nil {
		return Metadata{}, fmt.Errorf("reading offset metadata %q: %w", text, err)
	}
	_, list, some := strings.Cut(text, joinedText)
	for some {
		var j Joined
		var one string
		one, list, some = strings.Cut(list, ",")
		if _, err := fmt.Sscanf(one, "%d@%d", &j.Version, &j.At); err != nil {
			return Metadata{}, fmt.Errorf("reading offset metadata %q: %w", text, err)
		}
		m.Joined = append(m.Joined, j)
	}
	return m, nil
}
