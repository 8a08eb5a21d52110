//go:build race

package auth

// raceEnabled: the race detector makes sync.Pool forget on purpose, so that allocations of fmt and encoding/json
// cannot be counted.
const raceEnabled = true
