package cli

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"banyan/bench/client"
	"banyan/codec"
)

// TestReloadGoesBackRealms: a reload that the realms refuse, after engine and certificates have taken it, leaves
// limits, certificates, authorities, realms, users and the log as they were, and every session where it was; so do
// two. The file without what is wrong is then applied as a whole.
func TestReloadGoesBackRealms(t *testing.T) {
	one, two, joe := newPair(t, 1), newPair(t, 2), newPair(t, 3)
	const first, second = "one.pem, key: one.key }], client_ca: joe.pem",
		"two.pem, key: two.key }], client_ca: two.pem"
	const bad = "    strict_uris: true\n    roles: [{ name: user, authorizer: { procedure: Com.May } }]\n"
	text := func(limits, tls, roles, users, more string) string {
		return limits + "listeners: [{ address: '127.0.0.1:0', tls: { certificates: [{ certificate: " + tls +
			" } }]\nrealms:\n  - uri: a\n    auth: { ticket: {}, tls: {} }\n" + roles + "    users: { " + users +
			" }\n" + more
	}
	const good = "    roles: [{ name: user, permissions: [{ uri: '', match: prefix, allow: [publish] }] }]\n"
	ann := "ann: { role: user, ticket: { file: secret } }"
	users := ann + fmt.Sprintf(", joe: { role: user, tls: [%x] }", sha256.Sum256(joe.der))
	b := strings.TrimPrefix(openRealms("b"), "realms:\n")
	s := startService(t, text("", first, good, users, b), "one.pem", one.certificate, "one.key", one.key,
		"two.pem", two.certificate, "two.key", two.key, "joe.pem", joe.certificate, "secret", "s")
	dial := func() *talk {
		t.Helper()
		c, err := client.Connect(t.Context(), "wss://"+s.address()+"/ws", client.Options{
			Serializer: codec.JSON,
			TLS:        &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{joe.tls(t)}},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Abandon() })
		c.SetReadDeadline(time.Now().Add(patience))
		return &talk{c, t}
	}
	join := func() (all []*talk) {
		t.Helper()
		for _, login := range [][3]string{{"a", "ticket", "ann"}, {"a", "tls", "joe"}, {"b", "anonymous", ""}} {
			k := dial()
			if answer := k.logIn(login[0], login[1], login[2], "", says("s")); !strings.HasPrefix(answer, "[2,") {
				t.Fatalf("%v: %s", login, answer)
			}
			all = append(all, k)
		}
		return all
	}
	old := join()
	const short = "limits: { message_bytes_max: 1KiB }\nlog: { level: debug }\n"
	request := 0
	for range 2 {
		s.write(text(short, second, bad, "max: { role: user, ticket: { file: secret } }", ""))
		if r := s.reload("test"); r.Applied || !strings.Contains(r.Error, `not a valid procedure: "Com.May"`) ||
			r.Sessions != (sessionsReport{}) {
			t.Fatalf("%+v", r)
		}
		request++
		for i, k := range append(old[:len(old):len(old)], join()...) {
			n := request
			if i >= len(old) {
				n = 1
			}
			k.says(fmt.Sprintf(`[16,%d,{"acknowledge":true},"com.x",["%s"]]`, n, strings.Repeat("x", 2000)),
				fmt.Sprintf("[17,%d,", n))
		}
		if answer := dial().logIn("a", "ticket", "max", "", says("s")); !strings.HasPrefix(answer, "[3,") {
			t.Error(answer)
		}
		state, err := s.handshake(&tls.Config{})
		if err != nil || !bytes.Equal(state.PeerCertificates[0].Raw, one.der) {
			t.Errorf("another certificate is shown, %v", err)
		}
		if s.level.Level() != slog.LevelInfo {
			t.Errorf("the log is at %v", s.level.Level())
		}
	}
	s.write(text(short, second, good, ann, ""))
	r := s.reload("test")
	if !r.Applied || r.Sessions.RealmClosed != 3 || r.Sessions.LoginLost != 3 || s.level.Level() != slog.LevelDebug {
		t.Errorf("%+v", r)
	}
	old[0].says(`[16,9,{"acknowledge":true},"com.x"]`, "[17,9,")
}
