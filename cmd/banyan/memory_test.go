package main

import "testing"

// TestMemoryKeeper: memory is given back once, when many have left and the leaving is over.
func TestMemoryKeeper(t *testing.T) {
	var k memoryKeeper
	for i, step := range []struct {
		connections int64
		want        bool
	}{
		{0, false},
		{10_000, false},
		{6_000, false}, // leaving
		{6_000, false}, // not half of them
		{3_000, false}, // leaving
		{100, false},   // leaving
		{100, true},
		{100, false},
		{600, false},
		{10, false},
		{10, false}, // too few to matter
	} {
		if got := k.look(step.connections); got != step.want {
			t.Errorf("look %d, at %d connections: %v", i, step.connections, got)
		}
	}
}
