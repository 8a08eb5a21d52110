package codec

import (
	"github.com/tinylib/msgp/msgp"
	"github.com/valyala/bytebufferpool"
)

// WelcomeDetails are WELCOME.Details (PROTOCOL 4.3).
type WelcomeDetails struct {
	Realm, AuthID, AuthRole, AuthMethod, AuthProvider, Agent string
	Broker, Dealer                                           []string // feature names, announced as true
	// AuthExtra is a raw dict in MessagePack, nil for none. What is malformed or nests too deeply is left out.
	AuthExtra []byte
}

// AppendWelcome encodes WELCOME. Both roles have features, however few: clients insist on the dictionaries.
func AppendWelcome(dst []byte, s Serializer, session uint64, d *WelcomeDetails) []byte {
	w := welcomeDict{
		Roles: welcomeRoles{
			Broker: welcomeRole{Features: allTrue(d.Broker)},
			Dealer: welcomeRole{Features: allTrue(d.Dealer)},
		},
		Realm:        d.Realm,
		AuthID:       d.AuthID,
		AuthRole:     d.AuthRole,
		AuthMethod:   d.AuthMethod,
		AuthProvider: d.AuthProvider,
		Agent:        d.Agent,
	}
	var st nesting
	if end, why := skipMsgpack(d.AuthExtra, 0, 2, &st); why == "" && end == len(d.AuthExtra) {
		raw := msgp.Raw(d.AuthExtra)
		w.AuthExtra = &raw
	}
	buf := bytebufferpool.Get()
	defer bytebufferpool.Put(buf)
	var err error
	if buf.B, err = w.MarshalMsg(buf.B); err != nil {
		panic("codec: WELCOME details: " + err.Error()) // cannot: text, booleans and a checked dict
	}
	dst = comma(headWelcome(dst, s, 3, session), s)
	if dst, err = Transcode(dst, buf.B, MessagePack, s); err != nil {
		panic("codec: WELCOME details: " + err.Error())
	}
	return endMessage(dst, s)
}

func allTrue(names []string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, name := range names {
		m[name] = true
	}
	return m
}
