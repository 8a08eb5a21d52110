package cli

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"math"
	mathrand "math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"banyan/bench/client"
	"banyan/realm/auth"
)

// everything reports whether the long part is to run.
func everything() bool { return os.Getenv("BANYAN_SECURITY") != "" }

// TestSecurityLong takes about half a minute.
func TestSecurityLong(t *testing.T) {
	if !everything() {
		t.Skip("BANYAN_SECURITY=1 runs it")
	}
	s := startSecured(t, func(file string) string {
		// Long enough that all are there at once.
		return strings.Replace(file, "handshake_timeout: 700ms", "handshake_timeout: 6s", 1)
	})
	s.during(t, "unfinished TLS handshakes", attackHalfOpenTLS)
	s.during(t, "unfinished WebSocket handshakes", attackHalfOpenWebSocket)
	s.during(t, "timing of users", attackTiming)
	s.ends(t)
}

// halfOpenMost is how many connections there are to be in their opening handshake.
const halfOpenMost = 10_000

// halfOpen opens that many connections to a listener, from many addresses, and writes what begins a handshake and
// does not end it. It returns when the router has closed all of them.
func halfOpen(t *testing.T, s *secured, listener string, begins ...[]byte) {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	n := min(halfOpenMost, int(files.Cur)-200)
	if n < halfOpenMost {
		t.Logf("%d connections: the limit of open files allows no more", n)
	}
	all := make([]net.Conn, 0, n)
	begin := time.Now()
	for i := range n {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(i>>8), byte(i))}}
		c, err := d.DialContext(t.Context(), "tcp", s.at[listener])
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		all = append(all, c)
		c.Write(begins[i%len(begins)])
	}
	opened := time.Since(begin)
	eventually(t, "the router has accepted all", func() bool {
		return s.stats(t).Engine.Accepted >= s.before.Engine.Accepted+int64(n)
	})
	there := s.stats(t).Engine
	// Somebody else comes.
	begin = time.Now()
	k := s.talk(t, listener, client.Options{})
	k.says(`[1,"other",{`+allRoles+`}]`, "[2,")
	t.Logf("%d opened in %v, %d there at once, %d TLS handshakes begun, %d waiting; another client joins in %v", n,
		opened.Round(time.Millisecond), there.Connections, there.TLSBegun, there.TLSWaiting,
		time.Since(begin).Round(time.Microsecond))
	if want := int64(n / 2); there.Connections < want && listener == "plain" && opened < 5*time.Second {
		t.Errorf("only %d connections were there at once", there.Connections)
	}
	k.Abandon()
	eventually(t, "the router has closed all", func() bool { now := s.stats(t); return s.alone(&now) })
	now := s.stats(t).Engine
	t.Logf("%d ran out of time, %d TLS handshakes were cut", now.HandshakeTimeouts, now.TLSCut)
	for _, c := range all {
		c.Close()
	}
}

// attackHalfOpenTLS has clients that send a ClientHello, half of it, or one octet.
func attackHalfOpenTLS(t *testing.T, s *secured) {
	hello := clientHello(t)
	halfOpen(t, s, "tls", hello, hello[:len(hello)/2], hello[:1])
}

// attackHalfOpenWebSocket has clients that send half a request, none of it, or half of a RawSocket prefix.
func attackHalfOpenWebSocket(t *testing.T, s *secured) {
	head := upgradeHead("127.0.0.1", "X-A: a")
	halfOpen(t, s, "plain", head[:len(head)-2], head[:20], nil, []byte{0x7F, 0xF1})
}

// timingSamples is how often each side is measured in a round.
const timingSamples = 2000

// timingAlarm is the deviation of the Mann-Whitney statistic, in units of its standard deviation, from which on the
// two sides differ. By chance a sample is beyond it once in 3.5 million. A test fails if two rounds are, in the same
// direction: once in 2 x 10^13 for each of the 14 comparisons, however busy the machine is, because the sides take
// turns in random order.
const timingAlarm = 5.1

// attackTiming measures how long CHALLENGE and ABORT take for users who are there and who are not (AUTH-10, AUTH-27,
// AUTH-34, AUTH-50).
func attackTiming(t *testing.T, s *secured) {
	key, err := auth.ParsePrivateKey(s.alice.key)
	if err != nil {
		t.Fatal(err)
	}
	_, strange, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	zero := base64.StdEncoding.EncodeToString(make([]byte, 32))
	wrong := func(map[string]any) (string, string) { return zero, "" }
	nonced := func(c map[string]any) (string, string) { return zero, fmt.Sprintf(`"nonce":%q`, c["nonce"]) }
	forged := func(c map[string]any) (string, string) {
		return strings.Repeat("00", ed25519.SignatureSize) + c["challenge"].(string), ""
	}
	const nonce = `"nonce":"bm9uY2Vub25jZW5vbmNlIQ=="`
	for _, m := range []struct {
		realm   string
		known   proof
		unknown string // what HELLO says besides, if it differs
	}{
		{"bank", proof{"ticket", "", wrong}, ""},
		{"bank", proof{"wampcra", "", wrong}, ""},
		{"bank", proof{"wamp-scram", nonce, nonced}, nonce},
		{"bank", proof{"scram", nonce, nonced}, nonce},
		{"bank", proof{"cryptosign", publicOf(key), forged}, publicOf(strange)},
		{"hashed", proof{"ticket", "", wrong}, ""},
		{"hashed", proof{"wampcra", "", wrong}, ""},
	} {
		t.Run(m.realm+"/"+m.known.method, func(t *testing.T) {
			measure := func() (known, unknown [2][]float64) {
				for range 2 * timingSamples {
					p, authid, into := m.known, "alice", &known
					if mathrand.IntN(2) == 0 {
						p.extra, authid, into = m.unknown, "a"+strings.ToLower(rand.Text()[:4]), &unknown
					}
					k := s.talk(t, "plain", client.Options{})
					begin := time.Now()
					c, answer := k.challenged(m.realm, authid, &p)
					if c == nil {
						t.Fatalf("%s: %s", authid, answer)
					}
					challenged := time.Since(begin)
					signature, extra := p.sign(c)
					begin = time.Now()
					answer = k.authenticate(signature, extra)
					into[0] = append(into[0], float64(challenged))
					into[1] = append(into[1], float64(time.Since(begin)))
					if !strings.Contains(answer, "wamp.error.authentication_denied") {
						t.Fatalf("%s: %s", authid, answer)
					}
					k.Abandon()
				}
				return known, unknown
			}
			known, unknown := measure()
			var again *[2][2][]float64
			for i, stage := range []string{"CHALLENGE", "ABORT"} {
				z := mannWhitney(known[i], unknown[i])
				t.Logf("%s: %.1f us if known, %.1f if unknown; z %.1f; a difference of %.1f us would be seen", stage,
					median(known[i])/1000, median(unknown[i])/1000, z, seen(known[i])/1000)
				if math.Abs(z) < timingAlarm {
					continue
				}
				if again == nil {
					a, b := measure()
					again = &[2][2][]float64{a, b}
				}
				if second := mannWhitney(again[0][i], again[1][i]); math.Abs(second) >= timingAlarm && second*z > 0 {
					t.Errorf("%s tells whether a user is there: z %.1f, and %.1f", stage, z, second)
				}
			}
		})
	}
	// What is said is the same as well, but for what is random.
	for i := range s.alice.proofs(t) {
		p := s.alice.proofs(t)[i]
		var said [2]string
		for side, authid := range []string{"alice", "alicf"} {
			k := s.talk(t, "plain", client.Options{})
			c, _ := k.challenged("bank", authid, &p)
			if p.method == "cryptosign" {
				c["challenge"] = strings.Repeat("00", 32)
			}
			shape := fmt.Sprintf("%d", len(c))
			for _, name := range []string{"kdf", "iterations", "memory", "keylen"} {
				shape += fmt.Sprint(" ", c[name])
			}
			said[side] = shape + k.authenticate(zero, fmt.Sprintf(`"nonce":"%v"`, c["nonce"]))
		}
		if said[0] != said[1] {
			t.Errorf("%s: %s for alice, %s for somebody who is not there", p.method, said[0], said[1])
		}
	}
}

func median(a []float64) float64 {
	a = slices.Sorted(slices.Values(a))
	return a[len(a)/2]
}

// mannWhitney is the deviation of the Mann-Whitney statistic of two samples from what it is if they are alike, in its
// standard deviations: above 0 if those of a are greater. Equal values are too few to matter.
func mannWhitney(a, b []float64) float64 {
	b = slices.Sorted(slices.Values(b))
	u := 0.0
	for _, v := range a {
		less, _ := slices.BinarySearch(b, v)
		more, _ := slices.BinarySearch(b, math.Nextafter(v, math.Inf(1)))
		u += float64(less+more) / 2
	}
	n, m := float64(len(a)), float64(len(b))
	return (u - n*m/2) / math.Sqrt(n*m*(n+m+1)/12)
}

// seen is the smallest difference, in the unit of the sample, that the test finds in a sample like that.
func seen(sample []float64) float64 {
	var a, b []float64 // by turns, so that what changes with time is on both sides
	for i, v := range sample {
		if i%2 == 0 {
			a = append(a, v)
		} else {
			b = append(b, v)
		}
	}
	for d := 100.0; ; d *= 1.1 {
		shifted := slices.Clone(b)
		for i := range shifted {
			shifted[i] += d
		}
		// With the whole sample on each side the deviation is greater by the root of 2.
		if mannWhitney(shifted, a)*math.Sqrt2 > timingAlarm {
			return d
		}
	}
}

// TestMannWhitney: samples that are alike have no deviation, and one that is greater has a large one.
func TestMannWhitney(t *testing.T) {
	var a, b []float64
	for i := range 1000 {
		a, b = append(a, float64(i)), append(b, float64(999-i))
	}
	if z := mannWhitney(a, b); z != 0 {
		t.Errorf("%v for equal samples", z)
	}
	for i := range b {
		b[i] += 100
	}
	// Of 10^6 pairs, 405 450 have the greater one in a: (900^2+900)/2, and half of 900 equal ones less.
	if z := mannWhitney(a, b); math.Abs(z+7.36) > 0.05 || mannWhitney(b, a) != -z {
		t.Errorf("%v for a shifted sample", z)
	}
}
