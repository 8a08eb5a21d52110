package client

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// TestTLS: wss and rss carry messages, more than a record's worth at once; an unknown certificate is refused unless
// asked otherwise.
func TestTLS(t *testing.T) {
	srv := httptest.NewUnstartedServer(nil)
	srv.StartTLS() // for its certificate
	config, certificate := srv.TLS.Clone(), srv.Certificate()
	srv.Close()
	config.NextProtos = nil
	roots := x509.NewCertPool()
	roots.AddCert(certificate)

	for _, scheme := range []string{"wss", "rss"} {
		l, err := tls.Listen("tcp", "127.0.0.1:0", config)
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 2)
		go func() {
			for range 2 {
				c, err := l.Accept()
				if err == nil {
					c.SetDeadline(time.Now().Add(testTimeout))
					err = echoOne(c, scheme)
					c.Close()
				}
				served <- err
			}
		}()
		url := scheme + "://" + l.Addr().String()
		_, err = Connect(t.Context(), url, Options{})
		var connect *ConnectError
		if !errors.As(err, &connect) || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("%s: an unknown certificate gave %v", scheme, err)
		}
		if err := <-served; err == nil {
			t.Errorf("%s: the server saw no refusal", scheme)
		}
		c, err := Connect(t.Context(), url, Options{TLS: &tls.Config{RootCAs: roots}})
		if err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(testTimeout))
		msg := strings.Repeat("0123456789", 10_000)
		c.Queue([]byte(msg))
		if got := string(receive(t, c)); got != msg {
			t.Errorf("%s: %d bytes came back, %d were sent", scheme, len(got), len(msg))
		}
		if err := <-served; err != nil {
			t.Errorf("%s: %v", scheme, err)
		}
		c.Close()
		l.Close()
	}
}

// echoOne serves one connection: the opening handshake, and one message back.
func echoOne(c io.ReadWriter, scheme string) error {
	if scheme == "rss" {
		var hello, prefix [4]byte
		if _, err := io.ReadFull(c, hello[:]); err != nil {
			return err
		}
		if _, err := c.Write([]byte{0x7F, 0xF0 | hello[1]&0x0F, 0, 0}); err != nil {
			return err
		}
		if _, err := io.ReadFull(c, prefix[:]); err != nil {
			return err
		}
		_, n := rawLength(prefix[:])
		b := make([]byte, n)
		if _, err := io.ReadFull(c, b); err != nil {
			return err
		}
		_, err := c.Write(append(prefix[:], b...))
		return err
	}
	u := ws.Upgrader{Protocol: func([]byte) bool { return true }}
	if _, err := u.Upgrade(c); err != nil {
		return err
	}
	h, err := ws.ReadHeader(c)
	if err != nil {
		return err
	}
	b := make([]byte, h.Length)
	if _, err := io.ReadFull(c, b); err != nil {
		return err
	}
	ws.Cipher(b, h.Mask, 0)
	_, err = c.Write(compiled(ws.NewBinaryFrame(b)))
	return err
}
