//go:build linux

package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/panjf2000/gnet/v2/pkg/socket"
	"golang.org/x/sys/unix"
)

// A UnixFile tells who may connect to a Unix socket: those whom the system lets write to its file.
type UnixFile struct {
	Mode        fs.FileMode // permission bits; default 0660
	User, Group int         // ids of its owner; default those of the process
}

const unixFileMode = 0o660

// A ListenError tells why an address cannot be listened on, and what to do about it.
type ListenError struct {
	Address string
	Reason  string // for people
	Try     string // what may help
	Err     error  // of the system; nil if the address can never be valid, on whatever machine
}

func (e *ListenError) Error() string {
	return "engine: cannot listen on " + strconv.Quote(e.Address) + ": " + e.Reason + "; " + e.Try
}

func (e *ListenError) Unwrap() error { return e.Err }

const tryAnother = "choose another address with --listen"

// ParseAddress splits an address of Config.Listen into the network that package net wants and the address in it. The
// network is "tcp4" for an IPv4 literal, also one mapped into IPv6, "tcp6" for one of IPv6, "tcp" for a name and for
// all interfaces of both, or "unix". A port or a path must be there. The error is a *ListenError whose Err is nil.
func ParseAddress(address string) (network, target string, err error) {
	bad := func(reason, try string) (string, string, error) {
		return "", "", &ListenError{Address: address, Reason: reason, Try: try}
	}
	const try = "write HOST:PORT or unix:PATH"
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		if reason := judgePath(path); reason != "" {
			return bad(reason, try)
		}
		return "unix", path, nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return bad("this is no address with a port", try)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return bad("the port must be a number from 0 to 65535, 0 for any that is free", try)
	}
	if host == "" {
		return "tcp", address, nil
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		if reason := judgeName(host); reason != "" {
			return bad(reason, try+"; all interfaces are 0.0.0.0:PORT (IPv4), [::]:PORT (IPv6) or :PORT (both)")
		}
		return "tcp", address, nil
	}
	ofLink := ip.Is6() && ip.IsLinkLocalUnicast()
	switch {
	case ip.Zone() != "" && !ofLink:
		return bad("only addresses that begin with fe80 have an interface behind %", "leave out %"+ip.Zone())
	case ip.Zone() == "" && ofLink:
		return bad("an address of one link needs its interface", "write ["+host+"%INTERFACE]:"+port)
	}
	ip = ip.Unmap()
	if ip.IsMulticast() || ip == broadcast {
		return bad("TCP has no multicast or broadcast", "write the address of one interface, or :PORT for all")
	}
	network = "tcp4"
	if ip.Is6() {
		network = "tcp6"
	}
	return network, net.JoinHostPort(ip.String(), port), nil
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// pathBytesMax is the longest path of a Unix socket: the system wants a zero octet behind it.
const pathBytesMax = len(unix.RawSockaddrUnix{}.Path) - 1

// judgePath tells why path can never be one of a Unix socket, or returns "".
func judgePath(path string) string {
	switch {
	case path == "":
		return "the path is missing"
	case path == "@":
		return "the name behind @ is missing"
	case len(path) > pathBytesMax:
		return fmt.Sprintf("the path is too long for a socket: %d bytes, at most %d are possible",
			len(path), pathBytesMax)
	case strings.HasSuffix(path, "/"):
		return "the path ends with /: the name of the socket is missing"
	case strings.IndexByte(path, 0) >= 0:
		return "the path has a zero octet"
	}
	return ""
}

// judgeName tells why host, which is no IP literal, can never be the name of a host, or returns "".
func judgeName(host string) string {
	if strings.Contains(host, ":") {
		return "this is no IPv6 address"
	}
	const nameBytesMax, labelBytesMax = 253, 63 // RFC 1035, 2.3.4
	name := strings.TrimSuffix(host, ".")
	numbers := strings.Contains(name, ".") // a name without a dot may be a number, such as the id of a container
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > labelBytesMax || strings.ContainsFunc(label, notInName) {
			return "this is no host name"
		}
		numbers = numbers && strings.Trim(label, "0123456789") == ""
	}
	switch {
	case numbers:
		return "this is no IPv4 address, which is four numbers from 0 to 255"
	case len(name) > nameBytesMax:
		return "this is no host name"
	}
	return ""
}

func notInName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
}

// A bound is a socket that listens.
type bound struct {
	fd      int
	addr    net.Addr
	network string // "tcp" or "unix"
	refused error  // a socket option that the system refused

	path string // of a Unix socket's file; "" if there is none
	file os.FileInfo
}

// bind makes the socket of one address. The error is a *ListenError.
func bind(address string, file UnixFile) (bound, error) {
	network, target, err := ParseAddress(address)
	if err != nil {
		return bound{}, err
	}
	b := bound{fd: -1, network: "tcp"}
	if network == "unix" {
		b.network = "unix"
		if !strings.HasPrefix(target, "@") { // a name without a file
			b.path = target
			if err := removeStale(address, target); err != nil {
				return bound{}, err
			}
		}
	}
	nl, err := openListener(network, target)
	if err != nil {
		return bound{}, listenError(address, err)
	}
	defer nl.Close() // the duplicate below stays
	b.addr = nl.Addr()
	if ul, ok := nl.(*net.UnixListener); ok {
		ul.SetUnlinkOnClose(false)
	}
	if b.path != "" {
		if err := b.own(file); err != nil {
			_ = os.Remove(b.path)
			return bound{}, &ListenError{
				address, "the socket's file cannot get this mode and owner: " + err.Error(),
				"check mode, owner and group in --listen", err,
			}
		}
	}
	raw, err := nl.(syscall.Conn).SyscallConn()
	if err != nil {
		return bound{}, listenError(address, err)
	}
	var inner error
	err = raw.Control(func(fd uintptr) { b.fd, inner = socket.Dup(int(fd)) })
	if err = errors.Join(err, inner); err != nil {
		return bound{}, listenError(address, err)
	}
	if b.network == "tcp" {
		b.addr = b.reach(network)
		// Accepted sockets inherit these.
		timeout := int(userTimeout.Milliseconds())
		b.refused = errors.Join(
			socket.SetNoDelay(b.fd, 1),
			socket.SetKeepAlive(b.fd, true, keepAliveIdle, keepAliveInterval, keepAliveCount),
			os.NewSyscallError("TCP_USER_TIMEOUT",
				unix.SetsockoptInt(b.fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, timeout)),
		)
	}
	return b, nil
}

// reach returns the address of a TCP socket, without IP if it takes connections of both families: the system calls
// such a socket [::], as it does one for IPv6 only.
func (b *bound) reach(network string) net.Addr {
	t := b.addr.(*net.TCPAddr)
	if network != "tcp" || !t.IP.Equal(net.IPv6unspecified) {
		return t
	}
	if only, err := unix.GetsockoptInt(b.fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY); err != nil || only != 0 {
		return t
	}
	return &net.TCPAddr{Port: t.Port}
}

// openListener makes a socket that listens. The file of a Unix socket lets nobody in but this user, until it has its
// owner and mode.
func openListener(network, target string) (net.Listener, error) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // kernels differ in what they let such a socket do, and nobody asked for it
	if network == "unix" {
		// bind(2) gives the file the mode of the socket, less the umask.
		lc.Control = func(_, _ string, raw syscall.RawConn) error {
			var err error
			return errors.Join(raw.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) }), err)
		}
	}
	return lc.Listen(context.Background(), network, target)
}

// own gives the socket's file its owner and mode, in this order: the mode lets others in.
func (b *bound) own(file UnixFile) error {
	if file.User != 0 || file.Group != 0 {
		user, group := -1, -1
		if file.User != 0 {
			user = file.User
		}
		if file.Group != 0 {
			group = file.Group
		}
		if err := os.Lchown(b.path, user, group); err != nil {
			return err
		}
	}
	mode := file.Mode
	if mode == 0 {
		mode = unixFileMode
	}
	if err := os.Chmod(b.path, mode); err != nil {
		return err
	}
	var err error
	b.file, err = os.Lstat(b.path)
	return err
}

// unbind closes the socket and removes its file, unless another program has put its own there meanwhile.
func (b *bound) unbind() {
	_ = unix.Close(b.fd)
	if b.path == "" {
		return
	}
	if now, err := os.Lstat(b.path); err == nil && os.SameFile(now, b.file) {
		_ = os.Remove(b.path)
	}
}

// listenError says what can be done about err.
func listenError(address string, err error) error {
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return &ListenError{address, "it is in use by another program", "stop that program, or " + tryAnother, err}
	case errors.Is(err, unix.EACCES):
		return &ListenError{
			address, "this user may not",
			"choose a port above 1023, or a directory that this user may write to, with --listen", err,
		}
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return &ListenError{address, "it is no address of this machine", tryAnother, err}
	case errors.Is(err, unix.ENOENT):
		return &ListenError{address, "the directory is not there", "make it, or " + tryAnother, err}
	case errors.Is(err, unix.EINVAL) && strings.Contains(address, "%"):
		return &ListenError{address, "there is no such interface", "ip link lists them; " + tryAnother, err}
	}
	if dns := (*net.DNSError)(nil); errors.As(err, &dns) {
		return &ListenError{address, "no address is known for this name", "write an address, or " + tryAnother, err}
	}
	return &ListenError{address, err.Error(), tryAnother, err}
}

// removeStale removes the socket file of a program that is gone. Anything else at that path is left alone and an
// error.
func removeStale(address, path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return nil // net.Listen will say what is wrong, if anything
	}
	if info.Mode()&os.ModeSocket == 0 {
		kind := "a file"
		if info.IsDir() {
			kind = "a directory"
		}
		return &ListenError{
			address, "there is " + kind + " at that path, and it is no socket", "remove it, or " + tryAnother,
			fs.ErrExist,
		}
	}
	probe, err := net.Dial("unix", path)
	if err == nil {
		_ = probe.Close()
		return listenError(address, fmt.Errorf("a program accepts connections there: %w", unix.EADDRINUSE))
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		return nil
	}
	if err := os.Remove(path); err != nil {
		return &ListenError{
			address, "the socket file of a program that is gone cannot be removed", "remove it, or " + tryAnother,
			err,
		}
	}
	return nil
}
