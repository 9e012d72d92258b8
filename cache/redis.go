package cache

import (
	"context"
	"fmt"
	"sync"

	"github.com/redis/go-redis/v9"

	"onhand/processor/availability"
)

// Redis is the state of tasks in a Redis server, behind Sentinels, or in a Redis Cluster. Open returns it.
//
// Every call waits for a Redis that does not answer or cannot answer yet, with a bounded pause between attempts, until
// its ctx ends; Options.OnRetry hears why. The error then wraps that of ctx, and the last answer. A command on its way
// ends with the deadline of ctx, or Options.Timeout after ctx was cancelled.
type Redis struct {
	client    redis.UniversalClient
	namespace string
	onRetry   func(error)
	where     string // without credentials

	mu    sync.Mutex
	tasks map[int32]*task
}

// task is what the process remembers of a task in Redis.
type task struct {
	committing sync.Mutex

	mu     sync.Mutex
	names  *dictionary // nil: not read
	listed map[availability.SKU]struct{}
}

// listedMax bounds what a task remembers of sibling keys: 65,536 SKUs are some 5 MB.
const listedMax = 1 << 16

// haveLists notes SKUs that have a sibling key, so that a cell which no longer needs it leaves nothing there. What is
// forgotten here stays there until the cell needs it again, and is read by nobody: a cell says where its lists are.
func (t *task) haveLists(skus []availability.SKU) {
	if len(skus) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.listed == nil {
		t.listed = make(map[availability.SKU]struct{})
	}
	for _, sku := range skus {
		if len(t.listed) < listedMax {
			t.listed[sku] = struct{}{}
		}
	}
}

// mayHaveLists says whether a SKU has a sibling key: of too many to remember, any may.
func (t *task) mayHaveLists(sku availability.SKU) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.listed[sku]
	return ok || len(t.listed) >= listedMax
}

// String says which Redis it is, without user and password.
func (r *Redis) String() string { return r.where }

// Close ends all connections. Calls under way fail.
func (r *Redis) Close() error {
	if err := r.client.Close(); err != nil {
		return fmt.Errorf("closing Redis: %w", err)
	}
	return nil
}

// Forget drops what the process remembers of a task. Whoever claims a task, or gives it up, calls it; it is never wrong to.
func (r *Redis) Forget(task int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.tasks, task)
}

func (r *Redis) task(number int32) *task {
	r.mu.Lock()
	defer r.mu.Unlock()
	t, ok := r.tasks[number]
	if !ok {
		t = new(task)
		r.tasks[number] = t
	}
	return t
}

// replace takes over a dictionary, unless somebody else has replaced the one it follows. One that is not that of the
// state does no harm: every call says which it used, and Redis which it is.
func (t *task) replace(names, next *dictionary) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.names == names {
		t.names = next
	}
}

// dictionary returns the names of a task, and reads them if the process does not have them.
func (r *Redis) dictionary(ctx context.Context, t *task, k keys) (*dictionary, error) {
	if names := t.dictionary(); names != nil {
		return names, nil
	}
	l := loading{keys: k}
	if _, err := r.load(ctx, t, &l); err != nil {
		return nil, fmt.Errorf("reading the names: %w", err)
	}
	return l.names, nil
}

func (t *task) dictionary() *dictionary {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.names
}
