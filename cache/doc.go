// Package cache keeps the state of tasks in Redis.
//
// It guarantees that a commit is stored as a whole or not at all, and only if the task's checkpoint is still the one the
// commit builds on; that a commit sent twice counts once; and that whatever is loaded together, the commit id included,
// was stored together. What it stores it returns exactly, or fails with an error that wraps availability.ErrCorrupt.
//
// Redis decides nothing. All keys of a task share a hash tag, hence a slot, and one script call compares the commit id
// and writes what Go has computed. The layout of the keys is drawn in layout.go, the script stands in script.go.
//
// Memory is the same store in a map, for tests.
//
// A store is used by any number of tasks at once. Of one task, a single goroutine commits at a time; anybody may load.
package cache
