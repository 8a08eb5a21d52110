package cli

import (
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"banyan/bench/client"
	"banyan/codec"
)

// A certifiedService lets joe and jane in by client certificates that sign themselves; both.pem has both.
type certifiedService struct {
	*testService
	joe, jane pair
}

func (c *certifiedService) text(ca string) string {
	return fmt.Sprintf(`
listeners:
  - address: 127.0.0.1:0
    tls: { certificates: [{ certificate: one.pem, key: one.key }], client_ca: %s }
realms:
  - uri: a
    auth: { tls: {} }
    roles: [{ name: user }]
    users: { joe: { role: user, tls: [%x] }, jane: { role: user, tls: [%x] } }
`, ca, sha256.Sum256(c.joe.der), sha256.Sum256(c.jane.der))
}

func startCertified(t *testing.T) *certifiedService {
	t.Helper()
	one := newPair(t, 1)
	c := &certifiedService{joe: newPair(t, 2), jane: newPair(t, 3)}
	c.testService = startService(t, c.text("both.pem"), "one.pem", one.certificate, "one.key", one.key,
		"both.pem", c.joe.certificate+c.jane.certificate, "jane.pem", c.jane.certificate)
	return c
}

// put writes a file beside that of the configuration.
func (c *certifiedService) put(name, text string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(filepath.Dir(c.file), name), []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// come logs in by a certificate.
func (c *certifiedService) come(name string, p pair) *talk {
	c.t.Helper()
	conn, err := client.Connect(c.t.Context(), "wss://"+c.address()+"/ws", client.Options{
		Serializer: codec.JSON,
		TLS:        &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{p.tls(c.t)}},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { conn.Abandon() })
	conn.SetReadDeadline(time.Now().Add(patience))
	k := &talk{conn, c.t}
	if answer := k.logIn("a", "tls", name, "", says("")); !strings.HasPrefix(answer, "[2,") {
		c.t.Fatal(answer)
	}
	return k
}

// TestReloadClientCALeaves: a session that logged in by a client certificate is told to leave when a reload takes its
// authority away, in client_ca or in its file; the others stay.
func TestReloadClientCALeaves(t *testing.T) {
	s := startCertified(t)
	stays := s.come("jane", s.jane)
	for name, change := range map[string]func(){
		"another file":    func() { s.write(s.text("jane.pem")) },
		"another content": func() { s.put("both.pem", s.jane.certificate) },
	} {
		leaves := s.come("joe", s.joe)
		change()
		r := s.reload("test")
		if !r.Applied || r.Sessions.LoginLost != 1 {
			t.Fatalf("%s: %+v", name, r)
		}
		leaves.hears(`[6,{"message":"the configuration has changed`)
		s.write(s.text("both.pem"))
		s.put("both.pem", s.joe.certificate+s.jane.certificate)
		if r := s.reload("test"); !r.Applied || r.Sessions.LoginLost != 0 {
			t.Fatalf("%s: %+v", name, r)
		}
	}
	stays.says(`[48,1,{},"x"]`, `[8,48,1,{`)
}

// TestClientCAFileAlone: without a reload the same happens when the engine has read the file with the authorities.
func TestClientCAFileAlone(t *testing.T) {
	t.Parallel() // the engine looks every 2 s
	c := startCertified(t)
	leaves, stays := c.come("joe", c.joe), c.come("jane", c.jane)
	c.put("both.pem", c.jane.certificate)
	leaves.hears(`[6,{"message":"the configuration has changed`)
	stays.says(`[48,1,{},"x"]`, `[8,48,1,{`)
}
