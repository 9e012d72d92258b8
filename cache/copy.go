package cache

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"

	"onhand/processor/availability"
)

// ErrShorter is returned by CopyIDs where a bucket has fewer ids than there were: the task has forgotten it meanwhile.
var ErrShorter = errors.New("bucket of ids has become shorter")

// Copy is what one look at a task found, all of it of one commit.
type Copy struct {
	Checkpoint availability.Checkpoint
	Stocks     []availability.StockData // as asked, whole, with all their reservations
	Bytes      []int64                  // of each stock: fields and values in Redis
	IDs        []IDCount                // sorted by bucket
	Owed       int64                    // how many SKUs are owed
	Due        int64                    // how many entries the index of what is due has
	Graphs     []int64                  // versions kept, sorted
}

// IDCount is how many ids a bucket has.
type IDCount struct {
	Bucket int64
	Count  int64
}

// copyScript reads SKUs whole, and what there is beside them, with the checkpoint that they were written with.
//
//	KEYS  checkpoint, names, numbers of buckets, owed, graphs, due, then the buckets, then three for each SKU: stock, lists,
//	      reservations
//	ARGV  mark of the names at hand, count of buckets
//
// It returns the checkpoint; the names if they are not those at hand; the numbers of the buckets; the lengths of those
// asked for; the count of SKUs owed; the versions of graphs; the count of what is due; and {what, stock, lists, reservations, 1} for each SKU, as
// loadScript does.
var copyScript = redis.NewScript(`
local checkpoint = redis.call('GET', KEYS[1]) or ''
local names, lengths = {}, {}
if string.sub(checkpoint, 18, 29) ~= ARGV[1] then names = redis.call('HGETALL', KEYS[2]) end
local first = 7 + tonumber(ARGV[2])
for k = 7, first - 1 do lengths[k - 6] = redis.call('STRLEN', KEYS[k]) end
local reply = {checkpoint, names, redis.call('SMEMBERS', KEYS[3]), lengths, redis.call('SCARD', KEYS[4]), redis.call('HKEYS', KEYS[5]), redis.call('ZCARD', KEYS[6])}
for k = first, #KEYS, 3 do
  local what = 'none'
  if redis.call('HGET', KEYS[k], 'v') then
    what = 'whole'
  elseif redis.call('EXISTS', KEYS[k]) == 1 then
    what = 'lost'
  end
  reply[#reply + 1] = {what, redis.call('HGETALL', KEYS[k]), redis.call('HGETALL', KEYS[k + 1]), redis.call('HGETALL', KEYS[k + 2]), 1}
end
return reply
`)

// Copy reads SKUs whole, and how much there is of all else that a task keeps, in one step. Redis serves nobody else
// meanwhile: some 1 ms for 1,000 balances. It may ask several times, each time anew. It fails with availability.ErrCorrupt
// on what it cannot read.
func (r *Redis) Copy(ctx context.Context, task int32, skus []availability.SKU) (Copy, error) {
	if len(skus) > WantsMax {
		return Copy{}, fmt.Errorf("copying %d SKUs of task %d: at most %d at once", len(skus), task, WantsMax)
	}
	k := keysOf(r.namespace, task)
	var buckets []int64
	for range reloads {
		c, known, err := r.copy(ctx, r.task(task), k, skus, buckets)
		if err != nil {
			return Copy{}, fmt.Errorf("copying %d SKUs of task %d: %w", len(skus), task, err)
		}
		if known != nil {
			buckets = known
			continue
		}
		return c, nil
	}
	return Copy{}, fmt.Errorf("copying %d SKUs of task %d: buckets of ids were added %d times while they were read", len(skus), task, reloads)
}

// copy is Copy with the buckets that were there at the last look. If others are there now it returns those alone.
func (r *Redis) copy(ctx context.Context, t *task, k keys, skus []availability.SKU, buckets []int64) (c Copy, others []int64, err error) {
	names := t.dictionary()
	l := loading{keys: k, names: names, reservations: true, wants: make([]availability.Want, len(skus))}
	if names == nil {
		l.names = newDictionary(nil)
	}
	keyNames := []string{k.checkpoint(), k.names(), k.buckets(), k.owed(), k.graphs(), k.due()}
	for _, bucket := range buckets {
		keyNames = append(keyNames, k.bucket(bucket))
	}
	for i, sku := range skus {
		l.wants[i] = availability.Want{SKU: sku, All: true}
		keyNames = append(keyNames, k.stock(sku), k.lists(sku), k.reservations(sku))
	}
	var reply []any
	err = r.retry(ctx, func(ctx context.Context) error {
		reply, err = copyScript.Run(ctx, r.client, keyNames, l.names.mark.append(nil), len(buckets)).Slice()
		return err
	})
	if err != nil {
		return c, nil, err
	}
	if _, err = l.unpackNames(reply); err != nil {
		return c, nil, err
	}
	t.replace(names, l.names)
	if c.Checkpoint, err = unpackCheckpoint([]byte(text(reply[0]))); err != nil {
		return c, nil, corrupt(k.checkpoint(), "", err)
	}
	there, err := numbersOf(k.buckets(), list(reply[2]))
	if err != nil {
		return c, nil, err
	}
	if !slices.Equal(there, buckets) {
		return c, there, nil
	}
	for i, length := range list(reply[3]) {
		n, _ := length.(int64)
		if n%8 != 0 {
			return c, nil, corrupt(k.bucket(buckets[i]), "", errLength)
		}
		c.IDs = append(c.IDs, IDCount{buckets[i], n / 8})
	}
	c.Owed, _ = reply[4].(int64)
	if c.Graphs, err = numbersOf(k.graphs(), list(reply[5])); err != nil {
		return c, nil, err
	}
	c.Due, _ = reply[6].(int64)
	if err := l.unpack(reply[7:]); err != nil {
		return c, nil, err
	}
	c.Stocks = l.stocks
	for _, stock := range reply[7:] {
		c.Bytes = append(c.Bytes, bytesOf(stock))
	}
	return c, nil, nil
}

// numbersOf reads members that are numbers, and sorts them. There is always a list, if an empty one.
func numbersOf(key string, members []any) ([]int64, error) {
	numbers := make([]int64, len(members))
	for i, member := range members {
		var err error
		if numbers[i], err = strconv.ParseInt(text(member), 10, 64); err != nil {
			return nil, corrupt(key, text(member), errContent)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// bytesOf adds up the strings of a reply.
func bytesOf(reply any) (n int64) {
	if s, ok := reply.(string); ok {
		return int64(len(s))
	}
	for _, part := range list(reply) {
		n += bytesOf(part)
	}
	return n
}

// CopyIDs gives the first n ids of a bucket to take, up to 131,072 at a time, in a slice that is used again. A bucket only
// grows until its task forgets it, which it does for good: so these are the ids that were there when there were n. It fails
// with ErrShorter where there are fewer.
func (r *Redis) CopyIDs(ctx context.Context, task int32, bucket, n int64, take func([]uint64) error) error {
	key := keysOf(r.namespace, task).bucket(bucket)
	ids := make([]uint64, 0, idBytes/8)
	for from, end := int64(0), 8*n; from < end; from += idBytes {
		to := min(from+idBytes, end)
		var packed string
		err := r.retry(ctx, func(ctx context.Context) (err error) {
			packed, err = r.client.GetRange(ctx, key, from, to-1).Result()
			return err
		})
		if err == nil && int64(len(packed)) != to-from {
			err = ErrShorter
		}
		if err != nil {
			return fmt.Errorf("copying the ids of task %d: bucket %d: %w", task, bucket, err)
		}
		ids = ids[:0]
		for i := 0; i < len(packed); i += 8 {
			ids = append(ids, binary.LittleEndian.Uint64([]byte(packed[i:i+8])))
		}
		if err := take(ids); err != nil {
			return err
		}
	}
	return nil
}
