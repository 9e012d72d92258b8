package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/schemas"
	"onhand/topics"
)

// why calls onhand why and reads what it found.
func (s *stage) why(args ...string) (r whyReport) {
	s.Helper()
	if err := json.Unmarshal([]byte(s.must(append([]string{"why", "--json"}, args...)...).out), &r); err != nil {
		s.Fatal(err)
	}
	return r
}

// effects are the changes as "ACTION PLACE values: effect text".
func effects(list []whyChange) (lines []string) {
	for i := range list {
		c := &list[i]
		lines = append(lines, strings.TrimSpace(c.Action+" "+c.Place+" "+c.Values+": "+c.effectText()))
	}
	return lines
}

// wantLines compares lists of lines, of which those wanted may be the beginnings.
func wantLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	ok := len(got) == len(want)
	for i := range want {
		ok = ok && strings.HasPrefix(got[i], want[i])
	}
	if !ok {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// adjustment is a record that changes on hand by thousandths.
func adjustment(id, location string, q schemas.Milli) *schemas.StockDelta {
	return &schemas.StockDelta{RecordID: id, SKU: "SHIRT", Location: location, Mode: schemas.ModeAdjust, OnHand: schemas.Some(q)}
}

// count is a record of a count as of a day of January 2026.
func count(id, location string, q schemas.Milli, day int) *schemas.StockDelta {
	return &schemas.StockDelta{RecordID: id, SKU: "SHIRT", Location: location, OnHand: schemas.Some(q),
		EffectiveDate: schemas.Some(schemas.MicrosOf(time.Date(2026, 1, day, 0, 0, 0, 0, time.UTC)))}
}

// TestWhyTellsWhatMadeTheNumber lets everything that a record can come to happen, and reads it back.
func TestWhyTellsWhatMadeTheNumber(t *testing.T) {
	onStages(t, func(s *stage) {
		s.setUp()
		s.publishGraph(auditGraph)
		processor, _ := s.startProcessor()
		w := s.wire()
		s.sendDeltas(w, count("c1", "NJ-1", 9000, 3), count("c2", "NJ-1", 5000, 4), count("c3", "NJ-2", 3000, 4), count("late", "NJ-1", 4000, 2),
			adjustment("a1", "NJ-1", -1000), adjustment("a1", "NJ-1", -1000), adjustment("bad", "NOWHERE", 1000))
		s.must("reserve", "SHIRT", "4", "--group", "JERSEY", "--reservation", "order-1", "--request", "q1", "--wait-level")
		s.must("reserve", "SHIRT", "4", "--group", "JERSEY", "--reservation", "order-1", "--request", "q1")
		s.must("reserve", "SHIRT", "9", "--location", "NJ-2", "--reservation", "order-2", "--request", "q2", "--wait-level")
		s.onhand("reserve", "SHIRT", "99", "--group", "JERSEY", "--no-partial").want(s.T, exitFailure)
		s.status(0)
		s.changesOfAll()
		s.changesOfPlaces()
		s.must("dlq", "replay", "--sku", "SHIRT").want(s.T, 0)
		eventually(s.T, "the record that was put back is refused again", func() bool {
			text := strings.Join(effects(s.why("SHIRT", "--changes", "20").Changes), "\n")
			return strings.Count(text, "UNKNOWN_LOCATION") == 2 && strings.Count(text, "UNKNOWN_LOCATION, replayed since") == 1
		})
		s.topicThatDiffers(w)

		if code := processor.end(); code != 0 {
			s.Fatal(code)
		}
		s.sendDeltas(w, adjustment("new", "NJ-1", 2000), adjustment("newer", "NJ-2", 2000))
		r := s.why("SHIRT", "--place", "NJ-1", "--changes", "1")
		wantLines(s.T, effects(r.Waiting), "ADJUST NJ-1 on hand +2: not yet in the number")
		wantLines(s.T, effects(r.Changes), "ADJUST NJ-1 on hand -1: stands")
		if r.Places[0].Level.OnHand != 4000 || r.WaitingCount != 1 {
			s.Errorf("%+v", r)
		}
		// A member that stopped keeps its tasks until its session is over, or somebody puts it out of the group.
		leave := kadm.LeaveGroup(w.names.ConsumerGroup()).InstanceIDs(*r.Member)
		if _, err := kadm.NewClient(w.client).LeaveGroup(s.Context(), leave); err != nil {
			s.Fatal(err)
		}
		if r = s.why("SHIRT"); *r.Member != "" {
			s.Errorf("%q is said to run the task", *r.Member)
		}
		s.must("why", "SHIRT", "--changes", "3").want(s.T, 0, "not yet in the number: 2 records", "nobody runs task", "onhand run")
	})
}

func (s *stage) changesOfAll() {
	s.Helper()
	r := s.why("SHIRT", "--changes", "20")
	var deltas, events []whyChange
	for _, c := range r.Changes {
		if c.ReservationID == "" {
			deltas = append(deltas, c)
		} else {
			events = append(events, c)
		}
	}
	wantLines(s.T, effects(deltas),
		"UPDATE NJ-1 on hand 9: overtaken: a newer record has on hand",
		"UPDATE NJ-1 on hand 5: stands: on hand",
		"UPDATE NJ-2 on hand 3: stands: on hand",
		"UPDATE NJ-1 on hand 4: overtaken: a newer record has on hand",
		"ADJUST NJ-1 on hand -1: stands: moves on hand since the count",
		"ADJUST NJ-1 on hand -1: repeat: counted once",
		"ADJUST NOWHERE on hand +1: refused, dead letter ")
	wantLines(s.T, effects(events),
		"RESERVE JERSEY 4: ACCEPTED: granted 4",
		"RESERVE JERSEY 4: ACCEPTED: a repeat, nothing done: granted 4",
		"RESERVE NJ-2 9: PARTIAL: granted 3 of 9: ",
		"RESERVE JERSEY 99: REJECTED: InsufficientQuantity: JERSEY has promised 4 of the 4 in {NJ-1, NJ-2, NY-2}; 0 left")
	if len(r.Waiting) != 0 || r.WaitingCount != 0 || *r.Member == "" || len(r.Notes) != 0 || len(r.Inputs) != 2 {
		s.Errorf("%+v", r)
	}
	if dead := deltas[6]; dead.DeadLetter == nil || dead.Effect != effectDead || !strings.Contains(dead.Text, "UNKNOWN_LOCATION") {
		s.Errorf("%+v", dead)
	}
	if c := events[2]; c.ID != "q2" || c.ReservationID != "order-2" || c.Granted != 3000 || c.Topic != s.namespace+".reservation-events" {
		s.Errorf("%+v", c)
	}
	for _, p := range r.Places {
		if p.Published.State != publishedSame || p.Published.Cause == nil || p.Published.ATO != p.Level.ATO {
			s.Errorf("%s: %+v", p.Level.Place, p.Published)
		}
	}
	if len(r.Places) != 3 || r.Places[0].Level.ATO < r.Places[2].Level.ATO || r.Places[0].Location != nil {
		s.Errorf("%+v", r.Places)
	}
	s.must("why", "SHIRT").want(s.T, 0, "SHIRT at 3 places", "same", "last changes of SHIRT, newest last", "stock-deltas/", "reservation-events/", "which is all there was")
	s.must("why", "SHIRT", "--changes", "0").want(s.T, 0, "same")
	if r := s.why("SHIRT", "--changes", "0"); len(r.Changes)+len(r.Waiting) != 0 || len(r.LookedAt) != 1 {
		s.Errorf("%+v", r)
	}
}

func (s *stage) changesOfPlaces() {
	s.Helper()
	r := s.why("SHIRT", "--place", "NJ-2")
	wantLines(s.T, effects(r.Changes), "UPDATE NJ-2 on hand 3: stands", "RESERVE NJ-2 9: PARTIAL")
	if l := r.Places[0].Location; l == nil || l.Count != 3000 || len(l.Reserved.Lines) != 1 || l.Reserved.Lines[0].ReservationID != "order-2" || r.Places[0].Level.ATO != 0 {
		s.Errorf("%+v", r.Places[0])
	}
	r = s.why("SHIRT", "--place", "JERSEY", "--changes", "2")
	wantLines(s.T, effects(r.Changes), "RESERVE NJ-2 9", "RESERVE JERSEY 99")
	if g := r.Places[0].Group; g == nil || g.ATO.Bound == nil || g.ATO.Quantity != 0 || len(g.Members) != 2 || g.Locations != 3 || g.Reserved.Lines[0].Quantity != 4000 {
		s.Errorf("%+v", r.Places[0])
	}
	for _, l := range r.LookedAt {
		if strings.HasSuffix(l.Topic, "reservation-events") && l.Stopped != stoppedFound {
			s.Errorf("%+v", l)
		}
	}
	s.must("why", "SHIRT", "--place", "JERSEY").want(s.T, 0, "ATO: JERSEY has promised 4 of the 4 in {NJ-1, NJ-2, NY-2}; 0 left", "topic: the same (version ", "caused by reservation-events/")
}

// topicThatDiffers publishes another level of a key, of the version that stands and of one that is to come.
func (s *stage) topicThatDiffers(w *wire) {
	s.Helper()
	writer, err := w.writer(s.Context(), "availability-updates")
	if err != nil {
		s.Fatal(err)
	}
	publish := func(version int64, atf availability.Quantity, present bool) {
		s.Helper()
		level := availability.Level{SKU: "SHIRT", Place: availability.Place{Type: availability.LocationPlace, ID: "NJ-1"}, Present: present, OnHand: 4000,
			ATF: atf, ATO: 4000, NextExpectedAt: availability.None, EffectiveAt: instant("01-04 00:00")}
		var r kgo.Record
		var arena topics.Arena
		writer.Update(&r, &arena, &level, topics.PartitionOf("SHIRT", w.partitions), &topics.Provenance{Version: version, GraphVersion: 1, ComputedAt: availability.Instant(time.Now().UnixMicro()),
			Trace: topics.Trace{Parent: []byte("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")}})
		s.produce(w, &r)
	}
	state := func(want string, texts ...string) whyPublished {
		s.Helper()
		p := s.why("SHIRT", "--place", "NJ-1").Places[0].Published
		if p.State != want {
			s.Errorf("%+v, want %s", p, want)
		}
		s.must("why", "SHIRT", "--place", "NJ-1").want(s.T, 0, texts...)
		return p
	}
	version := s.why("SHIRT").Version
	publish(version-1, 3000, true)
	p := state(publishedDiffers, "topic: differs, of an older version: atf 3 there and 4 here", "onhand audit --sku SHIRT", "trace 4bf92f3577b34da6a3ce929d0e0e4736")
	if len(p.Differences) != 1 || p.Differences[0] != (whyDifference{"atf", "3", "4"}) || p.TraceID != "4bf92f3577b34da6a3ce929d0e0e4736" {
		s.Errorf("%+v", p)
	}
	publish(version, 0, false)
	state(publishedDiffers, "differs, of the same version: level none there and present here")
	publish(version+1, 3000, true)
	state(publishedAhead, "topic: newer than Redis, which trails it by a batch or two: atf 3 there and 4 here")
	s.produce(w, &kgo.Record{Topic: w.names.AvailabilityUpdates, Partition: topics.PartitionOf("SHIRT", w.partitions), Key: []byte("NJ-1/SHIRT"), Value: []byte("x")})
	state(publishedDiffers, "is no version")
	publish(version, 4000, true)
	state(publishedSame)
}

// TestWhyLooksBackAsFarAsItIsTold has more records of another SKU of the partition than it looks at, then a log whose
// beginning is gone.
func TestWhyLooksBackAsFarAsItIsTold(t *testing.T) {
	onStages(t, func(s *stage) {
		s.setUp()
		s.publishGraph(auditGraph)
		processor, _ := s.startProcessor()
		w := s.wire()
		other := ""
		for _, sku := range strings.Fields("A B C D E F G H I J K L M N O P") {
			if topics.PartitionOf(sku, w.partitions) == topics.PartitionOf("SHIRT", w.partitions) {
				other = sku
			}
		}
		dead := adjustment("dead", "NOWHERE", 1000)
		dead.SKU = other
		s.sendDeltas(w, dead, count("c1", "NJ-1", 9000, 3))
		many := make([]*schemas.StockDelta, 30)
		for i := range many {
			many[i] = count("o", "NJ-2", schemas.Milli(1000*i), 3)
			many[i].SKU = other
		}
		s.sendDeltas(w, many...)
		s.sendDeltas(w, adjustment("a1", "NJ-1", 1000))
		eventually(s.T, "all is folded", func() bool { return s.levels("SHIRT")["NJ-1"].OnHand == 10_000 })
		s.status(0)
		task := topics.PartitionOf("SHIRT", w.partitions)

		wantLines(s.T, effects(s.why("SHIRT").Changes), "UPDATE NJ-1 on hand 9", "ADJUST NJ-1 on hand +1")
		r := s.why("SHIRT", "--look-back", "5")
		wantLines(s.T, effects(r.Changes), "ADJUST NJ-1 on hand +1")
		if l := s.looked(&r, "stock-deltas"); l.From != l.To-5 || l.Stopped != stoppedLookBack || !l.Since.Valid {
			s.Errorf("%+v", l)
		}
		s.must("why", "SHIRT", "--look-back", "5").want(s.T, 0, "--look-back looks further")
		r = s.why("SHIRT", "--changes", "1")
		if l := s.looked(&r, "dead-letters"); l.Stopped != stoppedFound || len(r.Changes) != 1 {
			s.Errorf("%+v", l)
		}
		r = s.why("SHIRT", "--look-back", "1h,1000")
		wantLines(s.T, effects(r.Changes), "UPDATE NJ-1 on hand 9", "ADJUST NJ-1 on hand +1")
		if r := s.why("SHIRT", "--look-back", "1ns", "--place", "NJ-1"); len(r.Changes) != 0 || r.Places[0].Published.State != publishedNotFound || s.looked(&r, "stock-deltas").Stopped != stoppedLookBack {
			s.Errorf("%+v", r)
		}
		s.must("why", "SHIRT", "--look-back", "1ns", "--place", "NJ-1").want(s.T, 0, "topic: the last record of the key is older than what was looked at")

		var gone kadm.Offsets
		gone.AddOffset(w.names.StockDeltas, task, 4, -1)
		if _, err := kadm.NewClient(w.client).DeleteRecords(s.Context(), gone); err != nil {
			s.Fatal(err)
		}
		r = s.why("SHIRT")
		wantLines(s.T, effects(r.Changes), "ADJUST NJ-1 on hand +1")
		if l := s.looked(&r, "stock-deltas"); l.From != 4 || l.LogStart != 4 || l.Stopped != stoppedLogStart {
			s.Errorf("%+v", l)
		}
		s.must("why", "SHIRT").want(s.T, 0, "the log begins at 4, what came before is gone")

		processor.end()
		if _, err := kadm.NewClient(w.client).DeleteTopics(s.Context(), w.names.StockDeltas, w.names.AvailabilityUpdates); err != nil {
			s.Fatal(err)
		}
		eventually(s.T, "topics are created again", func() bool { return s.onhand("topics", "apply", "--partitions", "4").code == 0 })
		r = s.why("SHIRT", "--place", "NJ-1")
		if len(r.Changes) != 0 || r.Places[0].Published.State != publishedMissing || !strings.Contains(strings.Join(r.Notes, "\n"), "it is not the log that Redis is of") {
			s.Errorf("%+v", r)
		}
	})
}

// looked is how far a topic was looked at.
func (s *stage) looked(r *whyReport, topic string) whyLookedAt {
	s.Helper()
	for _, l := range r.LookedAt {
		if l.Topic == s.namespace+"."+topic {
			return l
		}
	}
	s.Fatalf("%s was not looked at: %+v", topic, r.LookedAt)
	return whyLookedAt{}
}

// TestWhyReadsACommitAsAWhole reads a SKU while each record adds one unit to it: what it comes to and how many records the
// checkpoint says are folded must be of one commit, which takes another look where one falls between.
func TestWhyReadsACommitAsAWhole(t *testing.T) {
	onStages(t, func(s *stage) {
		s.setUp()
		s.publishGraph(auditGraph)
		s.startProcessor()
		w := s.wire()
		s.sendDeltas(w, adjustment("first", "NJ-1", 1000))
		eventually(s.T, "the first is folded", func() bool { return s.levels("SHIRT")["NJ-1"].OnHand == 1000 })
		writer, err := w.writer(s.Context(), "stock-deltas")
		if err != nil {
			s.Fatal(err)
		}
		ctx, stop := context.WithCancel(s.Context())
		done := make(chan struct{})
		defer func() { stop(); <-done }()
		go func() { // ended by stop, which waits for it
			defer close(done)
			for n := 0; ctx.Err() == nil; n++ {
				if err := w.client.ProduceSync(ctx, writer.Delta(adjustment(fmt.Sprint("a", n), "NJ-1", 1000), time.Now())).FirstErr(); err != nil && ctx.Err() == nil {
					s.Error(err)
					return
				}
			}
		}()
		a := &app{out: s.Output(), err: s.Output()}
		store, err := openRedis(s.Context(), w.config, nil)
		if err != nil {
			s.Fatal(err)
		}
		defer store.Close()
		reader, err := a.openStocks(s.Context(), w.config, store, "SHIRT")
		if err != nil {
			s.Fatal(err)
		}
		defer reader.registry.Close()
		seen := make(map[int64]bool)
		for range 400 {
			state, err := reader.read(s.Context(), "SHIRT")
			if err != nil {
				s.Fatal(err)
			}
			next := state.at.Offsets[availability.Deltas]
			seen[next] = true
			if got := levelAt(state.levels, "SHIRT", "NJ-1").OnHand; got != units(int(next)) {
				s.Fatalf("%s on hand with %d records folded", got, next)
			}
		}
		eventually(s.T, "there were commits", func() bool {
			state, err := reader.read(s.Context(), "SHIRT")
			if err != nil {
				s.Fatal(err)
			}
			seen[state.at.Offsets[availability.Deltas]] = true
			return len(seen) > 5
		})
	})
}
