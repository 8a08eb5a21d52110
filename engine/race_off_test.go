//go:build linux && !race

package engine

const poolAllocates = 0
