package codec

import (
	"bytes"
	"unicode/utf8"
)

// A Key names a known key of an options or details dictionary; options_keys_gen.go lists them.
type Key uint8

// A keySet is a set of Keys.
type keySet uint64

// String returns k as it is spelled on the wire.
func (k Key) String() string { return keyTable[k].name }

// The forwarded keys accompany the payload from the sender to the receivers (PROTOCOL 12). They are neighbours in the
// table.
const (
	forwardedFirst        = KeyPptScheme
	forwardedLast         = KeyTransactionHash
	forwardedKeys  keySet = 1<<KeyPptScheme | 1<<KeyPptSerializer | 1<<KeyPptCipher | 1<<KeyPptKeyid |
		1<<KeyEncAlgo | 1<<KeyEncKey | 1<<KeyEncSerializer | 1<<KeyTransactionHash
)

// Options are the known keys of one dictionary, checked against their types (PROTOCOL 1.5): null counts as absent,
// unknown keys are skipped, the last of duplicate keys wins. The zero value is the empty dictionary.
//
// Options hold no strings and lists, only a bit for each that is present: the few readers of such a value search the
// dictionary again. This keeps Options small, and they are cleared for every Message.
type Options struct {
	has    keySet
	truth  keySet // values of the booleans
	format Serializer

	unknownList bool // of a PUBLISH: see UnknownList

	Match  Match
	Invoke Invoke
	Mode   CancelMode
	// Timeout is that of a call, in ms by the specification and in s by some clients, without its fraction.
	Timeout         uint64
	TimeoutFraction uint16 // thousandths, at least 1 if there is any fraction

	entries int    // of all lists of ids and text, those of duplicate keys included
	dict    []byte // the raw dictionary; aliases the message
}

// Has reports whether k was present and not null.
func (o *Options) Has(k Key) bool { return o.has&(1<<k) != 0 }

// ListEntries returns how many entries the lists of session ids, authids and authroles have together; see
// ListEntriesMax. Lists under duplicate keys count too, since they cost the same.
func (o *Options) ListEntries() int { return o.entries }

// HasUnknownList reports whether a PUBLISH has an option that looks like a black- or whitelist and is none that the
// specification has, such as eligible_city.
func (o *Options) HasUnknownList() bool { return o.unknownList }

// UnknownList returns the name of the first option for which HasUnknownList is true, "" if there is none.
func (o *Options) UnknownList() string {
	if o.unknownList {
		for r := o.pairs(); r.next(); {
			if _, known := findKey(r.name); !known && looksLikeList(r.name) {
				return string(r.name)
			}
		}
	}
	return ""
}

// looksLikeList reports whether an option is called as black- and whitelists are.
func looksLikeList(name []byte) bool {
	return bytes.HasPrefix(name, []byte("eligible_")) || bytes.HasPrefix(name, []byte("exclude_"))
}

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

// find stores the encoded values of the keys from first on in raws, nil for absent keys. It reads the dictionary
// once.
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

// pairs returns a reader of all pairs of the dictionary, in their order.
func (o *Options) pairs() pairReader {
	r := pairReader{x: lexer{s: o.format, b: o.dict}}
	r.x.next(&r.dict)
	r.left = r.dict.n
	return r
}

// A pairReader reads the pairs of a dictionary that Decode has checked.
type pairReader struct {
	x     lexer
	dict  token
	left  int // pairs, unless dict is open
	spare []byte

	name  []byte // the key; dies with the next pair
	value []byte // its encoded value, in the message
}

// next reads the next pair. It returns false after the last one.
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
	r.x.scratch, r.spare = r.spare, r.x.scratch // the name may lie in it, and the value overwrites it
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

// Integer returns the value of the integer k, 0 when it is absent.
func (o *Options) Integer(k Key) uint64 {
	raw := o.raw(k)
	if raw == nil {
		return 0
	}
	x := lexer{s: o.format, b: raw}
	var t token
	x.next(&t)
	u, _ := x.integer(&t)
	return u
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

// A want is the type that the values of a key must have.
type want uint8

const (
	wantBool want = iota
	wantInteger
	wantTimeout
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

// wanted describes each want, for violations.
var wanted = [...]string{
	wantBool:       "a boolean",
	wantInteger:    "a non-negative integer",
	wantTimeout:    "a number from 0 to 18446744073709551615",
	wantID:         wantedID,
	wantText:       "text",
	wantAlgorithm:  `"cryptobox", "mqtt", "xbr" or "x_…"`,
	wantSerializer: `"json", "msgpack", "cbor", "ubjson", "flatbuffers" or "x_…"`,
	wantMatch:      `"exact", "prefix" or "wildcard"`,
	wantInvoke:     `"single", "roundrobin", "random", "first", "last" or "x_least_outstanding"`,
	wantMode:       `"skip", "kill" or "killnowait"`,
	wantDict:       "a dictionary",
	wantIDs:        "a list of ids",
	wantTexts:      "a list of text",
	wantLinks:      "a list of {session: id, authid: text, authrole: text}",
}

// set stores the value raw of the known key k; raw is well-formed in s. If the value has the wrong type, set returns
// the expected one.
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
	case wantInteger:
		_, ok = x.integer(&t)
	case wantID:
		var u uint64
		u, ok = x.integer(&t)
		ok = ok && u >= 1 && u <= MaxID
	case wantTimeout:
		o.Timeout, o.TimeoutFraction, ok = x.timeout(&t)
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

// reset clears the scalar of a key after a later null made the key absent.
func (o *Options) reset(k Key) {
	switch k {
	case KeyMatch:
		o.Match = Exact
	case KeyInvoke:
		o.Invoke = Single
	case KeyMode:
		o.Mode = KillNoWait
	case KeyTimeout:
		o.Timeout, o.TimeoutFraction = 0, 0
	}
}

// timeout splits a non-negative number into its integer and its thousandths.
func (x *lexer) timeout(t *token) (whole uint64, thousandths uint16, ok bool) {
	if whole, ok = x.integer(t); ok || t.kind != kindFloat || !(t.f > 0 && t.f < 1<<63) {
		return whole, 0, ok
	}
	whole = uint64(t.f)
	return whole, uint16(min(max((t.f-float64(whole))*1000, 1), 999)), true
}

// items checks and counts the items of the list whose head was just read. The list is the rest of x.
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

// link checks one entry of forward_for, a dictionary whose head was just read (PROTOCOL 15).
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

// isOption reports whether every receiver reads t as text: it is valid UTF-8 and does not begin with U+0000, which
// makes a JSON string binary (PROTOCOL 1.5, 14.2). The sender's serializer does not matter, since options are
// forwarded in any.
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

// isExtension reports whether b is an extension value: x_, alone or followed by [a-z][0-9a-z_]+ (PROTOCOL 1.5).
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
	case "x_least_outstanding":
		return LeastOutstanding, true
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
