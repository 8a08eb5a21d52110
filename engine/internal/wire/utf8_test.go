package wire

import (
	"math/rand/v2"
	"testing"
	"unicode/utf8"
)

// The incremental check beside the standard library, cut at every place: the verdict is the same, and it falls at the
// first byte after which nothing valid can follow.
func TestUTF8AgainstStandardLibrary(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 7))
	pieces := []string{
		"a", "plain ascii text longer than a word", "ä", "€", "\U0001F600", "\xC0\x80", "\xED\xA0\x80",
		"\xF4\x90\x80\x80",
		"\xE0\x80\xAF", "\x80", "\xFF", "\xF0\x8F\xBF\xBF", "\xE2\x82",
	}
	for range 20000 {
		var text []byte
		for range rnd.IntN(6) {
			n := len(pieces)
			if rnd.IntN(2) == 0 {
				n = 5
			}
			text = append(text, pieces[rnd.IntN(n)]...)
		}
		var u UTF8
		ok := true
		for rest := text; len(rest) > 0 && ok; {
			n := 1 + rnd.IntN(len(rest))
			ok = u.Feed(rest[:n])
			rest = rest[n:]
		}
		if got, want := ok && u.Whole(), utf8.Valid(text); got != want {
			t.Fatalf("%q: %v, want %v", text, got, want)
		}
		// First failing byte: the longest prefix that Feed accepts can be completed to valid text.
		var v UTF8
		for i := range text {
			if !v.Feed(text[i : i+1]) {
				break
			}
			if !completable(text[:i+1]) {
				t.Fatalf("%q: byte %d should have failed", text, i)
			}
		}
	}
}

func completable(b []byte) bool {
	if utf8.Valid(b) {
		return true
	}
	for _, tail := range []string{
		"\x80", "\xA0", "\x90", "\x80\x80", "\xA0\x80", "\x90\x80", "\x80\x80\x80", "\x90\x80\x80",
	} {
		if utf8.Valid(append(append([]byte{}, b...), tail...)) {
			return true
		}
	}
	return false
}

func FuzzUTF8(f *testing.F) {
	f.Add([]byte("a\xE2\x82\xAC"), 2)
	f.Add([]byte("\xED\xA0\x80"), 1)
	f.Fuzz(func(t *testing.T, text []byte, cut int) {
		var u UTF8
		cut = min(max(cut, 0), len(text))
		got := u.Feed(text[:cut]) && u.Feed(text[cut:]) && u.Whole()
		if want := utf8.Valid(text); got != want {
			t.Fatalf("%q cut at %d: %v, want %v", text, cut, got, want)
		}
	})
}
