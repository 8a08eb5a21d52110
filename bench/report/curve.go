package report

import (
	"encoding/base64"
	"fmt"
	"math"

	"github.com/HdrHistogram/hdrhistogram-go"

	"banyan/bench/load"
)

// A curve is the latency of one peer by percentile.
type curve struct {
	Nines  []float64 `json:"x"` // -log10(1 - percentile/100): 1 is 90 %, 2 is 99 %, 3 is 99.9 %
	Millis []float64 `json:"y"`
}

// curveStep is the distance of two points of a curve in nines.
const curveStep = 0.05

// newCurve reads the percentiles up to that of a single message.
func newCurve(h *hdrhistogram.Histogram) curve {
	var c curve
	if h == nil || h.TotalCount() == 0 {
		return c
	}
	last := math.Log10(float64(h.TotalCount()))
	for i := 0; ; i++ {
		x := min(float64(i)*curveStep, last)
		ns := h.ValueAtQuantile(100 * (1 - math.Pow(10, -x)))
		c.Nines = append(c.Nines, math.Round(x*1000)/1000)
		c.Millis = append(c.Millis, float64(ns)/1e6)
		if x == last {
			return c
		}
	}
}

// histogram returns the latencies of a run in nanoseconds, nil when it has none.
func histogram(r *load.Report) (*hdrhistogram.Histogram, error) {
	if r.Latency.HDR == "" {
		return nil, nil
	}
	// The library encodes to base64 and decodes from base64: the bytes between are not its interface.
	h, err := hdrhistogram.Decode([]byte(r.Latency.HDR))
	if err != nil {
		if _, bad := base64.StdEncoding.DecodeString(r.Latency.HDR); bad != nil {
			err = bad
		}
		return nil, fmt.Errorf("report: histogram of %s: %w", r.Scenario, err)
	}
	return h, nil
}

// merged returns all latencies of several runs as one histogram, nil when they have none.
func merged(reports []*load.Report) (*hdrhistogram.Histogram, error) {
	var all *hdrhistogram.Histogram
	for _, r := range reports {
		h, err := histogram(r)
		if err != nil {
			return nil, err
		}
		switch {
		case h == nil:
		case all == nil:
			all = h
		default:
			all.Merge(h)
		}
	}
	return all, nil
}
