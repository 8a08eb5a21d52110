package cli

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"banyan/bench/client"
)

// A trickle writes one octet after the other, as slowly as keeps a naive deadline from ending.
func trickle(c net.Conn, b []byte) {
	for i := range b {
		if _, err := c.Write(b[i : i+1]); err != nil {
			return
		}
		time.Sleep(securedPatience / 20)
	}
}

// attackSlow has clients that never finish at each stage of a connection, many at a time. Each of them is closed,
// whether it is silent or goes on writing, and others are served meanwhile.
func attackSlow(t *testing.T, s *secured) {
	// A ClientHello as a client writes it.
	hello := clientHello(t)
	long := strings.Repeat("a", 1000)
	web := func(t *testing.T) net.Conn {
		c := s.dial(t, "plain", nil)
		if status, _, _ := answers(t, c, upgradeHead("127.0.0.1")); status != "101" {
			t.Fatalf("status %s", status)
		}
		return c
	}
	raw := func(t *testing.T, listener string) net.Conn {
		c := s.dial(t, listener, nil)
		c.Write([]byte{0x7F, 0xF1, 0, 0})
		if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
		return c
	}
	challenged := func(t *testing.T) net.Conn {
		c := raw(t, "plain")
		m := fmt.Sprintf(`[1,"bank",{%s,"authid":"alice","authmethods":["wampcra"]}]`, allRoles)
		c.Write(append(rawHead(0, len(m)), m...))
		head := make([]byte, 7)
		if _, err := io.ReadFull(c, head); err != nil || string(head[4:]) != "[4," {
			t.Fatalf("%q, %v", head, err)
		}
		return c
	}
	joined := func(t *testing.T) net.Conn {
		c := raw(t, "plain")
		m := fmt.Sprintf(`[1,"other",{%s}]`, allRoles)
		c.Write(append(rawHead(0, len(m)), m...))
		if _, err := io.ReadFull(c, make([]byte, 7)); err != nil {
			t.Fatal(err)
		}
		return c
	}
	var pings []byte // whole frames: they are signs of life, and nothing else
	for range 100 {
		pings = append(pings, rawHead(1, 4)...)
		pings = append(pings, "ping"...)
	}
	const each = 8
	stages := map[string]struct {
		open  func(t *testing.T) net.Conn
		write []byte
	}{
		"nothing after the connection": {func(t *testing.T) net.Conn { return s.dial(t, "plain", nil) }, nil},
		"nothing where TLS is wanted":  {func(t *testing.T) net.Conn { return s.dial(t, "tls", nil) }, nil},
		"a ClientHello, octet by octet": {
			func(t *testing.T) net.Conn { return s.dial(t, "tls", nil) }, hello,
		},
		"nothing after the ClientHello": {func(t *testing.T) net.Conn {
			c := s.dial(t, "tls", nil)
			c.Write(hello)
			return c
		}, nil},
		"a PROXY header": {
			func(t *testing.T) net.Conn { return s.dial(t, "proxied", trustedProxy) },
			[]byte("PROXY TCP4 198.51.100.7 198.51.100.8 1 2"),
		},
		"a ClientHello after a PROXY header": {func(t *testing.T) net.Conn {
			c := s.dial(t, "proxied tls", trustedProxy)
			fmt.Fprint(c, "PROXY TCP4 198.51.100.7 198.51.100.8 1 2\r\n")
			return c
		}, hello},
		"the head of a request": {
			func(t *testing.T) net.Conn { return s.dial(t, "plain", nil) },
			upgradeHead("127.0.0.1", "X-A: "+long),
		},
		"the head of a request in TLS": {
			func(t *testing.T) net.Conn { return s.secret(t, &tls.Config{}) },
			upgradeHead("127.0.0.1", "X-A: "+long),
		},
		"the prefix of RawSocket": {
			func(t *testing.T) net.Conn { return s.dial(t, "plain", nil) }, []byte{0x7F, 0xF1, 0},
		},
		"nothing before HELLO": {web, nil},
		"pings before HELLO":   {func(t *testing.T) net.Conn { return raw(t, "plain") }, pings},
		"a HELLO, octet by octet": {
			func(t *testing.T) net.Conn { return raw(t, "plain") }, append(rawHead(0, 1000), long...),
		},
		"nothing after CHALLENGE":       {challenged, nil},
		"pings after CHALLENGE":         {challenged, pings},
		"AUTHENTICATE, octet by octet":  {challenged, append(rawHead(0, 1000), long...)},
		"half a message, and then none": {joined, nil},
	}
	var all sync.WaitGroup
	for name, stage := range stages {
		for range each {
			c := stage.open(t)
			if strings.HasPrefix(name, "half") {
				c.Write(append(rawHead(0, 1000), long[:500]...))
			}
			all.Go(func() {
				begin := time.Now()
				done := make(chan struct{})
				go func() {
					defer close(done)
					trickle(c, stage.write)
				}()
				c.SetReadDeadline(begin.Add(patience))
				_, err := io.Copy(io.Discard, c)
				if e, ok := err.(net.Error); ok && e.Timeout() {
					t.Errorf("%s: the connection stays open", name)
				}
				if took := time.Since(begin); took > 5*time.Second && !raceDetector {
					t.Errorf("%s: closed after %v, with a patience of %v", name, took, securedPatience)
				}
				c.Close()
				<-done
			})
		}
	}
	// They are all there, and somebody else comes and is served.
	k := s.talk(t, "plain", client.Options{})
	k.says(`[1,"other",{`+allRoles+`}]`, "[2,")
	k.says(`[16,1,{"acknowledge":true},"com.a"]`, "[17,")
	s.witness.goesOn(t)
	all.Wait()
	k.Abandon()
}

// clientHello is the first flight of a TLS client.
func clientHello(t testing.TB) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	defer theirs.Close()
	go func() {
		tls.Client(ours, &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"}).Handshake()
		ours.Close()
	}()
	theirs.SetDeadline(time.Now().Add(patience))
	b := make([]byte, 16<<10)
	n, err := theirs.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}
