//go:build linux && race

package engine

// poolAllocates is how many allocations a sync.Pool may cause: with the race detector it forgets things at random.
const poolAllocates = 4
