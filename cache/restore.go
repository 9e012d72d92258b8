package cache

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"onhand/processor/availability"
)

// A restore writes the state of a task by commits like any other, but their checkpoint stands in a key of its own. So the
// task has no checkpoint until all is there, and is not taken for one: its names without a checkpoint stop every owner.
// The commit ids are told by what is restored and by the number of the commit, so that a second run knows how far the
// first one came, and goes on there.

var (
	// ErrOccupied is returned by a restore of a task that has a checkpoint, or anything else that no restore left.
	ErrOccupied = errors.New("the task has state already")
	// ErrOtherRestore is returned by a restore of a task into which another restore has written a part.
	ErrOtherRestore = errors.New("the task has a part of another restore")
)

const (
	// restoreStocks, restoreEntries and restoreIDs bound a commit of a restore: Redis serves nobody else for some 3 ms.
	restoreStocks  = 200
	restoreEntries = 2 * partMax
	restoreIDs     = 1 << 15
)

// restoreScript is commitScript where the task's own checkpoint, the last key, is not there.
var restoreScript = redis.NewScript(`
if redis.call('EXISTS', KEYS[#KEYS]) == 1 then return 'occupied' end` + commitText)

// progressScript reads how far a restore has come.
//
//	KEYS  checkpoint of the task, checkpoint of the restore, names
var progressScript = redis.NewScript(`
return {redis.call('GET', KEYS[1]) or '', redis.call('GET', KEYS[2]) or '', redis.call('EXISTS', KEYS[3])}
`)

// finishScript makes what was restored the state of the task.
//
//	KEYS  checkpoint of the restore, checkpoint of the task, names
//	ARGV  commit id of the restore's last commit ('': it had none), checkpoint to write, its commit id
var finishScript = redis.NewScript(`
local id = redis.call('GETRANGE', KEYS[2], 1, 16)
if id == ARGV[3] then return 'landed' end
if id ~= '' then return 'occupied' end
if redis.call('GETRANGE', KEYS[1], 1, 16) ~= ARGV[1] then return 'fenced' end
if ARGV[1] == '' and redis.call('EXISTS', KEYS[3]) == 1 then return 'occupied' end
` + mayWrite + `redis.call('SET', KEYS[2], ARGV[2])
redis.call('DEL', KEYS[1])
return 'written'
`)

// Restore writes the state of one task into a Redis that has none of it. What it is given comes in the same order in every
// run of the same restore. It is used by one goroutine.
type Restore struct {
	// Futures puts the earliest future of each location into the index of what is due. It is set before the first call. An
	// owner that keeps overdue futures takes them out as their dates come.
	Futures bool

	redis   *Redis
	number  int32
	id      [16]byte
	keys    keys
	task    *task
	there   int64 // commits that a run before has written
	commits int64 // commits so far, those included
	done    bool
	pending availability.Commit
	entries int
	ids     int
}

// Restore begins a restore, or goes on with it. The id tells what is restored, and where. It fails with ErrOccupied or
// ErrOtherRestore, and then nothing is changed. Where nobody has claimed the task since a run before has finished, the
// restore is over, and writes nothing.
func (r *Redis) Restore(ctx context.Context, number int32, id [16]byte) (*Restore, error) {
	x := &Restore{redis: r, number: number, id: id, keys: keysOf(r.namespace, number), task: new(task)}
	if err := x.begin(ctx); err != nil {
		return nil, fmt.Errorf("beginning to restore task %d: %w", number, err)
	}
	return x, nil
}

// begin reads all that tells how far a restore has come in one step: another run may begin or finish at any moment.
func (x *Restore) begin(ctx context.Context) error {
	var reply []any
	err := x.redis.retry(ctx, func(ctx context.Context) (err error) {
		reply, err = progressScript.Run(ctx, x.redis.client, []string{x.keys.checkpoint(), x.keys.restore(), x.keys.names()}).Slice()
		return err
	})
	if err != nil {
		return err
	}
	state, part, names := text(reply[0]), text(reply[1]), reply[2] == int64(1)
	if state != "" {
		id, _, err := unpackHead([]byte(state))
		if x.done = id == x.commitID(finished); err != nil || !x.done {
			return ErrOccupied
		}
		return nil
	}
	if part == "" {
		if names {
			return ErrOccupied
		}
		return nil
	}
	c, err := unpackCheckpoint([]byte(part))
	if err != nil {
		return corrupt(x.keys.restore(), "", err)
	}
	if x.there = c.CommitSeq; c.CommitID != x.commitID(c.CommitSeq) {
		return ErrOtherRestore
	}
	return nil
}

// Begun says whether a run before has written a part, or all.
func (x *Restore) Begun() bool { return x.there > 0 || x.done }

// finished is the number of the commit that has the checkpoint of the task.
const finished = -1

// commitID names a commit of the restore; before the first, the state without any.
func (x *Restore) commitID(n int64) (id availability.CommitID) {
	if n == 0 {
		return id
	}
	sum := sha256.Sum256(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint32(x.id[:], uint32(x.number)), uint64(n)))
	copy(id[:], sum[:])
	return id
}

// Stock adds a part of a SKU, as a SnapshotVisitor gets it. What expires and what is expected is put into the index of what
// is due; where futures are kept, they leave it when they are.
func (x *Restore) Stock(ctx context.Context, d *availability.StockData) error {
	part := *d
	part.Reservations = slices.Clone(d.Reservations)
	for i := range part.Reservations {
		part.Reservations[i].DueAdded = expiries(part.Reservations[i].Reservation)
	}
	for i := range part.Cells {
		if c := &part.Cells[i]; x.Futures && len(c.Futures) > 0 {
			part.FuturesDue = append(part.FuturesDue, availability.FutureDue{Location: c.Location, At: c.Futures[0].Expected})
		}
	}
	entries := len(part.FuturesDue) + len(part.Cells) + len(part.Pools) + len(part.Demand) + len(part.Reservations)
	if x.entries+entries > restoreEntries || len(x.pending.Stocks) == restoreStocks {
		if err := x.flush(ctx); err != nil {
			return err
		}
	}
	x.entries += entries
	x.pending.Stocks = append(x.pending.Stocks, part)
	return nil
}

// expiries are the instants at which lines of a reservation expire, each once.
func expiries(r *availability.Reservation) (at []availability.Instant) {
	for _, l := range r.Lines {
		if l.ExpiresAt != availability.None && !slices.Contains(at, l.ExpiresAt) {
			at = append(at, l.ExpiresAt)
		}
	}
	return at
}

// IDs adds ids to a bucket.
func (x *Restore) IDs(ctx context.Context, batch availability.IDBatch) error {
	for ids := range slices.Chunk(batch.IDs, restoreIDs) {
		if x.ids+len(ids) > restoreIDs {
			if err := x.flush(ctx); err != nil {
				return err
			}
		}
		x.ids += len(ids)
		x.pending.IDs = append(x.pending.IDs, availability.IDBatch{Bucket: batch.Bucket, IDs: ids})
	}
	return nil
}

// Owed adds SKUs that the task has to publish.
func (x *Restore) Owed(ctx context.Context, skus []availability.SKU) error {
	for part := range slices.Chunk(skus, restoreEntries) {
		x.pending.OwedAdded = part
		if err := x.flush(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Graph adds a graph that SKUs were computed with.
func (x *Restore) Graph(ctx context.Context, g availability.GraphData) error {
	x.pending.Graphs = []availability.GraphData{g}
	return x.flush(ctx)
}

// flush commits what waits, unless a run before has.
func (x *Restore) flush(ctx context.Context) error {
	c := &x.pending
	if len(c.Stocks)+len(c.IDs)+len(c.OwedAdded)+len(c.Graphs) == 0 {
		return nil
	}
	c.Expect = x.commitID(x.commits)
	x.commits++
	c.Checkpoint = availability.Checkpoint{CommitID: x.commitID(x.commits), CommitSeq: x.commits}
	if x.commits > x.there && !x.done {
		if err := x.commit(ctx, c); err != nil {
			return fmt.Errorf("restoring task %d: %w", x.number, err)
		}
	}
	x.pending, x.entries, x.ids = availability.Commit{}, 0, 0
	return nil
}

// commit is that of Redis with the restore's checkpoint.
func (x *Restore) commit(ctx context.Context, c *availability.Commit) error {
	names, err := x.dictionary(ctx)
	if err != nil {
		return err
	}
	w, err := pack(x.keys, names, func(availability.SKU) bool { return false }, c)
	if err != nil {
		return err
	}
	if len(names.names)+len(w.names.added) == 0 {
		// Names without a checkpoint are what stops an owner: there are some from the first commit on.
		id := w.names.id(kindPool, "0")
		w.add(typeHash, w.say(x.keys.names()), []part{w.number(int64(id)), w.say(w.names.added[id])})
	}
	keys, args := w.call()
	keys[0] = x.keys.restore()
	var answer string
	err = x.redis.retry(ctx, func(ctx context.Context) (err error) {
		answer, err = restoreScript.Run(ctx, x.redis.client, append(keys, x.keys.checkpoint()), args...).Text()
		return err
	})
	if err != nil {
		return err
	}
	if answer == "occupied" && x.finishedBy(ctx) {
		x.done = true // by another run of the same restore, beside this one
		return nil
	}
	x.task.names = names.with(w.names.added)
	return x.refusal(answer)
}

// finishedBy says whether the state of the task is that of the restore.
func (x *Restore) finishedBy(ctx context.Context) bool {
	packed, err := x.redis.client.Get(ctx, x.keys.checkpoint()).Result()
	if err != nil {
		return false
	}
	id, _, err := unpackHead([]byte(packed))
	return err == nil && id == x.commitID(finished)
}

func (x *Restore) refusal(answer string) error {
	switch answer {
	case "written", "landed":
		return nil
	case "occupied":
		return ErrOccupied
	case "fenced", "names":
		return ErrOtherRestore
	}
	return refusal(x.keys, answer)
}

// dictionary returns the names that the restore has written. Nobody else writes any.
func (x *Restore) dictionary(ctx context.Context) (*dictionary, error) {
	if x.task.names != nil {
		return x.task.names, nil
	}
	var packed string
	var pairs map[string]string
	err := x.redis.retry(ctx, func(ctx context.Context) (err error) {
		if packed, err = x.redis.client.Get(ctx, x.keys.restore()).Result(); errors.Is(err, redis.Nil) {
			err = nil
		}
		if err == nil {
			pairs, err = x.redis.client.HGetAll(ctx, x.keys.names()).Result()
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the names: %w", err)
	}
	_, m, err := unpackHead([]byte(packed))
	if err != nil {
		return nil, corrupt(x.keys.restore(), "", err)
	}
	var list []string
	for id, name := range pairs {
		list = append(list, id, name)
	}
	if x.task.names, err = readNames(list, m); err != nil {
		if packed == "" || x.movedOn(ctx, packed) {
			return nil, ErrOtherRestore // it has written between the two reads, or has finished
		}
		return nil, corrupt(x.keys.names(), "", err)
	}
	return x.task.names, nil
}

// movedOn says whether the checkpoint of the restore is another by now.
func (x *Restore) movedOn(ctx context.Context, packed string) bool {
	now, err := x.redis.client.Get(ctx, x.keys.restore()).Result()
	return now != packed && (err == nil || errors.Is(err, redis.Nil))
}

// Finish writes what waits, and then the checkpoint, with a commit id of the restore: from here on the task has its state.
func (x *Restore) Finish(ctx context.Context, c availability.Checkpoint) error {
	c.CommitID = x.commitID(finished)
	err := x.flush(ctx)
	if x.done {
		return err
	}
	if err == nil && x.commits < x.there {
		err = ErrOtherRestore
	}
	if err == nil {
		err = x.finish(ctx, &c)
	}
	if err != nil {
		return fmt.Errorf("restoring task %d: %w", x.number, err)
	}
	x.redis.Forget(x.number)
	return nil
}

func (x *Restore) finish(ctx context.Context, c *availability.Checkpoint) error {
	names, err := x.dictionary(ctx)
	if err != nil {
		return err
	}
	expect := ""
	if id := x.commitID(x.commits); x.commits > 0 {
		expect = string(id[:])
	}
	var answer string
	err = x.redis.retry(ctx, func(ctx context.Context) (err error) {
		answer, err = finishScript.Run(ctx, x.redis.client, []string{x.keys.restore(), x.keys.checkpoint(), x.keys.names()},
			expect, packCheckpoint(c, names.mark), c.CommitID[:]).Text()
		return err
	})
	if err != nil {
		return err
	}
	return x.refusal(answer)
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
