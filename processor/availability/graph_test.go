package availability

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestGraphRules(t *testing.T) {
	location := func(id LocationID) LocationSpec { return LocationSpec{ID: id, Inventory: true, Sync: true} }
	group := func(id GroupID, locations ...LocationID) GroupSpec {
		return GroupSpec{ID: id, Enabled: true, Sync: true, Locations: locations}
	}
	for _, c := range []struct {
		name      string
		locations []LocationSpec
		groups    []GroupSpec
		want      []string // parts of the problems, in order; none: valid
	}{
		{"empty", nil, nil, nil},
		{"a location in none or many", []LocationSpec{location("L1"), location("L2")}, []GroupSpec{group("AA", "L1"), group("BB", "L1")}, nil},
		{"all kinds of reference", []LocationSpec{location("a_B-9"), location(LocationID(strings.Repeat("x", 128)))}, nil, nil},
		{"a reference too short, too long, and wrong", []LocationSpec{location("L"), location(LocationID(strings.Repeat("x", 129))), location("a/b"), location("ä1")}, nil,
			[]string{`location "L": a reference has 2 to 128`, "2 to 128", `location "a/b": a reference has only letters`, "only letters"}},
		{"a location twice", []LocationSpec{location("L1"), location("L1")}, nil, []string{`"L1" is used by a location and by a location`}},
		{"a group as a location", []LocationSpec{location("L1")}, []GroupSpec{group("L1", "L1")}, []string{`"L1" is used by a location and by a group`}},
		{"a group without locations", nil, []GroupSpec{group("AA")}, []string{`group "AA" has no location`}},
		{"an unknown member", nil, []GroupSpec{group("AA", "L9")}, []string{`member "L9", which is no location of this graph`}},
		{"a member that takes no stock", []LocationSpec{{ID: "L1"}}, []GroupSpec{group("AA", "L1")}, []string{`member "L1", which is no inventory location`}},
		{"a member twice", []LocationSpec{location("L1")}, []GroupSpec{group("AA", "L1", "L1")}, []string{`names its member "L1" twice`}},
		{"a group as a member", []LocationSpec{location("L1")}, []GroupSpec{group("AA", "L1"), group("BB", "AA")}, []string{`member "AA", which is no location`}},
		{"everything at once", []LocationSpec{location("L1"), location("L1")}, []GroupSpec{group("AA"), group("BB", "L9")},
			[]string{`"L1" is used`, `"AA" has no location`, `member "L9"`}},
	} {
		spec := GraphSpec{Version: 3, Locations: c.locations, Groups: c.groups}
		err := spec.Validate()
		if _, compileErr := spec.Compile(); (err == nil) != (compileErr == nil) {
			t.Errorf("%s: Validate says %v, Compile %v", c.name, err, compileErr)
		}
		if len(c.want) == 0 || err == nil {
			if err != nil || len(c.want) > 0 {
				t.Errorf("%s: %v, want %q", c.name, err, c.want)
			}
			continue
		}
		problems := strings.Split(err.Error(), "\n")
		if len(problems) != len(c.want) {
			t.Errorf("%s: %q, want %q", c.name, problems, c.want)
			continue
		}
		for i, want := range c.want {
			if !strings.Contains(problems[i], want) {
				t.Errorf("%s: %q, want %q", c.name, problems[i], want)
			}
		}
	}
}

// TestPoolsAreSignatures compares pools and components with their definitions.
//
// Generated: graphs as in TestModel. Compared: two locations of the sums are in one pool iff they are in the same active
// groups; pools of several come first; two active groups are in one component iff a chain of shared locations joins them;
// numbers do not depend on the order in which the graph lists its places.
//
// Replay:
//
//	go test ./processor/availability -run '^TestPoolsAreSignatures$' -seed=N -cases=1
func TestPoolsAreSignatures(t *testing.T) {
	eachCase(t, 500, func(t *testing.T, r *rand.Rand) {
		generator := newGenerator(r)
		generator.publish()
		g := generator.ops[0].graph
		plain := newPlain()
		plain.fold(generator.ops[0])
		signature := func(l *graphLocation) (groups []int32) {
			for i, p := range g.groups {
				if p.Enabled && p.Sync && l.Sync && l.Inventory && slices.Contains(p.Locations, l.ID) {
					groups = append(groups, int32(i))
				}
			}
			return groups
		}
		for i := range g.locations {
			for j := range g.locations {
				a, b := &g.locations[i], &g.locations[j]
				in := signature(a)
				if one, want := a.pool == b.pool && a.pool >= 0, len(in) > 0 && slices.Equal(in, signature(b)); one != want {
					t.Errorf("%s and %s are in one pool: %v, want %v", a.ID, b.ID, one, want)
				}
			}
			if !slices.Equal(g.groupsOf(int32(i)), signature(&g.locations[i])) {
				t.Errorf("groups of %s: %v", g.locations[i].ID, g.groupsOf(int32(i)))
			}
		}
		for i, p := range g.pools {
			if (len(p.locations) > 1) != (i < g.shared) {
				t.Errorf("pool %d of %d shared has %d locations", i, g.shared, len(p.locations))
			}
		}
		for i := range g.groups {
			if p := &g.groups[i]; p.Enabled && p.Sync {
				var part []GroupID
				for _, q := range plain.component(plain.group(p.ID)) {
					part = append(part, q.ID)
				}
				var got []GroupID
				for _, q := range g.parts[p.part].groups {
					got = append(got, g.groups[q].ID)
				}
				if slices.Sort(part); !slices.Equal(got, part) {
					t.Errorf("component of %s: %v, want %v", p.ID, got, part)
				}
			}
		}
		shuffled := g.Spec()
		r.Shuffle(len(shuffled.Locations), func(i, j int) {
			shuffled.Locations[i], shuffled.Locations[j] = shuffled.Locations[j], shuffled.Locations[i]
		})
		again, err := shuffled.Compile()
		if err != nil || fmt.Sprint(again.pools, again.parts) != fmt.Sprint(g.pools, g.parts) {
			t.Errorf("%v: pools %v, want %v", err, again.pools, g.pools)
		}
	})
}

func TestCheckSKU(t *testing.T) {
	for _, sku := range []string{"1", "a.b_c-d|e+f", "größe-42", strings.Repeat("x", 250), strings.Repeat("棚", 250)} {
		if err := CheckSKU(sku); err != nil {
			t.Errorf("CheckSKU(%q): %v", sku, err)
		}
	}
	for _, sku := range []string{
		"", strings.Repeat("x", 251), `a\b`, "a<b", "a>b", "a;b", "a%b", "a/b", "a:b", "a b", "a\tb", "a\u00a0b", "a\x00b", "a\x7fb", "a\xffb",
	} {
		if CheckSKU(sku) == nil {
			t.Errorf("CheckSKU(%q) finds nothing", sku)
		}
	}
}
