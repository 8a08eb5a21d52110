//go:build linux

package config

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// CheckOrigin refuses what no browser ever sends as its Origin.
func CheckOrigin(origin string) error {
	if origin == "*" || origin == "null" { // null is the origin of files and of frames in a sandbox
		return nil
	}
	if strings.Contains(origin, ",") {
		return errors.New("an origin has no comma; say each by itself")
	}
	scheme, rest, full := strings.Cut(origin, "://")
	if !full {
		scheme, rest = "", origin
	}
	host, port, hasPort := cutPort(rest)
	var why string
	switch {
	case strings.Contains(origin, "*"):
		why = "* stands for all origins or for nothing"
	case strings.ContainsFunc(origin, func(r rune) bool { return r > unicode.MaxASCII }):
		why = "browsers send host names in their xn-- form"
	case strings.ContainsAny(rest, `/\?#@`):
		why = "it ends with the host and the port"
	case host == "" || full && scheme == "":
		why = "there is no host in it"
	case full && !schemeForm.MatchString(scheme):
		why = "a scheme has letters, digits and +.- only"
	case strings.EqualFold(scheme, "ws") || strings.EqualFold(scheme, "wss"):
		why = "it is the address of a page, which begins with http:// or https://"
	case hasPort && !validPort(port):
		why = "a port is a number from 1 to 65535"
	case strings.EqualFold(scheme, "http") && port == "80" || strings.EqualFold(scheme, "https") && port == "443":
		why = "browsers leave out port " + port
	case host == "." && !hasPort && full && !isWeb(scheme): // app://. is the origin of pages in a desktop program
	default:
		why = judgeHost(host)
	}
	if why == "" {
		return nil
	}
	return fmt.Errorf("no page can have this origin: %s; "+
		"write a host name, HOST:PORT, SCHEME://HOST[:PORT], or * for all", why)
}

// isWeb reports whether the pages of a scheme come from a host of the network.
func isWeb(scheme string) bool {
	return strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https")
}

var (
	schemeForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*$`)
	hostForm   = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?$`)
	// numberEnd is a name that browsers read as an IPv4 address.
	numberEnd = regexp.MustCompile(`(^|\.)([0-9]+|0[xX][0-9A-Fa-f]*)\.?$`)
)

// cutPort splits what is behind the scheme. The host keeps its brackets.
func cutPort(text string) (host, port string, found bool) {
	if i := strings.LastIndexByte(text, ':'); i > strings.LastIndexByte(text, ']') {
		return text[:i], text[i+1:], true
	}
	return text, "", false
}

// validPort reports whether a browser writes port so.
func validPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0 && strconv.FormatUint(n, 10) == port
}

// judgeHost tells why no browser writes host so, or returns "".
func judgeHost(host string) string {
	if literal, ok := strings.CutPrefix(host, "["); ok {
		literal, ok = strings.CutSuffix(literal, "]")
		ip, err := netip.ParseAddr(literal)
		if !ok || err != nil || !ip.Is6() || ip.Zone() != "" {
			return "there is no IPv6 address in the brackets"
		}
		if want := browserIPv6(ip); !strings.EqualFold(literal, want) {
			return "browsers write this address as [" + want + "]"
		}
		return ""
	}
	ip, err := netip.ParseAddr(host)
	switch {
	case strings.Contains(host, ":"):
		return "IPv6 addresses stand in brackets, such as [::1]"
	case err != nil && numberEnd.MatchString(host):
		return "an IPv4 address is four numbers from 0 to 255"
	case !ip.IsValid() && !hostForm.MatchString(host):
		return "this is no host name"
	}
	return ""
}

// browserIPv6 is ip as browsers write it: they have no form with dots.
func browserIPv6(ip netip.Addr) string {
	if ip.Is4In6() {
		b := ip.As16()
		return fmt.Sprintf("::ffff:%x:%x", uint(b[12])<<8|uint(b[13]), uint(b[14])<<8|uint(b[15]))
	}
	return ip.String()
}
