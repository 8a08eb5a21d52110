package cli

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"banyan/bench/client"
	"banyan/codec"
	"banyan/realm/auth"
)

// The security suite. It attacks one "banyan serve --config" process over real sockets, subject by subject:
//
//	security_signatures_test.go  signatures and challenges that are replayed, reflected or moved
//	security_roles_test.go       more rights than HELLO should give
//	security_reserved_test.go    forged wamp.* events and procedures
//	security_realms_test.go      ids and names of other sessions and realms
//	security_history_test.go     stored and retained events of others
//	security_oversize_test.go    everything that can be too long
//	security_nesting_test.go     nesting, and lengths that promise more than comes
//	security_slow_test.go        clients that never finish
//	security_browser_test.go     DNS rebinding, pages of strangers with the victim's cookie
//	security_proxy_test.go       headers smuggled past a proxy
//	security_long_test.go        10 000 unfinished handshakes; timing of unknown and known users; all serializers
//
// After each subject nobody must have got in who should not, the memory must have stayed within the budget, nothing
// may be left behind, and a witness, who calls and publishes the whole time in a role of its own, must have got every
// answer and every event. The figures are logged: go test -v -run Security ./cmd/cli.
//
// The long part runs with BANYAN_SECURITY=1.

// The time that the router of this suite grants to whoever is slow.
const securedPatience = 700 * time.Millisecond

// securedBudget is its budget, in MiB.
const securedBudget = 64

// trustedProxy is the only address whose word about others it believes, stranger one that it does not.
var trustedProxy, stranger = net.IPv4(127, 0, 9, 9), net.IPv4(127, 0, 8, 8)

// securedFile is its configuration. In bank one must be somebody; in bound the channel must be bound; inside is for
// addresses that nobody here has; hashed has users with hashes that cost more; in other everybody may do everything.
const securedFile = `
process: { loops: 2, control_socket: control.sock }
listeners:
  - { name: plain, address: '127.0.0.1:0', origins: [app.example], trusted_proxies: [127.0.9.9] }
  - { name: tls, address: '127.0.0.2:0', origins: [app.example], trusted_proxies: [127.0.9.9],
      tls: { certificates: [{ certificate: server.pem, key: server.key }], client_ca: server.pem } }
  - { name: proxied, address: '127.0.0.3:0', proxy_protocol: required, trusted_proxies: [127.0.9.9] }
  - { name: proxied tls, address: '127.0.0.4:0', proxy_protocol: required, trusted_proxies: [127.0.9.9],
      tls: { certificates: [{ certificate: server.pem, key: server.key }] } }
budget: { bytes: %[1]dMiB }
limits: { handshake_timeout: %[2]v, hello_timeout: %[2]v, auth_timeout: %[2]v, message_timeout: %[2]v,
  auth_failures_per_address_max: 0, auth_failures_per_authid_max: 0 }
realms:
  - uri: bank
    auth: { anonymous: { role: guest }, ticket: {}, wampcra: {}, wamp-scram: {}, scram: {},
      cryptosign: { router_key_file: router.key }, tls: {}, cookie: {} }
    roles:
      - { name: guest, permissions: [
          { uri: com.guest., match: prefix, allow: [call, register, publish, subscribe] },
          { uri: wamp.subscription.get_events, allow: [call] }] }
      - { name: teller, permissions: [
          { uri: wamp.subscription.get_events, allow: [call] },
          { uri: com.bank., match: prefix, allow: [call, register, publish, subscribe] }] }
      - { name: admin, permissions: [{ uri: '', match: prefix, allow: [call, register, publish, subscribe] }] }
      - { name: witness, permissions: [
          { uri: com.witness., match: prefix, allow: [call, register, publish, subscribe] }] }
    users_file: users.yaml
    history: [{ uri: com.bank., match: prefix }, { uri: com.guest., match: prefix }, { uri: com.guest.h3 }]
  - uri: bound
    auth: { cryptosign: { require_channel_binding: true }, wamp-scram: {} }
    roles: [{ name: guest }, { name: teller }, { name: admin }, { name: witness }]
    users_file: users.yaml
  - uri: inside
    auth: { anonymous: { role: all, from: 192.0.2.0/24 } }
    roles: [{ name: all }]
  - uri: hashed
    auth: { ticket: {}, wampcra: {} }
    roles: [{ name: guest }]
    users: { alice: { role: guest, ticket: { argon2id: %[3]q },
      wampcra: { salt: salt, iterations: 1000, key: %[4]q } } }
  - uri: other
    auth: { anonymous: { role: all } }
    roles: [{ name: all, permissions: [{ uri: '', match: prefix, allow: [call, register, publish, subscribe] }] }]
    history: [{ uri: com.other., match: prefix }]
`

// Passwords are short of time to hash: the suite attacks the router, not the password.
const alicePassword, malloryPassword = "pencil", "eraser"

// secured is a router under attack.
type secured struct {
	*exec.Cmd
	at      map[string]string // listener to HOST:PORT
	socket  string            // control socket
	log     *lockedBuffer
	witness *witness
	server  pair
	alice   person
	mallory person
	before  stats // when nobody but the witness was there
	start   int   // resident then, in MiB
}

// A person is what a client needs to log in.
type person struct {
	authid, password, ticket, key string
	certificate                   pair
}

// startSecured starts the router and the witness. edit changes the configuration.
func startSecured(t *testing.T, edit func(file string) string) *secured {
	t.Helper()
	dir := t.TempDir()
	s := &secured{at: map[string]string{}, log: &lockedBuffer{}, server: newPair(t, 1)}
	var users strings.Builder
	for i, u := range []*person{&s.alice, &s.mallory} {
		*u = person{
			authid: []string{"alice", "mallory"}[i], password: []string{alicePassword, malloryPassword}[i],
			ticket: auth.NewTicket(), certificate: newPair(t, int64(2+i)),
		}
		var public [32]byte
		u.key, public = auth.NewKey()
		plain, err := auth.NewSCRAM(u.password, auth.KDFPBKDF2, 4096, 0)
		if err != nil {
			t.Fatal(err)
		}
		dialect, err := auth.NewCrossbarSCRAM(u.password, auth.KDFPBKDF2, 4096, 0)
		if err != nil {
			t.Fatal(err)
		}
		scram := func(c *auth.SCRAMCredential) string {
			text := base64.StdEncoding.EncodeToString
			return fmt.Sprintf("{ kdf: pbkdf2, iterations: 4096, salt: %s, stored_key: %s, server_key: %s }",
				text(c.Salt), text(c.StoredKey[:]), text(c.ServerKey[:]))
		}
		fmt.Fprintf(&users, "%s: { role: %s, ticket: { sha256: %x }, wampcra: { secret_file: %[1]s.secret },\n"+
			"  scram: %[4]s,\n  crossbar: %[5]s,\n  cryptosign: [%x], tls: [%x] }\n", u.authid,
			[]string{"teller", "guest"}[i], sha256.Sum256([]byte(u.ticket)), scram(plain), scram(dialect), public,
			sha256.Sum256(u.certificate.der))
	}
	witnessTicket := auth.NewTicket()
	fmt.Fprintf(&users, "witness: { role: witness, ticket: { sha256: %x } }\n", sha256.Sum256([]byte(witnessTicket)))
	routerKey, _ := auth.NewKey()
	hash, err := auth.HashPassword(alicePassword, 1, 64)
	if err != nil {
		t.Fatal(err)
	}
	salted, err := auth.DeriveCRA(alicePassword, "salt", 1000, 32)
	if err != nil {
		t.Fatal(err)
	}
	file := fmt.Sprintf(securedFile, securedBudget, securedPatience, hash, salted)
	if edit != nil {
		file = edit(file)
	}
	for name, text := range map[string]string{
		"banyan.yaml": file, "users.yaml": users.String(), "router.key": routerKey,
		"server.pem": s.server.certificate + s.alice.certificate.certificate + s.mallory.certificate.certificate,
		"server.key": s.server.key, "alice.secret": alicePassword, "mallory.secret": malloryPassword,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.socket = filepath.Join(dir, "control.sock")
	s.Cmd = exec.Command("banyan", "serve", "--config", filepath.Join(dir, "banyan.yaml"))
	s.Cmd.Env = withoutOptions()
	s.Cmd.Stdout, s.Cmd.Stderr = s.log, s.log
	if err := s.Cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s.ProcessState == nil {
			s.Process.Kill()
			s.Wait()
		}
	})
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the router said:\n%.4000s", s.log)
		}
	})
	eventually(t, "the router answers", func() bool {
		var now status
		_, err := (&controlClient{socket: s.socket}).ask(t.Context(), "GET", "/status", &now)
		for _, l := range now.Listeners {
			s.at[l.Name] = strings.TrimPrefix(l.Address, "tcp://")
		}
		return err == nil
	})
	s.witness = startWitness(t, "ws://"+s.at["plain"]+"/ws", &client.Login{AuthID: "witness", Ticket: witnessTicket})
	// Whatever the first of each kind takes is no attack.
	s.dial(t, "plain", nil).Close()
	s.secret(t, &tls.Config{}).Close()
	eventually(t, "the witness is alone", func() bool { s.before = s.stats(t); return s.alone(&s.before) })
	s.start = s.resident(t)
	return s
}

// withoutOptions is the environment without what would be options of a router, such as BANYAN_SECURITY.
func withoutOptions() []string {
	return append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "BANYAN_") }),
		"GORACE="+raceOptions)
}

// alone reports whether nothing is there but what belongs to the witness.
func (s *secured) alone(now *stats) bool {
	return now.Engine.Connections == 2 && now.Realm.Sessions == 2 && now.Realm.Subscriptions == 1 &&
		now.Realm.Registrations == 1 && now.Engine.TLSBegun == 0 && now.Engine.TLSWaiting == 0
}

// stats are the counters of the router.
func (s *secured) stats(t testing.TB) (now stats) {
	t.Helper()
	if _, err := (&controlClient{socket: s.socket}).ask(t.Context(), "GET", "/stats", &now); err != nil {
		t.Fatal(err)
	}
	return now
}

// resident is how much memory the process has, and peak the most that it had since the last call of rest, in MiB.
func (s *secured) resident(t testing.TB) int { return s.memory(t, "VmRSS:") }
func (s *secured) peak(t testing.TB) int     { return s.memory(t, "VmHWM:") }

func (s *secured) memory(t testing.TB, name string) (mib int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			fmt.Sscan(rest, &mib)
			return mib >> 10
		}
	}
	t.Fatalf("the system does not tell %s", name)
	return 0
}

// during runs an attack as a subtest, and then looks at the router and the witness.
func (s *secured) during(t *testing.T, name string, attack func(*testing.T, *secured)) {
	t.Helper()
	// 5 sets the peak to what is resident now (proc(5)).
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.Process.Pid), []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
	since, begin := s.witness.mark(), time.Now()
	var held, open int64
	watch, stop := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() {
		for ; watch.Err() == nil; time.Sleep(20 * time.Millisecond) {
			var now stats
			if _, err := (&controlClient{socket: s.socket}).ask(watch, "GET", "/stats", &now); err == nil {
				held, open = max(held, now.Engine.HeldBytes), max(open, now.Engine.Connections)
			}
		}
	})
	t.Run(name, func(t *testing.T) { attack(t, s) })
	took := time.Since(begin)
	stop()
	watching.Wait()
	s.witness.goesOn(t)
	peak := s.peak(t)
	t.Logf("%s: %v; peak %d MiB, %d at the start, budget %d; %d KiB held, %d connections at most; witness: %s", name,
		took.Round(time.Millisecond), peak, s.start, securedBudget, held>>10, open, s.witness.figures(t, since))
	var now stats
	eventually(t, "nothing of "+name+" is left", func() bool { now = s.stats(t); return s.alone(&now) })
	if held > securedBudget<<20 {
		t.Errorf("%s: %d bytes were held, more than the budget", name, held)
	}
	if peak > s.start+securedBudget && !raceDetector {
		t.Errorf("%s: the router took %d MiB, with a budget of %d", name, peak-s.start, securedBudget)
	}
	if p := now.Engine.Panics; p != 0 {
		t.Errorf("%s: %d panics were recovered: %s", name, p, s.log.String())
	}
}

// ends stops the router, which must end in good order.
func (s *secured) ends(t *testing.T) {
	t.Helper()
	s.witness.stop(t)
	if err := s.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(); err != nil {
		t.Errorf("the router ended with %v: %s", err, s.log.String())
	}
	if text := s.log.String(); strings.Contains(text, "panic") || strings.Contains(text, "DATA RACE") {
		t.Error(text)
	}
}

// A witness is a caller and publisher, and a callee and subscriber, who go on through everything.
type witness struct {
	one, two *client.Session
	end      context.CancelFunc
	done     sync.WaitGroup

	mu        sync.Mutex
	latencies []time.Duration // of calls
	events    int             // that came, in their order
	failed    error
}

// witnessPause is the time between two of its exchanges.
const witnessPause = 2 * time.Millisecond

func startWitness(t *testing.T, url string, who *client.Login) *witness {
	t.Helper()
	w := &witness{}
	var ctx context.Context
	ctx, w.end = context.WithCancel(t.Context())
	join := func(s codec.Serializer) *client.Session {
		c, err := client.Dial(ctx, url, client.Options{Realm: "bank", Serializer: s, Login: who})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	w.one, w.two = join(codec.MessagePack), join(codec.CBOR)
	if _, err := w.two.Register(ctx, client.Topic{URI: "com.witness.echo"}, nil,
		func(_ context.Context, call *client.Invocation) (client.Values, error) {
			return call.Values, nil
		}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.two.Subscribe(ctx, client.Topic{URI: "com.witness.tick"}, nil, func(e *client.Event) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(e.Args) != 1 || e.Args[0] != int64(w.events) {
			w.fail(fmt.Errorf("event %v, want %d", e.Args, w.events))
		}
		w.events++
	}); err != nil {
		t.Fatal(err)
	}
	w.done.Go(func() { w.run(ctx) })
	t.Cleanup(func() {
		w.end()
		w.one.Close()
		w.two.Close()
		w.done.Wait()
	})
	return w
}

// fail notes the first failure. mu is held.
func (w *witness) fail(err error) {
	if w.failed == nil {
		w.failed = err
	}
}

func (w *witness) run(ctx context.Context) {
	for n := int64(0); ; n++ {
		begin := time.Now()
		// What is under way is finished, so that every message is answered for.
		whole, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		_, err := w.one.Publish(whole, "com.witness.tick", nil, client.Values{Args: []any{n}})
		var got *client.Result
		if err == nil {
			got, err = w.one.Call(whole, "com.witness.echo", nil, client.Values{Args: []any{n}}, nil)
		}
		cancel()
		if err == nil && (len(got.Args) != 1 || got.Args[0] != n) {
			err = fmt.Errorf("a call of %d returned %v", n, got.Args)
		}
		w.mu.Lock()
		if err != nil {
			w.fail(fmt.Errorf("exchange %d: %w", n, err))
		}
		w.latencies = append(w.latencies, time.Since(begin))
		failed := w.failed
		w.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-time.After(witnessPause):
		}
		if failed != nil {
			return
		}
	}
}

// mark is how many exchanges there were.
func (w *witness) mark() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.latencies)
}

// goesOn wants some more exchanges.
func (w *witness) goesOn(t testing.TB) {
	t.Helper()
	most := w.mark() + 5
	eventually(t, "the witness is served", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.failed != nil {
			t.Fatalf("the witness: %v", w.failed)
		}
		return len(w.latencies) >= most && w.events >= most
	})
}

// figures are those of the exchanges since a mark.
func (w *witness) figures(t testing.TB, since int) string {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed != nil {
		t.Errorf("the witness: %v", w.failed)
	}
	all := slices.Sorted(slices.Values(w.latencies[since:]))
	at := func(share float64) time.Duration { return all[int(share*float64(len(all)-1))].Round(time.Microsecond) }
	return fmt.Sprintf("%d exchanges, p50 %v, p99 %v, max %v", len(all), at(0.5), at(0.99), at(1))
}

// stop ends the witness, who must have got everything.
func (w *witness) stop(t *testing.T) {
	t.Helper()
	w.end()
	w.done.Wait()
	eventually(t, "the witness has every event", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.events == len(w.latencies) || w.failed != nil
	})
	t.Logf("the whole: %s", w.figures(t, 0))
}

// dial opens a TCP connection to a listener, from an address if it says one.
func (s *secured) dial(t testing.TB, listener string, from net.IP) net.Conn {
	t.Helper()
	d := net.Dialer{Timeout: patience}
	if from != nil {
		d.LocalAddr = &net.TCPAddr{IP: from}
	}
	c, err := d.Dial("tcp", s.at[listener])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

// secret opens a TLS connection.
func (s *secured) secret(t testing.TB, c *tls.Config) *tls.Conn {
	t.Helper()
	c.InsecureSkipVerify = true // it signs itself
	nc := tls.Client(s.dial(t, "tls", nil), c)
	if err := nc.Handshake(); err != nil {
		t.Fatal(err)
	}
	return nc
}

// sends writes b and returns everything that comes back until the router closes. One that does not is an error.
func sends(t testing.TB, c net.Conn, b []byte) string {
	t.Helper()
	go c.Write(b) // a router that has seen enough does not take it all
	var got bytes.Buffer
	_, err := io.Copy(&got, c)
	if e, ok := err.(net.Error); ok && e.Timeout() {
		t.Errorf("the connection stays open after %.60q (%d octets)", b, len(b))
	}
	c.Close()
	return got.String()
}

// talk opens a WebSocket for JSON.
func (s *secured) talk(t *testing.T, listener string, o client.Options) *talk {
	t.Helper()
	scheme := "ws"
	if listener == "tls" {
		scheme = "wss"
		if o.TLS == nil {
			o.TLS = &tls.Config{}
		}
		o.TLS.InsecureSkipVerify = true
	}
	if o.Serializer == 0 {
		o.Serializer = codec.JSON
	}
	c, err := client.Connect(t.Context(), scheme+"://"+s.at[listener]+"/ws", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Abandon() })
	c.SetReadDeadline(time.Now().Add(patience))
	return &talk{c, t}
}

// joins joins a realm as an anonymous client.
func (s *secured) joins(t *testing.T, realm string) *talk {
	t.Helper()
	k := s.talk(t, "plain", client.Options{})
	k.says(fmt.Sprintf(`[1,%q,{%s}]`, realm, allRoles), "[2,")
	return k
}

// heard asks for an answer and returns what came before it. A session that has ended has heard everything.
func (k *talk) heard() (before []string) {
	k.t.Helper()
	k.Queue([]byte(`[48,9007199254740992,{},"wamp.nobody"]`))
	for {
		message, err := k.Receive()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			k.t.Fatal("the session neither goes on nor ends")
		case err != nil || strings.HasPrefix(string(message), "[8,48,9007199254740992,"):
			return before
		}
		before = append(before, string(message))
	}
}

// upgradeHead is the head of a request for a WebSocket with more lines.
func upgradeHead(host string, lines ...string) []byte {
	return []byte("GET /ws HTTP/1.1\r\nHost: " + host + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" +
		"Sec-WebSocket-Protocol: wamp.2.json\r\n" + strings.Join(append(lines, "\r\n"), "\r\n"))
}

// answers writes b, reads the head of one HTTP answer and returns its status and the rest of it.
func answers(t testing.TB, c net.Conn, b []byte) (status, head string, rest *bufio.Reader) {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	rest = bufio.NewReader(c)
	for !strings.HasSuffix(head, "\r\n\r\n") {
		line, err := rest.ReadString('\n')
		if err != nil {
			return "", head, rest // closed without an answer
		}
		head += line
	}
	_, after, _ := strings.Cut(head, " ")
	return after[:3], head, rest
}

// TestSecurity is the part that runs every time.
func TestSecurity(t *testing.T) {
	s := startSecured(t, nil)
	s.during(t, "signatures", attackSignatures)
	s.during(t, "roles", attackRoles)
	s.during(t, "reserved", attackReserved)
	s.during(t, "realms", attackRealms)
	s.during(t, "history", attackHistory)
	s.during(t, "oversize", attackOversize)
	s.during(t, "nesting", attackNesting)
	s.during(t, "browser", attackBrowser)
	s.during(t, "proxy", attackProxy)
	s.during(t, "slow", attackSlow)
	s.ends(t)
}
