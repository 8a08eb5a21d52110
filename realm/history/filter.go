package history

import (
	"slices"

	"banyan/codec"
)

// A Filter is the black and white lists of a publication (PROTOCOL 7.4). A nil list was absent; one that is there and
// empty admits, or excludes, nobody. Immutable once an event has it.
type Filter struct {
	Exclude, Eligible                []uint64 // session ids
	ExcludeAuthID, ExcludeAuthRole   []string
	EligibleAuthID, EligibleAuthRole []string
}

// Sessions reports whether f names session ids. They are ephemeral, so that such an event has no place in history
// (PROTOCOL 7.8).
func (f *Filter) Sessions() bool { return f != nil && (f.Exclude != nil || f.Eligible != nil) }

// Admits reports whether somebody of that identity may have the event. A black list beats a white one. f may be nil.
func (f *Filter) Admits(who *codec.Identity) bool {
	if f == nil {
		return true
	}
	if slices.Contains(f.Exclude, who.Session) || slices.Contains(f.ExcludeAuthID, who.AuthID) ||
		slices.Contains(f.ExcludeAuthRole, who.AuthRole) {
		return false
	}
	return (f.Eligible == nil || slices.Contains(f.Eligible, who.Session)) &&
		(f.EligibleAuthID == nil || slices.Contains(f.EligibleAuthID, who.AuthID)) &&
		(f.EligibleAuthRole == nil || slices.Contains(f.EligibleAuthRole, who.AuthRole))
}

func (f *Filter) clone() *Filter {
	if f == nil {
		return nil
	}
	return &Filter{
		Exclude: slices.Clone(f.Exclude), Eligible: slices.Clone(f.Eligible),
		ExcludeAuthID: slices.Clone(f.ExcludeAuthID), ExcludeAuthRole: slices.Clone(f.ExcludeAuthRole),
		EligibleAuthID: slices.Clone(f.EligibleAuthID), EligibleAuthRole: slices.Clone(f.EligibleAuthRole),
	}
}

// bytes is what f counts in a bound.
func (f *Filter) bytes() (n int) {
	if f == nil {
		return 0
	}
	n = 8 * (len(f.Exclude) + len(f.Eligible))
	for _, list := range [...][]string{f.ExcludeAuthID, f.ExcludeAuthRole, f.EligibleAuthID, f.EligibleAuthRole} {
		for _, name := range list {
			n += 16 + len(name)
		}
	}
	return n
}
