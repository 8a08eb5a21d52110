package client

import (
	"io"
	"net"
	"strings"
	"testing"
)

// TestNATSUnits cuts units out of a stream that comes octet by octet.
func TestNATSUnits(t *testing.T) {
	stream := "INFO {}\r\nMSG a.b s1 0\r\n\r\nMSG a.b s1 reply 5\r\n1\r\n45\r\nPONG\r\n"
	var got []string
	for from, to := 0, 0; to <= len(stream); {
		unit, n, err := natsUnit([]byte(stream[from:to]), 5)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			to++
			continue
		}
		got = append(got, string(unit))
		from += n
	}
	if want := "INFO {}|MSG a.b s1 0\r\n|MSG a.b s1 reply 5\r\n1\r\n45|PONG"; strings.Join(got, "|") != want {
		t.Errorf("%q", got)
	}
	long := strings.Repeat("x", natsLineMax)
	for b, fails := range map[string]bool{
		"MSG a s1 5\r\n": false, "MSG a s1 6\r\n": true, "MSG a s1 -1\r\n": true, "MSG a s1 x\r\n": true,
		"MSG \r\n": true,
		long:       false, long + "\r\n": false, long + "x": true, long + "x\r\n": true,
	} {
		if _, _, err := natsUnit([]byte(b), 5); (err != nil) != fails {
			t.Errorf("%.20q of %d octets: %v", b, len(b), err)
		}
	}
}

// TestNATSErrors: the server's error ends the connection and is told.
func TestNATSErrors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		s, err := l.Accept()
		if err != nil {
			return
		}
		defer s.Close()
		io.WriteString(s, "INFO {}\r\nPONG\r\n-ERR 'Slow Consumer'\r\nMSG a s1 0\r\n\r\n")
		io.Copy(io.Discard, s) // until the client closes
	}()
	c, err := Connect(t.Context(), "nats://"+l.Addr().String(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if b, err := c.Receive(); err == nil || !strings.Contains(err.Error(), "-ERR 'Slow Consumer'") {
		t.Errorf("%q, %v", b, err)
	}
}
