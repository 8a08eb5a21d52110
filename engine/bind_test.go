//go:build linux

package engine

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParseAddress(t *testing.T) {
	for _, c := range []struct{ address, network, target string }{
		{"127.0.0.1:8080", "tcp4", ""},
		{"0.0.0.0:0", "tcp4", ""},
		{"240.0.0.1:1", "tcp4", ""},
		{"[::1]:65535", "tcp6", ""},
		{"[::]:1", "tcp6", ""},
		{"[0:0:0:0:0:0:0:0]:1", "tcp6", "[::]:1"},
		{"[fe80::1%eth0]:1", "tcp6", ""},
		{"[::ffff:127.0.0.1]:1", "tcp4", "127.0.0.1:1"},
		{"[::ffff:7f00:1]:1", "tcp4", "127.0.0.1:1"},
		{"[::FFFF:0.0.0.0]:1", "tcp4", "0.0.0.0:1"},
		{"localhost:1", "tcp", ""},
		{"a_b.c-d.example.:1", "tcp", ""},
		{"300.1.1.example:1", "tcp", ""},
		{"123456789012:1", "tcp", ""},
		{strings.Repeat("a", 63) + ":1", "tcp", ""},
		{strings.Repeat("a.", 126) + "a:1", "tcp", ""},
		{":1", "tcp", ""}, // all interfaces of both
		{"unix:/run/b", "unix", "/run/b"},
		{"unix:b", "unix", "b"},
		{"unix:@b", "unix", "@b"},
		{"unix:/" + strings.Repeat("x", 106), "unix", "/" + strings.Repeat("x", 106)},
	} {
		if c.target == "" {
			c.target = c.address
		}
		network, target, err := ParseAddress(c.address)
		if err != nil || network != c.network || target != c.target {
			t.Errorf("%q: %s %s, %v", c.address, network, target, err)
		}
	}
}

// An address that can never be valid has no cause in the system, and the error says what to write.
func TestParseAddressRefuses(t *testing.T) {
	const try = "HOST:PORT or unix:PATH"
	for address, want := range map[string]string{
		"": try, ":": try, "127.0.0.1": try, "127.0.0.1:": try, "::1:": try, "[::1]": try, "localhost": try,
		"unix:": try, "unix:@": try, "unix:/run/": try, "unix:/a\x00b": try, "unix:/" + strings.Repeat("x", 107): try,
		"127.0.0.1:65536": try, "127.0.0.1:-1": try, "127.0.0.1:+1": try, "127.0.0.1:http": try, "127.0.0.1:08": try,
		"tcp://127.0.0.1:1": try, "/run/b": try, "8080": try, "a b:1": try, "a..b:1": try, ".:1": try,
		"häuser:1": try, strings.Repeat("a", 64) + ":1": try, strings.Repeat("a.", 126) + "ab:1": try,
		"*:1":                     "[::]:PORT (IPv6) or :PORT (both)",
		"300.1.1.1:1":             "four numbers from 0 to 255",
		"1.2.3:1":                 "four numbers from 0 to 255",
		"1.2.3.4.5:1":             "four numbers from 0 to 255",
		"127.0.0.01:1":            "four numbers from 0 to 255",
		"[::g]:1":                 "no IPv6 address",
		"[fe80::1]:1":             "write [fe80::1%INTERFACE]:1",
		"[::%lo]:1":               "leave out %lo", // the system listens on all interfaces
		"[::ffff:127.0.0.1%lo]:1": "leave out %lo",
		"[::ffff:224.0.0.1]:1":    "the address of one interface",
		"224.0.0.1:1":             "the address of one interface",
		"[ff02::1]:1":             "the address of one interface",
		"255.255.255.255:1":       "the address of one interface",
	} {
		var refused *ListenError
		_, _, err := ParseAddress(address)
		if !errors.As(err, &refused) || refused.Err != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", address, err, want)
		}
	}
}

// F15: an IPv4 literal opens no IPv6 port, and the other way round. F7: the socket is one of plain TCP.
func TestFamilies(t *testing.T) {
	for address, family := range map[string]int{
		"0.0.0.0:0": unix.AF_INET, "[::ffff:127.0.0.1]:0": unix.AF_INET, "[::]:0": unix.AF_INET6, ":0": unix.AF_INET6,
	} {
		b, err := bind(address, UnixFile{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.unbind)
		if b.refused != nil {
			t.Error(b.refused)
		}
		domain, err := unix.GetsockoptInt(b.fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
		if err != nil || domain != family {
			t.Errorf("%s: family %d, want %d (%v)", address, domain, family, err)
		}
		protocol, err := unix.GetsockoptInt(b.fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
		if err != nil || protocol != unix.IPPROTO_TCP {
			t.Errorf("%s: protocol %d, want plain TCP (%v)", address, protocol, err)
		}
		if family == unix.AF_INET6 {
			only, err := unix.GetsockoptInt(b.fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY)
			if want := address != ":0"; err != nil || (only != 0) != want {
				t.Errorf("%s: IPv6 only: %d, want %v (%v)", address, only, want, err)
			}
			if both := b.addr.(*net.TCPAddr).IP == nil; both != (address == ":0") {
				t.Errorf("%s is told as %v", address, b.addr)
			}
		}
	}
}

// The file of a Unix socket has the mode and owner that were asked for, whatever the umask is.
func TestUnixFileMode(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	for want, asked := range map[fs.FileMode]UnixFile{
		0o660: {}, 0o606: {Mode: 0o606}, 0o600: {Mode: 0o600, User: os.Getuid(), Group: os.Getgid()},
	} {
		b, err := bind("unix:"+filepath.Join(t.TempDir(), "s"), asked)
		if err != nil {
			t.Fatal(err)
		}
		if got := b.file.Mode().Perm(); got != want {
			t.Errorf("mode %o, want %o", got, want)
		}
		b.unbind()
	}
	if os.Getuid() == 0 {
		b, err := bind("unix:"+filepath.Join(t.TempDir(), "s"), UnixFile{User: 12345, Group: 12346})
		if err != nil {
			t.Fatal(err)
		}
		defer b.unbind()
		if s := b.file.Sys().(*syscall.Stat_t); s.Uid != 12345 || s.Gid != 12346 {
			t.Errorf("owner %d:%d", s.Uid, s.Gid)
		}
	}
}

// Nobody else may connect before the file has its owner, with the loosest umask neither.
func TestUnixFileIsBornClosed(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	path := filepath.Join(t.TempDir(), "s")
	nl, err := openListener("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer nl.Close()
	if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

// F21: a stop removes only the file that it made.
func TestUnixFileOfAnotherIsLeft(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	b, err := bind("unix:"+path, UnixFile{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	other, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	b.unbind()
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the other program's socket is gone: %v", err)
	}
}

// The reason is true and says what to do.
func TestListenErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	used, err := bind("unix:"+filepath.Join(dir, "used"), UnixFile{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(used.unbind)
	port, err := bind("127.0.0.1:0", UnixFile{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(port.unbind)
	for address, want := range map[string]string{
		"unix:" + file:      "there is a file at that path, and it is no socket",
		"unix:" + dir:       "there is a directory at that path",
		"unix:" + used.path: "in use by another program",
		"unix:" + filepath.Join(dir, "none", "s"):              "the directory is not there",
		"unix:" + filepath.Join(dir, strings.Repeat("x", 108)): "too long",
		port.addr.String(): "in use by another program",
		"192.0.2.1:1":      "no address of this machine",
		"[fe80::1%none]:1": "no such interface",
	} {
		_, err := bind(address, UnixFile{})
		var refused *ListenError
		if !errors.As(err, &refused) || !strings.Contains(refused.Reason, want) || refused.Try == "" {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
	}
}
