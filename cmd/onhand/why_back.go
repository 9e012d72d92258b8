package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/schemas"
)

// lookBack bounds how far a partition is read back from its end.
type lookBack struct {
	records int64     // offsets, those of markers and of compacted records included; 0: no bound
	from    time.Time // no further back than the first record of that time or later; zero: no bound
}

// whyLookedAt says how far a partition was read back.
type whyLookedAt struct {
	Topic    string  `json:"topic"`
	From     int64   `json:"from"` // the first offset looked at
	To       int64   `json:"to"`   // the first behind
	LogStart int64   `json:"logStart"`
	Since    whyTime `json:"since"`   // timestamp of the first record looked at; null: there was none
	Stopped  string  `json:"stopped"` // why not further: found, logStart or lookBack
}

// Why a partition was not read further back.
const (
	stoppedFound    = "found"
	stoppedLogStart = "logStart"
	stoppedLookBack = "lookBack"
)

// backStretch is the number of offsets that are read back first; each further stretch is backGrowth times as long, so that
// a client and a few questions are worth their while.
const (
	backStretch = 5_000
	backGrowth  = 4
)

// toTheEnd is an end behind everything. The log is read from its high watermark then, for markers of a transaction may come
// after its offsets: what was published when Redis was read may not be visible yet.
const toTheEnd = math.MaxInt64

// backReader reads one partition of several topics backwards.
type backReader struct {
	w         *wire
	partition int32
	bound     lookBack
	bar       *progress
	read      int
}

// bounds returns the offset of the first record of a topic, that behind its last, and how far back from an end it may be read.
func (r *backReader) bounds(ctx context.Context, topic string, end int64) (start, last, floor int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if start, last, err = logBounds(ctx, r.w.config, r.w.client, topic, r.partition); err != nil {
		return 0, 0, 0, err
	}
	end = min(end, last)
	floor = min(start, end)
	if r.bound.records > 0 {
		floor = max(floor, end-r.bound.records)
	}
	if r.bound.from.IsZero() {
		return start, last, floor, nil
	}
	offsets, err := kadm.NewClient(r.w.client).ListOffsetsAfterMilli(ctx, r.bound.from.UnixMilli(), topic)
	if err == nil {
		err = offsets.Error()
	}
	if err != nil {
		return 0, 0, 0, explainKafka(r.w.config, fmt.Errorf("asking for the time to begin at in %s: %w", topic, err))
	}
	first, _ := offsets.Lookup(topic, r.partition)
	return start, last, min(end, max(floor, first.Offset)), nil
}

// back reads a topic back from end, in stretches, within each forward. It calls take for each record, and after each
// stretch enough, which says whether to stop.
func (r *backReader) back(ctx context.Context, topic string, end int64, take func(*kgo.Record) error, enough func() bool) (whyLookedAt, error) {
	start, last, floor, err := r.bounds(ctx, topic, end)
	if err != nil {
		return whyLookedAt{}, err
	}
	end = min(end, last) // an end that the log does not have yet is never come to
	looked := whyLookedAt{Topic: topic, From: end, To: end, LogStart: start}
	for length := int64(backStretch); ; length *= backGrowth {
		switch {
		case enough():
			looked.Stopped = stoppedFound
		case looked.From <= start:
			looked.Stopped = stoppedLogStart
		case looked.From <= floor:
			looked.Stopped = stoppedLookBack
		default:
			s := span{max(floor, looked.From-length), looked.From}
			since, err := r.stretch(ctx, topic, s, take)
			if err != nil {
				return looked, err
			}
			if looked.From = s.from; since.Valid {
				looked.Since = since
			}
			continue
		}
		return looked, nil
	}
}

// stretch reads a span forward and returns the timestamp of its first record.
func (r *backReader) stretch(ctx context.Context, topic string, s span, take func(*kgo.Record) error) (since whyTime, err error) {
	err = r.w.readSpans(ctx, topic, map[int32]span{r.partition: s}, func(rec *kgo.Record) error {
		if r.read++; r.read%1000 == 0 {
			r.bar.show(int64(r.read), fmt.Sprintf("looking back: %s read, now of %s/%d", plural(r.read, "record"), topic, r.partition))
		}
		if rec.Offset >= s.to {
			return nil // it came with the last of the span
		}
		if !since.Valid {
			since = schemas.Some(schemas.MicrosOf(rec.Timestamp))
		}
		return take(rec)
	})
	return since, err
}
