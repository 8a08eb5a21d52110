package codec

import (
	"slices"
	"unicode/utf8"
)

// Roles is a set of what HELLO announced, as far as a router acts upon it (PROTOCOL 4.2).
type Roles uint16

// The roles of a client, and the features of a callee that change what it is sent.
const (
	RolePublisher Roles = 1 << iota
	RoleSubscriber
	RoleCaller
	RoleCallee

	CalleeCanceling // call_canceling
	CalleeProgress  // progressive_call_results
	CalleeTimeout   // call_timeout
)

// A Join is what it takes to let a client in without asking who it is.
type Join struct {
	Roles     Roles
	Anonymous bool // no method of authentication is named, or "anonymous" among them
}

// ReadJoin reads what ParseHello does, and finds the same faults, but keeps only what a Join holds. A HELLO as clients send it is walked
// over where it lies; whatever is out of the ordinary goes through ParseHello, which alone decides what is a violation.
//
// hot: BenchmarkJoin; the maps and texts of ParseHello were a twentieth of the router's work for a session.
func ReadJoin(m *Message) (Join, error) {
	if j, ok := walkHello(m); ok {
		return j, nil
	}
	h, err := ParseHello(m)
	if err != nil {
		return Join{}, err
	}
	return h.join(), nil
}

func (h *HelloDetails) join() Join {
	j := Join{Anonymous: len(h.AuthMethods) == 0 || slices.Contains(h.AuthMethods, "anonymous")}
	for name, features := range h.Roles {
		role := roleBit(name)
		j.Roles |= role
		for _, feature := range features {
			j.Roles |= featureBit(role, feature)
		}
	}
	return j
}

func roleBit[T string | []byte](name T) Roles {
	switch string(name) {
	case "publisher":
		return RolePublisher
	case "subscriber":
		return RoleSubscriber
	case "caller":
		return RoleCaller
	case "callee":
		return RoleCallee
	}
	return 0
}

func featureBit[T string | []byte](role Roles, name T) Roles {
	if role != RoleCallee {
		return 0
	}
	switch string(name) {
	case "call_canceling", "call_cancelling":
		return CalleeCanceling
	case "progressive_call_results":
		return CalleeProgress
	case "call_timeout":
		return CalleeTimeout
	}
	return 0
}

// walkHello reports false for anything but the plain case: keys that come once, UTF-8, no tags, no escapes, no list of methods.
func walkHello(m *Message) (j Join, ok bool) {
	j.Anonymous = true
	r := input{b: m.Dict}
	seen := false
	ok = r.pairs(m.Format, func(k []byte) bool {
		kind, empty := kindAt(m.Format, r.b, r.i)
		switch string(k) {
		case "agent", "authid", "authrole":
			if kind == kindNull {
				break
			}
			return r.plainText(m.Format)
		case "authmethods":
			if kind != kindNull && (kind != kindList || !empty) {
				return false
			}
		case "roles":
			if kind == kindNull {
				break
			}
			again := seen
			seen = true
			return !again && r.roles(m.Format, &j.Roles)
		}
		return r.over(m.Format)
	})
	return j, ok
}

// roles walks over the dictionary of roles.
func (r *input) roles(s Serializer, all *Roles) bool {
	return r.pairs(s, func(name []byte) bool {
		role := roleBit(name)
		if *all&role != 0 {
			return false
		}
		*all |= role
		seen := false
		return r.pairs(s, func(k []byte) bool {
			if kind, _ := kindAt(s, r.b, r.i); string(k) != "features" || kind == kindNull {
				return r.over(s)
			}
			again := seen
			seen = true
			return !again && r.features(s, role, all)
		})
	})
}

// features walks over the dictionary of a role's features.
func (r *input) features(s Serializer, role Roles, all *Roles) bool {
	return r.pairs(s, func(name []byte) bool {
		if bit := featureBit(role, name); bit != 0 {
			kind, _ := kindAt(s, r.b, r.i)
			if *all&bit != 0 || kind == kindTag {
				return false
			}
			if kind == kindBool && isTrue(s, r.b[r.i]) {
				*all |= bit
			}
		}
		return r.over(s)
	})
}

// isTrue tells the booleans apart by their first octet.
func isTrue(s Serializer, first byte) bool {
	switch s {
	case JSON:
		return first == 't'
	case MessagePack:
		return first == 0xc3
	}
	return first == cborSimple|21
}

// pairs calls value at the value of each pair of the dictionary at the cursor; value moves over it. It reports false if there is no
// dictionary with text as keys, or value did.
func (r *input) pairs(s Serializer, value func(k []byte) bool) bool {
	w := dictWalk{s: s}
	if !w.open(r) {
		return false
	}
	for {
		k, more, ok := w.key(r, 0)
		if !ok || !more {
			return ok
		}
		if r.i >= len(r.b) || !utf8.Valid(k) || !value(k) {
			return false
		}
	}
}

// over moves over any value, which Decode has found well formed.
func (r *input) over(s Serializer) bool {
	end, why := skip(s, r.b, r.i, 0, &r.st)
	r.i = end
	return why == ""
}

// plainText moves over text that means what it says: in JSON, text with escapes may stand for binary (PROTOCOL 14.2), and what is not
// UTF-8 becomes binary on the way to another serializer.
func (r *input) plainText(s Serializer) bool {
	n := len(r.scratch)
	text, ok := r.textValue(s)
	return ok && len(r.scratch) == n && utf8.Valid(text)
}
