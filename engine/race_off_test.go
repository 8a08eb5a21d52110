//go:build linux && !race

package engine

const poolAllocates = 0

// parallelTests is how many tests run beside each other at most: most of those that may do wait.
const parallelTests = "4"
