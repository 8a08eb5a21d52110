package codec

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// cleanDict replaces the lone surrogates in a dictionary that reaches other sessions. JSON's grammar allows such an
// escape, but it stands for no text: some receivers refuse the whole message, others read U+FFFD. Where a string is
// decoded or transcoded, it becomes U+FFFD anyway (PROTOCOL 14.6), so that all receivers now get the same. Payload
// stays as it is.
//
// m.Dict is a copy in the scratch then: the message is only lent.
func (r *jsonReader) cleanDict(m *Message) {
	first := findLoneSurrogate(m.Dict, 0)
	if first < 0 {
		return
	}
	n := len(r.scratch)
	r.scratch = appendLong(r.scratch, m.Dict)
	m.Dict = r.scratch[n:len(r.scratch):len(r.scratch)]
	m.Options.dict = m.Dict
	for i := first; i >= 0; i = findLoneSurrogate(m.Dict, i) {
		i += copy(m.Dict[i:], `\ufffd`) // as long as the escape
	}
}

// findLoneSurrogate returns where the next escape of a surrogate without its partner begins, from b[i] on, or -1. b
// is well-formed, and b[i] is not inside an escape.
func findLoneSurrogate(b []byte, i int) int {
	for {
		n := bytes.IndexByte(b[i:], '\\')
		if n < 0 {
			return -1
		}
		i += n
		if b[i+1] != 'u' {
			i += len(`\n`)
			continue
		}
		r, length := surrogateEscape(b, i)
		if utf16.IsSurrogate(r) {
			return i
		}
		i += length
	}
}

// surrogateEscape reads the \u escape at b[i], together with a second one if the two are a surrogate pair. r is a
// surrogate if it has no partner.
func surrogateEscape(b []byte, i int) (r rune, length int) {
	const one = len(`\uXXXX`)
	r, _ = hex4(b, i+2)
	if next := i + one; utf16.IsSurrogate(r) && next+one <= len(b) && b[next] == '\\' && b[next+1] == 'u' {
		low, _ := hex4(b, next+2)
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			return pair, 2 * one
		}
	}
	return r, one
}
