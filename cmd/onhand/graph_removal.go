package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"onhand/cache"
	"onhand/processor/availability"
)

// reservedSample is how many SKUs an error names.
const reservedSample = 5

// loadChunk is how many SKUs are read in one call. Redis serves nobody else meanwhile.
const loadChunk = 200

// checkRemovals refuses to remove a place where something is reserved. It reads every SKU in Redis, and only if a place
// is removed at all.
func (a *app) checkRemovals(ctx context.Context, c *Config, w *wire, d *graphDiff, force bool) error {
	removed := make(map[string]int)
	for _, place := range append(d.removed(changeLocation), d.removed(changeGroup)...) {
		removed[place] = 0
	}
	if len(removed) == 0 || force {
		return nil
	}
	store, err := openRedis(ctx, c, nil)
	if err != nil {
		return fmt.Errorf("looking for reservations at the removed places (--force leaves this out): %w", err)
	}
	defer closeRead(store)
	var sample []string
	note := func(sku availability.SKU, place string, q availability.Quantity) {
		if n, ok := removed[place]; ok && q != 0 {
			removed[place] = n + 1
			if len(sample) < reservedSample {
				sample = append(sample, fmt.Sprintf("%s of %s at %s", q, sku, place))
			}
		}
	}
	p := newProgress(a.err, "looking for reservations", w.partitions)
	defer p.end()
	for task := range w.partitions {
		p.set(int(task))
		err := eachStock(ctx, store, task, func(s *availability.StockData) error {
			for i := range s.Cells {
				note(s.SKU, string(s.Cells[i].Location), s.Cells[i].Reserved)
			}
			for _, q := range s.Demand {
				note(s.SKU, string(q.Group), q.Quantity)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	var errs []error
	for _, place := range append(d.removed(changeLocation), d.removed(changeGroup)...) {
		if n := removed[place]; n > 0 {
			errs = append(errs, fmt.Errorf("%s has reservations of %s", place, plural(n, "SKU")))
		}
	}
	if errs == nil {
		return nil
	}
	return hinted(fmt.Errorf("something is reserved at places that the file removes:\n%w\nsuch as %v", errors.Join(errs...), sample),
		"release, transfer or fulfill it first, or add --force: it then stays until it is released or fulfilled")
}

// eachStock reads every SKU of a task, complete but for its reservations.
func eachStock(ctx context.Context, store *cache.Redis, task int32, visit func(*availability.StockData) error) error {
	for shard := range availability.SKUShards {
		var skus []availability.SKU
		err := askRedis(ctx, store, func(ctx context.Context) (err error) {
			skus, err = store.SKUs(ctx, task, shard)
			return err
		})
		if err != nil {
			return err
		}
		for chunk := range slices.Chunk(skus, loadChunk) {
			wants := make([]availability.Want, len(chunk))
			for i, sku := range chunk {
				wants[i] = availability.Want{SKU: sku, All: true}
			}
			var stocks []availability.StockData
			err := askRedis(ctx, store, func(ctx context.Context) (err error) {
				stocks, _, err = store.Load(ctx, task, nil, wants)
				return err
			})
			if err != nil {
				return err
			}
			for i := range stocks {
				if err := visit(&stocks[i]); err != nil {
					return fmt.Errorf("looking at SKU %s: %w", stocks[i].SKU, err)
				}
			}
		}
	}
	return nil
}
