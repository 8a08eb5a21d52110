package profiles

import (
	"cmp"
	"slices"
)

// top returns the n functions with the most time, most first.
func top(times map[string]int64, n int) []FunctionTime {
	all := make([]FunctionTime, 0, len(times))
	for f, t := range times {
		all = append(all, FunctionTime{Function: f, CPU: t})
	}
	slices.SortFunc(all, func(a, b FunctionTime) int {
		return cmp.Or(cmp.Compare(b.CPU, a.CPU), cmp.Compare(a.Function, b.Function))
	})
	return all[:min(n, len(all))]
}
