package processor

import (
	"context"
	"slices"
	"time"
)

// watchEvery is how often an idle task compares the store's checkpoint with the last one acknowledged: a store that forgot
// is noticed within that time also where nothing is read or written.
const watchEvery = time.Second

// watch looks at the checkpoints of idle tasks until ctx ends.
func (s *session) watch(ctx context.Context) {
	defer s.background.Done()
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for _, t := range s.list() {
			if ctx.Err() == nil && t.is(running) {
				t.look(ctx)
			}
		}
	}
}

// look reads the checkpoint of a task that has nothing on its way to the store. A store that does not answer is left to
// those who need it.
func (t *task) look(ctx context.Context) {
	c := t.writes()
	stored, queued := c.numbers()
	if stored != queued || c.failed() != nil {
		return
	}
	known := c.known()
	ask, cancel := context.WithTimeout(ctx, watchEvery)
	defer cancel()
	checkpoint, err := t.shared.Store.Checkpoint(ask, t.number)
	if err != nil || without.Watch || slices.Contains(known, checkpoint.CommitID) {
		return
	}
	if _, now := c.numbers(); now == queued {
		c.fail(errForgotten)
	}
}
