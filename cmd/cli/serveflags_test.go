package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"banyan/bench/client"
	"banyan/cmd/config"
	"banyan/codec"
)

// parseServe reads flags of serve.
func parseServe(flags ...string) (*serveConfig, error) {
	c := &serveConfig{}
	set := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	for _, g := range c.flags() {
		set.AddFlagSet(g.FlagSet)
	}
	return c, set.Parse(flags)
}

// readFlags is the configuration that flags of serve make.
func readFlags(flags ...string) (*config.File, error) {
	c, err := parseServe(flags...)
	if err != nil {
		return nil, err
	}
	f, _, err := c.load(nil)
	return f, err
}

// startFlags starts a router of two loops with these flags, on a free port and a Unix socket.
func startFlags(t *testing.T, flags ...string) *testRouter {
	t.Helper()
	path := filepath.Join(t.TempDir(), "b.sock")
	all := append([]string{"--loops", "2", "--listen", "127.0.0.1:0", "--listen", "unix:" + path}, flags...)
	f, err := readFlags(all...)
	if err != nil {
		t.Fatal(err)
	}
	return startFile(t, f, path)
}

// startFile starts a router that the end of the test stops.
func startFile(t *testing.T, f *config.File, path string) *testRouter {
	t.Helper()
	r, err := newRouter(f, slog.New(slog.DiscardHandler), false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
	return &testRouter{router: r, tcp: r.engine.Addrs()[0].String(), unix: path}
}

// A talk is a client that writes JSON by hand.
type talk struct {
	*client.Conn
	t *testing.T
}

func (r *testRouter) talk(t *testing.T) *talk {
	t.Helper()
	c := r.connect(t, wire{scheme: "ws", options: client.Options{Serializer: codec.JSON}})
	t.Cleanup(func() { c.Abandon() })
	c.SetReadDeadline(time.Now().Add(patience))
	return &talk{c, t}
}

// hello joins realm1 with all roles.
func (k *talk) hello() *talk {
	k.t.Helper()
	k.says(`[1,"realm1",{"roles":{"publisher":{},"subscriber":{},"caller":{},"callee":{}}}]`, "[2,")
	return k
}

// says sends a message and wants an answer that begins so, or contains the URI that is wanted.
func (k *talk) says(message, want string) {
	k.t.Helper()
	k.Queue([]byte(message))
	answer, err := k.Receive()
	if err != nil {
		k.t.Fatalf("%s: %v, want %s", message, err, want)
	}
	if strings.HasPrefix(want, "[") && !bytes.HasPrefix(answer, []byte(want)) ||
		!bytes.Contains(answer, []byte(want)) {
		k.t.Errorf("%s: got %s, want %s", message, answer, want)
	}
}

// closed waits for the end of the connection and returns its close code.
func (k *talk) closed() (code int) {
	k.t.Helper()
	for {
		_, err := k.Receive()
		var end *client.CloseError
		switch {
		case errors.As(err, &end):
			return end.Code
		case errors.Is(err, os.ErrDeadlineExceeded):
			k.t.Fatal("the connection stays open")
		case err != nil:
			return 0
		}
	}
}

// TestServeRules: every rule and count that a flag sets is seen by a client, at the bound and one beyond, and is off
// without the flag.
func TestServeRules(t *testing.T) {
	const forbidden = "wamp.error.option_disallowed.disclose_me"
	for _, c := range []struct {
		flag  string
		with  [][2]string // message, answer
		plain [][2]string
	}{
		{
			"--strict-uris",
			[][2]string{
				{`[32,1,{},"com.example_1"]`, "[33,1,"},
				{`[32,2,{},"com.Example"]`, "wamp.error.invalid_uri"},
				{`[16,3,{"acknowledge":true},"com.Example"]`, "wamp.error.invalid_uri"},
				{`[64,4,{},"com.Example"]`, "wamp.error.invalid_uri"},
			},
			[][2]string{{`[32,1,{},"com.Example"]`, "[33,1,"}},
		},
		{
			"--strict-request-ids",
			[][2]string{{`[32,1,{},"com.a"]`, "[33,1,"}, {`[32,3,{},"com.b"]`, "wamp.error.protocol_violation"}},
			[][2]string{{`[32,1,{},"com.a"]`, "[33,1,"}, {`[32,3,{},"com.b"]`, "[33,3,"}},
		},
		{
			"--forbid-disclosure",
			[][2]string{{`[16,1,{"acknowledge":true,"disclose_me":true},"com.a"]`, forbidden}},
			[][2]string{{`[16,1,{"acknowledge":true,"disclose_me":true},"com.a"]`, "[17,1,"}},
		},
		{
			"--subscriptions-max=2",
			[][2]string{
				{`[32,1,{},"com.a"]`, "[33,1,"},
				{`[32,2,{},"com.b"]`, "[33,2,"},
				{`[32,3,{},"com.c"]`, "wamp.error.option_not_allowed"},
			},
			[][2]string{
				{`[32,1,{},"com.a"]`, "[33,1,"},
				{`[32,2,{},"com.b"]`, "[33,2,"},
				{`[32,3,{},"com.c"]`, "[33,3,"},
			},
		},
		{
			"--registrations-max=2",
			[][2]string{
				{`[64,1,{},"com.a"]`, "[65,1,"},
				{`[64,2,{},"com.b"]`, "[65,2,"},
				{`[64,3,{},"com.c"]`, "wamp.error.option_not_allowed"},
			},
			[][2]string{
				{`[64,1,{},"com.a"]`, "[65,1,"},
				{`[64,2,{},"com.b"]`, "[65,2,"},
				{`[64,3,{},"com.c"]`, "[65,3,"},
			},
		},
		{
			"--patterns-max=1",
			[][2]string{
				{`[32,1,{"match":"prefix"},"com.a"]`, "[33,1,"},
				{`[32,2,{"match":"wildcard"},"com..a"]`, "wamp.error.option_not_allowed"},
				{`[32,3,{},"com.a"]`, "[33,3,"},
			},
			[][2]string{
				{`[32,1,{"match":"prefix"},"com.a"]`, "[33,1,"},
				{`[32,2,{"match":"wildcard"},"com..a"]`, "[33,2,"},
			},
		},
		{
			"--filter-entries-max=2",
			[][2]string{
				{`[16,1,{"acknowledge":true,"exclude":[1,2]},"com.a"]`, "[17,1,"},
				{`[16,2,{"acknowledge":true,"exclude":[1,2,3]},"com.a"]`, "wamp.error.option_not_allowed"},
			},
			[][2]string{{`[16,2,{"acknowledge":true,"exclude":[1,2,3]},"com.a"]`, "[17,2,"}},
		},
		{
			"--depth-max=8", // the message, its arguments, six lists
			[][2]string{
				{`[16,1,{"acknowledge":true},"com.a",[[[[[[[]]]]]]]]`, "[17,1,"},
				{`[16,2,{"acknowledge":true},"com.a",[[[[[[[[]]]]]]]]]`, "wamp.error.protocol_violation"},
			},
			[][2]string{{`[16,2,{"acknowledge":true},"com.a",[[[[[[[[]]]]]]]]]`, "[17,2,"}},
		},
		{
			"--uri-bytes-max=12",
			[][2]string{
				{`[32,1,{},"com.12345678"]`, "[33,1,"},
				{`[32,2,{},"com.123456789"]`, "wamp.error.invalid_uri"},
			},
			[][2]string{{`[32,2,{},"com.123456789"]`, "[33,2,"}},
		},
	} {
		t.Run(c.flag, func(t *testing.T) {
			for _, way := range []struct {
				flags []string
				talk  [][2]string
			}{{[]string{c.flag}, c.with}, {nil, c.plain}} {
				k := startFlags(t, way.flags...).talk(t).hello()
				for _, m := range way.talk {
					k.says(m[0], m[1])
				}
			}
		})
	}
}

// TestServeLongOptions: as the help of --filter-entries-max says, options of more than 256 KiB end the session.
func TestServeLongOptions(t *testing.T) {
	const most = 256 << 10
	k := startFlags(t).talk(t).hello()
	options := func(n int) string {
		head, tail := `{"acknowledge":true,"exclude_authid":["`, `"]}`
		return head + strings.Repeat("x", n-len(head)-len(tail)) + tail
	}
	k.says(`[16,1,`+options(most)+`,"com.a"]`, "[17,1,")
	k.says(`[16,2,`+options(most+1)+`,"com.a"]`, "[3,")
}

// TestServeCallsMax: the second open call of a session is refused, and once more after the first was answered.
func TestServeCallsMax(t *testing.T) {
	r := startFlags(t, "--calls-max", "1")
	callee := r.talk(t).hello()
	callee.says(`[64,1,{},"com.a"]`, "[65,1,")
	caller := r.talk(t).hello()
	for i := range 2 {
		first, second := 2*i+1, 2*i+2
		caller.Queue(fmt.Appendf(nil, `[48,%d,{},"com.a"]`, first))
		caller.says(fmt.Sprintf(`[48,%d,{},"com.a"]`, second), fmt.Sprintf("[8,48,%d,{", second))
		// The answer precedes what it answers: the invocation is on its way.
		callee.says(fmt.Sprintf(`[70,%d,{}]`, i+1), "[68,")
		answer, err := caller.Receive()
		if err != nil || !bytes.HasPrefix(answer, fmt.Appendf(nil, "[50,%d,", first)) {
			t.Fatalf("%s, %v", answer, err)
		}
	}
}

// TestServeCalleesMax: one session more is not in a shared registration.
func TestServeCalleesMax(t *testing.T) {
	r := startFlags(t, "--callees-max", "2")
	for _, want := range []string{"[65,", "[65,", "wamp.error.option_not_allowed"} {
		r.talk(t).hello().says(`[64,1,{"invoke":"roundrobin"},"com.a"]`, want)
	}
}

// TestServeAnonymous: who may join is told by --anonymous, and by the listener if that says something.
func TestServeAnonymous(t *testing.T) {
	const refused = "wamp.error.authentication_required"
	for _, c := range []struct {
		flag, option     string
		local, forwarded string
	}{
		{"local", "", "[2,", refused},
		{"anywhere", "", "[2,", "[2,"},
		{"none", "", refused, refused},
		{"anywhere", ",anonymous=none", refused, refused},
		{"none", ",anonymous=local", "[2,", refused},
		{"local", ",anonymous=anywhere", "[2,", "[2,"},
	} {
		path := filepath.Join(t.TempDir(), "s")
		r := startFlags(t, "--anonymous", c.flag, "--listen", "unix:"+path+c.option)
		r.unix = path
		for i, want := range []string{c.local, c.forwarded} {
			o := client.Options{Serializer: codec.JSON}
			if i == 1 {
				o.Header = map[string]string{"X-Forwarded-For": "192.0.2.1"}
			}
			k := &talk{r.connect(t, wire{scheme: "ws+unix", options: o}), t}
			k.says(`[1,"realm1",{"roles":{"caller":{}}}]`, want)
		}
		if c.option == ",anonymous=none" { // the other listeners are as the flag says
			r.talk(t).hello()
		}
	}
}

// TestServeRoles: with --enforce-roles, who has not announced a role ends when acting in it.
func TestServeRoles(t *testing.T) {
	for flag, want := range map[string]string{
		"--enforce-roles":       "wamp.error.protocol_violation",
		"--enforce-roles=false": "[17,1,",
	} {
		k := startFlags(t, flag).talk(t)
		k.says(`[1,"realm1",{"roles":{"subscriber":{}}}]`, "[2,")
		k.says(`[16,1,{"acknowledge":true},"com.a"]`, want)
	}
}

// TestServeRealms: --realm, --auto-create-realms and --realms-max.
func TestServeRealms(t *testing.T) {
	join := func(r *testRouter, name, want string) {
		t.Helper()
		r.talk(t).says(`[1,"`+name+`",{"roles":{"caller":{}}}]`, want)
	}
	fixed := startFlags(t, "--realm", "one", "--realm", "two")
	join(fixed, "one", "[2,")
	join(fixed, "two", "[2,")
	join(fixed, "realm1", "wamp.error.no_such_realm") // the default is replaced
	made := startFlags(t, "--auto-create-realms", "--realms-max", "2")
	join(made, "realm1", "[2,")
	join(made, "another", "[2,")
	join(made, "third", "wamp.error.no_such_realm")
	join(made, "another", "[2,")
}

// TestServeTimeouts: the handshake, HELLO, the answer to GOODBYE, and pings.
func TestServeTimeouts(t *testing.T) {
	t.Run("handshake", func(t *testing.T) {
		r := startFlags(t, "--handshake-timeout", "50ms")
		nc, err := net.Dial("tcp", r.tcp)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		nc.SetReadDeadline(time.Now().Add(5 * time.Second)) // below the default
		if _, err := nc.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("%v", err)
		}
	})
	t.Run("hello", func(t *testing.T) {
		k := startFlags(t, "--hello-timeout", "50ms").talk(t)
		k.SetReadDeadline(time.Now().Add(5 * time.Second))
		if code := k.closed(); code != 1008 {
			t.Errorf("close code %d", code)
		}
	})
	t.Run("goodbye", func(t *testing.T) {
		r := startFlags(t, "--goodbye-timeout", "50ms")
		k := r.talk(t).hello()
		begin := time.Now()
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took > 2*time.Second { // 5 s by default
			t.Errorf("the stop took %v", took)
		}
		if code := k.closed(); code != 1001 {
			t.Errorf("close code %d", code)
		}
	})
	t.Run("ping", func(t *testing.T) {
		begin := time.Now()
		upgrade(t, startFlags(t, "--ping-interval", "40ms"), "").expectPing(t)
		if took := time.Since(begin); took < 40*time.Millisecond {
			t.Errorf("a ping after %v", took)
		}
		silent := upgrade(t, startFlags(t, "--ping-interval", "0"), "")
		silent.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		if _, err := silent.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("without pings came something: %v", err)
		}
	})
	t.Run("ping timeout", func(t *testing.T) {
		r := startFlags(t, "--ping-interval", "30ms", "--ping-timeout", "150ms")
		begin := time.Now()
		dead := upgrade(t, r, "")
		dead.join(t)
		if _, err := io.Copy(io.Discard, dead); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took < 150*time.Millisecond || r.engine.Stats().PingTimeouts != 1 {
			t.Errorf("closed after %v, %d ping timeouts", took, r.engine.Stats().PingTimeouts)
		}
	})
	t.Run("rawsocket pings", func(t *testing.T) {
		for flag, want := range map[string]bool{"--rawsocket-pings": true, "--rawsocket-pings=false": false} {
			r := startFlags(t, flag, "--ping-interval", "20ms")
			nc := rawSocket(t, r)
			nc.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
			var b [4]byte
			_, err := io.ReadFull(nc, b[:])
			if got := err == nil && b[0] == 1; got != want {
				t.Errorf("%s: %x, %v", flag, b, err)
			}
		}
	})
	t.Run("message", func(t *testing.T) {
		r := startFlags(t, "--message-timeout", "50ms")
		nc := rawSocket(t, r)
		nc.Write([]byte{0, 0, 1, 0, '['})
		nc.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := io.Copy(io.Discard, nc); err != nil || r.engine.Stats().MessageTimeouts != 1 {
			t.Errorf("%v, %d message timeouts", err, r.engine.Stats().MessageTimeouts)
		}
	})
	t.Run("default", func(t *testing.T) {
		f, err := readFlags()
		if err != nil || f.Keepalive.PingInterval != 25*time.Second || f.Drain.Timeout != 8*time.Second {
			t.Errorf("%v: pings every %v, a stop takes %v", err, f.Keepalive.PingInterval, f.Drain.Timeout)
		}
	})
}

// An upgraded is the raw stream behind a WebSocket handshake.
type upgraded struct {
	net.Conn
	status string
}

// upgrade sends a handshake and reads the head of the answer.
func upgrade(t *testing.T, r *testRouter, origin string) *upgraded {
	t.Helper()
	nc, err := net.Dial("tcp", r.tcp)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(patience))
	if origin != "" {
		origin = "Origin: " + origin + "\r\n"
	}
	fmt.Fprintf(nc, "GET /ws HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"+
		"Sec-WebSocket-Protocol: wamp.2.json\r\n%s\r\n", r.tcp, origin)
	var head []byte
	one := make([]byte, 1)
	for !bytes.HasSuffix(head, []byte("\r\n\r\n")) {
		if _, err := nc.Read(one); err != nil {
			t.Fatalf("%v after %q", err, head)
		}
		head = append(head, one...)
	}
	_, rest, _ := strings.Cut(string(head), " ")
	return &upgraded{nc, rest[:3]}
}

// join says HELLO in a frame.
func (u *upgraded) join(t *testing.T) {
	t.Helper()
	hello := `[1,"realm1",{"roles":{"caller":{}}}]`
	if _, err := u.Write(append([]byte{0x81, 0x80 | byte(len(hello)), 0, 0, 0, 0}, hello...)); err != nil {
		t.Fatal(err)
	}
}

// rawSocket opens a RawSocket for JSON.
func rawSocket(t *testing.T, r *testRouter) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", r.tcp)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(patience))
	nc.Write([]byte{0x7F, 0xF1, 0, 0})
	if _, err := io.ReadFull(nc, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	return nc
}

func (u *upgraded) expectPing(t *testing.T) {
	t.Helper()
	var b [1]byte
	if _, err := u.Read(b[:]); err != nil || b[0] != 0x89 {
		t.Fatalf("%x, %v, want a ping", b, err)
	}
}

// TestServeOrigins: what --origin allows, by host, host and port, or in full.
func TestServeOrigins(t *testing.T) {
	some := startFlags(t, "--origin", "app.example.org", "--origin", "https://full.example.org:8443",
		"--origin", "half.example.org:9000", "--origin", "[fd00::1]", "--origin", "[fd00::2]:9000",
		"--origin", "app://.")
	all := startFlags(t, "--origin", "*")
	for _, c := range []struct {
		r      *testRouter
		origin string
		want   string
	}{
		{some, "https://app.example.org", "101"},
		{some, "http://app.example.org:1234", "101"},
		{some, "https://full.example.org:8443", "101"},
		{some, "https://full.example.org", "403"},
		{some, "http://half.example.org:9000", "101"},
		{some, "http://half.example.org", "403"},
		{some, "http://[fd00::1]", "101"},
		{some, "https://[fd00::1]:1234", "101"},
		{some, "http://[fd00::2]:9000", "101"},
		{some, "http://[fd00::2]", "403"},
		{some, "app://.", "101"},
		{some, "other://.", "403"},
		{some, "https://evil.example.org", "403"},
		{all, "https://evil.example.org", "101"},
	} {
		if got := upgrade(t, c.r, c.origin).status; got != c.want {
			t.Errorf("%s: %s, want %s", c.origin, got, c.want)
		}
	}
}

// TestServeSizes: the longest message accepted and announced, and the smallest that RawSocket clients may accept.
func TestServeSizes(t *testing.T) {
	r := startFlags(t, "--message-bytes-max", "2KiB", "--peer-message-bytes-min", "2KiB")
	k := r.talk(t).hello()
	publish := func(n int) string { // of n bytes
		m := `[16,1,{"acknowledge":true},"com.a",["` + `"]]`
		return m[:len(m)-3] + strings.Repeat("x", n-len(m)) + m[len(m)-3:]
	}
	k.says(publish(2048), "[17,")
	k.Queue([]byte(publish(2049)))
	if code := k.closed(); code != 1009 && code != 1002 {
		t.Errorf("after a message of 2049 bytes: close code %d", code)
	}

	for announced, want := range map[byte][4]byte{
		0x11: {0x7F, 0x20, 0, 0}, // 1 KiB: error 2, the size is not acceptable
		0x21: {0x7F, 0x21, 0, 0}, // 2 KiB: accepted, and the router announces 2 KiB
	} {
		nc, err := net.Dial("tcp", r.tcp)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		nc.SetDeadline(time.Now().Add(patience))
		nc.Write([]byte{0x7F, announced, 0, 0})
		var got [4]byte
		if _, err := io.ReadFull(nc, got[:]); err != nil || got != want {
			t.Errorf("announced %x: got %x, want %x (%v)", announced, got, want, err)
		}
	}
}

// TestServeConnectionsMaxFiles: more connections than the limit of open files allows are not promised, and the limit
// that is in force is the engine's, not the flag's.
func TestServeConnectionsMaxFiles(t *testing.T) {
	allowed := startFlags(t).engine.ConnectionsMax()
	for asked, want := range map[int]int{
		allowed - 1: allowed - 1, allowed: allowed, allowed + 1: allowed, 1 << 30: allowed,
	} {
		r := startFlags(t, "--connections-max", strconv.Itoa(asked))
		if got := r.engine.ConnectionsMax(); got != want {
			t.Errorf("%d are asked for and %d allowed: the limit is %d", asked, allowed, got)
		}
		var lines bytes.Buffer
		f, err := readFlags("--connections-max", strconv.Itoa(asked))
		if err != nil {
			t.Fatal(err)
		}
		warnOfFiles(slog.New(slog.NewTextHandler(&lines, nil)), f, r.engine.ConnectionsMax())
		warned := strings.Contains(lines.String(), fmt.Sprintf("connections-max=%d connections=%d ", asked, allowed))
		if warned != (asked > allowed) || !warned && lines.Len() > 0 {
			t.Errorf("%d are asked for and %d allowed: the log says %q", asked, allowed, lines.String())
		}
	}
}

// TestServeConnectionsMax: one connection more is told so.
func TestServeConnectionsMax(t *testing.T) {
	r := startFlags(t, "--connections-max", "2")
	if n := r.engine.ConnectionsMax(); n != 2 {
		t.Errorf("the limit is %d", n)
	}
	r.talk(t).hello()
	r.talk(t).hello()
	if status := upgrade(t, r, "").status; status != "503" {
		t.Errorf("the third got %s", status)
	}
}

// TestServeSlowConsumer: at --backlog-bytes-max a client that does not read is disconnected, or its events are
// dropped.
func TestServeSlowConsumer(t *testing.T) {
	for policy, seen := range map[string]func(*testRouter) int64{
		"disconnect":  func(r *testRouter) int64 { return r.engine.Stats().SlowConsumersClosed },
		"drop-newest": func(r *testRouter) int64 { return r.engine.Stats().EventsDropped },
	} {
		r := startFlags(t, "--slow-consumer", policy, "--backlog-bytes-max", "64KiB")
		r.flood(t, 16<<20, func() bool { return seen(r) > 0 })
	}
}

// TestServeBudget: beyond --budget-bytes of all connections together, the largest is closed.
func TestServeBudget(t *testing.T) {
	r := startFlags(t, "--budget-bytes", "16MiB")
	r.flood(t, 32<<20, func() bool { return r.engine.Stats().BudgetClosed > 0 })
}

// TestServeCredit: with little credit a publisher waits for other loops, with much it never does.
func TestServeCredit(t *testing.T) {
	for credit, wants := range map[string]bool{"1": true, "1GiB": false} {
		r := startFlags(t, "--credit-bytes", credit)
		subscribers := 0
		for range 8 { // some on either loop
			r.talk(t).hello().says(`[32,1,{},"com.a"]`, "[33,")
			subscribers++
		}
		// Whether another loop is still at work when the publisher is read from next is a matter of luck, so there
		// are many tries, in bursts.
		publisher := r.talk(t).hello()
		message := []byte(`[16,1,{},"com.a",["` + strings.Repeat("x", 1000) + `"]]`)
		for round := 0; round < 50 || wants && round < 5000 && r.engine.Stats().ReadPauses == 0; round++ {
			for range 20 {
				publisher.Queue(message)
			}
			publisher.says(`[16,1,{"acknowledge":true},"com.a"]`, "[17,")
		}
		if got := r.engine.Stats().ReadPauses > 0; got != wants {
			t.Errorf("credit %s, %d subscribers: reading paused: %v", credit, subscribers, got)
		}
	}
}

// flood publishes to a subscriber that does not read until the condition holds, at most that many bytes.
func (r *testRouter) flood(t *testing.T, bytesMax int, enough func() bool) {
	t.Helper()
	// Of a Unix socket's bytes the system holds little.
	deaf := &talk{r.connect(t, wire{scheme: "ws+unix", options: client.Options{Serializer: codec.JSON}}), t}
	t.Cleanup(func() { deaf.Abandon() })
	deaf.hello().says(`[32,1,{},"com.flood"]`, "[33,")
	s := r.join(t, wire{scheme: "unix", options: client.Options{}})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for n := 0; !enough(); n += 256 << 10 {
		if n >= bytesMax {
			t.Fatalf("%d bytes were not enough", n)
		}
		v := client.Values{Args: []any{strings.Repeat("x", 256<<10)}}
		if _, err := s.Publish(ctx, "com.flood", map[string]any{"acknowledge": true}, v); err != nil {
			t.Fatal(err)
		}
	}
}

// TestServeUnixFile: mode and owner of a Unix socket's file.
func TestServeUnixFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b.sock")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	startFlags(t, "--listen", "unix:"+path+",mode=0606,owner="+me.Username+",group="+me.Gid)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o606 {
		t.Errorf("%v, %v", info, err)
	}
}
