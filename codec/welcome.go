package codec

import (
	"bytes"

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

// A WelcomeForm is a WELCOME with room for the session id and the authid: everything else is the same for all sessions of a realm that join
// in one way. Immutable; any goroutine.
type WelcomeForm struct {
	serializer    Serializer
	before, after []byte // the details around the authid
}

// formAuthID stands for the authid while a form is made. No feature or realm contains it: URIs have no spaces.
const formAuthID = "the authid"

// NewWelcomeForm makes the form of d, whose AuthID is not looked at.
func NewWelcomeForm(s Serializer, d *WelcomeDetails) *WelcomeForm {
	filled := *d
	filled.AuthID = formAuthID
	whole := AppendWelcome(nil, s, 1, &filled)
	details := whole[len(comma(headWelcome(nil, s, 3, 1), s)):]
	before, after, ok := bytes.Cut(details, appendText(nil, s, formAuthID))
	if !ok {
		panic("codec: WELCOME without an authid") // cannot: AppendWelcome always writes one
	}
	return &WelcomeForm{serializer: s, before: before, after: after}
}

// Append encodes the WELCOME of one session.
func (f *WelcomeForm) Append(dst []byte, session uint64, authID string) []byte {
	dst = comma(headWelcome(dst, f.serializer, 3, session), f.serializer)
	dst = append(dst, f.before...)
	dst = appendCleanText(dst, f.serializer, authID)
	return append(dst, f.after...)
}
