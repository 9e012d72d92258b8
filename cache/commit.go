package cache

import (
	"context"
	"errors"
	"fmt"

	"onhand/processor/availability"
)

// Commit writes a commit as a whole, and waits for Redis until ctx ends. It returns nil also if this commit had landed
// before, by a call whose answer was lost. It fails with availability.ErrFenced if another commit is in place, and with
// availability.ErrCorrupt if what is there cannot be this task's. After ctx has ended nobody knows whether it landed:
// the same commit may be tried again. It clears what is owed before it adds to it. The graph version of a SKU is stored
// when the SKU is new or replaced; otherwise it is what it was.
func (r *Redis) Commit(ctx context.Context, task int32, c *availability.Commit) error {
	t := r.task(task)
	t.committing.Lock()
	defer t.committing.Unlock()
	if err := r.commit(ctx, t, keysOf(r.namespace, task), c); err != nil {
		return fmt.Errorf("committing %d SKUs of task %d: %w", len(c.Stocks), task, err)
	}
	return nil
}

func (r *Redis) commit(ctx context.Context, t *task, k keys, c *availability.Commit) error {
	if err := checkIDs(c); err != nil {
		return err
	}
	for range reloads {
		names, err := r.dictionary(ctx, t, k)
		if err != nil {
			return err
		}
		w, err := pack(k, names, t.mayHaveLists, c)
		if err != nil {
			return err
		}
		t.haveLists(w.lists)
		var answer string
		keys, args := w.call()
		err = r.retry(ctx, func(ctx context.Context) (err error) {
			answer, err = commitScript.Run(ctx, r.client, keys, args...).Text()
			return err
		})
		if err != nil {
			return err
		}
		switch answer {
		case "written", "landed":
			t.replace(names, w.names.with(w.names.added))
			return nil
		case "names":
			t.replace(names, nil)
		default:
			return refusal(k, answer)
		}
	}
	return fmt.Errorf("%w: short ids changed %d times while they were used", availability.ErrFenced, reloads)
}

func checkIDs(c *availability.Commit) error {
	if id := c.Checkpoint.CommitID; id == (availability.CommitID{}) || id == c.Expect {
		return errors.New("commit id is not a new one")
	}
	return nil
}

// refusal is the error for an answer of the commit script that is no success.
func refusal(k keys, answer string) error {
	switch answer {
	case "fenced":
		return availability.ErrFenced
	case "leftover":
		return leftover(k)
	}
	return fmt.Errorf("commit script answered %q", answer)
}
