package main

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/schemas"
	"onhand/topics"
)

// letterAnswer is what `dlq ls --json` prints.
type letterAnswer struct {
	Letters []shownLetter `json:"letters"`
	Total   int           `json:"total"`
	Counts  []letterCount `json:"counts"`
}

// letters calls dlq ls.
func (s *stage) letters(args ...string) (list letterAnswer) {
	s.Helper()
	if err := json.Unmarshal([]byte(s.must(append([]string{"dlq", "ls", "--json"}, args...)...).out), &list); err != nil {
		s.Fatal(err)
	}
	return list
}

// wire connects to the services of the stage.
func (s *stage) wire(opts ...kgo.Opt) *wire {
	s.Helper()
	config, err := loadConfig("", s.environ, nil)
	if err != nil {
		s.Fatal(err)
	}
	w, err := (&app{out: s.Output(), err: s.Output()}).connect(s.Context(), config.Config, opts...)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(w.close)
	return w
}

// produce writes records as they are.
func (s *stage) produce(w *wire, records ...*kgo.Record) {
	s.Helper()
	if err := w.client.ProduceSync(s.Context(), records...).FirstErr(); err != nil {
		s.Fatal(err)
	}
}

// sendDeltas publishes stock deltas, sent now, without the checks of import.
func (s *stage) sendDeltas(w *wire, deltas ...*schemas.StockDelta) {
	s.Helper()
	writer, err := w.writer(s.Context(), "stock-deltas")
	if err != nil {
		s.Fatal(err)
	}
	for _, d := range deltas {
		s.produce(w, writer.Delta(d, time.Now()))
	}
}

// TestDeadLettersAreSeenAndReplayed is what an operator does after stock came for a location that no graph has.
func TestDeadLettersAreSeenAndReplayed(t *testing.T) {
	onStages(t, func(s *stage) {
		s.setUp()
		s.publishGraph(testGraph)
		s.startProcessor()
		s.must("dlq", "ls").want(s.T, 0, "no dead letters")
		w := s.wire()
		counted := schemas.Some(schemas.MicrosOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)))
		s.sendDeltas(w,
			&schemas.StockDelta{RecordID: "r1", SKU: "SHIRT", Location: "CA-1", Mode: schemas.ModeUpdate, OnHand: schemas.Some[schemas.Milli](5000), EffectiveDate: counted},
			&schemas.StockDelta{RecordID: "r2", SKU: "SHIRT", Location: "CA-1", Mode: schemas.ModeAdjust, OnHand: schemas.Some[schemas.Milli](2000)},
			&schemas.StockDelta{RecordID: "r3", SKU: "HAT", Location: "NJ-1", Mode: schemas.ModeUpdate, OnHand: schemas.Some[schemas.Milli](3000), EffectiveDate: counted})
		partition := topics.PartitionOf([]byte("SHIRT"), w.partitions)
		s.produce(w, &kgo.Record{Topic: w.names.StockDeltas, Partition: partition, Key: []byte("SHIRT"), Value: []byte("no Avro"),
			Headers: []kgo.RecordHeader{{Key: "from", Value: []byte("a till")}}})
		eventually(s.T, "three dead letters", func() bool { return s.letters().Total == 3 })

		s.lookAtLetters(w)
		s.replayLetters()
	})
}

func (s *stage) lookAtLetters(w *wire) {
	s.Helper()
	s.must("dlq", "ls").want(s.T, 0, "UNKNOWN_LOCATION", "DECODE", "open", "SHIRT", "CA-1", "all                     3")
	if list := s.letters("--code", "UNKNOWN_LOCATION", "--topic", "stock-deltas", "--sku", "SHIRT", "--since", "1h", "--limit", "1"); len(list.Letters) != 1 || list.Total != 2 {
		s.Errorf("%+v", list)
	}
	for _, none := range [][]string{{"--sku", "HAT"}, {"--topic", "reservation-events"}, {"--until", "1h"}, {"--since", "2199-01-01T00:00:00Z"}, {"--code", "OVERFLOW"}} {
		if list := s.letters(none...); list.Total != 0 {
			s.Errorf("%v: %+v", none, list)
		}
	}
	for _, letter := range s.letters().Letters {
		name := topics.Source{Topic: "x", Partition: letter.Partition, Offset: letter.Offset}.String()[2:]
		var byName, bySource wholeLetter
		for into, name := range map[*wholeLetter]string{&byName: name, &bySource: letter.Source.String()} {
			if err := json.Unmarshal([]byte(s.must("dlq", "show", name, "--json").out), into); err != nil {
				s.Fatal(err)
			}
		}
		if byName.Offset != letter.Offset || bySource.Offset != letter.Offset || byName.Message != letter.Message || len(byName.ValueBytes) == 0 {
			s.Errorf("%+v %+v of %+v", byName, bySource, letter)
		}
		if letter.Code == topics.CodeDecode {
			s.must("dlq", "show", name).want(s.T, 0, "from: a till", "7 bytes, not decoded", "|no Avro|", "open")
			continue
		}
		s.must("dlq", "show", name).want(s.T, 0, `"location": "CA-1"`, "UNKNOWN_LOCATION", "key        SHIRT", "source     "+w.names.StockDeltas)
	}
}

func (s *stage) replayLetters() {
	s.Helper()
	s.must("dlq", "replay", "--code", "UNKNOWN_LOCATION", "--dry-run").want(s.T, 0, "2 records would be put back")
	if list := s.letters(); list.Total != 3 || list.Counts[0].Replayed != 0 {
		s.Errorf("after a dry run: %+v", list)
	}
	s.must("dlq", "replay", "--code", "UNKNOWN_LOCATION").want(s.T, 0, "2 records put back")
	eventually(s.T, "both were refused again", func() bool { return s.letters().Total == 5 })
	list := s.letters("--code", "UNKNOWN_LOCATION")
	if n := list.Counts[0]; n.Letters != 4 || n.Replayed != 2 || n.Again != 2 {
		s.Errorf("%+v", n)
	}
	s.must("dlq", "ls", "--open").want(s.T, 0, "open, again")
	first := list.Letters[0]
	name := topics.Source{Topic: "dead-letters", Partition: first.Partition, Offset: first.Offset}.String()
	s.must("dlq", "replay", name).want(s.T, 0, "0 records put back, 1 replayed before")

	file := writeFile(s.T, "graph.yaml", strings.Replace(testGraph, "groups:", "  - {externalReference: CA-1}\ngroups:", 1))
	s.must("graph", "publish", file)
	s.must("dlq", "replay", "--code", "UNKNOWN_LOCATION").want(s.T, 0, "2 records put back")
	eventually(s.T, "the count and the adjustment are in", func() bool { return s.levels("SHIRT")["CA-1"].OnHand == 7000 })
	s.must("dlq", "replay", "--code", "UNKNOWN_LOCATION").want(s.T, 0, "0 records put back")
	if l := s.levels("SHIRT")["CA-1"]; l.OnHand != 7000 || l.ATF != 7000 {
		s.Errorf("%+v", l)
	}
	if list := s.letters("--open"); list.Total != 1 || list.Letters[0].Code != topics.CodeDecode {
		s.Errorf("%+v", list)
	}
}

// TestALetterThatCannotBeReplayedIsTold puts letters into the topic that hold no whole record of an input.
func TestALetterThatCannotBeReplayedIsTold(t *testing.T) {
	onStages(t, func(s *stage) {
		s.setUp()
		w := s.wire()
		writer := topics.NewWriter(w.names, topics.IDs{}, w.partitions)
		refusal := &topics.Refusal{Code: topics.CodeTooLarge, Message: "too large"}
		cut := writer.DeadLetter(&kgo.Record{Topic: w.names.StockDeltas, Key: []byte("SHIRT"), Value: []byte("x"), Timestamp: time.Now()}, refusal)
		cut.Headers = append(cut.Headers, kgo.RecordHeader{Key: topics.HeaderErrorOmitted, Value: []byte("value")})
		whole := writer.DeadLetter(&kgo.Record{Topic: w.names.ReservationEvents, Offset: 7, Value: []byte("y"), Timestamp: time.Now()}, refusal)
		alien := &kgo.Record{Topic: w.names.DeadLetters, Key: []byte("a"), Value: []byte("another program's")}
		large := writer.DeadLetter(&kgo.Record{Topic: w.names.ReservationEvents, Offset: 8, Value: make([]byte, 2<<20), Timestamp: time.Now()}, refusal)
		s.produce(w, cut, whole, large, alien)

		if n := s.letters().Total; n != 3 {
			s.Errorf("%d letters", n)
		}
		s.onhand("dlq", "replay", "--all").want(s.T, exitFailure, "1 record put back, 2 cannot be replayed", "0/0: ", "too large to keep (value left out)", "0/2: ", "MESSAGE_TOO_LARGE")
		if list := s.letters("--open"); list.Total != 2 {
			s.Errorf("%+v", list)
		}
		s.onhand("dlq", "replay", "0/99").want(s.T, exitFailure, "no dead letter", "0/99")
		s.must("dlq", "show", "reservation-events/0/7").want(s.T, 0, "key        none", "state      replayed", "not decoded")
		var back []*kgo.Record
		err := readToEnd(s.Context(), w.config, w.log, w.names.ReservationEvents, 0, func(r *kgo.Record) error {
			back = append(back, r)
			return nil
		})
		if err != nil || len(back) != 1 || string(back[0].Value) != "y" || back[0].Key != nil || !back[0].Timestamp.Equal(whole.Timestamp.Truncate(time.Millisecond)) {
			s.Errorf("%v %v", back, err)
		}
	})
}

// TestOfTwoReplaysOneGoesOn begins a replay, lets another do the work, and lets the first go on.
func TestOfTwoReplaysOneGoesOn(t *testing.T) {
	onStages(t, func(s *stage) {
		s.setUp()
		w := s.wire()
		dead := topics.NewWriter(w.names, topics.IDs{}, w.partitions).DeadLetter(
			&kgo.Record{Topic: w.names.StockDeltas, Key: []byte("SHIRT"), Value: []byte("x"), Timestamp: time.Now()},
			&topics.Refusal{Code: topics.CodeDecode, Message: "no"})
		s.produce(w, dead)
		slow := s.wire(kgo.TransactionalID(s.namespace + ".dlq-replay"))
		if _, _, err := slow.client.ProducerID(s.Context()); err != nil {
			s.Fatal(err)
		}
		f := &letterFilter{}
		found, err := openLetters(s.Context(), slow, f)
		if err != nil {
			s.Fatal(err)
		}
		r := &replay{wire: slow, writer: topics.NewWriter(w.names, topics.IDs{}, w.partitions), found: map[letterName]bool{}}
		if err := found.each(s.Context(), func(l *letter) error { return r.take(s.Context(), f, l) }); err != nil || len(r.pending) != 1 {
			s.Fatal(r.pending, err)
		}

		s.must("dlq", "replay", "--all").want(s.T, 0, "1 record put back")
		err = r.flush(s.Context())
		if !errors.Is(err, kerr.ProducerFenced) && !errors.Is(err, kerr.InvalidProducerEpoch) {
			s.Errorf("the first replay went on: %v", err)
		}
		if text := r.explain(err).Error(); !strings.Contains(text, "another replay") {
			s.Error(text)
		}
		count := 0
		for p := range w.partitions {
			err := readToEnd(s.Context(), w.config, w.log, w.names.StockDeltas, p, func(*kgo.Record) error { count++; return nil })
			if err != nil {
				s.Fatal(err)
			}
		}
		if count != 1 {
			s.Errorf("%d records went back", count)
		}
	})
}

func TestDLQCommandLinesAreChecked(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"dlq", "ls, show or replay"},
		{"dlq ls --code NONE", "UNKNOWN_LOCATION"},
		{"dlq ls --topic dead-letters", "neither stock-deltas nor reservation-events"},
		{"dlq ls --since yesterday", "how long ago, such as 2h"},
		{"dlq ls --since 1h --until 2h", "--since must be before --until"},
		{"dlq ls --limit 0", "from 1 to 10000"},
		{"dlq show", "wants LETTER"},
		{"dlq show 3-4", "neither PARTITION/OFFSET"},
		{"dlq show location-graph/0/1", "neither dead-letters, stock-deltas nor reservation-events"},
		{"dlq replay", "--all"},
		{"dlq replay --all --code DECODE", "one of these"},
	} {
		onhand(t, nil, strings.Fields(c.args)...).want(t, exitUsage, c.want)
	}
}

func TestTheNewestLettersAreKept(t *testing.T) {
	list := &letterList{limit: 2, counts: map[topics.Code]*letterCount{}}
	for _, second := range []int64{3, 1, 4, 2} {
		list.take(&letter{record: &kgo.Record{Timestamp: time.Unix(second, 0)}, dead: topics.Dead{Code: topics.CodeDecode}, replayed: second == 1})
	}
	kept := list.sorted()
	if len(kept) != 2 || kept[0].record.Timestamp.Unix() != 3 || kept[1].record.Timestamp.Unix() != 4 {
		t.Errorf("%v", kept)
	}
	if n := *list.counts[topics.CodeDecode]; n.Letters != 4 || n.Replayed != 1 {
		t.Errorf("%+v", n)
	}
}

func TestOffsetSetKnowsWhatWasAdded(t *testing.T) {
	s := &offsetSet{from: 1000}
	for _, n := range []int64{1000, 1063, 1064, 9999, 5} {
		s.add(n)
	}
	for n := int64(0); n < 20_000; n++ {
		want := n == 1000 || n == 1063 || n == 1064 || n == 9999
		if s.has(n) != want {
			t.Fatalf("has(%d) is %v", n, !want)
		}
	}
}
