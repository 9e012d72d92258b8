// Package availability is the arithmetic of onhand: what one SKU has at its locations, what was promised of it, and
// what can still be promised.
//
// It guarantees that levels are a function of the location graph, the cells and the open reservations: any split of
// the events into batches, any restart and any duplicate gives the same levels; and that a reservation is granted only
// if every promise made before can still be kept, also across groups that share locations.
//
// It does no I/O, starts no goroutine, reads no clock and draws no random number. Time comes with the events.
//
// A Folder folds events into a Stock, which is everything a task holds of one SKU. A Stock is built from a StockData,
// as a store keeps it, and tells afterwards what changed: StockData for the store, Changes for the storefront.
package availability
