package codec

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// The expressions of PROTOCOL 3.1. `\s` is widened to Unicode white space and U+001C to U+001F, which is what the
// protocol means.
var uriForms = func() (forms [2][3]*regexp.Regexp) {
	const loose, strict = `[^S\.#]`, `[0-9a-z_]`
	for i, class := range []string{
		strings.Replace(loose, "S",
			`\t\n\v\f\r\x{1c}-\x{1f} \x{85}\x{a0}`+
				`\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}`, 1),
		strict,
	} {
		forms[i][Exact] = regexp.MustCompile(`^(` + class + `+\.)*(` + class + `+)\z`)
		forms[i][Prefix] = regexp.MustCompile(`^(` + class + `+\.)*(` + class + `*)\z`)
		forms[i][Wildcard] = regexp.MustCompile(`^((` + class + `+\.)|\.)*(` + class + `+)?\z`)
	}
	return forms
}()

// wantURI is ValidURI as the protocol defines it.
func wantURI(u []byte, match Match, strict bool) bool {
	form := 0
	if strict {
		form = 1
	}
	// A JSON receiver would take the last for binary (PROTOCOL 14.2).
	return utf8.Valid(u) && uriForms[form][match].Match(u) && !bytes.HasPrefix(u, []byte{0})
}

func checkURI(t *testing.T, u []byte) {
	t.Helper()
	for match := Exact; match <= Wildcard; match++ {
		for _, strict := range []bool{false, true} {
			if got, want := ValidURI(u, match, strict), wantURI(u, match, strict); got != want {
				t.Errorf("ValidURI(%q, %d, %t) = %t", u, match, strict, got)
			}
		}
	}
	if got, want := ReservedURI(u), strings.HasPrefix(string(u)+".", "wamp."); got != want {
		t.Errorf("ReservedURI(%q) = %t", u, got)
	}
}

func TestURIChecklist(t *testing.T) {
	t.Attr("checklist", "URI-24 URI-29")
	for _, c := range []struct {
		id     string
		uri    string
		match  Match
		strict bool
		want   bool
	}{
		{"URI-01", "com.myapp.topic1", Exact, false, true},
		{"URI-02", "com..a", Exact, false, false},
		{"URI-03 space", "com.a b", Exact, false, false},
		{"URI-03 tab", "com.\ta", Exact, false, false},
		{"URI-33", "com.\x1ca", Exact, false, false},
		{"URI-33", "com.a\x1f", Prefix, false, false},
		{"URI-33 beside", "com.a\x1b", Exact, false, true},
		{"14.2 binary in JSON", "\x00QUJD", Exact, false, false},
		{"14.2 text", "a\x00QUJD", Exact, false, true},
		{"URI-03 hash", "com.a#b", Exact, false, false},
		{"URI-03 leading dot", ".com", Exact, false, false},
		{"URI-03 trailing dot", "com.", Exact, false, false},
		{"URI-03 no-break space", "com.\u00a0a", Exact, false, false},
		{"URI-03 next line", "com.\u0085", Wildcard, false, false},
		{"URI-04", "", Exact, false, false},
		{"URI-05 upper case", "Com.MyApp", Exact, false, true},
		{"URI-05 hyphen", "com.my-app", Exact, false, true},
		{"URI-05 letters", "com.büro.東京.😀", Exact, false, true},
		{"URI-05 invalid UTF-8", "com.\xff", Exact, false, false},
		{"URI-06 upper case", "Com.myapp", Exact, true, false},
		{"URI-06 hyphen", "com.my-app", Exact, true, false},
		{"URI-06 fine", "com.my_app.0", Exact, true, true},
		{"URI-07", "com.myapp.", Prefix, false, true},
		{"URI-07 strict", "com.myapp.", Prefix, true, true},
		{"URI-08", "com..myapp", Prefix, false, false},
		{"URI-08 leading dot", ".com", Prefix, false, false},
		{"URI-09", "com..topic", Wildcard, false, true},
		{"URI-09 leading", ".topic", Wildcard, false, true},
		{"URI-09 trailing", "com.", Wildcard, false, true},
		{"URI-09 dots", "..", Wildcard, false, true},
		{"URI-10", "", Prefix, false, true},
		{"URI-11", "", Wildcard, false, true},
	} {
		if got := ValidURI([]byte(c.uri), c.match, c.strict); got != c.want {
			t.Errorf("%s: %q is %t", c.id, c.uri, got)
		}
		checkURI(t, []byte(c.uri))
	}
	for uri, want := range map[string]bool{ // URI-24, URI-29
		"wamp": true, "wamp.": true, "wamp.foo": true, "wampfoo.bar": false, "wam": false, "": false, "Wamp.x": false,
		"com.wamp": false,
	} {
		if ReservedURI([]byte(uri)) != want {
			t.Errorf("ReservedURI(%q) is not %t", uri, want)
		}
	}
}

// All short strings over the characters that matter, against the regular expressions.
func TestURIAgainstExpressions(t *testing.T) {
	alphabet := []string{"", ".", "#", "a", "A", "_", "é", " ", "\u2003", "\xff", "\n"}
	var grow func(u string, left int)
	grow = func(u string, left int) {
		if left == 0 {
			checkURI(t, []byte(u))
			return
		}
		for _, c := range alphabet {
			grow(u+c, left-1)
		}
	}
	grow("", 4)
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if unicode.IsSpace(r) || r < 0x3100 {
			checkURI(t, utf8.AppendRune([]byte("a."), r))
			checkURI(t, append(utf8.AppendRune(nil, r), 'a'))
		}
	}
}

func FuzzURI(f *testing.F) {
	for _, s := range []string{"", "a", "a.b", "a..b", ".", "wamp.x", "a#b", "a\u00a0", "\xff", "é."} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, u []byte) {
		if len(u) <= 1<<10 { // the default limit; the expressions are slow
			checkURI(t, u)
		}
	})
}

func TestID(t *testing.T) {
	for random, want := range map[uint64]uint64{0: 1, 1: 1, 1 << 11: 2, 1<<64 - 1: MaxID, 1 << 63: MaxID/2 + 1} {
		if got := ID(random); got != want {
			t.Errorf("ID(%d) = %d, want %d", random, got, want)
		}
	}
}

func TestPredefinedURIs(t *testing.T) {
	for _, u := range []string{
		ErrInvalidURI, ErrNoSuchProcedure, ErrProcedureAlreadyExists, ErrNoSuchRegistration, ErrNoSuchSubscription,
		ErrInvalidArgument,
		ErrCanceled, ErrTimeout, ErrPayloadSizeExceeded, ErrProtocolViolation, ErrNotAuthorized,
		ErrAuthorizationFailed, ErrNoSuchRealm,
		ErrNoSuchRole, ErrNoSuchSession, ErrNoMatchingAuthMethod, ErrNoSuchPrincipal, ErrAuthenticationDenied,
		ErrAuthenticationFailed,
		ErrAuthenticationRequired, ErrAuthorizationDenied, ErrAuthorizationRequired, ErrOptionNotAllowed,
		ErrOptionDisallowedDiscloseMe,
		ErrNetworkFailure, ErrUnavailable, ErrNoAvailableCallee, ErrFeatureNotSupported, ErrCannotAuthenticate,
		CloseGoodbyeAndOut, CloseSystemShutdown, CloseCloseRealm, CloseKilled, CloseNormal, CloseLogout,
	} {
		if !ValidURI([]byte(u), Exact, true) || !ReservedURI([]byte(u)) {
			t.Errorf("%q", u)
		}
	}
}
