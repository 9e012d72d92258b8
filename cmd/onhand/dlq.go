package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"onhand/processor/availability"
	"onhand/topics"
)

func newDLQCommand(a *app) *cobra.Command {
	return parent(&cobra.Command{
		Use:   "dlq",
		Short: "List, show and replay dead letters: records that could not be applied",
		Long: `Records that can never be applied as they are stand in the topic dead-letters, untouched, each with its code and a
message that says what to do.`,
		Example: `  onhand dlq ls --since 1h
  onhand dlq show 3/1244
  onhand graph publish graph.yaml && onhand dlq replay --code UNKNOWN_LOCATION`,
	}, newDLQListCommand(a), newDLQShowCommand(a), newDLQReplayCommand(a))
}

// letterFilter says which dead letters are meant. The zero value: all.
type letterFilter struct {
	codes        []string
	topic, sku   string
	since, until string
	open         bool

	topicName string // in full
	from, to  time.Time
	only      []letterName // one of these; none: any
}

// addLetterFlags gives a command the flags that choose dead letters.
func addLetterFlags(flags *pflag.FlagSet, f *letterFilter) {
	flags.StringSliceVar(&f.codes, "code", nil, "only these codes, several separated by commas: UNKNOWN_LOCATION, DECODE, …")
	flags.StringVar(&f.topic, "topic", "", "only records of this input: stock-deltas or reservation-events")
	flags.StringVar(&f.sku, "sku", "", "only records with this key")
	flags.StringVar(&f.since, "since", "", "only records with a timestamp from then on: a time such as 2026-01-31T08:00:00Z, or how long ago, with unit")
	flags.StringVar(&f.until, "until", "", "only records with a timestamp before then, as --since")
}

// narrows says whether the filter leaves anything out.
func (f *letterFilter) narrows() bool {
	return len(f.codes)+len(f.only) > 0 || f.topic+f.sku+f.since+f.until != ""
}

// complete checks what the flags said, and reads names and times.
func (f *letterFilter) complete(namespace string, args []string, now time.Time) error {
	names, err := topics.NamesOf(namespace)
	if err != nil {
		return err
	}
	var errs []error
	for _, code := range f.codes {
		if !slices.Contains(topics.Codes(), topics.Code(code)) {
			errs = append(errs, fmt.Errorf("--code %q is none of %v", code, topics.Codes()))
		}
	}
	if f.topic != "" {
		f.topicName = fullName(names, f.topic)
		if f.topicName != names.StockDeltas && f.topicName != names.ReservationEvents {
			errs = append(errs, fmt.Errorf("--topic %q is neither stock-deltas nor reservation-events", f.topic))
		}
	}
	for _, t := range []struct {
		flag, text string
		into       *time.Time
	}{{"since", f.since, &f.from}, {"until", f.until, &f.to}} {
		if t.text == "" {
			continue
		}
		if *t.into, err = timeOrAgo(t.text, now); err != nil {
			errs = append(errs, fmt.Errorf("--%s %w", t.flag, err))
		}
	}
	if !f.to.IsZero() && !f.from.Before(f.to) {
		errs = append(errs, errors.New("--since must be before --until"))
	}
	for _, arg := range args {
		name, err := parseLetterName(names, arg)
		f.only, errs = append(f.only, name), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return &usageError{err}
	}
	return nil
}

// fullName is the name of a topic that may have been given without its namespace.
func fullName(names topics.Names, topic string) string {
	if full := names.Namespace + "." + topic; slices.Contains(names.All(), full) {
		return full
	}
	return topic
}

// timeOrAgo reads a time in RFC 3339, or how long before now.
func timeOrAgo(text string, now time.Time) (time.Time, error) {
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is neither a time such as 2026-01-31T08:00:00Z nor how long ago, such as 2h", text)
	}
	return at, nil
}

// letterName names a dead letter: by where it stands, or by where the record stood that it holds.
type letterName struct {
	text   string
	place  topics.Source
	source bool // place is that of the record, not of the dead letter
}

func parseLetterName(names topics.Names, text string) (letterName, error) {
	if strings.Count(text, "/") == 1 {
		text = names.DeadLetters + "/" + text
	}
	place, err := topics.ParseSource(text)
	if err != nil {
		return letterName{}, fmt.Errorf("%q is neither PARTITION/OFFSET of a dead letter nor TOPIC/PARTITION/OFFSET of the record it holds", text)
	}
	place.Topic = fullName(names, place.Topic)
	switch place.Topic {
	case names.DeadLetters:
		return letterName{text, place, false}, nil
	case names.StockDeltas, names.ReservationEvents:
		return letterName{text, place, true}, nil
	}
	return letterName{}, fmt.Errorf("%q is a record of neither dead-letters, stock-deltas nor reservation-events", text)
}

// names says whether the letter is meant.
func (n *letterName) names(l *letter) bool {
	if n.source {
		return n.place == l.dead.Source
	}
	return n.place == topics.SourceAt(l.record)
}

// wants says whether the filter lets a letter through.
func (f *letterFilter) wants(l *letter) bool {
	at := l.record.Timestamp
	return (f.from.IsZero() || !at.Before(f.from)) && (f.to.IsZero() || at.Before(f.to)) &&
		allows(f.codes, string(l.dead.Code)) &&
		(f.topicName == "" || f.topicName == l.dead.Source.Topic) &&
		(f.sku == "" || f.sku == string(l.record.Key)) &&
		!(f.open && l.replayed) &&
		(len(f.only) == 0 || slices.ContainsFunc(f.only, func(n letterName) bool { return n.names(l) }))
}

// shownLetter is a dead letter for JSON.
type shownLetter struct {
	Partition int32     `json:"partition"` // of dead-letters
	Offset    int64     `json:"offset"`
	Timestamp time.Time `json:"timestamp"` // of the record
	topics.Dead
	Key      *string `json:"key"`                // null: it has none
	Replayed bool    `json:"replayed"`           // the record was put back
	ReplayOf string  `json:"replayOf,omitempty"` // the dead letter whose replay was refused again, as topic/partition/offset
}

func (l *letter) shown() shownLetter {
	s := shownLetter{
		Partition: l.record.Partition, Offset: l.record.Offset, Timestamp: l.record.Timestamp.UTC(), Dead: l.dead,
		Replayed: l.replayed, ReplayOf: l.replayOf,
	}
	if l.record.Key != nil {
		key := printableKey(l.record.Key)
		s.Key = &key
	}
	return s
}

// state is what has become of a letter, in words.
func (l *letter) state() string {
	state := "open"
	if l.replayed {
		state = "replayed"
	}
	if l.replayOf != "" {
		state += ", again"
	}
	return state
}

// printableKey is the key as a SKU, quoted where it can be none.
func printableKey(key []byte) string {
	if availability.CheckSKU(string(key)) == nil {
		return string(key)
	}
	return strconv.Quote(string(key))
}
