//go:build linux

package config

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/agext/levenshtein"
)

// quote is t in quotes and at most quotedMax bytes long.
func quote(t string) string {
	if len(t) <= quotedMax {
		return strconv.Quote(t)
	}
	cut := quotedMax
	for cut > 0 && !utf8.RuneStart(t[cut]) {
		cut--
	}
	return strconv.Quote(t[:cut]) + "…"
}

// orList joins words as a sentence has them: a, b or c.
func orList(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// didYouMean is "; did you mean …?" if one of the words is close to t, and else "".
func didYouMean(t string, words []string) string {
	if w := closest(t, words); w != "" {
		return "; did you mean " + strconv.Quote(w) + "?"
	}
	return ""
}

// closest finds the word that t was meant to be: at most a third of its letters are wrong, and three of them, or
// the end is missing. "" is none. Nothing is compared that cannot be close, so that the work is bounded.
func closest(t string, words []string) string {
	if len(t) > wordBytesMax || len(t) < 2 {
		return ""
	}
	plain := func(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", "_") }
	t = plain(t)
	most := min(3, max(1, len(t)/3))
	best, at := most+1, ""
	for _, w := range words[:min(len(words), wordsMax)] {
		p := plain(w)
		if len(t) >= beginningMin && strings.HasPrefix(p, t) {
			best, at = min(best, 1), w
			continue
		}
		if d := len(p) - len(t); d > most || -d > most {
			continue
		}
		// Without MaxCost, which in v1.2.3 makes some distances too small.
		if d := levenshtein.Distance(t, p, nil); d < best {
			best, at = d, w
		}
	}
	return at
}
