//go:build race

package cli

// The race detector makes work five to ten times slower.
func init() { raceDetector, patience, parallelTests = true, 3*patience, "4" }
