package topics

import (
	"context"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/schemas"
)

// Graph reads a record of location-graph: what the arithmetic needs of it, and all that it says. A graph that breaks a
// rule of GraphSpec.Validate is refused.
func (r *Reader) Graph(ctx context.Context, rec *kgo.Record) (availability.GraphSpec, schemas.LocationGraph, error) {
	var g schemas.LocationGraph
	if err := r.checkSize(rec); err != nil {
		return availability.GraphSpec{}, g, err
	}
	if err := r.decoder.DecodeLocationGraph(ctx, rec.Value, &g); err != nil {
		return availability.GraphSpec{}, g, undecoded(rec, err, "LocationGraph")
	}
	spec := GraphSpec(&g)
	return spec, g, checkGraph(rec, &spec)
}

func checkGraph(rec *kgo.Record, spec *availability.GraphSpec) error {
	const todo = "correct the graph and publish it under the next version"
	if string(rec.Key) != GraphKey {
		return refuse(CodeKeyMismatch, "key every location graph by "+GraphKey, "the key is %.250q", rec.Key)
	}
	if spec.Version < 1 {
		return refuse(CodeConflictingFields, todo, "version %d; versions begin with 1", spec.Version)
	}
	err := spec.Validate()
	if err == nil {
		return nil
	}
	code := CodeConflictingFields
	for _, l := range spec.Locations {
		if availability.CheckPlaceID(string(l.ID)) != nil {
			code = CodeMalformedID
		}
	}
	for _, g := range spec.Groups {
		if availability.CheckPlaceID(string(g.ID)) != nil {
			code = CodeMalformedID
		}
	}
	return refuse(code, todo, "%s", strings.ReplaceAll(err.Error(), "\n", ", "))
}

// GraphSpec returns what the arithmetic needs of a published graph. It shares the lists of members.
func GraphSpec(g *schemas.LocationGraph) availability.GraphSpec {
	spec := availability.GraphSpec{Version: g.Version}
	for _, l := range g.Locations {
		spec.Locations = append(spec.Locations, availability.LocationSpec{
			ID: availability.LocationID(l.ExternalReference), Inventory: l.InventoryLocation, Sync: l.Sync, Since: l.Since,
		})
	}
	for _, p := range g.Groups {
		group := availability.GroupSpec{ID: availability.GroupID(p.ExternalReference), Enabled: p.Enabled, Sync: p.Sync}
		for _, member := range p.Locations {
			group.Locations = append(group.Locations, availability.LocationID(member))
		}
		spec.Groups = append(spec.Groups, group)
	}
	return spec
}
