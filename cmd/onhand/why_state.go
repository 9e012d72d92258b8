package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"onhand/cache"
	"onhand/processor/availability"
	"onhand/schemas"
	"onhand/topics"
)

// whyState is a SKU as one commit of its task left it in Redis.
type whyState struct {
	sku    availability.SKU
	task   int32
	at     availability.Checkpoint // of that commit
	data   availability.StockData
	graph  *availability.Graph              // that the SKU was computed with
	spec   availability.GraphSpec           // the same, as published
	counts map[availability.LocationID]bool // locations that are in the sums
	folder *availability.Folder
	stock  *availability.Stock
	levels []availability.Level // of every place that has the SKU; none: no place does
}

// newWhyState computes the levels of what was read.
func newWhyState(task int32, at availability.Checkpoint, data availability.StockData, graph *availability.Graph) *whyState {
	s := &whyState{sku: data.SKU, task: task, at: at, data: data, graph: graph, spec: graph.Spec(), counts: make(map[availability.LocationID]bool)}
	for _, l := range s.spec.Locations {
		s.counts[l.ID] = l.Sync && l.Inventory
	}
	s.folder = availability.NewFolder(graph, availability.DefaultRules(), availability.NewWindow(0))
	s.stock = availability.NewStock(graph, &data)
	s.levels = s.folder.Levels(s.stock)
	return s
}

// whyReader reads SKUs of one task.
type whyReader struct {
	stockReader
	registry *schemas.Registry
}

// openStocks finds the task of a SKU. It decodes with the schemas kept in Redis, so that a registry that is away is asked only
// for what nobody has met. The caller closes its registry.
func (a *app) openStocks(ctx context.Context, c *Config, store *cache.Redis, sku availability.SKU) (*whyReader, error) {
	partitions, err := storedPartitions(ctx, c, store)
	if err != nil {
		return nil, err
	}
	log := a.quietLogger(c)
	registry, err := openRegistry(c, log)
	if err != nil {
		return nil, err
	}
	decoder := schemas.NewDecoder(registry, schemas.DecoderOptions{Preload: keptSchemas{store, log}.read(ctx)})
	// A record without a date is a dead letter where the processor says so, which then stands in dead-letters.
	reader := topics.NewReader(decoder, topics.Options{RelaxedEffectiveDate: true})
	return &whyReader{stockReader{config: c, store: store, reader: reader, task: topics.PartitionOf(sku, partitions)}, registry}, nil
}

// whyTries is how often a SKU is read until no commit falls between its checkpoint and itself: one in some ten reads of a
// task at full speed.
const whyTries = 50

// read reads the SKU with all its reservations and the checkpoint of the same commit.
func (r *whyReader) read(ctx context.Context, sku availability.SKU) (*whyState, error) {
	for range whyTries {
		at, data, same, err := r.readOnce(ctx, sku)
		if err != nil {
			return nil, err
		}
		if !same {
			continue
		}
		graph, err := r.graphOf(ctx, &data, &at)
		if errors.Is(err, errGraphGone) {
			r.graphs = nil
			continue
		}
		if err != nil {
			return nil, err
		}
		return newWhyState(r.task, at, data, graph), nil
	}
	return nil, hinted(fmt.Errorf("task %d commits faster than SKU %s can be read", r.task, sku), "try again; `onhand get` does not mind")
}

func (r *whyReader) readOnce(ctx context.Context, sku availability.SKU) (at availability.Checkpoint, data availability.StockData, same bool, err error) {
	var id availability.CommitID
	err = askRedis(ctx, r.store, func(ctx context.Context) (err error) {
		if at, err = r.store.Checkpoint(ctx, r.task); err != nil {
			return err
		}
		data, id, err = r.store.Read(ctx, r.task, sku)
		return err
	})
	if err == nil && at.CommitID == (availability.CommitID{}) {
		err = noState(r.task, sku)
	}
	return at, data, id == at.CommitID, err
}

// graphOf is the graph that the SKU was computed with; of a SKU that nobody has, the newest that the task keeps.
func (r *whyReader) graphOf(ctx context.Context, data *availability.StockData, at *availability.Checkpoint) (*availability.Graph, error) {
	if data.Exists {
		return r.graph(ctx, data.GraphVersion)
	}
	graph, err := r.graph(ctx, at.GraphVersion)
	if errors.Is(err, errGraphGone) { // no SKU was computed with it yet
		return (&availability.GraphSpec{Version: at.GraphVersion}).Compile()
	}
	return graph, err
}

// place finds a place of the graph that is published, or says why it is none.
func (s *whyState) place(id string) (availability.Place, error) {
	group := slices.IndexFunc(s.spec.Groups, func(g availability.GroupSpec) bool { return string(g.ID) == id })
	location := slices.IndexFunc(s.spec.Locations, func(l availability.LocationSpec) bool { return string(l.ID) == id })
	var why, way string
	switch {
	case group >= 0 && !s.spec.Groups[group].Enabled:
		why, way = "is disabled", "enabled"
	case group >= 0 && !s.spec.Groups[group].Sync:
		why, way = "is not synced", "sync"
	case group >= 0:
		return availability.Place{Type: availability.GroupPlace, ID: id}, nil
	case location >= 0 && !s.spec.Locations[location].Inventory:
		why, way = "takes no stock", "inventoryLocation"
	case location >= 0 && !s.spec.Locations[location].Sync:
		why, way = "is not synced", "sync"
	case location >= 0:
		return availability.Place{Type: availability.LocationPlace, ID: id}, nil
	default:
		return availability.Place{}, s.noPlace(id)
	}
	return availability.Place{}, hinted(fmt.Errorf("%s %s in location graph %d: it has no published level%s", id, why, s.graph.Version, s.heldText(id)),
		fmt.Sprintf("set %s: true for it and publish the graph with `onhand graph publish FILE`", way))
}

func (s *whyState) noPlace(id string) error {
	if s.at.GraphVersion != s.graph.Version {
		return hinted(fmt.Errorf("%s is not in location graph %d, with which SKU %s was computed; the task has adopted version %d since%s",
			id, s.graph.Version, s.sku, s.at.GraphVersion, s.heldText(id)), "try again once the sweep is over: `onhand graph status`")
	}
	var names []string
	for _, p := range s.graph.Places() {
		names = append(names, p.ID)
	}
	return hinted(fmt.Errorf("no location or group %q in location graph %d%s%s", id, s.graph.Version, didYouMean(id, names), s.heldText(id)),
		"`onhand graph show` lists them")
}

// heldText says what reservations still hold at a place that has no level.
func (s *whyState) heldText(id string) string {
	var sum availability.Quantity
	s.eachLine(func(_ string, l availability.Line) {
		if l.Place.ID == id {
			sum += l.Quantity
		}
	})
	if sum == 0 {
		return ""
	}
	return fmt.Sprintf("; reservations still hold %s of %s there", sum, s.sku)
}

// eachLine calls take for every line of every open reservation of the SKU.
func (s *whyState) eachLine(take func(reservation string, l availability.Line)) {
	for _, r := range s.data.Reservations {
		if r.Reservation == nil {
			continue
		}
		for _, l := range r.Reservation.Lines {
			take(r.ID, l)
		}
	}
}

// cell is what a location holds, nil if it never had the SKU.
func (s *whyState) cell(id string) *availability.Cell {
	i := slices.IndexFunc(s.data.Cells, func(c availability.Cell) bool { return string(c.Location) == id })
	if i < 0 {
		return nil
	}
	return &s.data.Cells[i]
}
