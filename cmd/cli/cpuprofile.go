package cli

import (
	"errors"
	"os"
	"runtime"
	"runtime/pprof"
)

// profileRateDefault is the rate of package pprof.
const profileRateDefault = 100

// startProfile begins a CPU profile and returns what ends it; without a file both do nothing.
func startProfile(file string, rate int) (end func() error, err error) {
	if file == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	if rate != profileRateDefault {
		// When pprof sets its own rate next, the runtime keeps this one and complains on standard error.
		runtime.SetCPUProfileRate(rate)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}
