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
	for _, c := range []struct{ address, network string }{
		{"127.0.0.1:8080", "tcp4"},
		{"0.0.0.0:0", "tcp4"},
		{"[::1]:65535", "tcp6"},
		{"[::]:1", "tcp6"},
		{"[fe80::1%eth0]:1", "tcp6"},
		{"localhost:1", "tcp"},
		{":1", "tcp"}, // all interfaces of both
		{"unix:/run/b", "unix"},
		{"unix:b", "unix"},
		{"unix:@b", "unix"},
	} {
		network, target, err := ParseAddress(c.address)
		if want := strings.TrimPrefix(c.address, "unix:"); err != nil || network != c.network || target != want {
			t.Errorf("%q: %s %s, %v", c.address, network, target, err)
		}
	}
	for _, address := range []string{
		"", ":", "127.0.0.1", "127.0.0.1:", "::1:", "[::1]", "localhost", "unix:", "127.0.0.1:65536", "127.0.0.1:-1",
		"127.0.0.1:+1", "127.0.0.1:http",
		"127.0.0.1:08", "tcp://127.0.0.1:1", "/run/b", "8080", "a b:1",
	} {
		var refused *ListenError
		if _, _, err := ParseAddress(address); !errors.As(err, &refused) ||
			!strings.Contains(err.Error(), "HOST:PORT or unix:PATH") {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// F15: an IPv4 literal opens no IPv6 port, and the other way round. F7: the socket is one of plain TCP.
func TestFamilies(t *testing.T) {
	for address, family := range map[string]int{
		"0.0.0.0:0": unix.AF_INET, "[::]:0": unix.AF_INET6, ":0": unix.AF_INET6,
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
	} {
		_, err := bind(address, UnixFile{})
		var refused *ListenError
		if !errors.As(err, &refused) || !strings.Contains(refused.Reason, want) || refused.Try == "" {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
	}
}
