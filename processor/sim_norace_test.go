//go:build !race

package processor_test

// What go test runs; with the race detector it is less.
const (
	simulationsUsual = 500
	heldUsual        = 3
)
