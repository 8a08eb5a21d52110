package wire

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/pires/go-proxyproto"
)

// The header of the PROXY protocol, version 1 (a line) or 2 (binary), which a proxy puts in front of a connection to
// tell for whom it is.

const (
	proxyLineBytesMax = 107 // of version 1, with its end
	proxyFixedBytes   = 16  // of version 2, in front of what has a length
	// ProxyHeaderBytesMax is the longest header, in octets. A longer one is refused before it is all there.
	ProxyHeaderBytesMax = proxyFixedBytes + 4096
)

// A ProxyHeader is what a proxy tells.
type ProxyHeader struct {
	// Client is who connected to the proxy; not valid if the proxy does not tell: LOCAL, UNKNOWN, or a Unix socket.
	Client netip.AddrPort
	// Own says that the proxy connects for itself, for instance to see whether the router is there.
	Own bool
	// Encrypted says that the client spoke TLS to the proxy.
	Encrypted bool
}

var (
	errProxyMissing  = errors.New("there is no PROXY header")
	errProxyLong     = fmt.Errorf("a PROXY header has %d octets at most", ProxyHeaderBytesMax)
	errProxyLine     = fmt.Errorf("the line of a PROXY header has %d octets at most", proxyLineBytesMax)
	errProxyDatagram = errors.New("the PROXY header is about datagrams")
)

// ReadProxyHeader reads the header at the start of b and returns its length; 0 while it is not all there.
func ReadProxyHeader(b []byte) (h ProxyHeader, length int, err error) {
	if length, err = proxyLength(b); length == 0 || err != nil {
		return h, 0, err
	}
	raw := b[:length]
	read, err := proxyproto.Read(bufio.NewReaderSize(bytes.NewReader(raw), length))
	if err != nil {
		return h, 0, err
	}
	h.Own = read.Version == 2 && read.Command == proxyproto.LOCAL
	h.Encrypted = !h.Own && proxyTLS(read)
	if read.Command == proxyproto.LOCAL {
		return h, length, nil
	}
	switch a := read.SourceAddr.(type) {
	case *net.TCPAddr:
		ip, _ := netip.AddrFromSlice(a.IP)
		h.Client = netip.AddrPortFrom(ip.Unmap(), uint16(a.Port))
	case *net.UnixAddr:
	default:
		return ProxyHeader{}, 0, errProxyDatagram
	}
	return h, length, nil
}

// proxyLength returns the length of the header at the start of b, or 0 while it cannot be told or b is shorter.
func proxyLength(b []byte) (int, error) {
	one, two := proxyproto.SIGV1, proxyproto.SIGV2
	switch {
	case bytes.HasPrefix(b, one):
		line := b[:min(len(b), proxyLineBytesMax)]
		if end := bytes.IndexByte(line, '\n'); end >= 0 {
			return end + 1, nil
		}
		if len(line) == proxyLineBytesMax {
			return 0, errProxyLine
		}
	case bytes.HasPrefix(b, two):
		if len(b) < proxyFixedBytes {
			return 0, nil
		}
		length := proxyFixedBytes + int(binary.BigEndian.Uint16(b[proxyFixedBytes-2:]))
		if length > ProxyHeaderBytesMax {
			return 0, errProxyLong
		}
		if len(b) >= length {
			return length, nil
		}
	case !bytes.HasPrefix(one, b) && !bytes.HasPrefix(two, b):
		return 0, errProxyMissing
	}
	return 0, nil
}

// proxyTLS reports whether the header says that the client spoke TLS (PP2_TYPE_SSL with PP2_CLIENT_SSL).
func proxyTLS(h *proxyproto.Header) bool {
	items, err := h.TLVs()
	if err != nil {
		return false
	}
	for _, item := range items {
		if item.Type == proxyproto.PP2_TYPE_SSL && len(item.Value) > 0 && item.Value[0]&1 != 0 {
			return true
		}
	}
	return false
}
