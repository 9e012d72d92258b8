//go:build race

package processor_test

// With the race detector a schedule takes ten times as long: a few of them meet every lock.
const (
	simulationsUsual = 25
	heldUsual        = 1
)
