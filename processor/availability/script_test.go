package availability

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the output of the scripts in testdata into them, for review as a diff")

// TestScripts runs testdata/*.txt. A script is a list of blocks: commands, one a line, then "----", then the output that
// they must have. What one block does is one batch, unless it says batch. Lines that begin with # are comments.
//
//	graph L1 L2:unsynced L3:noinventory AA=L1,L2 BB:disabled=L2   the next version; a location left out is removed
//	pools                                     components of overlapping groups, with their pools
//	clock 03-10T12:00                         timestamp of the next record; every event adds a second
//	count L1 10 | update L1 onHand=10 safetyStockCount=2 futures=5@06-01,1.5@07-01 effectiveDate=03-09
//	drop L1 06-01                             the futures of a location that are overdue then
//	adjust L1 -3 effectiveDate=03-09 recordId=a1 | delete L1 effectiveDate=03-09
//	reserve|transfer|fulfill|release r1 5 location=L1 …   fields by their names in ReservationEvent
//	levels [place…] | changes | cell L1 | reservation r1 | reservable L1 [fulfillOnly=true]
//	batch | sweep                             end the batch; bring every SKU to the current graph
//	touch [L1 group:AA…]                      publish every level, and tombstones for these places, which the graph lacks
//	republish [L1…]                           what is derived computed anew from what the store has, and as touch
//	spoil L1|GG 5                             what is reserved at a place, in the store alone, and what pools add up to
//	futures | unwatch                         the dates that the store watches; it forgets them
//	restart                                   rebuild everything from the store
//	replay                                    fold everything again from nothing, decisions standing; compare
//
// sku=other is another SKU than "sku". A value "cleared" clears. Dates are of 2026, UTC. A place is a group if the graph
// has it as one. Every script is restarted and replayed once more at its end.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts in testdata: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { runScript(t, file) })
	}
}

func runScript(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := &script{world: newWorld(t, DefaultRules()), since: map[LocationID]int64{}, clock: mustInstant("03-10")}
	var out strings.Builder
	for i, block := range strings.Split(strings.TrimSpace(string(text)), "\n\n") {
		block = strings.Trim(block, "\n")
		input, want, ok := strings.Cut(block+"\n", "\n----\n")
		if !ok {
			out.WriteString(block + "\n\n") // comments alone
			continue
		}
		got := s.block(input)
		if want != got && !*rewrite {
			t.Errorf("%s, block %d\n%s\n---- got\n%s---- want\n%s", file, i+1, input, got, want)
		}
		out.WriteString(strings.TrimSuffix(input+"\n----\n"+got, "\n") + "\n\n")
	}
	for _, last := range []string{"restart", "replay"} {
		if got := s.block(last); got != "same levels\n" {
			t.Errorf("%s: %s at the end: %s", file, last, got)
		}
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(strings.TrimSuffix(out.String(), "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// script is a world that text commands act on.
type script struct {
	world   *world
	spec    GraphSpec
	since   map[LocationID]int64 // of every location of the graph
	clock   Instant
	serial  int
	ops     []op
	answers []answer
}

func (s *script) block(input string) string {
	var out strings.Builder
	for line := range strings.Lines(input) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			out.WriteString(s.command(line))
		}
	}
	s.world.commit()
	return out.String()
}

func (s *script) command(line string) string {
	a := parseArgs(line)
	switch a.name {
	case "clock":
		s.clock = mustInstant(a.at(0))
	case "graph":
		return s.graph(a)
	case "batch":
		s.world.commit()
	case "sweep":
		s.world.sweep()
	case "count", "update", "adjust", "delete":
		return s.do(op{delta: s.delta(a)})
	case "reserve", "transfer", "fulfill", "release":
		return s.do(op{event: s.event(a)})
	case "drop":
		return s.do(op{drop: &dropOverdue{SKU(a.get("sku", "sku")), LocationID(a.at(0)), mustInstant(a.at(1))}})
	case "unwatch":
		s.world.commit()
		clear(s.world.store.skus[SKU(a.get("sku", "sku"))].futures)
	case "spoil":
		s.spoil(SKU(a.get("sku", "sku")), a.at(0), mustQuantity(a.at(1)))
	case "restart", "replay":
		return s.again(a.name)
	default:
		return s.look(a)
	}
	return ""
}

func (s *script) do(o op) string {
	a := s.world.fold(o)
	s.ops, s.answers = append(s.ops, o), append(s.answers, a)
	switch {
	case o.graph != nil:
		return fmt.Sprintf("graph %d\n", o.graph.Version)
	case o.event != nil:
		return showResult(a) + "\n"
	}
	text := [...]string{Applied: "applied", Stale: "stale", Duplicate: "duplicate", UnknownLocation: "unknown location", Overflow: "overflow"}[a.outcome]
	if a.outcome == Applied && a.stale > 0 {
		text += fmt.Sprintf(", %d stale", a.stale)
	}
	return text + "\n"
}

// again folds the same from the store, or from the start, and says whether that gave the same levels.
func (s *script) again(how string) string {
	w := s.world
	w.sweep()
	w.commit()
	before := map[SKU][]Level{}
	for sku := range w.store.skus {
		before[sku] = w.levels(sku)
	}
	if how == "restart" {
		w.reset()
	} else {
		s.world = newWorld(w.t, w.rules)
		s.world.standing = s.answers
		for _, o := range s.ops {
			s.world.fold(o)
		}
		s.world.standing = nil
		s.world.sweep()
		s.world.commit()
	}
	for sku, levels := range before {
		published := map[Place]Level{}
		for _, l := range levels {
			published[l.Place] = l
		}
		if diff := diffLevels(s.world.levels(sku), published); diff != "" {
			return "other levels:\n" + diff
		}
	}
	return "same levels\n"
}

// graph publishes a graph of the locations and groups that are named.
func (s *script) graph(a args) string {
	s.spec = GraphSpec{Version: s.spec.Version + 1}
	since := map[LocationID]int64{}
	for _, word := range a.words {
		id, flag, _ := strings.Cut(word, ":")
		l := LocationSpec{ID: LocationID(id), Inventory: flag != "noinventory", Sync: flag != "unsynced", Since: s.since[LocationID(id)]}
		if l.Since == 0 {
			l.Since = s.spec.Version
		}
		since[l.ID] = l.Since
		s.spec.Locations = append(s.spec.Locations, l)
	}
	for _, f := range a.fields {
		id, flag, _ := strings.Cut(f.key, ":")
		g := GroupSpec{ID: GroupID(id), Enabled: flag != "disabled", Sync: flag != "unsynced"}
		for _, l := range strings.Split(f.value, ",") {
			g.Locations = append(g.Locations, LocationID(l))
		}
		s.spec.Groups = append(s.spec.Groups, g)
	}
	s.since = since
	g, err := s.spec.Compile()
	if err != nil {
		return strings.ReplaceAll(err.Error(), "\n", "; ") + "\n"
	}
	return s.do(op{graph: g})
}

func (s *script) delta(a args) *Delta {
	s.clock, s.serial = s.clock+Second, s.serial+1
	d := &Delta{
		RecordID: a.get("recordId", fmt.Sprintf("a%d", s.serial)), SKU: SKU(a.get("sku", "sku")), Location: LocationID(a.at(0)),
		EffectiveAt: a.instant("effectiveDate", s.clock), At: s.clock,
	}
	switch a.name {
	case "adjust":
		d.Mode, d.HasOnHand, d.OnHand = Adjust, true, mustQuantity(a.at(1))
	case "delete":
		d.Mode = Delete
	case "count":
		d.HasOnHand, d.OnHand = true, mustQuantity(a.at(1))
	}
	for _, f := range a.fields {
		switch f.key {
		case "onHand":
			d.HasOnHand, d.OnHand = true, quantityOrCleared(f.value)
		case "safetyStockCount":
			d.HasSafetyStock, d.SafetyStock = true, quantityOrCleared(f.value)
		case "futures":
			d.HasFutures, d.Futures = true, mustFutures(f.value)
		}
	}
	return d
}

func (s *script) event(a args) *ReservationEvent {
	s.clock, s.serial = s.clock+Second, s.serial+1
	e := &ReservationEvent{
		RequestID: a.get("requestId", fmt.Sprintf("q%d", s.serial)), ReservationID: a.at(0), SKU: SKU(a.get("sku", "sku")),
		Action:   map[string]Action{"reserve": Reserve, "transfer": Transfer, "fulfill": Fulfill, "release": Release}[a.name],
		Location: LocationID(a.get("location", "")), ToLocation: LocationID(a.get("toLocation", "")),
		Group: GroupID(a.get("group", "")), ToGroup: GroupID(a.get("toGroup", "")),
		RefusePartial: a.get("allowPartial", "true") == "false", FulfillOnly: a.get("fulfillOnly", "") == "true",
		IgnoreAvailabilityCheck: a.get("ignoreAvailabilityCheck", "") == "true",
		EventAt:                 a.instant("eventTime", None), ExpiresAt: a.instant("expiresAt", None),
		ExternalRefID: a.get("externalRefId", ""), At: s.clock,
	}
	if len(a.words) > 1 {
		e.HasQuantity, e.Quantity = true, mustQuantity(a.at(1))
	}
	return e
}

// look prints something of the state.
func (s *script) look(a args) string {
	sku := SKU(a.get("sku", "sku"))
	f := s.world.folder
	var out strings.Builder
	switch a.name {
	case "levels":
		s.world.whole(sku)
		s.world.commit()
		for _, l := range s.world.levels(sku) {
			if len(a.words) == 0 || slices.Contains(a.words, l.Place.ID) {
				out.WriteString(show(&l) + "\n")
			}
		}
	case "changes":
		for _, c := range s.world.commit() {
			out.WriteString(show(&c.After) + "\n")
		}
	case "touch":
		s.world.folder.Touch(s.world.whole(sku), gonePlaces(a.words), s.world.folded-1)
		out.WriteString(s.publishAll(sku))
	case "republish":
		s.world.load(sku, func(*Stock) Want { return Want{SKU: sku, Whole: true} })
		s.world.folder.Republish(s.world.stocks[sku], a.words, s.world.folded-1)
		out.WriteString(s.publishAll(sku))
		if s.world.store.skus[sku] == nil {
			out.WriteString("nothing stored\n")
		}
	case "futures":
		s.world.commit()
		due := s.world.store.skus[sku].futures
		for _, id := range slices.Sorted(maps.Keys(due)) {
			fmt.Fprintf(&out, "%s %s\n", id, showInstant(due[id]))
		}
	case "cell":
		out.WriteString(showCell(s.world.whole(sku).cellOf(LocationID(a.at(0)))))
	case "reservation":
		s.world.commit()
		out.WriteString(showReservation(s.world.store.skus[sku], a.at(0)))
	case "reservable":
		p := Place{LocationPlace, a.at(0)}
		if f.Graph().group(GroupID(a.at(0))) >= 0 {
			p.Type = GroupPlace
		}
		q, _ := f.reservable(s.world.whole(sku), p, a.get("fulfillOnly", "") == "true")
		fmt.Fprintf(&out, "%s at %s\n", q, a.at(0))
	case "pools":
		for _, part := range f.Graph().parts {
			for _, g := range part.groups {
				fmt.Fprintf(&out, "%s ", f.Graph().groups[g].ID)
			}
			out.WriteString("share")
			for _, n := range part.pools {
				out.WriteString(" {")
				for i, l := range f.Graph().pools[n].locations {
					out.WriteString(strings.Repeat(" ", min(i, 1)) + string(f.Graph().locations[l].ID))
				}
				out.WriteString("}")
			}
			out.WriteString("\n")
		}
	default:
		s.world.t.Fatalf("no command %q", a.name)
	}
	return out.String()
}

func gonePlaces(words []string) (gone []Place) {
	for _, word := range words {
		p := Place{LocationPlace, word}
		if id, ok := strings.CutPrefix(word, "group:"); ok {
			p = Place{GroupPlace, id}
		}
		gone = append(gone, p)
	}
	return gone
}

// spoil changes what the store has reserved at a place, and a pool, and forgets what is in memory.
func (s *script) spoil(sku SKU, place string, q Quantity) {
	s.world.commit()
	k := s.world.store.skus[sku]
	if c, ok := k.cells[LocationID(place)]; ok {
		c.Reserved = q
		k.cells[LocationID(place)] = c
	} else {
		k.demand[GroupID(place)] = q
	}
	for n, p := range k.pools {
		p.OnHand += q
		k.pools[n] = p
	}
	s.world.reset()
}

// publishAll publishes what a batch did with everything else that the SKU has. The last batch stays as it is.
func (s *script) publishAll(sku SKU) string {
	changes, data, wrote := s.world.folder.Finish(s.world.stocks[sku], nil)
	text := ""
	for _, c := range changes {
		if old, ok := s.world.published[sku][c.After.Place]; ok && !old.Equal(&c.Before) {
			text += "was not " + show(&c.Before) + "\n"
		}
		if text += show(&c.After) + "\n"; c.After.Present {
			s.world.published[sku][c.After.Place] = c.After
		} else {
			delete(s.world.published[sku], c.After.Place)
		}
	}
	if wrote {
		s.world.store.merge(&data)
	}
	return text
}
