package cache

import (
	"context"
	"fmt"
	"strconv"

	"onhand/processor/availability"
)

// WantsMax is how many SKUs one Load may ask for: Redis serves nobody else while it answers.
const WantsMax = 2000

// reloads is how often a load or commit starts anew because the names have changed meanwhile. Every start takes in the
// newest, and a commit that adds names takes longer than a load, so the first or second is enough.
const reloads = 100

// Checkpoint returns the checkpoint of a task. A zero CommitID: there is none. It fails with availability.ErrCorrupt if
// it cannot be read, or is missing while other state of the task is there.
func (r *Redis) Checkpoint(ctx context.Context, task int32) (availability.Checkpoint, error) {
	k := keysOf(r.namespace, task)
	var reply []any
	err := r.retry(ctx, func(ctx context.Context) (err error) {
		reply, err = checkpointScript.Run(ctx, r.client, []string{k.checkpoint(), k.names()}).Slice()
		return err
	})
	var c availability.Checkpoint
	if err == nil {
		c, err = k.unpackCheckpoint(reply)
	}
	if err != nil {
		return availability.Checkpoint{}, fmt.Errorf("reading the checkpoint of task %d: %w", task, err)
	}
	return c, nil
}

func (k keys) unpackCheckpoint(reply []any) (availability.Checkpoint, error) {
	packed := text(reply[0])
	if packed == "" && reply[1] == int64(1) {
		return availability.Checkpoint{}, leftover(k)
	}
	c, err := unpackCheckpoint([]byte(packed))
	if err != nil {
		return c, corrupt(k.checkpoint(), "", err)
	}
	return c, nil
}

// Load returns what is asked for, in the order of the wants, and the commit id of the checkpoint it was written with, all
// read in one step. Where one of few reservations is asked for, or there are none, it says so and returns all. A want that
// is not All is answered whole where the SKU was computed with another graph than g; with a nil g, always. It fails with
// availability.ErrCorrupt on what it cannot read, naming key and field; with an availability.CorruptError where that is of
// single SKUs.
func (r *Redis) Load(ctx context.Context, task int32, g *availability.Graph, wants []availability.Want) ([]availability.StockData, availability.CommitID, error) {
	if len(wants) > WantsMax {
		return nil, availability.CommitID{}, fmt.Errorf("loading %d SKUs of task %d: at most %d at once", len(wants), task, WantsMax)
	}
	l := loading{keys: keysOf(r.namespace, task), wants: wants}
	if g != nil {
		l.graphVersion = strconv.FormatInt(g.Version, 10)
	}
	id, err := r.load(ctx, r.task(task), &l)
	if err != nil {
		return nil, availability.CommitID{}, fmt.Errorf("loading %d SKUs of task %d: %w", len(wants), task, err)
	}
	return l.stocks, id, nil
}

// Read returns a SKU with all its reservations, for those who look at a task that another process runs, and the commit id
// of the checkpoint it was written with. Redis serves nobody else meanwhile: some 20 ms where 100,000 reservations are open.
func (r *Redis) Read(ctx context.Context, task int32, sku availability.SKU) (availability.StockData, availability.CommitID, error) {
	l := loading{keys: keysOf(r.namespace, task), wants: []availability.Want{{SKU: sku, All: true}}, reservations: true}
	id, err := r.load(ctx, r.task(task), &l)
	if err != nil {
		return availability.StockData{}, id, fmt.Errorf("reading SKU %q of task %d: %w", sku, task, err)
	}
	return l.stocks[0], id, nil
}

// load reads with the dictionary at hand. If what comes was written with another, that comes along; then it reads again
// if it has asked for the wrong fields.
func (r *Redis) load(ctx context.Context, t *task, l *loading) (id availability.CommitID, err error) {
	for range reloads {
		before := t.dictionary()
		if l.names = before; before == nil {
			l.names = newDictionary(nil)
		}
		asked := l.names
		var reply []any
		keys, args := l.request()
		err = r.retry(ctx, func(ctx context.Context) error {
			reply, err = loadScript.Run(ctx, r.client, keys, args...).Slice()
			return err
		})
		if err != nil {
			return id, err
		}
		if id, err = l.unpackNames(reply); err != nil {
			return id, err
		}
		t.replace(before, l.names)
		if l.names == asked || !l.parts() {
			err = l.unpack(reply[2:])
			t.haveLists(l.listed)
			return id, err
		}
	}
	return id, fmt.Errorf("names were added %d times while they were read", reloads)
}
