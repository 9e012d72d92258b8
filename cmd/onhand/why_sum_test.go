package main

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"onhand/processor/availability"
)

// sumRow matches a row of an addition as it is printed.
var sumRow = regexp.MustCompile(`^  ([ +=-]) +(-?[0-9.]+) +(.*)$`)

// sumsOf adds up what an output prints and returns, by what they say they are, the numbers at which it says that it arrives.
func sumsOf(t *testing.T, text string) map[string]availability.Quantity {
	t.Helper()
	sums := make(map[string]availability.Quantity)
	var total availability.Quantity
	for line := range strings.SplitSeq(text, "\n") {
		row := sumRow.FindStringSubmatch(line)
		if row == nil {
			continue
		}
		q, err := availability.ParseQuantity(row[2])
		if err != nil {
			t.Fatal(err)
		}
		switch row[1] {
		case " ":
			total = q
		case "+":
			total += q
		case "-":
			total -= q
		case "=":
			if q != total {
				t.Errorf("the sum is %s and not %s in\n%s", total, q, text)
			}
			name, published, _ := strings.Cut(strings.TrimSuffix(row[3], ","), " ")
			published, _, _ = strings.Cut(published, ",")
			if sums[name] = q; name == "ATF" || name == "ATO" {
				if published != max(0, q).String() {
					t.Errorf("%s is said to be %s, and the sum is %s", name, published, q)
				}
				sums[name] = max(0, q)
			}
		}
	}
	return sums
}

// compareSums compares the additions that are printed with the level that the core computes, and what is said to limit it.
func compareSums(t *testing.T, s *whyState, p *whyPlace) {
	t.Helper()
	var b strings.Builder
	r := &whyReport{SKU: string(s.sku), place: p.level.Place}
	r.printPlace(&b, p)
	sums := sumsOf(t, b.String())
	want := map[string]availability.Quantity{"ATF": p.level.ATF, "ATO": p.level.ATO}
	if p.Location != nil {
		want["on"] = p.level.OnHand
	}
	if len(sums) != len(want) {
		t.Errorf("the output has the sums %v, want %v", sums, want)
	}
	for name, q := range want {
		if sums[name] != q {
			t.Errorf("%s at %s adds up to %s, want %s\n%s", name, p.level.Place.ID, sums[name], q, b.String())
		}
	}
	if p.Group == nil {
		return
	}
	for _, limit := range []struct {
		of    whyReservable
		level availability.Quantity
	}{{p.Group.ATO, p.level.ATO}, {p.Group.ATF, p.level.ATF}} {
		if max(0, availability.Quantity(limit.of.Quantity)) != limit.level {
			t.Errorf("%s can be promised at %s, and the level says %s", limit.of.Quantity, p.level.Place.ID, limit.level)
		}
		if b := limit.of.Bound; b != nil {
			left := b.Free
			for _, promise := range b.Promised {
				left -= promise.Quantity
			}
			if left != limit.of.Quantity {
				t.Errorf("%s: %s is left, want %s", b.Text, left, limit.of.Quantity)
			}
		}
	}
}

// TestWhyAddsUp explains random worlds.
//
// Generated: 2 to 8 locations, some not synced, in 1 to 4 groups that overlap, some disabled; 40 counts, adjustments,
// deletions, safety stocks, futures and reservations, fulfilments and releases at random places. Compared: that each
// addition printed, of every place that has the SKU, adds up, and to the level of the core; that the set of groups that is
// named leaves what the level says; that all shows more and comes to the same.
//
// A failure prints the seed; set it in place of the time to see it again.
func TestWhyAddsUp(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for n := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, n))
		s := randomWhyState(t, r)
		for i := range s.levels {
			for _, all := range []bool{false, true} {
				p := s.explain(&s.levels[i], &whyFlags{all: all}, instant("01-02 12:00"))
				compareSums(t, s, &p)
			}
		}
		if t.Failed() {
			t.Fatalf("world %d of seed %d", n, seed)
		}
	}
}

func randomWhyState(t *testing.T, r *rand.Rand) *whyState {
	t.Helper()
	spec := availability.GraphSpec{Version: 7}
	locations := 2 + r.IntN(7)
	for i := range locations {
		spec.Locations = append(spec.Locations, availability.LocationSpec{ID: availability.LocationID(fmt.Sprintf("L%d", i)), Inventory: true, Sync: r.IntN(8) > 0, Since: 1})
	}
	for i := range 1 + r.IntN(4) {
		g := availability.GroupSpec{ID: availability.GroupID(fmt.Sprintf("G%d", i)), Enabled: r.IntN(8) > 0, Sync: true}
		for l := range locations {
			if r.IntN(2) == 0 || l == i%locations {
				g.Locations = append(g.Locations, spec.Locations[l].ID)
			}
		}
		spec.Groups = append(spec.Groups, g)
	}
	w := newWhyWorldOf(t, &spec)
	for n := range 40 {
		w.random(r, &spec, n)
	}
	return w.state()
}

// random lets something happen that may as well be refused.
func (w *whyWorld) random(r *rand.Rand, spec *availability.GraphSpec, n int) {
	at := instant("01-01 00:00") + availability.Instant(r.IntN(4000))*availability.Minute
	location := spec.Locations[r.IntN(len(spec.Locations))].ID
	d := availability.Delta{RecordID: fmt.Sprint("d", n), SKU: "SHIRT", Location: location, EffectiveAt: at, At: at, HasOnHand: true, OnHand: availability.Quantity(r.IntN(30_000))}
	e := availability.ReservationEvent{RequestID: fmt.Sprint("q", n), ReservationID: fmt.Sprint("r", r.IntN(12)), SKU: "SHIRT", HasQuantity: true,
		Quantity: availability.Quantity(1 + r.IntN(9000)), EventAt: availability.None, ExpiresAt: availability.None, At: at}
	if r.IntN(2) == 0 {
		e.Location = location
	} else {
		e.Group = spec.Groups[r.IntN(len(spec.Groups))].ID
	}
	if r.IntN(3) == 0 {
		e.ExpiresAt = at + availability.Instant(1+r.IntN(3000))*availability.Minute
	}
	switch r.IntN(9) {
	case 0, 1:
		d.Mode, d.OnHand = availability.Adjust, d.OnHand-15_000
	case 2:
		d.Mode, d.HasOnHand, d.OnHand = availability.Delete, false, 0
	case 3:
		d.HasSafetyStock, d.SafetyStock = true, availability.Quantity(r.IntN(9000))
	case 4:
		d.HasFutures, d.Futures = true, []availability.Future{{Quantity: availability.Quantity(1 + r.IntN(9000)), Expected: at}, {Quantity: 500, Expected: at + availability.Hour}}
	case 5, 6:
		w.folder.Reservation(w.stock, &e, 1, 0)
		return
	case 7:
		e.Action, e.Location, e.Group, e.ExpiresAt = availability.Fulfill, location, "", availability.None
		w.folder.Reservation(w.stock, &e, 1, 0)
		return
	case 8:
		e.Action, e.HasQuantity, e.Quantity, e.ExpiresAt = availability.Release, false, 0, availability.None
		w.folder.Reservation(w.stock, &e, 1, 0)
		return
	}
	w.folder.Delta(w.stock, &d, 0)
}
