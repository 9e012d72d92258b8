package main

import (
	"bytes"
	"context"
	_ "embed" // the sample graph and feed
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/schemas"
	"onhand/topics"
)

// The sample: a graph as `onhand graph publish` takes it, and a feed as `onhand import` does.
var (
	//go:embed sample/graph.yaml
	sampleGraphFile []byte
	//go:embed sample/feed.ndjson
	sampleFeedFile []byte
)

// sampleFeed returns the records of the sample feed, checked against a published graph as an import does. Records of
// locations that the graph does not have are left out.
func sampleFeed(graph *schemas.LocationGraph, now time.Time) ([]schemas.StockDelta, error) {
	takes := map[availability.LocationID]bool{}
	for _, l := range graph.Locations {
		takes[availability.LocationID(l.ExternalReference)] = l.InventoryLocation
	}
	rules := feedRules{now: now, requireEffectiveDate: true, repeated: func(string) bool { return false },
		location: func(id availability.LocationID) (known, inventory bool) {
			inventory, known = takes[id]
			return known, inventory
		}}
	feed, err := newFeed(bytes.NewReader(sampleFeedFile), rules)
	if err != nil {
		return nil, fmt.Errorf("reading the sample feed: %w", err)
	}
	var deltas []schemas.StockDelta
	for {
		var d schemas.StockDelta
		err := feed.next(&d)
		var line *lineError
		switch {
		case errors.Is(err, io.EOF):
			return deltas, nil
		case errors.As(err, &line) && (line.reason == reasonUnknown || line.reason == reasonNoLocation):
		case err != nil:
			return nil, fmt.Errorf("reading the sample feed: %w", err)
		default:
			deltas = append(deltas, d)
		}
	}
}

// sampleSKUs returns the SKUs of the records, in the order of their first.
func sampleSKUs(deltas []schemas.StockDelta) []availability.SKU {
	var skus []availability.SKU
	for i := range deltas {
		if sku := availability.SKU(deltas[i].SKU); !slices.Contains(skus, sku) {
			skus = append(skus, sku)
		}
	}
	return skus
}

// publishSample sends the records and returns when all are acknowledged.
func publishSample(ctx context.Context, client *kgo.Client, writer *topics.Writer, deltas []schemas.StockDelta, now time.Time) error {
	records := make([]*kgo.Record, len(deltas))
	for i := range deltas {
		deltas[i].ExternalRefID = schemas.Some(fmt.Sprintf("%simport/%d", simReference, i+1))
		records[i] = writer.Delta(&deltas[i], now)
	}
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("publishing the sample feed: %w", err)
	}
	return nil
}

// sampleGraph returns the sample graph as version 1.
func sampleGraph(now time.Time) (*schemas.LocationGraph, error) {
	file, err := parseGraphFile(sampleGraphFile)
	if err != nil {
		return nil, fmt.Errorf("reading the sample graph: %w", err)
	}
	graph := file.graph()
	graph.Version, graph.PublishedAt = 1, schemas.Micros(now.UnixMicro())
	setSince(&graph, &schemas.LocationGraph{})
	return &graph, nil
}
