package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/schemas"
	"onhand/topics"
)

// whyPublished is how the newest record of a key in availability-updates stands to the number.
type whyPublished struct {
	State       string          `json:"state"`   // same, differs, ahead, notFound, missing or unread
	Version     int64           `json:"version"` // 0: no record was found
	Offset      int64           `json:"offset"`
	Timestamp   whyTime         `json:"timestamp"`
	Present     bool            `json:"present"` // false: none was found, or a tombstone
	ATF         schemas.Milli   `json:"atf"`
	ATO         schemas.Milli   `json:"ato"`
	Cause       *topics.Source  `json:"cause"` // the newest input that changed it
	TraceID     string          `json:"traceId"`
	Differences []whyDifference `json:"differences"`
}

// whyDifference is a field that is not the same in the topic.
type whyDifference struct {
	Field     string `json:"field"`
	Published string `json:"published"`
	Computed  string `json:"computed"`
}

// The states of a key. Ahead: it differs and is newer than what Redis has, which trails the topic by a batch or two. NotFound:
// none within the look back. Missing: none in all of the topic.
const (
	publishedSame     = "same"
	publishedDiffers  = "differs"
	publishedAhead    = "ahead"
	publishedNotFound = "notFound"
	publishedMissing  = "missing"
	publishedUnread   = "unread"
)

// publishedRecord is a record of a key.
type publishedRecord struct {
	level  availability.Level
	from   topics.Provenance
	at     *kgo.Record // without its value
	broken string      // why it cannot be read; empty: it can
}

// published finds the newest record of each key of the report.
func (r *backReader) published(ctx context.Context, s *whyState, report *whyReport) error {
	newest := make(map[string]*publishedRecord)
	for i := range report.Places {
		newest[report.Places[i].Level.Place+"/"+report.SKU] = nil
	}
	missing := len(newest)
	stretch := make(map[string]*publishedRecord)
	looked, err := r.back(ctx, r.w.names.AvailabilityUpdates, toTheEnd, func(rec *kgo.Record) error {
		if known, wanted := newest[string(rec.Key)]; wanted && known == nil {
			p, err := r.level(ctx, rec)
			stretch[string(rec.Key)] = p
			return err
		}
		return nil
	}, func() bool {
		missing -= len(stretch)
		for key, p := range stretch {
			newest[key] = p
		}
		clear(stretch)
		return missing == 0
	})
	if err != nil {
		return err
	}
	if len(newest) > 0 {
		report.LookedAt = append(report.LookedAt, looked)
	}
	for i := range report.Places {
		p := &report.Places[i]
		p.Published = compareWhy(&p.level, newest[p.Level.Place+"/"+report.SKU], s.at.Version(), looked.Stopped == stoppedLogStart)
	}
	return nil
}

func (r *backReader) level(ctx context.Context, rec *kgo.Record) (*publishedRecord, error) {
	slim := *rec
	slim.Value = nil
	p := &publishedRecord{at: &slim}
	err := r.w.reader.Update(ctx, rec, &p.level, &p.from)
	if isRefusal(err) {
		p.broken, err = err.Error(), nil
	}
	return p, explainRegistry(r.w.config, err)
}

// compareWhy compares a level with the newest record of its key. All says that the whole topic was read.
func compareWhy(computed *availability.Level, p *publishedRecord, version int64, all bool) whyPublished {
	w := whyPublished{State: publishedNotFound, Differences: []whyDifference{}}
	if p == nil {
		if all {
			w.State = publishedMissing
		}
		return w
	}
	w.Version, w.Offset, w.Timestamp = p.from.Version, p.at.Offset, schemas.Some(schemas.MicrosOf(p.at.Timestamp))
	w.Present, w.ATF, w.ATO, w.TraceID = p.level.Present, schemas.Milli(p.level.ATF), schemas.Milli(p.level.ATO), traceID(p.from.Trace)
	if p.from.Cause.Topic != "" {
		w.Cause = &p.from.Cause
	}
	if p.broken != "" {
		w.State = publishedDiffers
		w.Differences = append(w.Differences, whyDifference{"level", p.broken, presence(computed)})
		return w
	}
	for _, row := range levelRows(auditDifference{}, computed, computed, &p.level) {
		w.Differences = append(w.Differences, whyDifference{row.Field, textOrDash(row.Published), row.Computed})
	}
	switch {
	case len(w.Differences) == 0:
		w.State = publishedSame
	case p.from.Version > version:
		w.State = publishedAhead
	default:
		w.State = publishedDiffers
	}
	return w
}

// traceID is the trace of a W3C trace context, empty where there is none.
func traceID(t topics.Trace) string {
	parts := strings.Split(string(t.Parent), "-")
	if len(parts) < 4 || len(parts[1]) != 32 {
		return ""
	}
	return parts[1]
}

// text says how the topic stands to the number.
func (p *whyPublished) text(r *whyReport) string {
	at := fmt.Sprintf("version %d, offset %d, %s", p.Version, p.Offset, whyTimeText(p.Timestamp))
	if p.Cause != nil {
		at += fmt.Sprintf(", caused by %s/%d/%d", r.short(p.Cause.Topic), p.Cause.Partition, p.Cause.Offset)
	}
	if p.TraceID != "" {
		at += ", trace " + p.TraceID
	}
	var fields []string
	for _, d := range p.Differences {
		fields = append(fields, fmt.Sprintf("%s %s there and %s here", d.Field, d.Published, d.Computed))
	}
	different := strings.Join(fields, ", ")
	switch p.State {
	case publishedSame:
		return "the same (" + at + ")"
	case publishedAhead:
		return fmt.Sprintf("newer than Redis, which trails it by a batch or two: %s (%s)", different, at)
	case publishedDiffers:
		age := "of the same version"
		if p.Version < r.Version {
			age = "of an older version"
		}
		return fmt.Sprintf("differs, %s: %s (%s); see `onhand audit --sku %s`", age, different, at, r.SKU)
	case publishedNotFound:
		return "the last record of the key is older than what was looked at; --look-back looks further"
	case publishedMissing:
		return fmt.Sprintf("has no record of the key; see `onhand audit --sku %s`", r.SKU)
	}
	return "not read"
}
