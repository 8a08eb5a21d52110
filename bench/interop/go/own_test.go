package interop

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/gammazero/nexus/v3/wamp"

	"banyan/bench/interop/peer"
)

// ownRealm is a realm that belongs to the case, on the router with a configuration file: it comes with its first
// session. Its sessions may call everything, wamp.session.kill too.
func (s *stage) ownRealm() string { return "interop.own." + s.base }

// own joins that realm.
func (s *stage) own() peer.Session {
	s.t.Helper()
	return s.joinRealm(peer.Configured(), s.ownRealm())
}

// ask calls a procedure and returns the arguments of its result.
func (s *stage) ask(who peer.Session, procedure string, args ...any) []any {
	s.t.Helper()
	reply, err := who.Call(s.ctx, procedure, args, nil, nil, nil)
	if err != nil {
		s.t.Fatalf("%s: %v", procedure, err)
	}
	return reply.Args
}

// refuses calls a procedure that has to answer with an error.
func (s *stage) refuses(who peer.Session, uri, procedure string, args []any, kwargs map[string]any) {
	s.t.Helper()
	reply, err := who.Call(s.ctx, procedure, args, kwargs, nil, nil)
	if err == nil {
		s.t.Fatalf("%s%v answered %v, want %s", procedure, args, reply, uri)
	}
	s.fails(err, uri)
}

// A note is an event in short form: the last part of its topic and its arguments.
type note struct {
	topic string
	args  []any
}

// listen subscribes to a topic, or to all topics that begin with it, and returns what comes.
func (s *stage) listen(who peer.Session, topic, match string) *inbox[note] {
	s.t.Helper()
	var in inbox[note]
	s.subscribe(who, topic, match, func(e peer.Event) {
		at := e.Topic
		if at == "" {
			at = topic
		}
		in.put(note{at[strings.LastIndexByte(at, '.')+1:], e.Args})
	})
	return &in
}

// topics waits for as many notes as there are names, and compares their topics: as a set if the library delivers them
// out of order.
func (s *stage) topics(in *inbox[note], names ...string) []note {
	s.t.Helper()
	notes := take(s, in, len(names))
	got := make([]string, len(notes))
	for i, n := range notes {
		got[i] = n.topic
	}
	if !s.library.InOrder {
		names = slices.Sorted(slices.Values(names))
		slices.Sort(got)
	}
	if !slices.Equal(got, names) {
		s.t.Fatalf("got events %v, want %v", got, names)
	}
	return notes
}

// number reads an id or a count, in whatever type the library decodes it to.
func (s *stage) number(v any) uint64 {
	s.t.Helper()
	switch r := reflect.ValueOf(v); { // xconn decodes MessagePack to the smallest type that does, and JSON to floats
	case r.CanUint():
		return r.Uint()
	case r.CanInt() && r.Int() >= 0:
		return uint64(r.Int())
	case r.CanFloat() && r.Float() >= 0:
		return uint64(r.Float())
	}
	s.t.Fatalf("%v (%T) is no id or count", v, v)
	return 0
}

// numbers reads a list of ids, sorted.
func (s *stage) numbers(v any) []uint64 {
	s.t.Helper()
	list, ok := wamp.AsList(v)
	if !ok {
		s.t.Fatalf("%v (%T) is no list", v, v)
	}
	ids := make([]uint64, len(list))
	for i, item := range list {
		ids[i] = s.number(item)
	}
	slices.Sort(ids)
	return ids
}

// dict reads a dictionary.
func (s *stage) dict(v any) map[string]any {
	s.t.Helper()
	d, ok := wamp.AsDict(v)
	if !ok {
		s.t.Fatalf("%v (%T) is no dictionary", v, v)
	}
	return d
}

func (s *stage) ids(sessions ...peer.Session) []uint64 {
	ids := make([]uint64, len(sessions))
	for i, session := range sessions {
		ids[i] = session.ID()
	}
	slices.Sort(ids)
	return ids
}

// same compares by their text, which is the same for all types of integers.
func (s *stage) equal(what string, got, want any) {
	s.t.Helper()
	if inText(got) != inText(want) {
		s.t.Fatalf("%s: got %v, want %v", what, inText(got), inText(want))
	}
}

// inText prints integers of all types alike: JSON of xconn has floats.
func inText(v any) string { return fmt.Sprint(plain(v)) }

func plain(v any) any {
	switch v := v.(type) {
	case float64:
		if v == float64(int64(v)) {
			return int64(v)
		}
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			list[i] = plain(item)
		}
		return list
	}
	return v
}
