package processor

import (
	"context"

	"onhand/processor/availability"
)

// Store is where tasks keep their state. Reads and writes of one task are atomic; the store may forget acknowledged
// writes, but only whole commits, newest first. Its methods may be called concurrently, those of one task too.
type Store interface {
	// Checkpoint returns the checkpoint of a task; one with a zero CommitID if there is none.
	Checkpoint(ctx context.Context, task int32) (availability.Checkpoint, error)
	// Load returns what is asked for, in the order of wants, and the commit that it belongs to.
	Load(ctx context.Context, task int32, g *availability.Graph, wants []availability.Want) ([]availability.StockData, availability.CommitID, error)
	// Commit writes if the task's checkpoint has the id that the commit expects; it succeeds too if the commit is in
	// place already. availability.ErrFenced: neither. It waits out a store that is down until ctx ends.
	Commit(ctx context.Context, task int32, c *availability.Commit) error
	// IDs returns the ids to remember; Owed the SKUs to publish again; Graphs the graph versions that SKUs may have been
	// computed with.
	IDs(ctx context.Context, task int32) ([]availability.IDBatch, error)
	Owed(ctx context.Context, task int32) ([]availability.SKU, error)
	Graphs(ctx context.Context, task int32) ([]availability.GraphData, error)
	// SKUs returns the SKUs of a shard, 0 to availability.SKUShards-1. Every SKU that a stored commit wrote is in one.
	SKUs(ctx context.Context, task int32, shard int) ([]availability.SKU, error)
	// Due returns up to limit expiries not after until, earliest first.
	Due(ctx context.Context, task int32, until availability.Instant, limit int) ([]availability.Due, error)
	// Forget drops what the process remembers of the task, before a claim.
	Forget(task int32)
}
