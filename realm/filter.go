package realm

import (
	"slices"

	"banyan/codec"
	"banyan/engine/port"
)

// A filter says which subscribers one publication is for: its black and white lists (PROTOCOL 7.4), and its rkey
// (shard.go). Immutable after publish.
type filter struct {
	exclude, excludeAuthID, excludeAuthRole    *list
	eligible, eligibleAuthID, eligibleAuthRole *list

	rkey  uint64   // its hash; 0: none, or the realm has no sharding
	owner *session // of the rkey, in one subscription; nil: none of the sharded subscribers gets it
}

// A list is one of them, sorted. A list that is there and empty admits, or excludes, nobody.
type list struct {
	sessions []uint64
	names    []string
}

// filterKeys are the options that make a filter.
var filterKeys = [...]codec.Key{
	codec.KeyExclude, codec.KeyExcludeAuthid, codec.KeyExcludeAuthrole,
	codec.KeyEligible, codec.KeyEligibleAuthid, codec.KeyEligibleAuthrole,
}

// newFilter returns the filter that o asks for, with the hash of its rkey; nil for none.
func newFilter(o *codec.Options, rkey uint64) *filter {
	if rkey == 0 && !slices.ContainsFunc(filterKeys[:], o.Has) {
		return nil
	}
	return &filter{
		rkey:             rkey,
		exclude:          newList(o, codec.KeyExclude),
		excludeAuthID:    newList(o, codec.KeyExcludeAuthid),
		excludeAuthRole:  newList(o, codec.KeyExcludeAuthrole),
		eligible:         newList(o, codec.KeyEligible),
		eligibleAuthID:   newList(o, codec.KeyEligibleAuthid),
		eligibleAuthRole: newList(o, codec.KeyEligibleAuthrole),
	}
}

// listNameShown is how much of the name of an unknown list the log shows, in bytes.
const listNameShown = 64

// tellUnknownList counts a publication that goes to more subscribers than its publisher may think: other routers know
// lists by other details of sessions. The options are ignored, as all that are unknown (PROTOCOL 1.5).
func (s *session) tellUnknownList(x port.Executor, l *perLoop, o *codec.Options) {
	l.counters.listsUnknown.Add(1)
	if l.listsWarned.due(s.realm.router.clock()) {
		name := o.UnknownList()
		x.Warn("a black- or whitelist of a publication is unknown here and has no effect", "realm", s.realm.uri,
			"option", name[:min(len(name), listNameShown)])
	}
}

func newList(o *codec.Options, k codec.Key) *list {
	if !o.Has(k) {
		return nil
	}
	l := new(list)
	if k == codec.KeyExclude || k == codec.KeyEligible {
		l.sessions = o.IDs(nil, k)
		slices.Sort(l.sessions)
	} else {
		l.names = o.Texts(nil, k)
		slices.Sort(l.names)
	}
	return l
}

// passes reports whether a member may have the event.
func (f *filter) passes(m *member) bool {
	return (f.rkey == 0 || m.nkey == 0 || m.session == f.owner) && f.admits(m.session.who())
}

// lists reports whether f has any black or white list.
func (f *filter) lists() bool {
	return f.exclude != nil || f.excludeAuthID != nil || f.excludeAuthRole != nil || f.eligible != nil ||
		f.eligibleAuthID != nil || f.eligibleAuthRole != nil
}

// admits reports whether the lists let a subscriber of that identity have the event. A black list beats a white one.
func (f *filter) admits(who *codec.Identity) bool {
	if f.exclude != nil && f.exclude.session(who.Session) ||
		f.excludeAuthID != nil && f.excludeAuthID.name(who.AuthID) ||
		f.excludeAuthRole != nil && f.excludeAuthRole.name(who.AuthRole) {
		return false
	}
	return (f.eligible == nil || f.eligible.session(who.Session)) &&
		(f.eligibleAuthID == nil || f.eligibleAuthID.name(who.AuthID)) &&
		(f.eligibleAuthRole == nil || f.eligibleAuthRole.name(who.AuthRole))
}

func (l *list) session(id uint64) bool {
	_, found := slices.BinarySearch(l.sessions, id)
	return found
}

func (l *list) name(name string) bool {
	_, found := slices.BinarySearch(l.names, name)
	return found
}
