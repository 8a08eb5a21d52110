//go:build race

package codec

// raceEnabled: the race detector makes sync.Pool forget on purpose, so that allocations of transcoding cannot be
// counted.
const raceEnabled = true
