package topics

import (
	"fmt"
	"strings"
)

// Kind is what a Difference is about.
type Kind string

// The kinds of difference.
const (
	KindMissing     Kind = "missing"     // there is no such topic
	KindSetting     Kind = "setting"     // a setting has a value that will not do
	KindPartitions  Kind = "partitions"  // the partition count is not what it must be
	KindReplication Kind = "replication" // fewer replicas than were asked for
	KindNote        Kind = "note"        // nothing is wrong; an operator may want to know
)

// Difference is one way in which a cluster is not as the table has it.
type Difference struct {
	Topic   string `json:"topic"`
	Kind    Kind   `json:"kind"`
	Setting string `json:"setting,omitempty"` // name of the setting
	Have    string `json:"have,omitempty"`
	Want    string `json:"want,omitempty"`
	Fixable bool   `json:"fixable"`        // Apply can remove it
	Hint    string `json:"hint,omitempty"` // what to do where Apply cannot

	set        string // the value that Apply sets
	partitions int32  // the count that Apply creates a missing topic with
}

// same says whether e is about the same thing.
func (d Difference) same(e Difference) bool {
	return d.Topic == e.Topic && d.Kind == e.Kind && d.Setting == e.Setting
}

// Problem says whether the topic must not be used as it is.
func (d Difference) Problem() bool { return d.Kind != KindNote }

// String is one line.
func (d Difference) String() string {
	var line strings.Builder
	switch d.Kind {
	case KindMissing:
		fmt.Fprintf(&line, "%s is missing, want %s", d.Topic, d.Want)
	case KindSetting:
		fmt.Fprintf(&line, "%s has %s=%s, want %s", d.Topic, d.Setting, d.Have, d.Want)
	case KindPartitions:
		fmt.Fprintf(&line, "%s has %s partitions, want %s", d.Topic, d.Have, d.Want)
	case KindReplication:
		fmt.Fprintf(&line, "%s has %s replicas of each partition, want %s", d.Topic, d.Have, d.Want)
	case KindNote:
		fmt.Fprintf(&line, "%s has %s=%s", d.Topic, d.Setting, d.Have)
	}
	if d.Hint != "" {
		line.WriteString("; " + d.Hint)
	}
	return line.String()
}
