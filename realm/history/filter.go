package history

import (
	"cmp"
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
	return f.admits(who, slices.Contains[[]uint64], slices.Contains[[]string])
}

// admitsSoon is Admits for a clone, whose lists are sorted: whoever looks for retained events on a loop may meet many
// long ones.
func (f *Filter) admitsSoon(who *codec.Identity) bool {
	return f.admits(who, sortedContains[uint64], sortedContains[string])
}

func (f *Filter) admits(who *codec.Identity, session func([]uint64, uint64) bool, name func([]string, string) bool,
) bool {
	if f == nil {
		return true
	}
	if session(f.Exclude, who.Session) || name(f.ExcludeAuthID, who.AuthID) ||
		name(f.ExcludeAuthRole, who.AuthRole) {
		return false
	}
	return (f.Eligible == nil || session(f.Eligible, who.Session)) &&
		(f.EligibleAuthID == nil || name(f.EligibleAuthID, who.AuthID)) &&
		(f.EligibleAuthRole == nil || name(f.EligibleAuthRole, who.AuthRole))
}

func sortedContains[E cmp.Ordered](list []E, e E) bool {
	_, found := slices.BinarySearch(list, e)
	return found
}

// sorted returns a sorted copy, nil if list is nil.
func sorted[E cmp.Ordered](list []E) []E {
	list = slices.Clone(list)
	slices.Sort(list) // mostly it is
	return list
}

// clone returns a copy with sorted lists.
func (f *Filter) clone() *Filter {
	if f == nil {
		return nil
	}
	return &Filter{
		Exclude: sorted(f.Exclude), Eligible: sorted(f.Eligible),
		ExcludeAuthID: sorted(f.ExcludeAuthID), ExcludeAuthRole: sorted(f.ExcludeAuthRole),
		EligibleAuthID: sorted(f.EligibleAuthID), EligibleAuthRole: sorted(f.EligibleAuthRole),
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
