package wire

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
)

// proxyTwo is a header of version 2.
func proxyTwo(command, family byte, body string) []byte {
	b := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), 0x20|command, family)
	return append(binary.BigEndian.AppendUint16(b, uint16(len(body))), body...)
}

const (
	addressesV4   = "\xC0\x00\x02\x01\xC0\x00\x02\x02\x04\xD2\x1F\x90" // 192.0.2.1:1234
	addressesV6   = "\x20\x01\x0D\xB8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" + toV6
	addressesMap  = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xFF\xFF\xC0\x00\x02\x01" + toV6
	toV6          = "0123456789abcdef\x04\xD2\x1F\x90"
	overTLS       = "\x20\x00\x05\x01\x00\x00\x00\x00"
	notOverTLS    = "\x20\x00\x05\x00\x00\x00\x00\x00"
	otherTLV      = "\x05\x00\x03abc"
	malformedTLVs = "\x20\x00\xFF\x01"
)

func TestProxyHeader(t *testing.T) {
	for _, c := range []struct {
		name    string
		b       string
		want    string // of the client; "-" for none
		own     bool
		tls     bool
		refused bool
	}{
		{"one, IPv4", "PROXY TCP4 192.0.2.1 192.0.2.2 1234 8080\r\n", "192.0.2.1:1234", false, false, false},
		{"one, IPv6", "PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n", "[2001:db8::1]:1", false, false, false},
		{"one, unknown", "PROXY UNKNOWN\r\n", "-", false, false, false},
		{"one, unknown with more", "PROXY UNKNOWN a b c d\r\n", "-", false, false, false},
		{"one, longest", "PROXY UNKNOWN " + strings.Repeat("f", 107-16) + "\r\n", "-", false, false, false},
		{"one, too long", "PROXY UNKNOWN " + strings.Repeat("f", 108-16) + "\r\n", "", false, false, true},
		{"one, no end", strings.Repeat("PROXY", 22), "", false, false, true},
		{"one, bad address", "PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n", "", false, false, true},
		{"one, wrong family", "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n", "", false, false, true},
		{"one, bad port", "PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n", "", false, false, true},
		{"one, no return", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n", "", false, false, true},
		{"one, glued", "PROXYTCP4 192.0.2.1 192.0.2.2 1 2\r\n", "", false, false, true},
		{"one, UDP", "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n", "", false, false, true},
		{"two, IPv4", string(proxyTwo(1, 0x11, addressesV4)), "192.0.2.1:1234", false, false, false},
		{"two, IPv6", string(proxyTwo(1, 0x21, addressesV6)), "[2001:db8::1]:1234", false, false, false},
		{"two, mapped", string(proxyTwo(1, 0x21, addressesMap)), "192.0.2.1:1234", false, false, false},
		{"two, Unix", string(proxyTwo(1, 0x31, strings.Repeat("a", 216))), "-", false, false, false},
		{"two, TLS", string(proxyTwo(1, 0x11, addressesV4+otherTLV+overTLS)), "192.0.2.1:1234", false, true, false},
		{"two, no TLS", string(proxyTwo(1, 0x11, addressesV4+notOverTLS)), "192.0.2.1:1234", false, false, false},
		{"two, its own", string(proxyTwo(0, 0, "")), "-", true, false, false},
		{"two, its own with addresses", string(proxyTwo(0, 0x11, addressesV4+overTLS)), "-", true, false, false},
		{
			"two, longest", string(proxyTwo(1, 0x11, addressesV4+"\x05\x0F\xF1"+strings.Repeat("x", 4081))),
			"192.0.2.1:1234", false, false, false,
		},
		{
			"two, too long", string(proxyTwo(1, 0x11, addressesV4+"\x05\x0F\xF2"+strings.Repeat("x", 4082))),
			"", false, false, true,
		},
		{"two, too short", string(proxyTwo(1, 0x11, addressesV4[1:])), "", false, false, true},
		{"two, UDP", string(proxyTwo(1, 0x12, addressesV4)), "", false, false, true},
		{"two, unknown family", string(proxyTwo(1, 0x41, addressesV4)), "", false, false, true},
		{"two, no family", string(proxyTwo(1, 0, "")), "", false, false, true},
		{"two, unknown command", string(proxyTwo(2, 0x11, addressesV4)), "", false, false, true},
		{"two, version 3", "\r\n\r\n\x00\r\nQUIT\n\x31\x11\x00\x00", "", false, false, true},
		{"nothing of the kind", "GET / HTTP/1.1\r\n", "", false, false, true},
		{"almost", "PROXZ", "", false, false, true},
	} {
		h, n, err := ReadProxyHeader([]byte(c.b + "behind"))
		if (err != nil) != c.refused {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if c.refused {
			continue
		}
		got := "-"
		if h.Client.IsValid() {
			got = h.Client.String()
		}
		if n != len(c.b) || got != c.want || h.Own != c.own || h.Encrypted != c.tls {
			t.Errorf("%s: %d of %d octets, %+v", c.name, n, len(c.b), h)
		}
		for cut := range len(c.b) {
			if _, n, err := ReadProxyHeader([]byte(c.b[:cut])); n != 0 || err != nil {
				t.Errorf("%s, cut at %d: %d, %v", c.name, cut, n, err)
			}
		}
	}
}

// A line is waited for up to its longest, and refused when it is that long without an end.
func TestProxyLineIsBounded(t *testing.T) {
	line := []byte("PROXY UNKNOWN " + strings.Repeat("f", 100))
	for n := range len(line) {
		_, length, err := ReadProxyHeader(line[:n])
		if length != 0 || (err != nil) != (n >= 107) {
			t.Errorf("%d octets: %d, %v", n, length, err)
		}
	}
}

// A header is refused as soon as it cannot be good, and before what is too long is all there. The outcome does not
// depend on what is behind it.
func FuzzProxyHeader(f *testing.F) {
	f.Add([]byte("PROXY TCP4 192.0.2.1 192.0.2.2 1234 8080\r\nGET"))
	f.Add([]byte("PROXY UNKNOWN\r\n"))
	f.Add(proxyTwo(1, 0x11, addressesV4+overTLS))
	f.Add(proxyTwo(1, 0x21, addressesV6+malformedTLVs))
	f.Add(proxyTwo(0, 0, ""))
	f.Add(proxyTwo(1, 0x31, strings.Repeat("a", 216)))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n, err := ReadProxyHeader(b)
		switch {
		case err != nil && n != 0, n < 0, n > len(b), n > ProxyHeaderBytesMax:
			t.Fatalf("%d octets, %v", n, err)
		case n == 0 && err == nil && len(b) >= ProxyHeaderBytesMax:
			t.Fatal("too long a header is waited for")
		case h.Own && (h.Encrypted || h.Client.IsValid()):
			t.Fatalf("%+v", h)
		case h.Client.IsValid() && h.Client.Addr().Is4In6():
			t.Fatal("a mapped address")
		}
		if n > 0 {
			again, m, err := ReadProxyHeader(append(bytes.Clone(b[:n]), "other"...))
			if again != h || m != n || err != nil {
				t.Fatalf("%+v and %+v", h, again)
			}
		}
	})
}

func TestTLSRecord(t *testing.T) {
	for _, c := range []struct {
		b      string
		length int
		bad    bool
	}{
		{"", TLSRecordBytesMax + 1, false},
		{"\x16\x03\x01\x00", TLSRecordBytesMax + 1, false},
		{"\x16\x03\x01\x00\x00", 5, false},
		{"\x17\x03\x03\x12\x34 and more", 5 + 0x1234, false},
		{"\x17\x03\x03\x48\x00", TLSRecordBytesMax, false},
		{"\x17\x03\x03\x48\x01", TLSRecordBytesMax + 1, true},
		{"\x17\x02\x03\x00\x01", 6, true},
		{"\x17\x04\x03\x00\x01", 6, true},
	} {
		if length, bad := TLSRecord([]byte(c.b)); length != c.length || bad != c.bad {
			t.Errorf("%q: %d, %v", c.b, length, bad)
		}
	}
}

func TestForwardedClient(t *testing.T) {
	trusted := func(ip netip.Addr) bool {
		return netip.MustParsePrefix("10.0.0.0/8").Contains(ip) || ip == netip.MustParseAddr("2001:db8::1")
	}
	for _, c := range []struct{ list, want string }{
		{"", ""},
		{"192.0.2.1", "192.0.2.1:0"},
		{"192.0.2.1:99", "192.0.2.1:99"},
		{"2001:db8::7", "[2001:db8::7]:0"},
		{"[2001:db8::7]", "[2001:db8::7]:0"},
		{"[2001:db8::7]:99", "[2001:db8::7]:99"},
		{"::ffff:192.0.2.1", "192.0.2.1:0"},
		{"127.0.0.1, 192.0.2.1", "192.0.2.1:0"}, // 127.0.0.1 is the client's invention
		{"192.0.2.1, 10.1.1.1", "192.0.2.1:0"},
		{"127.0.0.1,192.0.2.1 ,\t10.1.1.1,[2001:db8::1]:5", "192.0.2.1:0"},
		{"10.9.9.9, 10.1.1.1", "10.9.9.9:0"}, // all are trusted
		{"192.0.2.1, unknown", ""},
		{"unknown, 192.0.2.1", "192.0.2.1:0"},
		{"192.0.2.1, _hidden, 10.1.1.1", ""},
		{"192.0.2.1,", ""},
		{"192.0.2.1,,10.1.1.1", ""},
		{"192.0.2.300", ""},
		{"[192.0.2.1]", ""},
		{"[2001:db8::7", ""},
		{"fe80::1%eth0", ""},
		{"0.0.0.0", ""},
		{"224.0.0.1", ""},
		{"example.org", ""},
	} {
		got, ok := ForwardedClient(c.list, trusted)
		if text := got.String(); ok != (c.want != "") || ok && text != c.want || !ok && got.IsValid() {
			t.Errorf("%q: %v %v, want %q", c.list, got, ok, c.want)
		}
	}
}

// What a client writes to the left of what a trusted proxy adds changes nothing.
func FuzzForwardedClient(f *testing.F) {
	f.Add("192.0.2.1, 10.1.1.1")
	f.Add("[::1]:5,x")
	f.Fuzz(func(t *testing.T, list string) {
		trusted := func(ip netip.Addr) bool { return ip.Is4() && ip.As4()[0] == 10 }
		for _, added := range []string{"192.0.2.1", "192.0.2.1, 10.1.1.1"} {
			if got, ok := ForwardedClient(list+","+added, trusted); !ok || got.String() != "192.0.2.1:0" {
				t.Fatalf("%q: %v, %v", list, got, ok)
			}
		}
		if got, ok := ForwardedClient(list, trusted); ok != got.IsValid() {
			t.Fatalf("%q: %v, %v", list, got, ok)
		}
	})
}
