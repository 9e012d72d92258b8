package cache

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"onhand/processor/availability"
)

// idBytes is how much of a bucket of ids one command reads; idPieces how many such commands go out together. 8 MiB are
// a million ids.
const (
	idBytes  = 1 << 20
	idPieces = 8
)

// IDs returns the ids that a task remembers, by bucket. It is for the task itself, between claim and first commit: the
// buckets are read one after the other.
func (r *Redis) IDs(ctx context.Context, task int32) ([]availability.IDBatch, error) {
	k := keysOf(r.namespace, task)
	numbers, err := r.buckets(ctx, k)
	if err != nil {
		return nil, fmt.Errorf("reading the ids of task %d: %w", task, err)
	}
	batches := make([]availability.IDBatch, 0, len(numbers))
	for _, n := range numbers {
		ids, err := r.bucket(ctx, k.bucket(n))
		if err != nil {
			return nil, fmt.Errorf("reading the ids of task %d: bucket %d: %w", task, n, err)
		}
		batches = append(batches, availability.IDBatch{Bucket: n, IDs: ids})
	}
	return batches, nil
}

func (r *Redis) buckets(ctx context.Context, k keys) ([]int64, error) {
	var members []string
	err := r.retry(ctx, func(ctx context.Context) (err error) {
		members, err = r.client.SMembers(ctx, k.buckets()).Result()
		return err
	})
	if err != nil {
		return nil, err
	}
	numbers := make([]int64, len(members))
	for i, member := range members {
		if numbers[i], err = strconv.ParseInt(member, 10, 64); err != nil {
			return nil, corrupt(k.buckets(), member, errContent)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

func (r *Redis) bucket(ctx context.Context, key string) ([]uint64, error) {
	var ids []uint64
	for at := int64(0); ; at += idPieces * idBytes {
		pieces := make([]*redis.StringCmd, idPieces)
		err := r.retry(ctx, func(ctx context.Context) error {
			_, err := r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
				for i := range pieces {
					from := at + int64(i)*idBytes
					pieces[i] = p.GetRange(ctx, key, from, from+idBytes-1)
				}
				return nil
			})
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, piece := range pieces {
			packed := piece.Val()
			if len(packed)%8 != 0 {
				return nil, corrupt(key, "", errLength)
			}
			for i := 0; i < len(packed); i += 8 {
				ids = append(ids, binary.LittleEndian.Uint64([]byte(packed[i:i+8])))
			}
			if len(packed) < idBytes {
				return ids, nil
			}
		}
	}
}

// Owed returns the SKUs that a replay has to publish once it is over, sorted.
func (r *Redis) Owed(ctx context.Context, task int32) ([]availability.SKU, error) {
	const atOnce = 1000
	var skus []availability.SKU
	for cursor := uint64(0); ; {
		var page []string
		err := r.retry(ctx, func(ctx context.Context) (err error) {
			page, cursor, err = r.client.SScan(ctx, keysOf(r.namespace, task).owed(), cursor, "", atOnce).Result()
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("reading what task %d owes: %w", task, err)
		}
		for _, sku := range page {
			skus = append(skus, availability.SKU(sku))
		}
		if cursor == 0 {
			slices.Sort(skus)
			return slices.Compact(skus), nil
		}
	}
}

// Graphs returns the graphs that SKUs of a task were computed with, by version.
func (r *Redis) Graphs(ctx context.Context, task int32) ([]availability.GraphData, error) {
	key := keysOf(r.namespace, task).graphs()
	var packed map[string]string
	err := r.retry(ctx, func(ctx context.Context) (err error) {
		packed, err = r.client.HGetAll(ctx, key).Result()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the graphs of task %d: %w", task, err)
	}
	graphs := make([]availability.GraphData, 0, len(packed))
	for field, value := range packed {
		var g availability.GraphData
		version, err := strconv.ParseInt(field, 10, 64)
		if err == nil {
			g.Version = version
			g.Bytes, err = unpackGraph([]byte(value))
		}
		if err != nil {
			return nil, fmt.Errorf("reading the graphs of task %d: %w", task, corrupt(key, field, err))
		}
		graphs = append(graphs, g)
	}
	slices.SortFunc(graphs, func(a, b availability.GraphData) int { return cmp.Compare(a.Version, b.Version) })
	return graphs, nil
}

// SKUs returns the SKUs of a shard of a task, sorted. The shard is 0 to availability.SKUShards-1.
func (r *Redis) SKUs(ctx context.Context, task int32, shard int) ([]availability.SKU, error) {
	if err := checkShard(shard); err != nil {
		return nil, err
	}
	var fields []string
	err := r.retry(ctx, func(ctx context.Context) (err error) {
		fields, err = r.client.HKeys(ctx, keysOf(r.namespace, task).shard(shard)).Result()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading SKU shard %d of task %d: %w", shard, task, err)
	}
	skus := make([]availability.SKU, len(fields))
	for i, field := range fields {
		skus[i] = availability.SKU(field)
	}
	slices.Sort(skus)
	return skus, nil
}

func checkShard(shard int) error {
	if shard < 0 || shard >= availability.SKUShards {
		return fmt.Errorf("SKU shard %d is not one of 0 to %d", shard, availability.SKUShards-1)
	}
	return nil
}

// Count returns how many SKUs a task has.
func (r *Redis) Count(ctx context.Context, task int32) (int64, error) {
	k := keysOf(r.namespace, task)
	shards := make([]string, availability.SKUShards)
	for shard := range shards {
		shards[shard] = k.shard(shard)
	}
	var n int64
	err := r.retry(ctx, func(ctx context.Context) (err error) {
		n, err = countScript.Run(ctx, r.client, shards).Int64()
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("counting the SKUs of task %d: %w", task, err)
	}
	return n, nil
}

// Due returns at most limit expiries and futures up to and including an instant, the earliest first, of one instant the
// futures, then by SKU.
func (r *Redis) Due(ctx context.Context, task int32, until availability.Instant, limit int) ([]availability.Due, error) {
	if limit <= 0 {
		return nil, nil
	}
	key := keysOf(r.namespace, task).due()
	by := redis.ZRangeBy{Min: "-inf", Max: strconv.FormatInt(int64(until), 10), Count: int64(limit)}
	var members []string
	err := r.retry(ctx, func(ctx context.Context) (err error) {
		members, err = r.client.ZRangeByScore(ctx, key, &by).Result()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading what is due of task %d: %w", task, err)
	}
	due := make([]availability.Due, len(members))
	for i, member := range members {
		if due[i], err = unpackDue(member); err != nil {
			return nil, fmt.Errorf("reading what is due of task %d: %w", task, corrupt(key, member, err))
		}
	}
	return due, nil
}

// unpackDue reads a member of the index. A reservation id may contain anything; SKU, location and date have no NUL.
func unpackDue(member string) (d availability.Due, err error) {
	named, future := strings.CutPrefix(member, "\x00")
	sku, rest, ok := strings.Cut(named, "\x00")
	last := strings.LastIndexByte(rest, 0)
	if !ok || last < 0 {
		return d, errContent
	}
	at, err := strconv.ParseInt(rest[last+1:], 10, 64)
	if err != nil {
		return d, errors.Join(errContent, err)
	}
	d = availability.Due{At: availability.Instant(at), SKU: availability.SKU(sku)}
	if !future {
		d.ReservationID = rest[:last]
	} else if d.Location = availability.LocationID(rest[:last]); d.Location == "" || strings.Contains(rest[:last], "\x00") {
		return availability.Due{}, errContent
	}
	return d, nil
}
