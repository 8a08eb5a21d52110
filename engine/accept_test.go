//go:build linux

package engine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"banyan/codec"
	"banyan/engine/port"
)

// Connections are dealt out evenly, whatever the order in which they speak.
func TestConnectionsSpreadEvenly(t *testing.T) {
	homes := make(chan int, 100)
	e := start(t, Config{Loops: 4}, func(x port.Executor, c port.Conn) port.Handler {
		if x.Loop() != c.(*conn).loop.index || x.Loops() != 4 {
			t.Errorf("opened on loop %d, home %d of %d", x.Loop(), c.(*conn).loop.index, x.Loops())
		}
		homes <- c.(*conn).loop.index
		return echoes(x, c)
	})
	count := map[int]int{}
	for range 40 {
		dialRaw(t, e, codec.CBOR)
		count[<-homes]++
	}
	if fmt.Sprint(count) != "map[0:10 1:10 2:10 3:10]" {
		t.Fatal(count)
	}
}

// Several listeners, IPv6 and a Unix socket among them, feed the same loops.
func TestSeveralListeners(t *testing.T) {
	listen := []string{"127.0.0.1:0", "unix:" + t.TempDir() + "/s", "127.0.0.1:0"}
	if probe, err := net.Listen("tcp", "[::1]:0"); err == nil {
		probe.Close()
		listen = append(listen, "[::1]:0")
	}
	local := make(chan port.Peer, 10)
	e := start(t, Config{Listen: listen, Loops: 2}, func(x port.Executor, c port.Conn) port.Handler {
		local <- *c.Peer()
		return echoes(x, c)
	})
	for i, a := range e.Addrs() {
		nc, err := net.Dial(a.Network(), a.String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		p := &peer{nc, t, bufio.NewReader(nc)}
		p.send([]byte{0x7F, 0xF3, 0, 0}, rawFrameOf([]byte("x")))
		p.expect([]byte{0x7F, 0xF3, 0, 0})
		p.expect(rawFrameOf([]byte("x")))
		want := nc.LocalAddr().String()
		if a.Network() == "unix" {
			want = ""
		}
		if got := <-local; !got.Local || got.Network != a.Network() || got.Address != want {
			t.Errorf("listener %d: %+v, want %q", i, got, want)
		}
	}
}

func TestPortInUseSaysWhatToDo(t *testing.T) {
	e := start(t, Config{}, echoes)
	address := e.Addrs()[0].String()
	_, err := New(Config{Listen: []string{"127.0.0.1:0", address}}, echoes)
	if err == nil || !errors.Is(err, unix.EADDRINUSE) || !strings.Contains(err.Error(), address) ||
		!strings.Contains(err.Error(), "--listen") {
		t.Fatal(err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for _, cfg := range []Config{
		{Loops: 65},
		{Loops: -1},
		{Live: Live{MessageBytesMax: 16<<20 + 1}},
		{Live: Live{MessageBytesMax: 511}},
		{Live: Live{HandshakeTimeout: -1}},
		{Live: Live{BacklogBytesMax: 100}},
		{Live: Live{SlowConsumer: 7}},
		{Live: Live{CreditBytes: -1}},
		{Live: Live{ConnectionsMax: -1}},
		{Listen: make([]string, 65)},
		{Listen: []string{"nonsense"}},
	} {
		if _, err := New(cfg, echoes); err == nil {
			t.Errorf("accepted %+v", cfg)
		}
	}
	if _, err := New(Config{}, nil); err == nil {
		t.Error("accepted no Opener")
	}
	cfg := Config{}
	if err := cfg.check(); err != nil {
		t.Fatal(err)
	}
	if cfg.MessageBytesMax != 16<<20 || cfg.rawSocketExponent() != 15 || cfg.HandshakeTimeout != 10*time.Second ||
		cfg.PingInterval != 25*time.Second || cfg.BacklogBytesMax != 64<<20 || cfg.CreditBytes != 64<<10 ||
		cfg.ConnectionsMax < 1 || cfg.Listen[0] != "127.0.0.1:8080" {
		t.Fatalf("%+v", cfg)
	}
}

// ENGINE 9, trap 16: a restart on the same port right after the server closed its connections first.
func TestRestartOnTheSamePort(t *testing.T) {
	first, err := New(Config{Listen: []string{"127.0.0.1:0"}, Loops: 1, Log: quiet()}, echoes)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	p := dialRaw(t, first, codec.CBOR)
	if err := first.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.expectEnd()
	second := start(t, Config{Listen: []string{first.Addrs()[0].String()}}, echoes)
	p = dialRaw(t, second, codec.CBOR)
	p.send(rawFrameOf([]byte("x")))
	p.expect(rawFrameOf([]byte("x")))
}

func TestUnixSocketFileIsCleanedUp(t *testing.T) {
	path := t.TempDir() + "/s"
	// A dead program's socket is in the way.
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	e, err := New(Config{Listen: []string{"unix:" + path}}, echoes)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("socket file left: %v", err)
	}
	// A file that is no socket is nobody's business.
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Listen: []string{"unix:" + path}}, echoes); err == nil {
		t.Fatal("listened over a file")
	}
	if b, _ := os.ReadFile(path); string(b) != "precious" {
		t.Fatal("file touched")
	}
}

// ENGINE 9, trap 1: the process runs out of descriptors while clients come. In a process of its own, because the
// limit is the process's.
func TestOutOfDescriptors(t *testing.T) {
	out, err := child(t, "descriptors")
	if err != nil || !strings.Contains(out, "survived") {
		t.Fatalf("%v\n%s", err, out)
	}
}

// runChild is what the test binary does instead of testing when a test started it for something a process does once.
func runChild(what string) {
	switch what {
	case "descriptors":
		outOfDescriptors()
	case "preempt":
		collectIdle()
	case "locked":
		dieLocked()
	default:
		fmt.Printf("unknown child %q\n", what)
		os.Exit(1)
	}
}

// collectIdle starts a dedicated engine whose loops are idle and stops the world, which must not take long.
func collectIdle() {
	runtime.GOMAXPROCS(3)
	e, err := New(Config{
		Listen: []string{"127.0.0.1:0"}, Loops: 2, Dedicated: true,
		Log: slog.New(slog.NewTextHandler(os.Stdout, nil)),
	}, echoes)
	if err == nil {
		err = e.Start()
	}
	if err != nil {
		panic(err)
	}
	for range 10 {
		runtime.GC()
		time.Sleep(time.Millisecond) // so that loops are back in their waits
	}
	if !e.hidden {
		fmt.Println("visible")
	}
	if err := e.Stop(context.Background()); err != nil {
		panic(err)
	}
}

func dieLocked() {
	e, err := New(Config{Listen: []string{"127.0.0.1:0"}, Loops: 1, Log: quiet()},
		func(x port.Executor, c port.Conn) port.Handler {
			return &session{c: c, receive: func(port.Executor, *session, []byte) {
				c.Lock()
				panic("died with the lock")
			}}
		})
	if err == nil {
		err = e.Start()
	}
	if err != nil {
		panic(err)
	}
	nc, err := net.Dial("tcp", e.Addrs()[0].String())
	if err != nil {
		panic(err)
	}
	_, _ = nc.Write([]byte{0x7F, 0xF1, 0, 0, 0, 0, 0, 1, 'x'})
	_, _ = io.Copy(io.Discard, nc) // ends with the process, if not before
}

func outOfDescriptors() {
	fail := func(format string, args ...any) {
		fmt.Printf(format+"\n", args...)
		os.Exit(1)
	}
	e, err := New(Config{
		Live: Live{ConnectionsMax: 1 << 20}, Listen: []string{"127.0.0.1:0"}, Loops: 1,
		Log: quiet(),
	},
		echoes)
	if err != nil {
		fail("%v", err)
	}
	if err := e.Start(); err != nil {
		fail("%v", err)
	}
	address := e.Addrs()[0].String()
	call := func(nc net.Conn) error {
		_ = nc.SetDeadline(time.Now().Add(patience))
		if _, err := nc.Write([]byte{0x7F, 0xF1, 0, 0, 0, 0, 0, 1, 'x'}); err != nil {
			return err
		}
		answer := make([]byte, 9)
		for n := 0; n < len(answer); {
			k, err := nc.Read(answer[n:])
			if err != nil {
				return err
			}
			n += k
		}
		return nil
	}
	before, err := net.Dial("tcp", address)
	if err != nil {
		fail("%v", err)
	}
	if err := call(before); err != nil {
		fail("first call: %v", err)
	}
	// Descriptors for the clients' ends are taken first; what is left then is less than the server needs.
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		fail("%v", err)
	}
	limit.Cur = 64
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		fail("%v", err)
	}
	var clients []net.Conn
	for {
		nc, err := net.Dial("tcp", address)
		if err != nil {
			break // this end is out of descriptors too
		}
		clients = append(clients, nc)
	}
	for end := time.Now().Add(patience); e.Stats().AcceptPauses == 0; {
		if time.Now().After(end) {
			fail("never ran out with %d clients", len(clients))
		}
		// The engine may have had a descriptor for each of them, and waits for nobody. One more is for a client, and
		// none is left for the engine.
		limit.Cur++
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			fail("%v", err)
		}
		if nc, err := net.Dial("tcp", address); err == nil {
			clients = append(clients, nc)
		}
		time.Sleep(time.Millisecond)
	}
	for _, nc := range clients {
		nc.Close()
	}
	for end := time.Now().Add(patience); ; {
		after, err := net.Dial("tcp", address)
		if err == nil {
			if err = call(after); err == nil {
				break
			}
			after.Close()
		}
		if time.Now().After(end) {
			fail("not served again: %v", err)
		}
	}
	if s := e.Stats(); s.Connections < 2 {
		fail("the first connection is gone: %+v", s)
	}
	if err := e.Stop(context.Background()); err != nil {
		fail("%v", err)
	}
	fmt.Println("survived")
}
