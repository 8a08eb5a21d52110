package features

import (
	"fmt"
	"slices"
	"strings"
)

// The lines between which the table stands in README.md.
const (
	Begin = "<!-- features: go generate ./cmd/features -->"
	End   = "<!-- end of features -->"
)

// Markdown returns the table for README.md. tested are the ids that tests carry.
func Markdown(table []Feature, tested map[string][]string) string {
	var b strings.Builder
	b.WriteString("| feature | status | checklist ids with a test |\n| --- | --- | --- |\n")
	for _, f := range table {
		all := f.All()
		var have, lack []string
		for _, id := range all {
			if tested[id] != nil {
				have = append(have, id)
			} else {
				lack = append(lack, id)
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", f.Name, status(&f, have, lack), Ranges(have))
	}
	return b.String()
}

// complete reports whether the router has all of f.
func (f *Feature) complete(tested map[string][]string) bool {
	untested := func(id string) bool { return tested[id] == nil }
	return f.Out == "" && f.Lacks == "" && !slices.ContainsFunc(f.All(), untested)
}

func status(f *Feature, have, lack []string) string {
	switch {
	case f.Out != "":
		return "out: " + f.Out
	case f.Lacks != "":
		return "not yet; " + f.Lacks
	case len(lack) == 0 && f.With != "":
		return "complete; with the option `" + f.With + "` of a realm"
	case len(lack) == 0:
		return "complete"
	case len(have) == 0:
		return "not yet"
	}
	return "in part; no test for " + Ranges(lack)
}

// All returns the ids of f, sorted by group and number. It panics if IDs is malformed.
func (f *Feature) All() (all []string) {
	for _, word := range strings.Fields(f.IDs) {
		first, last, isRange := strings.Cut(word, "…")
		if idForm.FindString(first) != first || first == "" {
			panic("features: " + f.Name + ": " + word)
		}
		group, digits, _ := strings.Cut(first, "-")
		from := number(digits)
		to := from
		if isRange {
			to = number(last)
		}
		for n := from; n <= to; n++ {
			all = append(all, id(group, n))
		}
	}
	slices.SortFunc(all, compare)
	return all
}

// compare orders ids as the checklist does.
func compare(a, b string) int {
	ga, na, _ := strings.Cut(a, "-")
	gb, nb, _ := strings.Cut(b, "-")
	if d := slices.Index(Groups, ga) - slices.Index(Groups, gb); d != 0 {
		return d
	}
	return strings.Compare(na, nb)
}

// Ranges writes sorted ids shortly: PUB-01 to PUB-03, PUB-07.
func Ranges(ids []string) string {
	var parts []string
	for i := 0; i < len(ids); {
		j := i
		for j+1 < len(ids) && ids[j+1] == next(ids[j]) {
			j++
		}
		if j-i >= 2 {
			parts = append(parts, ids[i]+" to "+ids[j])
		} else {
			parts = append(parts, ids[i:j+1]...)
		}
		i = j + 1
	}
	return strings.Join(parts, ", ")
}

// next is the id after this one.
func next(this string) string {
	group, digits, _ := strings.Cut(this, "-")
	return id(group, number(digits)+1)
}
