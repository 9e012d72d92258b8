package availability

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// LocationSpec is a location as published.
type LocationSpec struct {
	ID        LocationID
	Inventory bool  // false: takes no stock and is in no group
	Sync      bool  // false: keeps its history, leaves the sums, is not published
	Since     int64 // graph version in which it joined; a location that left and returned has no history
}

// GroupSpec is a location group as published.
type GroupSpec struct {
	ID        GroupID
	Enabled   bool // false: keeps its promises, leaves the sums, is not published
	Sync      bool
	Locations []LocationID
}

// GraphSpec is one published location graph: all locations, groups and memberships at one version.
type GraphSpec struct {
	Version   int64
	Locations []LocationSpec
	Groups    []GroupSpec
}

// Graph is a compiled GraphSpec, immutable. Locations and groups are numbered by their place in the sorted list of ids,
// so that a number means the same in every process that has this version.
type Graph struct {
	Version   int64
	locations []graphLocation
	groups    []graphGroup
	pools     []graphPool
	joined    []int64 // versions with which locations joined, sorted
	shared    int     // pools of two or more locations come first: pools[:shared] have stored sums
	parts     []component

	locationIndex map[LocationID]int32
	groupIndex    map[GroupID]int32
}

type graphLocation struct {
	LocationSpec
	active bool
	pool   int32 // -1: in no active group
}

type graphGroup struct {
	GroupSpec
	active bool
	pools  []int32
	part   int32 // connected component; -1: inactive
}

// graphPool is a pool: all active locations that belong to exactly the same active groups.
type graphPool struct {
	groups    []int32
	locations []int32
	part      int32
}

// component is a set of active groups that are connected through shared locations, whatever their stock or demand.
type component struct {
	groups []int32
	pools  []int32
}

// Validate returns every rule that the published graph breaks, each as a sentence, joined.
func (s *GraphSpec) Validate() error {
	var errs []error
	seen := make(map[string]string, len(s.Locations)+len(s.Groups))
	inventory := make(map[LocationID]bool, len(s.Locations))
	use := func(id, kind string) {
		if err := CheckPlaceID(id); err != nil {
			errs = append(errs, fmt.Errorf("%s %q: %w", kind, id, err))
		}
		if other, ok := seen[id]; ok {
			errs = append(errs, fmt.Errorf("external reference %q is used by a %s and by a %s; references are unique across locations and groups", id, other, kind))
		}
		seen[id] = kind
	}
	for _, l := range s.Locations {
		use(string(l.ID), "location")
		inventory[l.ID] = l.Inventory
	}
	for _, g := range s.Groups {
		use(string(g.ID), "group")
		errs = append(errs, g.validate(inventory)...)
	}
	return errors.Join(errs...)
}

func (g *GroupSpec) validate(inventory map[LocationID]bool) (errs []error) {
	if len(g.Locations) == 0 {
		errs = append(errs, fmt.Errorf("group %q has no location; a group needs at least one", g.ID))
	}
	members := make(map[LocationID]bool, len(g.Locations))
	for _, l := range g.Locations {
		takesStock, known := inventory[l]
		switch {
		case !known:
			errs = append(errs, fmt.Errorf("group %q has the member %q, which is no location of this graph", g.ID, l))
		case !takesStock:
			errs = append(errs, fmt.Errorf("group %q has the member %q, which is no inventory location", g.ID, l))
		case members[l]:
			errs = append(errs, fmt.Errorf("group %q names its member %q twice", g.ID, l))
		}
		members[l] = true
	}
	return errs
}

// CheckPlaceID says what is wrong with the external reference of a location or group: 2–128 of A–Z a–z 0–9 _ -.
func CheckPlaceID(id string) error {
	if len(id) < 2 || len(id) > 128 {
		return errors.New("a reference has 2 to 128 characters")
	}
	for _, c := range []byte(id) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return errors.New("a reference has only letters, digits, _ and -")
		}
	}
	return nil
}

// CheckSKU says what is wrong with a SKU: 1–250 characters, none of \ < > ; % / : or white space or control characters.
func CheckSKU(sku string) error {
	if sku == "" || utf8.RuneCountInString(sku) > 250 {
		return errors.New("a SKU has 1 to 250 characters")
	}
	if strings.ContainsAny(sku, `\<>;%/:`) || strings.ContainsFunc(sku, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || r == unicode.ReplacementChar }) {
		return errors.New(`a SKU has no white space and none of \ < > ; % / :`) //nolint:staticcheck // The punctuation at its end is what it speaks of.
	}
	return nil
}

// Compile numbers the places of a valid spec and finds its pools and components. The spec is not kept and not changed.
func (s *GraphSpec) Compile() (*Graph, error) {
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("compiling location graph %d: %w", s.Version, err)
	}
	g := &Graph{Version: s.Version, locationIndex: make(map[LocationID]int32, len(s.Locations)), groupIndex: make(map[GroupID]int32, len(s.Groups))}
	for _, l := range s.Locations {
		g.locations = append(g.locations, graphLocation{LocationSpec: l, active: l.Sync && l.Inventory, pool: -1})
	}
	slices.SortFunc(g.locations, func(a, b graphLocation) int { return strings.Compare(string(a.ID), string(b.ID)) })
	for i, l := range g.locations {
		g.locationIndex[l.ID] = int32(i)
		g.joined = append(g.joined, l.Since)
	}
	slices.Sort(g.joined)
	g.joined = slices.Compact(g.joined)
	for _, p := range s.Groups {
		p.Locations = slices.Clone(p.Locations)
		slices.Sort(p.Locations)
		g.groups = append(g.groups, graphGroup{GroupSpec: p, active: p.Sync && p.Enabled, part: -1})
	}
	slices.SortFunc(g.groups, func(a, b graphGroup) int { return strings.Compare(string(a.ID), string(b.ID)) })
	for i, p := range g.groups {
		g.groupIndex[p.ID] = int32(i)
	}
	g.findPools()
	g.findComponents()
	return g, nil
}

// Joined returns the versions with which the locations of the graph joined, sorted, each once.
func (g *Graph) Joined() []int64 { return g.joined }

func (g *Graph) findPools() {
	memberOf := make([][]int32, len(g.locations))
	for i, p := range g.groups {
		if !p.active {
			continue
		}
		for _, id := range p.Locations {
			if l := g.locationIndex[id]; g.locations[l].active {
				memberOf[l] = append(memberOf[l], int32(i))
			}
		}
	}
	bySignature := make(map[string]int, len(g.locations))
	for l, groups := range memberOf {
		if len(groups) == 0 {
			continue
		}
		signature := fmt.Sprint(groups)
		p, ok := bySignature[signature]
		if !ok {
			p = len(g.pools)
			bySignature[signature] = p
			g.pools = append(g.pools, graphPool{groups: groups})
		}
		g.pools[p].locations = append(g.pools[p].locations, int32(l))
	}
	slices.SortStableFunc(g.pools, func(a, b graphPool) int { return min(len(b.locations), 2) - min(len(a.locations), 2) })
	for i, p := range g.pools {
		if len(p.locations) > 1 {
			g.shared++
		}
		for _, l := range p.locations {
			g.locations[l].pool = int32(i)
		}
		for _, q := range p.groups {
			g.groups[q].pools = append(g.groups[q].pools, int32(i))
		}
	}
}

func (g *Graph) findComponents() {
	for i := range g.groups {
		if !g.groups[i].active || g.groups[i].part >= 0 {
			continue
		}
		part := int32(len(g.parts))
		var c component
		g.groups[i].part = part
		for queue := []int32{int32(i)}; len(queue) > 0; queue = queue[1:] {
			c.groups = append(c.groups, queue[0])
			for _, p := range g.groups[queue[0]].pools {
				for _, q := range g.pools[p].groups {
					if g.groups[q].part < 0 {
						g.groups[q].part = part
						queue = append(queue, q)
					}
				}
			}
		}
		slices.Sort(c.groups)
		g.parts = append(g.parts, c)
	}
	for i := range g.pools {
		part := g.groups[g.pools[i].groups[0]].part
		g.pools[i].part = part
		g.parts[part].pools = append(g.parts[part].pools, int32(i))
	}
}

// Location says whether the graph has the location, and whether it takes stock.
func (g *Graph) Location(id LocationID) (known, inventory bool) {
	i, ok := g.locationIndex[id]
	return ok, ok && g.locations[i].Inventory
}

// Spec returns the graph as it was published, places sorted by id.
func (g *Graph) Spec() GraphSpec {
	s := GraphSpec{Version: g.Version}
	for _, l := range g.locations {
		s.Locations = append(s.Locations, l.LocationSpec)
	}
	for _, p := range g.groups {
		s.Groups = append(s.Groups, p.GroupSpec)
	}
	return s
}

// Places returns every place of the graph, active or not: locations by id, then groups by id.
func (g *Graph) Places() []Place {
	places := make([]Place, 0, len(g.locations)+len(g.groups))
	for i := range g.locations {
		places = append(places, Place{LocationPlace, string(g.locations[i].ID)})
	}
	for i := range g.groups {
		places = append(places, Place{GroupPlace, string(g.groups[i].ID)})
	}
	return places
}

// Keeps says whether the graph still has a place of an older one. A location that left and returned is another one.
func (g *Graph) Keeps(old *Graph, p Place) bool {
	if p.Type == GroupPlace {
		return g.group(GroupID(p.ID)) >= 0
	}
	now, then := g.location(LocationID(p.ID)), old.location(LocationID(p.ID))
	return now >= 0 && then >= 0 && g.locations[now].Since == old.locations[then].Since
}

func (g *Graph) location(id LocationID) int32 {
	if i, ok := g.locationIndex[id]; ok {
		return i
	}
	return -1
}

func (g *Graph) group(id GroupID) int32 {
	if i, ok := g.groupIndex[id]; ok {
		return i
	}
	return -1
}

// number returns the number of a place among its kind, or -1.
func (g *Graph) number(p Place) int32 {
	if p.Type == GroupPlace {
		return g.group(GroupID(p.ID))
	}
	return g.location(LocationID(p.ID))
}

// groupsOf returns the active groups that location l is in. It is nil for a location outside the sums.
func (g *Graph) groupsOf(l int32) []int32 {
	if l < 0 || g.locations[l].pool < 0 {
		return nil
	}
	return g.pools[g.locations[l].pool].groups
}
