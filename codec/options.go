package codec

import (
	"unicode/utf8"
)

// A Key names a known key of an options or details dictionary; keys_gen.go lists them.
type Key uint8

// A keySet is a set of Keys.
type keySet uint64

// String returns k as it is spelled on the wire.
func (k Key) String() string { return keyTable[k].name }

// The keys that go with the payload from the sender to the receivers (PROTOCOL 12): neighbours in the table, first to last.
const (
	forwardedFirst        = KeyPptScheme
	forwardedLast         = KeyTransactionHash
	forwardedKeys  keySet = 1<<KeyPptScheme | 1<<KeyPptSerializer | 1<<KeyPptCipher | 1<<KeyPptKeyid |
		1<<KeyEncAlgo | 1<<KeyEncKey | 1<<KeyEncSerializer | 1<<KeyTransactionHash
)

// Options are the known keys of one dictionary, checked against their types (PROTOCOL 1.5): null counts as absent, unknown keys are
// skipped, the last of duplicate keys wins. The zero value is the empty dictionary.
//
// Strings and lists are not kept one by one: presence is a bit, and the few readers of such a value look it up in the dictionary again.
// That keeps Options small; they are part of every Message and cleared for each.
type Options struct {
	has    keySet
	truth  keySet // values of the booleans
	format Serializer

	Match   Match
	Invoke  Invoke
	Mode    CancelMode
	Timeout uint64 // ms

	entries int    // of all lists of ids and text, those of duplicate keys included
	dict    []byte // the raw dictionary; aliases the message
}

// Has reports whether k was present and not null.
func (o *Options) Has(k Key) bool { return o.has&(1<<k) != 0 }

// ListEntries returns how many entries the lists of session ids, authids and authroles have together; see ListEntriesMax. The lists of
// duplicate keys count as well: they cost the same.
func (o *Options) ListEntries() int { return o.entries }

// Bool returns the value of the boolean k, or def when it is absent.
func (o *Options) Bool(k Key, def bool) bool {
	if o.has&(1<<k) == 0 {
		return def
	}
	return o.truth&(1<<k) != 0
}

// raw returns the encoded value of k, or nil.
func (o *Options) raw(k Key) []byte {
	var raw [1][]byte
	o.find(raw[:], k)
	return raw[0]
}

// find puts the encoded values of the keys from first on into raws, nil where a key is absent. It goes through the dictionary once.
func (o *Options) find(raws [][]byte, first Key) {
	among := (keySet(1)<<len(raws) - 1) << first & o.has
	if among == 0 {
		return
	}
	for r := o.pairs(); r.next(); {
		if k, ok := findKey(r.name); ok && among&(1<<k) != 0 {
			raws[k-first] = r.value
		}
	}
}

// pairs begins a walk over all pairs of the dictionary, as they came.
func (o *Options) pairs() pairReader {
	r := pairReader{x: lexer{s: o.format, b: o.dict}}
	r.x.next(&r.dict)
	r.left = r.dict.n
	return r
}

// A pairReader walks over the pairs of a dictionary that Decode has checked.
type pairReader struct {
	x     lexer
	dict  token
	left  int // pairs, unless dict is open
	spare []byte

	name  []byte // the key; dies with the next pair
	value []byte // its encoded value, in the message
}

// next moves to the next pair, if there is one.
func (r *pairReader) next() bool {
	if !r.dict.open && r.left == 0 || len(r.x.b) == 0 {
		return false
	}
	r.left--
	var t token
	if r.x.next(&t); t.kind == kindEnd {
		return false
	}
	r.name = t.b
	r.x.scratch, r.spare = r.spare, r.x.scratch // the name may be in there, and the value needs some too
	r.value = r.x.skip()
	return true
}

// Text returns the value of the string k, "" when it is absent.
func (o *Options) Text(k Key) string {
	raw := o.raw(k)
	if raw == nil {
		return ""
	}
	x := lexer{s: o.format, b: raw}
	var t token
	if x.next(&t); t.kind != kindText {
		return ""
	}
	return string(t.b)
}

// IDs appends the items of the id list k, or the id k itself, to dst.
func (o *Options) IDs(dst []uint64, k Key) []uint64 {
	o.each(k, func(x *lexer, t *token) {
		if id, ok := x.integer(t); ok {
			dst = append(dst, id)
		}
	})
	return dst
}

// Texts appends the items of the string list k, or the string k itself, to dst.
func (o *Options) Texts(dst []string, k Key) []string {
	o.each(k, func(_ *lexer, t *token) {
		if t.kind == kindText {
			dst = append(dst, string(t.b))
		}
	})
	return dst
}

// each calls f for every scalar in the value of k.
func (o *Options) each(k Key, f func(x *lexer, t *token)) {
	raw := o.raw(k)
	x := lexer{s: o.format, b: raw}
	for x.i < len(raw) {
		var t token
		if x.next(&t); t.kind != kindEnd {
			f(&x, &t)
		}
	}
}

// A want is what the values of a key have to be.
type want uint8

const (
	wantBool want = iota
	wantInteger
	wantID
	wantText
	wantAlgorithm
	wantSerializer
	wantMatch
	wantInvoke
	wantMode
	wantDict
	wantIDs
	wantTexts
	wantLinks
)

// wanted puts a want into words, for violations.
var wanted = [...]string{
	wantBool:       "a boolean",
	wantInteger:    "a non-negative integer",
	wantID:         wantedID,
	wantText:       "text",
	wantAlgorithm:  `"cryptobox", "mqtt", "xbr" or "x_…"`,
	wantSerializer: `"json", "msgpack", "cbor", "ubjson", "flatbuffers" or "x_…"`,
	wantMatch:      `"exact", "prefix" or "wildcard"`,
	wantInvoke:     `"single", "roundrobin", "random", "first" or "last"`,
	wantMode:       `"skip", "kill" or "killnowait"`,
	wantDict:       "a dictionary",
	wantIDs:        "a list of ids",
	wantTexts:      "a list of text",
	wantLinks:      "a list of {session: id, authid: text, authrole: text}",
}

// set takes over the value raw, well-formed in s, of the known key k. It returns what was expected if raw is not that, else "".
func (o *Options) set(s Serializer, k Key, raw []byte) (expected string) {
	bit := keySet(1) << k
	x := lexer{s: s, b: raw}
	var t token
	x.next(&t)
	if t.kind == kindNull || t.undefined() {
		o.has &^= bit
		o.reset(k)
		return ""
	}
	w := keyTable[k].want
	ok := false
	switch w {
	case wantBool:
		ok = t.kind == kindBool
		o.truth &^= bit
		if t.u != 0 {
			o.truth |= bit
		}
	case wantInteger, wantID:
		var u uint64
		u, ok = x.integer(&t)
		switch {
		case w == wantID:
			ok = ok && u >= 1 && u <= MaxID
		case k == KeyTimeout:
			o.Timeout = u
		}
	case wantText:
		ok = t.isOption()
	case wantDict:
		ok = t.kind == kindDict
	case wantAlgorithm:
		ok = t.kind == kindText && isAlgorithm(t.b)
	case wantSerializer:
		ok = t.kind == kindText && isPayloadSerializer(t.b)
	case wantMatch:
		o.Match, ok = matchOf(&t)
	case wantInvoke:
		o.Invoke, ok = invokeOf(&t)
	case wantMode:
		o.Mode, ok = modeOf(&t)
	case wantIDs, wantTexts, wantLinks:
		n := 0
		n, ok = x.items(&t, w)
		if w != wantLinks {
			o.entries += n
		}
	}
	if !ok {
		return wanted[w]
	}
	o.has |= bit
	return ""
}

// reset undoes the scalar of a key that a later null made absent.
func (o *Options) reset(k Key) {
	switch k {
	case KeyMatch:
		o.Match = Exact
	case KeyInvoke:
		o.Invoke = Single
	case KeyMode:
		o.Mode = KillNoWait
	case KeyTimeout:
		o.Timeout = 0
	}
}

// items checks the items of the list that t began, which takes up the rest of x, and counts them.
func (x *lexer) items(list *token, w want) (count int, ok bool) {
	if list.kind != kindList {
		return 0, false
	}
	for ; list.open || count < list.n; count++ {
		var t token
		x.next(&t)
		if list.open && t.kind == kindEnd {
			break
		}
		switch w {
		case wantIDs:
			if id, ok := x.integer(&t); !ok || id < 1 || id > MaxID {
				return count, false
			}
		case wantTexts:
			if !t.isOption() {
				return count, false
			}
		default:
			if t.kind != kindDict || !x.link(&t) {
				return count, false
			}
		}
	}
	return count, true
}

// link checks one entry of forward_for, a dictionary that t began (PROTOCOL 15).
func (x *lexer) link(dict *token) bool {
	for n := dict.n; dict.open || n > 0; n-- {
		var t token
		x.next(&t)
		if dict.open && t.kind == kindEnd {
			return true
		}
		if t.kind != kindText {
			return false
		}
		isSession, isText := string(t.b) == "session", string(t.b) == "authid" || string(t.b) == "authrole"
		if !isSession && !isText {
			x.skip()
			continue
		}
		x.next(&t)
		switch {
		case t.kind == kindNull:
		case isText && !t.isOption():
			return false
		case isSession:
			if id, ok := x.integer(&t); !ok || id < 1 || id > MaxID {
				return false
			}
		}
	}
	return true
}

// isOption reports whether t is text that every receiver takes for text: valid UTF-8, and without the U+0000 in front that makes binary of
// a JSON string (PROTOCOL 1.5, 14.2). Options are forwarded in any serializer, so the sender's own does not matter.
func (t *token) isOption() bool {
	return t.kind == kindText && utf8.Valid(t.b) && (len(t.b) == 0 || t.b[0] != 0)
}

// isAlgorithm checks enc_algo (PROTOCOL 12.2).
func isAlgorithm(b []byte) bool {
	switch string(b) {
	case "cryptobox", "mqtt", "xbr":
		return true
	}
	return isExtension(b)
}

// isPayloadSerializer checks enc_serializer (PROTOCOL 12.2).
func isPayloadSerializer(b []byte) bool {
	switch string(b) {
	case "json", "msgpack", "cbor", "ubjson", "flatbuffers":
		return true
	}
	return isExtension(b)
}

// isExtension reports whether b is a value of somebody's own: x_, alone or followed by [a-z][0-9a-z_]+ (PROTOCOL 1.5).
func isExtension(b []byte) bool {
	if len(b) < 2 || b[0] != 'x' || b[1] != '_' {
		return false
	}
	if b = b[2:]; len(b) == 0 {
		return true
	}
	if len(b) < 2 || b[0]-'a' > 25 {
		return false
	}
	for _, c := range b[1:] {
		if c-'a' > 25 && c-'0' > 9 && c != '_' {
			return false
		}
	}
	return true
}

func matchOf(t *token) (m Match, ok bool) {
	if t.kind != kindText {
		return Exact, false
	}
	switch string(t.b) {
	case "exact":
		return Exact, true
	case "prefix":
		return Prefix, true
	case "wildcard":
		return Wildcard, true
	}
	return Exact, false
}

func invokeOf(t *token) (i Invoke, ok bool) {
	if t.kind != kindText {
		return Single, false
	}
	switch string(t.b) {
	case "single":
		return Single, true
	case "roundrobin":
		return RoundRobin, true
	case "random":
		return Random, true
	case "first":
		return First, true
	case "last":
		return Last, true
	}
	return Single, false
}

func modeOf(t *token) (m CancelMode, ok bool) {
	if t.kind != kindText {
		return KillNoWait, false
	}
	switch string(t.b) {
	case "killnowait":
		return KillNoWait, true
	case "kill":
		return Kill, true
	case "skip":
		return Skip, true
	}
	return KillNoWait, false
}
