package realm

import (
	"bytes"
	"fmt"
	"maps"
	"testing"

	"banyan/codec"
)

// joinWith joins realm1 with every role, and announces features for each.
func (b *bed) joinWith(loop int, s codec.Serializer, features ...string) *peer {
	b.t.Helper()
	p := b.connect(loop, s, codec.MessageBytesMax)
	announced := values{}
	for _, name := range features {
		announced[name] = true
	}
	role := values{"features": announced}
	p.say(codec.Hello, "realm1", values{"roles": values{
		"publisher": role, "subscriber": role, "caller": role, "callee": role,
	}})
	welcome := p.hear()
	if len(welcome) != 3 || welcome[0] != int64(codec.Welcome) {
		b.t.Fatalf("no WELCOME: %v", welcome)
	}
	p.id = uint64(welcome[1].(int64))
	return p
}

const passthru = "payload_passthru_mode"

// every is each of the three serializers.
var every = map[string]codec.Serializer{"json": codec.JSON, "msgpack": codec.MessagePack, "cbor": codec.CBOR}

// TestPPT10: what is passed through arrives as it was sent, keys and octets, from each serializer in each, in
// messages that loops handle at once and in those that go to the pool.
func TestPPT10(t *testing.T) {
	binary := make([]byte, 256)
	for i := range binary {
		binary[i] = byte(i)
	}
	large := bytes.Repeat(binary, 32)
	mode := values{
		"ppt_scheme": "wamp", "ppt_serializer": "cbor", "ppt_cipher": "aes256gcm", "ppt_keyid": "é/\"\\",
	}
	older := values{"enc_algo": "cryptobox", "enc_key": "k", "enc_serializer": "x_", "transaction_hash": "0x1"}
	for fromName, from := range every {
		for toName, to := range every {
			t.Run(fmt.Sprintf("%s to %s", fromName, toName), func(t *testing.T) {
				b := newBed(t, 2, Config{})
				b.router.bounds.largeBytes, b.router.bounds.directBytes = 4096, 2048
				sender := b.joinWith(0, from, passthru)
				receiver := b.joinWith(1, to, passthru)
				sub := receiver.subscribe(1, "t")
				reg := receiver.register(2, "p", "single")
				caller := b.joinWith(0, to, passthru)
				own := sender.register(1, "q", "single")
				for i, c := range []struct {
					name    string
					keys    values
					payload any
				}{
					{"PPT-01 PPT-03", mode, []any{binary}},
					{"PPT-01 PPT-03 empty", mode, []any{[]byte{}}},
					{"PPT-10 large", mode, []any{large}},
					{"PPT-11 binary", older, binary},
					{"PPT-11 empty", older, []byte{}},
					{"PPT-11 text", older, "text \x01 é"},
					{"PPT-11 large", older, large},
				} {
					n := 10 * (i + 1)
					sender.say(codec.Publish, n, c.keys, "t", c.payload)
					receiver.expect(codec.Event, sub, nil, c.keys, c.payload)

					sender.say(codec.Call, n+1, c.keys, "p", c.payload)
					call := receiver.expect(codec.Invocation, nil, reg, c.keys, c.payload)
					receiver.say(codec.Yield, call[1], values{})
					sender.expect(codec.Result, n+1, values{})

					// From the callee to the caller.
					caller.say(codec.Call, n+1, values{}, "q")
					call = sender.expect(codec.Invocation, nil, own, values{})
					sender.say(codec.Yield, call[1], c.keys, c.payload)
					caller.expect(codec.Result, n+1, c.keys, c.payload)
					caller.say(codec.Call, n+2, values{}, "q")
					call = sender.expect(codec.Invocation, nil, own, values{})
					sender.say(codec.Error, codec.Invocation, call[1], c.keys, "an.error", c.payload)
					caller.expect(codec.Error, codec.Call, n+2, c.keys, "an.error", c.payload)
				}
			})
		}
	}
}

// TestLaxPassthru: with LaxPassthru nobody needs to have announced payload_passthru_mode, and a reload turns it on
// and off for sessions that are there (PPT-04 to PPT-07).
func TestLaxPassthru(t *testing.T) {
	t.Attr("checklist", "PPT-04 PPT-05 PPT-06 PPT-07")
	realms := func(lax bool) Config {
		return Config{Realms: []RealmConfig{{URI: "realm1", LaxPassthru: lax}}, Loops: 2}
	}
	b := newBed(t, 2, realms(true))
	one, two := b.join(0), b.join(1)
	sub := two.subscribe(1, "t")
	reg := two.register(2, "p", "single")
	mode := values{"ppt_scheme": "wamp"}
	payload := []any{[]byte{1}}

	one.say(codec.Publish, 1, mode, "t", payload)
	two.expect(codec.Event, sub, nil, mode, payload)
	one.say(codec.Call, 2, mode, "p", payload)
	two.expect(codec.Invocation, 1, reg, mode, payload)
	two.say(codec.Yield, 1, mode, payload)
	one.expect(codec.Result, 2, mode, payload)
	one.say(codec.Call, 3, values{}, "p")
	two.expect(codec.Invocation, 2, reg, values{})
	two.say(codec.Error, codec.Invocation, 2, mode, "an.error", payload)
	one.expect(codec.Error, codec.Call, 3, mode, "an.error", payload)
	one.say(codec.Call, 4, values{}, "wamp.session.add_testament", []any{"t", payload},
		values{"publish_options": mode})
	one.expect(codec.Result, 4, values{})

	b.apply(realms(false))
	one.say(codec.Call, 5, values{}, "wamp.session.add_testament", []any{"t", payload},
		values{"publish_options": mode})
	one.refused(codec.Call, 5, codec.ErrFeatureNotSupported)
	one.say(codec.Publish, 6, mode, "t", payload)
	one.expect(codec.Abort, nil, codec.ErrProtocolViolation)
	two.expect(codec.Event, sub, nil, mode, payload) // the testament
	two.silent()
}

// TestPassthruByRole: the mode is announced role by role (PPT-04, PPT-05, PPT-06, PPT-07). Whoever announced another
// role only, or for a role another feature, has not announced it.
func TestPassthruByRole(t *testing.T) {
	t.Attr("checklist", "PPT-04 PPT-05 PPT-06 PPT-07")
	roles := []string{"publisher", "subscriber", "caller", "callee"}
	mode := values{"ppt_scheme": "wamp"}
	for _, announced := range append(roles, "none") {
		t.Run(announced, func(t *testing.T) {
			b := newBed(t, 1, Config{})
			full := b.joinWith(0, codec.CBOR, passthru)
			full.register(1, "p", "single")
			join := func() *peer {
				p := b.connect(0, codec.MessagePack, 1<<20)
				details := values{}
				for _, role := range roles {
					details[role] = values{"features": values{"call_canceling": true, passthru: role == announced}}
				}
				p.say(codec.Hello, "realm1", values{"roles": details})
				p.expect(codec.Welcome, nil, nil)
				return p
			}
			// outcome says what a message in the mode came to.
			outcome := func(p *peer) string {
				switch m := p.hear(); {
				case m == nil:
					return "nothing"
				case m[0] == int64(codec.Abort):
					return "violation"
				case m[0] == int64(codec.Error):
					return m[4].(string)
				default:
					return codec.Type(m[0].(int64)).String()
				}
			}
			got := map[string]string{}
			p := join()
			p.say(codec.Publish, 1, values{"ppt_scheme": "wamp", "acknowledge": true}, "t", []any{[]byte{1}})
			got["publish"] = outcome(p)
			p = join()
			p.say(codec.Call, 1, mode, "p", []any{[]byte{1}})
			got["call"] = outcome(p)
			if got["call"] == "nothing" {
				full.hear() // INVOCATION
			}

			p = join()
			p.say(codec.Call, 1, values{}, "p")
			invocation := full.expect(codec.Invocation, nil, nil, values{})[1]
			full.say(codec.Yield, invocation, mode, []any{[]byte{1}})
			got["result"] = outcome(p)
			full.silent()

			if n := b.router.Stats().AnswersLate; n != 0 {
				t.Errorf("%d answers were late", n)
			}

			p = join()
			p.register(1, "own", "single")
			full.say(codec.Call, 7, mode, "own", []any{[]byte{1}})
			got["invoked"] = outcome(p)
			if got["invoked"] == "nothing" {
				full.refused(codec.Call, 7, codec.ErrFeatureNotSupported)
			}
			full.say(codec.Call, 8, values{}, "own")
			invocation = p.expect(codec.Invocation, nil, nil, values{})[1]
			p.say(codec.Yield, invocation, mode, []any{[]byte{1}})
			got["yield"] = outcome(p)

			want := map[string]string{
				"publish": "violation", "call": "violation", "result": codec.ErrFeatureNotSupported,
				"invoked": "nothing", "yield": "violation",
			}
			maps.Copy(want, map[string]map[string]string{
				"publisher": {"publish": codec.Published.String()},
				"caller":    {"call": "nothing", "result": codec.Result.String()},
				"callee":    {"invoked": codec.Invocation.String(), "yield": "nothing"},
			}[announced])
			if !maps.Equal(got, want) {
				t.Errorf("got %v\nwant %v", got, want)
			}
		})
	}
}

// TestLocalPassthru: a Client is told no details, so it cannot be called in the mode; a session of the router's own
// may publish in it.
func TestLocalPassthru(t *testing.T) {
	b := newBed(t, 1, Config{})
	p := b.joinWith(0, codec.CBOR, passthru)
	sub := p.subscribe(1, "t")
	c := b.local(0)
	b.say(c, codec.Publish, 1, values{"ppt_scheme": "wamp"}, "t", []any{[]byte{1}})
	p.expect(codec.Event, sub, nil, values{"ppt_scheme": "wamp"}, []any{[]byte{1}})
	b.say(c, codec.Register, 2, values{}, "p")
	p.say(codec.Call, 2, values{"ppt_scheme": "wamp"}, "p", []any{[]byte{1}})
	p.refused(codec.Call, 2, codec.ErrFeatureNotSupported)
}
