//go:build linux && race

package engine

// poolAllocates is how many allocations a sync.Pool may cause: with the race detector it forgets things at random.
const poolAllocates = 4

// parallelTests is how many tests run beside each other at most: with the race detector most of them keep a CPU busy.
const parallelTests = "2"
