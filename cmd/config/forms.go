//go:build linux

package config

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os/user"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"banyan/codec"
	"banyan/engine"
	"banyan/realm/auth"
)

// A form is what a text has to be. check looks at the text alone, never at a file or the network.
type form struct {
	what  string // for people
	check func(t string) error
}

// isFile reports whether a form is the path of a file that is read.
func isFile(name string) bool { return name == "file" || name == "secretfile" }

// isPath reports whether a form is a path of the file system.
func isPath(name string) bool {
	return name == "path" || name == "socket" || isFile(name)
}

func formOf(name string) form {
	if name == "" {
		return form{"a text", func(string) error { return nil }}
	}
	f, ok := forms[name]
	if !ok {
		panic("no form is called " + name)
	}
	return f
}

var forms = map[string]form{
	"path":       {"a path", checkPath},
	"file":       {"the path of a file", checkPath},
	"secretfile": {"the path of a file", checkPath},
	"socket": {"the path of a Unix socket", func(t string) error {
		return checkAddress("unix:" + t)
	}},
	"address": {"HOST:PORT or unix:PATH", checkAddress},
	"origin":  {"an origin", CheckOrigin},
	"pollpath": {"a path such as /lp", func(t string) error {
		if reason := engine.JudgePollPath(t); reason != "" {
			return fmt.Errorf("%s is no path for long-poll: %s; use /lp", quote(t), reason)
		}
		return nil
	}},
	"prefix": {"an address or prefix such as 10.0.0.0/8", checkPrefix},
	"source": {"local, anywhere, or an address or prefix such as 10.0.0.0/8", func(t string) error {
		if t == "local" || t == "anywhere" {
			return nil
		}
		if checkPrefix(t) != nil {
			return fmt.Errorf("%s is not local, anywhere, or an address or prefix such as 10.0.0.0/8%s", quote(t),
				didYouMean(t, []string{"local", "anywhere"}))
		}
		return nil
	}},
	"mode": {"permission bits in octal, such as 0660", func(t string) error {
		if n, err := strconv.ParseUint(t, 8, 32); err != nil || n < 1 || n > 0o777 {
			return fmt.Errorf("expected permission bits in octal, such as 0660, got %s", quote(t))
		}
		return nil
	}},
	"user":  {"a user, by name or number", checkUser},
	"group": {"a group, by name or number", checkGroup},
	"host":  {"a host name", matches(`[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*`, "a host name such as wamp.example.org")},
	"email": {"an e-mail address", matches(`[^@\s]+@[^@\s]+`, "an e-mail address such as ops@example.org")},
	"token": {"a name of letters, digits and -_.", matches(`[A-Za-z0-9._-]+`, "a name of letters, digits and -_.")},
	"url":   {"a URL that begins with https:// or http://", checkURL},
	"uri": {"a URI such as com.example.name", func(t string) error {
		if !codec.ValidURI([]byte(t), codec.Exact, false) {
			return fmt.Errorf("%s is no URI: %s", quote(t), uriRule)
		}
		return nil
	}},
	"authidprefix": {"the beginning of an authid", func(t string) error {
		if len(t) > auth.AuthIDPrefixBytesMax || !utf8.ValidString(t) || strings.ContainsFunc(t, unicode.IsControl) {
			return fmt.Errorf("the beginning of an authid has at most %d bytes and no control characters",
				auth.AuthIDPrefixBytesMax)
		}
		return nil
	}},
	"hex32": {"32 bytes in hex", func(t string) error {
		if b, err := hex.DecodeString(t); err != nil || len(b) != 32 {
			return errors.New("expected 64 hex digits, which are 32 bytes")
		}
		return nil
	}},
	"ed25519": {"32 bytes in hex", func(t string) error {
		if b, err := hex.DecodeString(t); err != nil || len(b) != 32 {
			return errors.New("expected 64 hex digits, which are 32 bytes")
		} else if auth.Forgeable([32]byte(b)) {
			return errors.New("anybody can sign for this key, which nobody has made; write that of the user, " +
				"from banyan keygen")
		}
		return nil
	}},
	"fingerprint": {"a SHA-256 fingerprint in hex", func(t string) error {
		if b, err := hex.DecodeString(strings.ReplaceAll(t, ":", "")); err != nil || len(b) != 32 {
			return errors.New("expected a SHA-256 fingerprint: 64 hex digits, with or without colons")
		}
		return nil
	}},
	"argon2id": {"an Argon2id hash", matches(
		`\$argon2id\$v=19\$m=[0-9]{1,8},t=[0-9]{1,4},p=[0-9]{1,3}\$[A-Za-z0-9+/]{11,200}\$[A-Za-z0-9+/]{22,200}`,
		"a hash that begins with $argon2id$v=19$, as banyan hash-ticket writes it")},
	"base64": {"base64", func(t string) error {
		if b, err := base64.StdEncoding.DecodeString(t); err != nil || len(b) == 0 {
			return errors.New("expected base64, with = at the end where it belongs")
		}
		return nil
	}},
	"key32": {"32 bytes in base64", func(t string) error {
		if b, err := base64.StdEncoding.DecodeString(t); err != nil || len(b) != 32 {
			return errors.New("expected 32 bytes in base64, which are 44 characters")
		}
		return nil
	}},
}

const uriRule = "components without white space and #, separated by dots"

// matches makes a check of a regular expression for the whole text. The text is not quoted: it may be a secret.
func matches(expression, what string) func(string) error {
	re := regexp.MustCompile(`^` + expression + `$`)
	return func(t string) error {
		if !re.MatchString(t) {
			return errors.New("expected " + what)
		}
		return nil
	}
}

func checkPath(t string) error {
	if strings.IndexByte(t, 0) >= 0 {
		return errors.New("a path has no zero byte")
	}
	return nil
}

func checkAddress(t string) error {
	if err := refuseURL(t); err != nil {
		return err
	}
	_, _, err := engine.ParseAddress(t)
	var refused *engine.ListenError
	if errors.As(err, &refused) {
		return fmt.Errorf("%s: %s; %s", quote(t), refused.Reason, refused.Try)
	}
	return err
}

// refuseURL refuses a URL where an address should be.
func refuseURL(t string) error {
	scheme, rest, isURL := strings.Cut(t, "://")
	if !isURL || scheme == "unix" { // unix:///run/b.sock is a path with many slashes
		return nil
	}
	where, path, _ := strings.Cut(rest, "/")
	write := "HOST:PORT or unix:PATH"
	switch _, _, err := engine.ParseAddress(where); {
	case strings.HasSuffix(scheme, "unix"):
		write = "unix:/" + path
	case err == nil:
		write = where
	}
	return fmt.Errorf("this is a URL, and the router listens on an address: write %s; "+
		"WebSocket clients connect to ws://HOST:PORT/ws then, RawSocket clients to rs://HOST:PORT", write)
}

func checkPrefix(t string) error {
	if _, err := ParsePrefix(t); err != nil {
		return fmt.Errorf("expected an address or prefix such as 10.0.0.0/8, got %s", quote(t))
	}
	return nil
}

// v4In6Bits are the bits before an IPv4 address that is written as one of IPv6.
const v4In6Bits = 96

// ParsePrefix reads an address, which is a prefix of one, or a prefix. IPv4 may be written in the form of IPv6.
func ParsePrefix(t string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(t); err == nil && ip.Zone() == "" {
		ip = ip.Unmap()
		return netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	p, err := netip.ParsePrefix(t)
	if err != nil {
		return netip.Prefix{}, err
	}
	if ip := p.Addr(); ip.Is4In6() {
		if p.Bits() < v4In6Bits {
			return netip.Prefix{}, errors.New("a prefix of IPv4 and IPv6 addresses")
		}
		p = netip.PrefixFrom(ip.Unmap(), p.Bits()-v4In6Bits)
	}
	return p.Masked(), nil
}

func checkURL(t string) error {
	u, err := url.Parse(t)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Errorf("expected a URL that begins with https:// or http://, got %s", quote(PublicURL(t)))
	}
	if u.User != nil {
		return errors.New("a URL with a name or password in it; put secrets into a file")
	}
	return nil
}

// PublicURL is a URL without the parts that may be secret: *** stands for its query and fragment, its name and
// password are left out, and a text that is no URL and may have them is *** as a whole.
func PublicURL(t string) string {
	if !strings.ContainsAny(t, "?#@") {
		return t
	}
	u, err := url.Parse(t)
	switch {
	case err != nil, u.Opaque != "":
		return hidden
	case u.User == nil && u.RawQuery == "" && u.Fragment == "":
		return t
	}
	more := ""
	if u.RawQuery != "" || u.Fragment != "" {
		more = "?" + hidden
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String() + more
}

func checkUser(t string) error {
	if _, err := strconv.ParseUint(t, 10, 31); err == nil {
		return nil
	}
	if _, err := user.Lookup(t); err != nil {
		return fmt.Errorf("this machine knows no user %s", quote(t))
	}
	return nil
}

func checkGroup(t string) error {
	if _, err := strconv.ParseUint(t, 10, 31); err == nil {
		return nil
	}
	if _, err := user.LookupGroup(t); err != nil {
		return fmt.Errorf("this machine knows no group %s", quote(t))
	}
	return nil
}
