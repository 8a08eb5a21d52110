package policy

import (
	"bytes"

	"banyan/codec"
)

// A request with a pattern is granted only if every URI that the pattern matches is granted (PROTOCOL 11). Two things
// are looked at:
//
//   - The cover: the wildcard or prefix rule that would be chosen for a URI of the pattern of which nothing more is
//     known. A prefix covers patterns that begin with it; a wildcard covers equal and more specific wildcards. An
//     exact rule covers no pattern.
//   - The obstacles: rules that do not allow the action and are chosen for some URI of the pattern.
//
// The weakest of their decisions is the answer: no, before a question for the authorizer, before yes. The answer is
// yes exactly if the cover allows and each URI of the pattern is allowed by itself; a test compares the two for all
// patterns and URIs of a small alphabet. For Register, reserved URIs in the pattern do not count: such a registration
// gets no calls of them (PROTOCOL 3.3).
//
// Whether an obstacle is chosen for some URI of the pattern is tried with one URI: that which both match and of which
// nothing more is known. Its free components are, or end with, a # sign, which no rule contains. A rule that is
// chosen for this URI instead of the obstacle matches all other URIs that both match, and outranks it there too.

// fresh stands for text that occurs in no rule.
const fresh = '#'

var dot = []byte{'.'}

func cutComponent(uri []byte) (component, rest []byte, more bool) { return bytes.Cut(uri, dot) }

func (r *Role) decidePattern(a Action, pattern []byte, match codec.Match) Decision {
	if a != Subscribe && a != Register || match > codec.Wildcard || !codec.ValidURI(pattern, match, false) {
		return denied
	}
	var room [256]byte
	d := r.decision(a, r.cover(room[:0], pattern, match))
	if d.denies() {
		return d
	}
	fixed := pattern
	if match == codec.Wildcard {
		fixed = pattern[:fixedLength(pattern)]
	}
	o := &r.obstacles[a]
	for _, rule := range o.ordered[o.from(fixed):] {
		if !bytes.HasPrefix(rule.text, fixed) {
			break
		}
		if r.decides(room[:0], rule, a, pattern, match) {
			if d = weaker(d, rule.decisions[a]); d.denies() {
				return d
			}
		}
	}
	for _, rule := range o.wildcards {
		if r.decides(room[:0], rule, a, pattern, match) {
			if d = weaker(d, rule.decisions[a]); d.denies() {
				return d
			}
		}
	}
	return d
}

// weaker returns the decision that holds if both d and other have to; other does not allow.
func weaker(d, other Decision) Decision {
	if other.Definitive {
		return other
	}
	return Decision{Cache: d.Cache && other.Cache}
}

// cover returns the rule that covers pattern, or nil. dst is scratch.
func (r *Role) cover(dst, pattern []byte, match codec.Match) *rule {
	if match == codec.Prefix {
		return r.longest(pattern)
	}
	uri, _ := meet(dst, pattern, nil, codec.Prefix)
	return r.chosenPattern(uri)
}

// decides reports whether rule, an obstacle, decides about a URI that pattern matches and for which a session can do
// a. If pattern is a prefix, an exact or prefix rule begins with it. dst is scratch.
func (r *Role) decides(dst []byte, rule *rule, a Action, pattern []byte, match codec.Match) bool {
	var uri []byte
	ok := true
	switch {
	case rule.match == codec.Exact:
		uri = rule.text
		ok = match == codec.Prefix || matchesWildcard(pattern, uri)
	case rule.match == codec.Prefix && match == codec.Prefix:
		uri = append(append(dst, rule.text...), fresh)
	case rule.match == codec.Prefix:
		uri, ok = meet(dst, pattern, rule.text, codec.Prefix)
		ok = ok && r.chosen(uri) == rule
	default:
		uri, ok = meet(dst, rule.text, pattern, match)
		ok = ok && r.chosen(uri) == rule
	}
	return ok && (a != Register || !codec.ReservedURI(uri))
}

// meet appends to dst a URI that wildcard and other both match, of which nothing more is known. other is a prefix or
// a wildcard. ok is false if there is no such URI.
func meet(dst, wildcard, other []byte, match codec.Match) (uri []byte, ok bool) {
	more, otherMore := true, true
	for first := true; more; first = false {
		if !first {
			dst = append(dst, '.')
		}
		var component, its []byte
		component, wildcard, more = cutComponent(wildcard)
		free := len(component) == 0
		ended := !otherMore
		if ended && match == codec.Wildcard {
			return dst, false
		}
		if !ended {
			its, other, otherMore = cutComponent(other)
		}
		switch tail := match == codec.Prefix && !otherMore; {
		case tail && free:
			dst = append(append(dst, its...), fresh)
		case tail && !bytes.HasPrefix(component, its):
			return dst, false
		case free && len(its) == 0:
			dst = append(dst, fresh)
		case free:
			dst = append(dst, its...)
		case tail || len(its) == 0 || bytes.Equal(component, its):
			dst = append(dst, component...)
		default:
			return dst, false
		}
	}
	return dst, !otherMore
}

// matchesWildcard reports whether pattern matches uri (PROTOCOL 3.4).
func matchesWildcard(pattern, uri []byte) bool {
	for more := true; more; {
		var want, got []byte
		var uriMore bool
		want, pattern, more = cutComponent(pattern)
		got, uri, uriMore = cutComponent(uri)
		if more != uriMore || len(want) > 0 && !bytes.Equal(want, got) {
			return false
		}
	}
	return true
}

// fixedLength returns how many octets all URIs that the wildcard pattern matches begin with.
func fixedLength(pattern []byte) int {
	if len(pattern) > 0 && pattern[0] == '.' {
		return 0
	}
	if i := bytes.Index(pattern, []byte("..")); i >= 0 {
		return i + 1
	}
	return len(pattern)
}

// from returns the index of the first of the ordered obstacles that is not less than text.
func (o *obstacles) from(text []byte) int {
	low, high := 0, len(o.ordered)
	for low < high {
		middle := int(uint(low+high) >> 1)
		if o.ordered[middle].uri < string(text) {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low
}
