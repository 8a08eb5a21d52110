package auth

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"banyan/codec"
)

// Keys and challenges of the vectors in PROTOCOL 10.5.
var (
	signSeeds = []string{
		"4d57d97a68f555696620a6d849c0ce582568518d729eb753dc7c732de2804510",
		"d511fe78e23934b3dadb52fcd022974b80bd92bccc7c5cf404e46cc0a8a2f5cd",
		"6e1fde9cf9e2359a87420b65a87dc0c66136e66945196ba2475990d8a0c3a25b",
	}
	signKeys = []string{
		"1adfc8bfe1d35616e64dffbd900096f23b066f914c8c2ffbb66f6075b96e116d",
		"6ed32739ff04a6074044ff0b0e3bfc7c856bc9d5f1d25efc57363bda0af3a8b0",
		"28e11f427b82b9a625ee7ac89a7d29326b505f2dc11dd88c1245f83b6da79a85",
	}
	signChallenges = []string{
		strings.Repeat("ff", 32),
		"b26c1f87c13fc1da14997f1b5a71995dff8fbe0a62fae8473c7bdbd05bfb607d",
		"b05e6b8ad4d69abf74aa3be3c0ee40ae07d66e1895b9ab09285a2f1192d562d2",
	}
)

const signChannel = "62e935ae755f3d48f80d4d59f6121358c435722a67e859cc0caa8b539027f2ff"

// AUTH-30: the six vectors, signed by the test's client and verified by the router.
func TestAUTH30Vectors(t *testing.T) {
	signatures := [2][3]string{
		{
			"b32675b221f08593213737bef8240e7c15228b07028e19595294678c90d11c0cae80a357331bfc5cc9fb710814" +
				"64e6e75013517c2cf067ad5" +
				"66a6b7b728e5d03" + signChallenges[0],
			"d4209ad10d5aff6bfbc009d7e924795de138a63515efc7afc6b01b7fe5201372190374886a70207b042294af5b" +
				"d64ce725cd8dceb344e6d11" +
				"c09d1aaaf4d660f" + signChallenges[1],
			"7beb282184baadd08f166f16dd683b39cab53816ed81e6955def951cb2ddad1ec184e206746fd82bda075af037" +
				"11d3d5658fc84a76196b0fa" +
				"8d1ebc92ef9f30b" + signChallenges[2],
		},
		{
			"9b6f41540c9b95b4b7b281c3042fa9c54cef43c842d62ea3fd6030fcb66e70b3e80d49d44c29d1635da9348d02" +
				"ec93f3ed1ef227dfb59a07b" +
				"580095c2b82f80f" + "9d16ca518aa0c2b707f2b2a609edeca73bca8dd59817a633f35574ac6fd80d00",
			"305aaa3ac25e98f651427688b3fc43fe7d8a68a7ec1d7d61c61517c519bd4a427c3015599d83ca28b4c6523339" +
				"20223844ef0725eb5dc2feb" +
				"fd6af7677b73f01" + "d0852a29b460fc92ec943242ac638a053bbacc200512b18b30d15083cbdc9282",
			"ee3c7644fd8070532bc1fde3d70d742267da545d8c8f03e63bda63f1ad4214f4d2c4bfdb4eb9526def42deeb7e" +
				"31602a6ff99eba893e0a4ad" +
				"4d45892ca75e608" + "d2b75e24a189a7f78ca776ba36fc53f6c3e31c32f251f2c524f0a44202f2902d",
		},
	}
	for bound, list := range signatures {
		var channel []byte
		if bound == 1 {
			channel = unhex(t, signChannel)
		}
		for i, signature := range list {
			if got := signChallenge(t, signSeeds[i], signChallenges[i], channel); got != signature {
				t.Errorf("vector %d %d: signed %s", bound, i, got)
			}
			key, err := ParseKey(signKeys[i])
			if err != nil {
				t.Fatal(err)
			}
			message := [32]byte(unhex(t, signature[128:]))
			if !verifySigned(key, message, signature) {
				t.Errorf("vector %d %d does not verify", bound, i)
			}
			other, _ := ParseKey(signKeys[(i+1)%3])
			if verifySigned(other, message, signature) {
				t.Errorf("vector %d %d verifies with another key", bound, i)
			}
			if private, err := ParsePrivateKey(signSeeds[i]); err != nil || [32]byte(private[32:]) != key {
				t.Errorf("key pair %d: %v", i, err)
			}
		}
	}
}

func signRealm(t testing.TB, c Config) *Realm {
	t.Helper()
	if c.Cryptosign == nil {
		c.Cryptosign = &CryptosignOptions{}
	}
	c.Ticket = &TicketOptions{}
	keys := make([][32]byte, 3)
	for i := range keys {
		keys[i], _ = ParseKey(signKeys[i])
	}
	c.Users = []User{
		{AuthID: "robot", Role: "service", Keys: keys[:2], Tickets: []StoredTicket{plain(t, "x")}},
		{AuthID: "", Role: "service", Keys: keys[2:]},
	}
	return makeRealm(t, c)
}

func signHello(t testing.TB, authid, pubkey string, more ...string) *Hello {
	h := hello(authid, "cryptosign")
	d := map[string]any{"pubkey": pubkey, "trustroot": "0x1", "certificates": []any{1, nil}} // AUTH-41
	for i := 0; i < len(more); i += 2 {
		d[more[i]] = more[i+1]
	}
	h.Extra = extra(t, d)
	return h
}

// AUTH-29, AUTH-35, AUTH-41.
func TestAUTH29and35Cryptosign(t *testing.T) {
	t.Attr("checklist", "AUTH-41")
	r := signRealm(t, Config{})
	seen := map[string]bool{}
	for _, c := range []struct {
		authid string
		key    int
		pubkey string
		is     string
	}{
		{"robot", 0, signKeys[0], "robot"},
		{"robot", 1, signKeys[1], "robot"},
		{"", 0, signKeys[0], "robot"},
		{"", 1, strings.ToUpper(signKeys[1]), "robot"},
		{"", 2, signKeys[2], signKeys[2]},
		{signKeys[2], 2, signKeys[2], signKeys[2]},
	} {
		a, o := r.Begin(signHello(t, c.authid, c.pubkey))
		want(t, o, Challenge)
		challenge := o.Extra["challenge"].(string)
		if len(challenge) != 64 || seen[challenge] || len(o.Extra) != 1 {
			t.Errorf("challenge %v", o.Extra)
		}
		seen[challenge] = true
		signature := signChallenge(t, signSeeds[c.key], challenge, nil)
		if c.key == 1 {
			signature = strings.ToUpper(signature)
		}
		wantWelcome(t, a.Answer(noon, signature, nil), c.is, "service", "cryptosign", "static")
	}
}

// AUTH-31, AUTH-32: wrong answers of every kind, of known and unknown keys. Above all a valid signature over a
// message that is not the challenge.
func TestAUTH31and32WrongSignatures(t *testing.T) {
	t.Attr("checklist", "AUTH-34 AUTH-36")
	r := signRealm(t, Config{})
	earlier, o := r.Begin(signHello(t, "robot", signKeys[0]))
	old := signChallenge(t, signSeeds[0], o.Extra["challenge"].(string), nil)
	want(t, earlier.Answer(noon, old, nil), Welcome)
	strangerSeed := strings.Repeat("07", 32)
	stranger, _ := ParsePrivateKey(strangerSeed)
	for name, answer := range map[string]func(challenge string) string{
		"replay":            func(string) string { return old },
		"another message":   func(string) string { return signChallenge(t, signSeeds[0], signChallenges[1], nil) },
		"old sig, new tail": func(c string) string { return old[:128] + c },
		"signature alone":   func(c string) string { return signChallenge(t, signSeeds[0], c, nil)[:128] },
		"191 digits":        func(c string) string { return signChallenge(t, signSeeds[0], c, nil)[:191] },
		"one octet short":   func(c string) string { return signChallenge(t, signSeeds[0], c, nil)[:190] },
		"one octet more":    func(c string) string { return signChallenge(t, signSeeds[0], c, nil) + "00" },
		"no hex":            func(c string) string { return "zz" + signChallenge(t, signSeeds[0], c, nil)[2:] },
		"empty":             func(string) string { return "" },
		"the challenge":     func(c string) string { return c },
		"the user's other":  func(c string) string { return signChallenge(t, signSeeds[1], c, nil) },
		"a stranger's":      func(c string) string { return signChallenge(t, strangerSeed, c, nil) },
		"bound, but was not": func(c string) string {
			return signChallenge(t, signSeeds[0], c,
				unhex(t, signChannel))
		},
	} {
		for _, pubkey := range []string{signKeys[0], hex.EncodeToString(stranger[32:])} {
			if pubkey != signKeys[0] && name == "a stranger's" {
				continue // below
			}
			a, o := r.Begin(signHello(t, "robot", pubkey))
			want(t, o, Challenge)
			if o := a.Answer(noon, answer(o.Extra["challenge"].(string)), nil); o.Kind != Refuse ||
				o.Refusal.URI != codec.ErrAuthenticationDenied {
				t.Errorf("%s: %s", name, describe(o))
			}
		}
	}
	// AUTH-34: an unknown key that signs rightly. AUTH-36: a key of another principal than authid.
	for _, c := range []struct{ authid, seed, key string }{
		{"", strangerSeed, hex.EncodeToString(stranger[32:])},
		{"robot", strangerSeed, hex.EncodeToString(stranger[32:])},
		{"robot", signSeeds[2], signKeys[2]},
		{signKeys[2], signSeeds[0], signKeys[0]},
		{"nobody", signSeeds[0], signKeys[0]},
	} {
		a, o := r.Begin(signHello(t, c.authid, c.key))
		want(t, o, Challenge)
		wantDenied(t, a.Answer(noon, signChallenge(t, c.seed, o.Extra["challenge"].(string), nil), nil))
	}
}

// AUTH-33: missing or malformed keys.
func TestAUTH33BadPubkey(t *testing.T) {
	r := signRealm(t, Config{})
	for _, pubkey := range []any{
		nil, "", "ff", signKeys[0][:63], signKeys[0] + "00", "zz" + signKeys[0][2:], 5,
		[]byte("x"),
	} {
		h := hello("robot", "cryptosign")
		h.Extra = extra(t, map[string]any{"pubkey": pubkey})
		_, o := r.Begin(h)
		wantRefusal(t, o, codec.ErrNoMatchingAuthMethod)
		if !contains(o, "authextra.pubkey") {
			t.Errorf("the refusal does not help: %s", o.Refusal.Message)
		}
	}
	h := hello("robot", "cryptosign")
	_, o := r.Begin(h)
	wantRefusal(t, o, codec.ErrNoMatchingAuthMethod)
	for _, challenge := range []any{"ff", strings.Repeat("f", 63), strings.Repeat("g", 64), 5} {
		h := hello("robot", "cryptosign")
		h.Extra = extra(t, map[string]any{"pubkey": signKeys[0], "challenge": challenge})
		_, o := r.Begin(h)
		wantRefusal(t, o, codec.ErrNoMatchingAuthMethod)
	}
}

// AUTH-37: the router authenticates itself, bound and not.
func TestAUTH37RouterAuthentication(t *testing.T) {
	seed, public := NewKey()
	key, err := ParsePrivateKey(seed)
	if err != nil {
		t.Fatal(err)
	}
	r := signRealm(t, Config{Cryptosign: &CryptosignOptions{RouterKey: key}})
	for _, bound := range []bool{false, true} {
		asked := strings.Repeat("5a", 32)
		h := signHello(t, "robot", signKeys[0], "challenge", asked)
		expect := unhex(t, asked)
		if bound {
			h = signHello(t, "robot", signKeys[0], "challenge", asked, "channel_binding", "tls-exporter")
			h.Transport.Binding = func(string) []byte { return unhex(t, signChannel) }
			for i, b := range unhex(t, signChannel) {
				expect[i] ^= b
			}
		}
		_, o := r.Begin(h)
		want(t, o, Challenge)
		if o.Extra["pubkey"] != hex.EncodeToString(public[:]) {
			t.Errorf("pubkey %v", o.Extra["pubkey"])
		}
		signed := unhex(t, o.Extra["signature"].(string))
		if len(signed) != 96 || string(signed[64:]) != string(expect) ||
			!ed25519.Verify(public[:], expect, signed[:64]) {
			t.Errorf("bound %v: signature %x", bound, signed)
		}
	}
	_, o := r.Begin(signHello(t, "robot", signKeys[0]))
	if len(o.Extra) != 1 {
		t.Errorf("unasked: %v", o.Extra)
	}
	_, o = signRealm(t, Config{}).Begin(signHello(t, "robot", signKeys[0], "challenge", strings.Repeat("5a", 32)))
	if len(o.Extra) != 1 {
		t.Errorf("without a router key: %v", o.Extra)
	}
}

// A stranger lets the router sign the challenge of another connection and hands that back as its own answer.
func TestReflectedSignature(t *testing.T) {
	seed, public := NewKey()
	key, _ := ParsePrivateKey(seed)
	routerHex := hex.EncodeToString(public[:])
	r := signRealm(t, Config{Cryptosign: &CryptosignOptions{RouterKey: key}})
	_, o := r.Begin(signHello(t, "", routerHex))
	wantRefusal(t, o, codec.ErrNoMatchingAuthMethod)
	if !contains(o, "router's own") {
		t.Error(describe(o))
	}
	// A file that would make it work is refused.
	_, err := NewRealm(&Config{
		Realm: testRealm, Cryptosign: &CryptosignOptions{RouterKey: key},
		Users: []User{{AuthID: "a", Role: "r", Keys: [][32]byte{public}}},
	})
	if err == nil || !strings.Contains(err.Error(), "router's own") {
		t.Error(err)
	}
	// The router's signature over a user's challenge is no answer of that user.
	a, o := r.Begin(signHello(t, "robot", signKeys[0]))
	challenge := o.Extra["challenge"].(string)
	_, o = r.Begin(signHello(t, "robot", signKeys[0], "challenge", challenge))
	wantDenied(t, a.Answer(noon, o.Extra["signature"].(string), nil))
}

// AUTH-38, AUTH-39, AUTH-40: bindings with values as TLS gives them. tls_test.go has a real TLS.
func TestAUTH38to40ChannelBinding(t *testing.T) {
	free, bound := signRealm(t, Config{}), signRealm(t, Config{RequireChannelBinding: true})
	finished, exporter := []byte("twelve bytes"), unhex(t, signChannel)
	hashed := sha256.Sum256(finished)
	for _, c := range []struct {
		kind    string
		has     map[string][]byte
		channel []byte // nil: not bound
	}{
		{"tls-unique", map[string][]byte{"tls-unique": finished}, hashed[:]},
		{"tls-exporter", map[string][]byte{"tls-exporter": exporter}, exporter},
		{"tls-unique", map[string][]byte{"tls-exporter": exporter}, nil},
		{"tls-exporter", map[string][]byte{"tls-unique": finished}, nil},
		{"tls-exporter", map[string][]byte{"tls-exporter": exporter[:31]}, nil},
		{"tls-server-end-point", map[string][]byte{"tls-server-end-point": exporter}, nil},
		{"nonsense", nil, nil},
		{"", map[string][]byte{"": exporter, "tls-unique": finished}, nil},
	} {
		for _, r := range []*Realm{free, bound} {
			h := signHello(t, "robot", signKeys[0], "channel_binding", c.kind)
			h.Transport.Binding = func(kind string) []byte { return c.has[kind] }
			a, o := r.Begin(h)
			if c.channel == nil && r == bound {
				wantRefusal(t, o, codec.ErrNoMatchingAuthMethod)
				if !contains(o, "channel binding") {
					t.Error(describe(o))
				}
				continue
			}
			want(t, o, Challenge)
			challenge := o.Extra["challenge"].(string)
			if kind, ok := o.Extra["channel_binding"]; ok != (c.channel != nil) || ok && kind != c.kind {
				t.Errorf("%s: CHALLENGE.channel_binding %v", c.kind, kind)
			}
			want(t, a.Answer(noon, signChallenge(t, signSeeds[0], challenge, c.channel), nil), Welcome)
			if c.channel == nil {
				continue
			}
			for name, other := range map[string][]byte{"unbound": nil, "bound elsewhere": make([]byte, 31)} {
				a, o := r.Begin(h)
				if name == "bound elsewhere" {
					other = append(other, 1)
				}
				wantDenied(t, a.Answer(noon, signChallenge(t, signSeeds[0], o.Extra["challenge"].(string), other),
					nil))
			}
		}
	}
	// Not even a client that has another method gets around it.
	h := signHello(t, "robot", signKeys[0])
	h.Methods = []string{"cryptosign", "ticket"}
	_, o := bound.Begin(h)
	wantRefusal(t, o, codec.ErrNoMatchingAuthMethod)
	h = hello("robot", "cryptosign")
	h.Extra = extra(t, map[string]any{"pubkey": signKeys[0], "channel_binding": 5})
	_, o = free.Begin(h)
	wantRefusal(t, o, codec.ErrNoMatchingAuthMethod)
	// null is absent: Autobahn for Python sends it.
	h.Extra = extra(t, map[string]any{"pubkey": signKeys[0], "channel_binding": nil, "challenge": nil})
	_, o = free.Begin(h)
	want(t, o, Challenge)
}

func TestRouterKeyCheck(t *testing.T) {
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	for n, ok := range map[int]bool{0: true, 32: false, 63: false, 64: true} {
		_, err := NewRealm(&Config{Realm: testRealm, Cryptosign: &CryptosignOptions{RouterKey: key[:n]}})
		if (err == nil) != ok {
			t.Errorf("router key of %d octets: %v", n, err)
		}
	}
}
