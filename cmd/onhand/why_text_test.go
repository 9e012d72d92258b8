package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"onhand/processor/availability"
	"onhand/topics"
)

// wantText compares an output with what it should be, white space at the ends aside.
func wantText(t *testing.T, got, want string) {
	t.Helper()
	if strings.TrimSpace(got) != strings.TrimSpace(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestWhyExplainsALocation(t *testing.T) {
	w := newWhyWorld(t, "EAST: NJ-1 NY-2", "WEST: NY-2 CA-1")
	w.delta(availability.Delta{
		Location: "NJ-1", HasOnHand: true, OnHand: units(10), HasSafetyStock: true, SafetyStock: 1500, EffectiveAt: instant("01-01 00:00"),
		HasFutures: true, Futures: []availability.Future{{Quantity: 2500, Expected: instant("02-01 00:00")}, {Quantity: units(4), Expected: instant("04-01 00:00")}},
	})
	w.adjust("a", "NJ-1", -3, "01-01 10:00")
	w.adjust("b", "NJ-1", 1, "01-01 11:00")
	w.reserve("order-1", "NJ-1", 2, "04-01 00:00")
	w.reserve("basket-7", "NJ-1", 1, "02-01 10:00")
	w.reserve("order-2", "NJ-1", 2, "")
	_, text := w.state().why(t, &whyFlags{place: "NJ-1"})
	wantText(t, text, `
SHIRT at NJ-1, a location: ATF 1.5, ATO 8
version 1099511627781 of task 2, location graph 7

    10    counted, effective 2026-01-01T00:00:00Z
  -  3    moved 2026-01-01T10:00:00Z
  +  1    moved 2026-01-01T11:00:00Z
  =  8    on hand
  -  1.5  safety stock, of 2026-01-01T00:00:00Z
  -  2    reserved by order-1, until 2026-04-01T00:00:00Z
  -  2    reserved by order-2
  -  1    reserved by basket-7, expired 2026-02-01T10:00:00Z, to be released at once
  =  1.5  ATF 1.5, available to fulfill
  +  2.5  expected 2026-02-01T00:00:00Z, overdue and counted still
  +  4    expected 2026-04-01T00:00:00Z
  =  8    ATO 8, available to order

updates are stale before: on hand 2026-01-01T00:00:00Z, safety stock 2026-01-01T00:00:00Z, futures 2026-01-01T00:00:00Z
topic: not read
`)
}

func TestWhyExplainsALocationThatLacks(t *testing.T) {
	w := newWhyWorld(t, "EAST: NJ-1 NY-2 NY-3")
	w.count("NJ-1", 5, "01-01 00:00")
	w.reserve("order-1", "NJ-1", 4, "")
	w.count("NJ-1", 1, "01-02 00:00")
	w.adjust("a", "NY-2", -2, "01-01 10:00")
	w.count("NY-3", 5, "01-01 00:00")
	w.reserve("order-3", "NY-3", 1, "")
	w.delta(availability.Delta{Location: "NY-3", Mode: availability.Delete, EffectiveAt: instant("01-05 00:00")})
	s := w.state()
	_, text := s.why(t, &whyFlags{place: "NJ-1"})
	wantText(t, text, `
SHIRT at NJ-1, a location: ATF 0, ATO 0
version 1099511627781 of task 2, location graph 7

     1  counted, effective 2026-01-02T00:00:00Z
  =  1  on hand
  -  4  reserved by order-1
  = -3  ATF 0, available to fulfill: none below zero is shown, 3 short
  = -3  ATO 0, available to order: none below zero is shown

updates are stale before: on hand 2026-01-02T00:00:00Z, safety stock never set, futures never set
topic: not read
`)
	_, text = s.why(t, &whyFlags{place: "NY-2"})
	wantText(t, text, `
SHIRT at NY-2, a location: ATF 0, ATO 0
version 1099511627781 of task 2, location graph 7

     0  never counted
  -  2  moved 2026-01-01T10:00:00Z
  = -2  on hand
  = -2  ATF 0, available to fulfill: none below zero is shown, 2 short
  = -2  ATO 0, available to order: none below zero is shown

updates are stale before: on hand never set, safety stock never set, futures never set
topic: not read
`)
	_, text = s.why(t, &whyFlags{place: "NY-3"})
	wantText(t, text, `
SHIRT at NY-3, a location: ATF 0, ATO 0
version 1099511627781 of task 2, location graph 7

     0  deleted, as of 2026-01-05T00:00:00Z
  =  0  on hand
  -  1  reserved by order-3
  = -1  ATF 0, available to fulfill: none below zero is shown, 1 short
  = -1  ATO 0, available to order: none below zero is shown

updates are stale before: on hand 2026-01-05T00:00:00Z, safety stock 2026-01-05T00:00:00Z, futures 2026-01-05T00:00:00Z
topic: not read
`)
}

// TestWhyExplainsPromisesAcrossGroups is the documented example: A = {L1: 5, L2: 5}, B = {L2: 5, L3: 15}, 17 reserved at B.
func TestWhyExplainsPromisesAcrossGroups(t *testing.T) {
	w := newWhyWorld(t, "AA: L1 L2", "BB: L2 L3")
	w.count("L1", 5, "01-01 00:00")
	w.count("L2", 5, "01-01 00:00")
	w.count("L3", 15, "01-01 00:00")
	w.reserve("order-1", "BB", 12, "")
	w.reserve("order-2", "BB", 5, "04-01 00:00")
	s := w.state()
	_, text := s.why(t, &whyFlags{place: "BB"})
	wantText(t, text, `
SHIRT at BB, a group: ATF 3, ATO 3
version 1099511627781 of task 2, location graph 7

MEMBER            ON HAND  RESERVED  SAFETY  FUTURE  ATF  ATO
L3                     15         0       0       0   15   15
L2                      5         0       0       0    5    5
2 of 2 locations       20         0       0       0   20   20

    20  ATO of the members
  - 12  reserved at BB by order-1
  -  5  reserved at BB by order-2, until 2026-04-01T00:00:00Z
  =  3  ATO 3, available to order

    20  ATF of the members
  - 17  reserved at BB
  =  3  ATF 3, available to fulfill

ATO: BB has promised 17 of the 20 in {L2, L3}; 3 left
ATF: BB has promised 17 of the 20 in {L2, L3}; 3 left
topic: not read
`)
	_, text = s.why(t, &whyFlags{place: "AA"})
	wantText(t, text, `
SHIRT at AA, a group: ATF 8, ATO 8
version 1099511627781 of task 2, location graph 7

MEMBER            ON HAND  RESERVED  SAFETY  FUTURE  ATF  ATO
L1                      5         0       0       0    5    5
L2                      5         0       0       0    5    5
2 of 2 locations       10         0       0       0   10   10

    10  ATO of the members
  -  2  taken by promises of groups that share its locations
  =  8  ATO 8, available to order

    10  ATF of the members
  -  2  taken by promises of groups that share its locations
  =  8  ATF 8, available to fulfill

ATO: BB has promised 17 of the 25 in {L1, L2, L3}; 8 left
ATF: BB has promised 17 of the 25 in {L1, L2, L3}; 8 left
topic: not read
`)
	_, text = s.why(t, &whyFlags{place: "L2"})
	if !strings.Contains(text, "\n3 can be reserved here: BB has promised 17 of the 20 in {L2, L3}; 3 left\n") {
		t.Errorf("what can be reserved at L2 is missing in\n%s", text)
	}
	_, text = s.why(t, &whyFlags{})
	wantText(t, text, `
SHIRT at 5 places: version 1099511627781 of task 2, location graph 7

PLACE  TYPE      ON HAND  RESERVED  SAFETY  FUTURE  ATF  ATO  SHORT  TOPIC
L3     location       15         0       0       0   15   15      0  unread
AA     group          10         2       0       0    8    8      0  unread
L1     location        5         0       0       0    5    5      0  unread
L2     location        5         0       0       0    5    5      0  unread
BB     group          20        17       0       0    3    3      0  unread
`)
}

func TestWhyExplainsBrokenPromises(t *testing.T) {
	w := newWhyWorldOf(t, &availability.GraphSpec{
		Version:   7,
		Locations: []availability.LocationSpec{{ID: "L1", Inventory: true, Sync: true}, {ID: "L2", Inventory: true, Sync: true}, {ID: "L3", Inventory: true}},
		Groups:    []availability.GroupSpec{{ID: "AA", Enabled: true, Sync: true, Locations: []availability.LocationID{"L1", "L2", "L3"}}},
	})
	w.count("L1", 5, "01-01 00:00")
	w.delta(availability.Delta{Location: "L2", HasFutures: true, Futures: []availability.Future{{Quantity: units(3), Expected: instant("04-01 00:00")}}, EffectiveAt: instant("01-01 00:00")})
	w.reserve("order-1", "AA", 7, "")
	w.count("L1", 1, "01-02 00:00")
	_, text := w.state().why(t, &whyFlags{place: "AA"})
	wantText(t, text, `
SHIRT at AA, a group: ATF 0, ATO 0
version 1099511627781 of task 2, location graph 7

MEMBER            ON HAND  RESERVED  SAFETY  FUTURE  ATF  ATO
L2                      0         0       0       3    0    3
L1                      1         0       0       0    1    1
2 of 2 locations        1         0       0       3    1    4
1 member is not synced and not counted

     4  ATO of the members
  -  7  reserved at AA by order-1
  = -3  ATO 0, available to order: none below zero is shown

     1  ATF of the members
  -  7  reserved at AA
  = -6  ATF 0, available to fulfill: none below zero is shown

ATO: AA has promised 7 of the 4 in {L1, L2}; -3 left
ATF: AA has promised 7 of the 1 in {L1, L2}; -6 left
short: 3 of what groups that share locations with it have promised cannot be kept
topic: not read
`)
}

// TestWhyStaysShort has 5,000 locations, 300 reservations at a location and 100 at a group, a movement every few minutes and
// hundreds of futures: what is not listed is summed up, so that the additions end where they do with --all.
func TestWhyStaysShort(t *testing.T) {
	members := make([]string, 5000)
	for i := range members {
		members[i] = fmt.Sprintf("S%04d", i)
	}
	w := newWhyWorld(t, "ALL: "+strings.Join(members, " "), "SOME: "+strings.Join(members[:3000], " "))
	for i, id := range members {
		w.count(id, 1000+i, "01-01 00:00")
	}
	var futures []availability.Future
	for i := range 300 {
		futures = append(futures, availability.Future{Quantity: units(1), Expected: instant("04-01 00:00") + availability.Instant(i)*availability.Hour})
		w.reserve(fmt.Sprintf("order-%03d", i), "S0007", 1+i%3, "")
		w.adjust(fmt.Sprint("a", i), "S0007", -1, fmt.Sprintf("01-01 %02d:%02d", 1+i/30, 2*(i%30)))
	}
	w.delta(availability.Delta{Location: "S0007", HasFutures: true, Futures: futures, EffectiveAt: instant("01-01 00:00")})
	for i := range 100 {
		w.reserve(fmt.Sprintf("hold-%03d", i), "ALL", 2, "")
	}
	s := w.state()
	for _, place := range []string{"", "S0007", "ALL"} {
		began := time.Now()
		r, text := s.why(t, &whyFlags{place: place})
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%q took %s", place, took)
		}
		if lines := strings.Count(text, "\n"); lines > 90 {
			t.Errorf("%q has %d lines", place, lines)
		}
		all, long := s.why(t, &whyFlags{place: place, all: true})
		if strings.Contains(long, "more") && place != "ALL" || strings.Count(long, "\n") < 300 {
			t.Errorf("%q with --all has %d lines\n%.3000s", place, strings.Count(long, "\n"), long)
		}
		if place == "" {
			if len(r.Places) != whyListed || r.OtherPlaces != 5002-whyListed || !strings.Contains(text, "and 4982 places with no more to order") || len(all.Places) != 5002 {
				t.Errorf("%d places and %d others, %d with --all", len(r.Places), r.OtherPlaces, len(all.Places))
			}
			continue
		}
		compareSums(t, s, &r.Places[0])
		compareSums(t, s, &all.Places[0])
	}
	l := s.explainLocation(&s.levels[7], &whyFlags{}, 0)
	if l.EarlierMovements == nil || l.EarlierMovements.Number+len(l.Movements) != 300 || len(l.Movements) != whyListed || !l.Movements[0].Merged || l.Reserved.OtherLines != 280 || l.OtherFutures.Number != 280 {
		t.Errorf("%+v", l)
	}
}

func TestWhySaysWhatNoReservationHolds(t *testing.T) {
	w := newWhyWorld(t, "EAST: NJ-1 NY-2")
	w.count("NJ-1", 9, "01-01 00:00")
	w.reserve("order-1", "NJ-1", 2, "")
	w.reserve("order-2", "EAST", 3, "")
	s := w.state()
	s.data.Reservations = nil
	for place, want := range map[string]string{
		"NJ-1": "- 2  reserved, and no open reservation says so; `onhand audit` tells more\n  = 7  ATF 7",
		"EAST": "- 3  reserved at EAST, and no open reservation says so; `onhand audit` tells more\n  = 4  ATO 4",
	} {
		if _, text := s.why(t, &whyFlags{place: place}); !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}

// TestWhyPrintsWhatTheREADMEShows has the screen of the README.
func TestWhyPrintsWhatTheREADMEShows(t *testing.T) {
	w := newWhyWorld(t, "US-EAST: NJ-1 NY-2", "NORTH: NY-2 BOS-1")
	w.count("NJ-1", 8, "01-01 06:00")
	w.adjust("sale-1", "NJ-1", -3, "01-01 09:12")
	w.count("NY-2", 15, "01-01 06:00")
	w.count("BOS-1", 4, "01-01 06:00")
	w.reserve("order-4711", "US-EAST", 12, "")
	w.reserve("basket-88", "US-EAST", 5, "04-01 10:00")
	partial := w.reserve("order-4712", "NORTH", 8, "")
	s := w.state()
	r, err := s.report(&whyFlags{place: "US-EAST"}, instant("01-02 00:00"))
	if err != nil {
		t.Fatal(err)
	}
	r.SKU, r.namespace = "SHIRT-M-BLUE", "onhand"
	r.Places[0].Published = whyPublished{State: publishedSame, Version: r.Version, Offset: 3017, Timestamp: timeOrNull(instant("01-02 08:31")),
		Cause: &topics.Source{Topic: "onhand.reservation-events", Partition: 2, Offset: 871}}
	change := func(topic string, offset int64, at string, fill func(*whyChange)) {
		c := whyChange{Source: topics.Source{Topic: "onhand." + topic, Partition: 2, Offset: offset}, Timestamp: timeOrNull(instant(at)).Value}
		fill(&c)
		r.Changes = append(r.Changes, c)
	}
	change("stock-deltas", 5530, "01-01 09:12", func(c *whyChange) {
		c.takeDelta(&availability.Delta{RecordID: "sale-1", Location: "NJ-1", Mode: availability.Adjust, HasOnHand: true, OnHand: units(-3), EffectiveAt: instant("01-01 09:12")})
	})
	change("reservation-events", 871, "01-02 08:31", func(c *whyChange) {
		c.takeEvent(&availability.ReservationEvent{RequestID: "q-4712", ReservationID: "order-4712", Group: "NORTH", HasQuantity: true, Quantity: units(8)})
		c.decide(&partial)
	})
	r.settleEffects(s, time.Hour)
	var out, notes strings.Builder
	if err := (&app{out: &out, err: &notes}).printWhy(r); err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(readme), "$ onhand why SHIRT-M-BLUE --place US-EAST\n")
	screen, _, _ := strings.Cut(after, "```")
	wantText(t, screen, out.String())
}
