package main

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"onhand/schemas"
)

const testGraph = `
locations:
  - {externalReference: NJ-1, name: New Jersey, locationType: WAREHOUSE}
  - {externalReference: NY-2}
  - {externalReference: NY-3, sync: false}
  - {externalReference: SHOP, inventoryLocation: false}
groups:
  - externalReference: EAST
    locations: [NJ-1, NY-2, NY-3]
  - {externalReference: NYC, enabled: false, locations: [NY-2]}
`

func mustGraph(t *testing.T, text string) schemas.LocationGraph {
	t.Helper()
	f, err := parseGraphFile([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f.graph()
}

func TestGraphFileHasDefaults(t *testing.T) {
	g := mustGraph(t, testGraph)
	if l := g.Locations[0]; l.Name != "New Jersey" || l.LocationType != "WAREHOUSE" || !l.InventoryLocation || !l.Sync {
		t.Errorf("%+v", l)
	}
	if l := g.Locations[1]; l.Name != "NY-2" || g.Locations[2].Sync || g.Locations[3].InventoryLocation {
		t.Errorf("%+v", g.Locations)
	}
	if p := g.Groups[0]; p.Name != "EAST" || !p.Enabled || !p.Sync || len(p.Locations) != 3 || g.Groups[1].Enabled {
		t.Errorf("%+v", g.Groups)
	}
	asJSON := mustGraph(t, "{\n\t\"locations\": [{\"externalReference\": \"NJ-1\"}],\n\t\"groups\": [{\"externalReference\": \"EAST\", \"locations\": [\"NJ-1\"]}]\n}")
	if len(asJSON.Locations) != 1 || !asJSON.Locations[0].Sync || asJSON.Groups[0].Locations[0] != "NJ-1" {
		t.Errorf("%+v", asJSON)
	}
}

func TestGraphFileIsStrict(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", "it is empty"},
		{"groups: []", "it has no locations"},
		{"locations: [{externalReference: A1, synch: true}]", `line 1: field "synch" is unknown; did you mean sync?`},
		{`{"locations": [{"externalReferenc": "A1"}]}`, `field "externalReferenc" is unknown; did you mean externalReference?`},
		{"version: 3\nlocations: []", `field "version" is set by publishing; leave it out`},
		{`{"version": 3}`, `field "version" is set by publishing; leave it out`},
		{"locations: []\nlocations: []", "already"},
		{"locations: [{externalReference: A1}]\n---\nlocations: []", "there is more after the graph"},
		{`{"locations": [{"externalReference": "A1"}]} {}`, "there is more after the graph"},
		{"locations: [", "yaml"},
		{"locations: [{externalReference: A1, sync: perhaps}]", "cannot unmarshal"},
	} {
		_, err := parseGraphFile([]byte(test.text))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", test.text, err, test.want)
		}
	}
}

func TestGraphFileOutlivesPublishing(t *testing.T) {
	g := mustGraph(t, testGraph)
	text, err := yaml.Marshal(fileOf(&g))
	if err != nil {
		t.Fatal(err)
	}
	again := mustGraph(t, string(text))
	if d := diffGraphs(&g, &again); len(d.Changes) != 0 {
		t.Errorf("%v in\n%s", d.Changes, text)
	}
}

func TestGraphDiffTellsEveryChange(t *testing.T) {
	before := mustGraph(t, testGraph)
	before.Version = 7
	after := mustGraph(t, `
locations:
  - {externalReference: NY-3}
  - {externalReference: NJ-1, name: Jersey, locationType: WAREHOUSE}
  - {externalReference: LA-9}
  - {externalReference: SHOP, inventoryLocation: false}
groups:
  - {externalReference: WEST, locations: [LA-9]}
  - {externalReference: EAST, locations: [NY-3, NJ-1, LA-9], enabled: false}
`)
	d := diffGraphs(&before, &after)
	var got []string
	for _, c := range d.Changes {
		got = append(got, c.String())
	}
	want := []string{
		"+ location LA-9", "~ location NJ-1: name New Jersey → Jersey", "- location NY-2", "~ location NY-3: sync false → true",
		"~ group EAST: enabled true → false", "+ LA-9 in EAST", "- NY-2 in EAST", "- group NYC", "- NY-2 in NYC", "+ group WEST", "+ LA-9 in WEST",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if d.From != 7 || d.To != 8 || d.summary() != "locations: 1 added, 1 removed, 2 changed; groups: 1 added, 1 removed, 1 changed; memberships: 2 added, 2 removed" {
		t.Error(d.From, d.To, d.summary())
	}
	if same := diffGraphs(&before, &before); len(same.Changes) != 0 || same.To != 7 || same.summary() != "the file is what version 7 has" {
		t.Error(same)
	}
}

func TestSinceIsTheVersionOfTheLastJoining(t *testing.T) {
	first := mustGraph(t, "locations: [{externalReference: A1}, {externalReference: B1}]")
	first.Version = 1
	setSince(&first, &schemas.LocationGraph{})
	second := mustGraph(t, "locations: [{externalReference: B1}]")
	second.Version = 2
	setSince(&second, &first)
	third := mustGraph(t, "locations: [{externalReference: A1}, {externalReference: B1}]")
	third.Version = 3
	setSince(&third, &second)
	if first.Locations[0].Since != 1 || second.Locations[0].Since != 1 || third.Locations[0].Since != 3 || third.Locations[1].Since != 1 {
		t.Error(first.Locations, second.Locations, third.Locations)
	}
}
