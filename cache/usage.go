package cache

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"onhand/processor/availability"
)

// Usage is what the masters of a Redis say of themselves, added up. Others whom they serve are in it.
type Usage struct {
	CPU         time.Duration // user and system, since each started
	MemoryBytes int64         // used_memory
}

// Usage asks every master, once. It fails where one does not answer, or does not say.
func (r *Redis) Usage(ctx context.Context) (Usage, error) {
	var mu sync.Mutex // guards total: masters of a cluster are asked at the same time
	var total Usage
	ask := func(ctx context.Context, node redis.Cmdable) error {
		info, err := node.Info(ctx).Result()
		if err != nil {
			return err
		}
		var u Usage
		for _, name := range []string{"used_cpu_user", "used_cpu_sys"} {
			seconds, err := strconv.ParseFloat(field(info, name), 64)
			if err != nil {
				return fmt.Errorf("INFO says %q of %s", field(info, name), name)
			}
			u.CPU += time.Duration(seconds * float64(time.Second))
		}
		if u.MemoryBytes, err = strconv.ParseInt(field(info, "used_memory"), 10, 64); err != nil {
			return fmt.Errorf("INFO says %q of used_memory", field(info, "used_memory"))
		}
		mu.Lock()
		defer mu.Unlock()
		total.CPU, total.MemoryBytes = total.CPU+u.CPU, total.MemoryBytes+u.MemoryBytes
		return nil
	}
	var err error
	if c, ok := r.client.(*redis.ClusterClient); ok {
		err = c.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return ask(ctx, node) })
	} else {
		err = ask(ctx, r.client)
	}
	if err != nil {
		return Usage{}, fmt.Errorf("asking %s what it uses: %w", r.where, err)
	}
	return total, nil
}

// Footprint is the memory that the keys of a task take in Redis.
type Footprint struct {
	SKUs  int64
	Bytes int64 // those of SKUs estimated from the ones looked at
}

// Footprint measures the keys of a task, one command a key: all that the task has one of, and those of at most sample
// SKUs of each of its shards.
func (r *Redis) Footprint(ctx context.Context, task int32, sample int) (Footprint, error) {
	k := keysOf(r.namespace, task)
	names := []string{k.checkpoint(), k.names(), k.due(), k.owed(), k.graphs(), k.buckets()}
	buckets, err := r.buckets(ctx, k)
	if err != nil {
		return Footprint{}, err
	}
	for _, n := range buckets {
		names = append(names, k.bucket(n))
	}
	var f Footprint
	var looked []string
	for shard := range availability.SKUShards {
		skus, err := r.SKUs(ctx, task, shard)
		if err != nil {
			return Footprint{}, err
		}
		if len(skus) == 0 {
			continue
		}
		f.SKUs += int64(len(skus))
		names = append(names, k.shard(shard))
		for _, sku := range skus[:min(sample, len(skus))] {
			looked = append(looked, k.stock(sku), k.lists(sku), k.reservations(sku))
		}
	}
	all, err := r.memoryOf(ctx, names)
	if err != nil {
		return Footprint{}, err
	}
	part, err := r.memoryOf(ctx, looked)
	if err != nil {
		return Footprint{}, err
	}
	f.Bytes = all
	if n := int64(len(looked) / 3); n > 0 {
		f.Bytes += part * f.SKUs / n
	}
	return f, nil
}

// keysChunk is how many keys one pipeline asks for, or deletes.
const keysChunk = 300

// memoryOf adds up the memory of keys; of one that is not there it is nothing.
func (r *Redis) memoryOf(ctx context.Context, names []string) (bytes int64, err error) {
	for len(names) > 0 {
		chunk := names[:min(keysChunk, len(names))]
		names = names[len(chunk):]
		answers, err := r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, name := range chunk {
				p.MemoryUsage(ctx, name)
			}
			return nil
		})
		for _, answer := range answers {
			switch n, each := answer.(*redis.IntCmd).Result(); {
			case each == nil:
				bytes += n
			case each != redis.Nil: //nolint:errorlint // Nil is an answer, and never wrapped
				return 0, fmt.Errorf("measuring keys in %s: %w", r.where, each)
			}
		}
		if err != nil && err != redis.Nil { //nolint:errorlint // as above
			return 0, fmt.Errorf("measuring keys in %s: %w", r.where, err)
		}
	}
	return bytes, nil
}

// Erase deletes every key of a task. Nobody may run the task meanwhile. The checkpoint goes first and the names last: what
// an interruption leaves is taken for no state, and a call that fails may be repeated.
func (r *Redis) Erase(ctx context.Context, task int32) error {
	k := keysOf(r.namespace, task)
	if err := r.delete(ctx, []string{k.checkpoint()}); err != nil {
		return err
	}
	for shard := range availability.SKUShards {
		skus, err := r.SKUs(ctx, task, shard)
		if err != nil {
			return err
		}
		if len(skus) == 0 {
			continue
		}
		var names []string
		for _, sku := range skus {
			names = append(names, k.stock(sku), k.lists(sku), k.reservations(sku))
		}
		if err := r.delete(ctx, append(names, k.shard(shard))); err != nil {
			return err
		}
	}
	buckets, err := r.buckets(ctx, k)
	if err != nil {
		return err
	}
	var names []string
	for _, n := range buckets {
		names = append(names, k.bucket(n))
	}
	if err := r.delete(ctx, append(names, k.buckets(), k.due(), k.owed(), k.graphs(), k.restore(), k.names())); err != nil {
		return err
	}
	r.Forget(task)
	return nil
}

// EraseSchemas deletes what LearnSchema has kept.
func (r *Redis) EraseSchemas(ctx context.Context) error {
	return r.delete(ctx, []string{r.schemasKey()})
}

// delete deletes keys of one slot, in their order.
func (r *Redis) delete(ctx context.Context, names []string) error {
	for len(names) > 0 {
		chunk := names[:min(keysChunk, len(names))]
		names = names[len(chunk):]
		if err := r.retry(ctx, func(ctx context.Context) error { return r.client.Del(ctx, chunk...).Err() }); err != nil {
			return fmt.Errorf("deleting keys in %s: %w", r.where, err)
		}
	}
	return nil
}
