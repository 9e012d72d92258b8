package cache

import (
	"context"
	"fmt"
	"slices"

	"onhand/processor/availability"
)

// clearSKUs is how many SKUs one command of Clear deletes, three keys each.
const clearSKUs = 200

// Clear deletes the state of a task, its checkpoint first: what is left after an interruption is no state, and a second
// call deletes the rest. Nobody may own the task meanwhile. It calls show with each shard of SKUs that it comes to; nil:
// nobody looks.
func (r *Redis) Clear(ctx context.Context, task int32, show func(shard int)) error {
	k := keysOf(r.namespace, task)
	if err := r.clear(ctx, k, task, show); err != nil {
		return fmt.Errorf("deleting the state of task %d: %w", task, err)
	}
	r.Forget(task)
	return nil
}

func (r *Redis) clear(ctx context.Context, k keys, task int32, show func(shard int)) error {
	if err := r.drop(ctx, k.checkpoint()); err != nil {
		return err
	}
	for shard := range availability.SKUShards {
		if show != nil {
			show(shard)
		}
		skus, err := r.SKUs(ctx, task, shard)
		if err != nil {
			return err
		}
		for part := range slices.Chunk(skus, clearSKUs) {
			var names []string
			for _, sku := range part {
				names = append(names, k.stock(sku), k.lists(sku), k.reservations(sku))
			}
			if err := r.drop(ctx, names...); err != nil {
				return err
			}
		}
		if len(skus) > 0 {
			if err := r.drop(ctx, k.shard(shard)); err != nil {
				return err
			}
		}
	}
	buckets, err := r.buckets(ctx, k)
	if err != nil {
		return err
	}
	for _, bucket := range buckets {
		if err := r.drop(ctx, k.bucket(bucket)); err != nil {
			return err
		}
	}
	// The names go last, but for the word of a restore: without them and without a checkpoint the task counts as new.
	return r.drop(ctx, k.buckets(), k.due(), k.owed(), k.graphs(), k.names(), k.restore())
}

// drop deletes keys of one task; their memory is freed behind.
func (r *Redis) drop(ctx context.Context, names ...string) error {
	return r.retry(ctx, func(ctx context.Context) error { return r.client.Unlink(ctx, names...).Err() })
}

// Occupied says whether there is anything of a task: its checkpoint, names, or a part of a restore.
func (r *Redis) Occupied(ctx context.Context, task int32) (bool, error) {
	k := keysOf(r.namespace, task)
	var n int64
	err := r.retry(ctx, func(ctx context.Context) (err error) {
		n, err = r.client.Exists(ctx, k.checkpoint(), k.names(), k.restore()).Result()
		return err
	})
	if err != nil {
		return false, fmt.Errorf("looking for state of task %d: %w", task, err)
	}
	return n > 0, nil
}
