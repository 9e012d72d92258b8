package availability

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestPromisesAreExact compares the flow with every set of groups.
//
// Generated: 1–8 groups over 1–60 locations, each in a random set of them, most pools of several locations; stock, safety
// stock and futures; promises from none to more than there is. Compared: what is left for every group with ATO and with ATF
// as what is free, also below zero; what the promises lack; and that the tight set is one, and the smallest.
//
// Replay:
//
//	go test ./processor/availability -run '^TestPromisesAreExact$' -seed=N -cases=1
func TestPromisesAreExact(t *testing.T) {
	eachCase(t, 4000, func(t *testing.T, r *rand.Rand) {
		f, s := randomPromises(t, r)
		for part := range f.graph.parts {
			for _, fulfill := range []bool{false, true} {
				comparePromises(t, f, s, int32(part), fulfill)
			}
		}
	})
}

// randomPromises returns a stock of a random graph with random demand, as no reservation may have made it.
func randomPromises(t *testing.T, r *rand.Rand) (*Folder, *Stock) {
	groups := 1 + r.IntN(8)
	spec := GraphSpec{Version: 1}
	for i := range groups {
		spec.Groups = append(spec.Groups, GroupSpec{ID: GroupID(fmt.Sprintf("G%d", i)), Enabled: true, Sync: true})
	}
	signatures := make([]uint, 1+r.IntN(20))
	for i := range signatures {
		signatures[i] = r.UintN(1<<groups) & r.UintN(1<<groups) // few groups each, so that there are several components
	}
	for i := range 1 + r.IntN(60) {
		id := LocationID(fmt.Sprintf("L%d", i))
		spec.Locations = append(spec.Locations, LocationSpec{ID: id, Inventory: true, Sync: true, Since: 1})
		for g, in := 0, pick(r, signatures); in != 0; g, in = g+1, in>>1 {
			if in&1 != 0 {
				spec.Groups[g].Locations = append(spec.Groups[g].Locations, id)
			}
		}
	}
	spec.Groups = slices.DeleteFunc(spec.Groups, func(g GroupSpec) bool { return len(g.Locations) == 0 })
	g, err := spec.Compile()
	if err != nil {
		t.Fatal(err)
	}
	f := NewFolder(g, DefaultRules(), NewWindow(24*Hour))
	s := NewStock(g, &StockData{SKU: "sku", Complete: true})
	for i, l := range spec.Locations {
		if r.IntN(4) == 0 {
			continue
		}
		d := Delta{SKU: "sku", Location: l.ID, HasOnHand: true, OnHand: Quantity(r.IntN(9)), EffectiveAt: 1, At: 1}
		if d.HasSafetyStock, d.SafetyStock = true, Quantity(r.IntN(4)); r.IntN(3) == 0 {
			d.HasFutures, d.Futures = true, []Future{{Quantity(1 + r.IntN(9)), 5}}
		}
		if outcome, _ := f.Delta(s, &d, i); outcome != Applied {
			t.Fatalf("outcome %d", outcome)
		}
	}
	for _, p := range spec.Groups {
		if q := Quantity(r.IntN(30)); r.IntN(2) == 0 && q > 0 {
			s.promise(p.ID, q)
		}
	}
	f.touched()
	return f, s
}

// comparePromises compares one component.
func comparePromises(t *testing.T, f *Folder, s *Stock, part int32, fulfill bool) {
	t.Helper()
	groups := f.graph.parts[part].groups
	free, demand := make([]Quantity, 1<<len(groups)), make([]Quantity, 1<<len(groups))
	var lack Quantity
	for set := range free {
		free[set], demand[set] = bruteSet(f, s, groups, set, fulfill)
		lack = max(lack, demand[set]-free[set])
	}
	p := f.promisesOf(s, part, fulfill)
	if p.unmet != lack {
		t.Errorf("promises lack %s, want %s", p.unmet, lack)
	}
	for i, g := range groups {
		left := Quantity(1 << 62)
		for set := range free {
			if set&(1<<i) != 0 {
				left = min(left, free[set]-demand[set])
			}
		}
		if got := p.available(g); got != left {
			t.Errorf("group %s has %s left, want %s", f.graph.groups[g].ID, got, left)
		}
		tight := 0
		for _, h := range p.tight(g) {
			tight |= 1 << slices.Index(groups, h)
		}
		if tight&(1<<i) == 0 || free[tight]-demand[tight] != left {
			t.Errorf("set %b of group %d has %s left, want %s", tight, i, free[tight]-demand[tight], left)
		}
		for set := range free {
			if set&(1<<i) != 0 && free[set]-demand[set] == left && bits.OnesCount(uint(set)) < bits.OnesCount(uint(tight)) {
				t.Errorf("set %b of group %d is tight, %b is as well and smaller", tight, i, set)
			}
		}
	}
}

// bruteSet returns what the locations of a set of groups have free, and what the groups have promised.
func bruteSet(f *Folder, s *Stock, groups []int32, set int, fulfill bool) (free, demand Quantity) {
	var locations []LocationID
	for i, g := range groups {
		if set&(1<<i) != 0 {
			locations = append(locations, f.graph.groups[g].Locations...)
			demand += s.demandOf(g)
		}
	}
	slices.Sort(locations)
	for _, id := range slices.Compact(locations) {
		if c := s.peek(f.graph.location(id)); c != nil && fulfill {
			free += c.sums().atf
		} else if c != nil {
			free += c.sums().ato
		}
	}
	return free, demand
}
