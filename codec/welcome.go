package codec

import (
	"math"
	"strings"
	"unicode/utf8"

	"github.com/tinylib/msgp/msgp"
	"github.com/valyala/bytebufferpool"
)

// WelcomeDetails are the parts of WELCOME.Details that all sessions of a realm share (PROTOCOL 4.3).
type WelcomeDetails struct {
	Realm, Agent   string   // left out if empty
	Broker, Dealer []string // feature names, announced as true
}

// A WelcomeIdentity is the part of WELCOME.Details that describes one session (PROTOCOL 10.1).
type WelcomeIdentity struct {
	AuthID, AuthRole, AuthMethod, AuthProvider string
	// AuthExtra is a raw dictionary in MessagePack, nil for none. It is left out if it is malformed, nests too deeply
	// or cannot be written in the session's serializer.
	AuthExtra []byte
}

// A WelcomeForm writes the WELCOMEs of a realm in one serializer. Immutable; any goroutine.
type WelcomeForm struct {
	serializer Serializer
	shared     [3]encodedPairs // for all sessions: all; without realm and agent; without features, too
}

// encodedPairs are pairs of a dictionary, encoded, without its head and end.
type encodedPairs struct {
	n     int
	pairs []byte
}

// NewWelcomeForm makes the form of d in s.
func NewWelcomeForm(s Serializer, d *WelcomeDetails) *WelcomeForm {
	whole := welcomeRealm{
		Roles: welcomeRoles{Broker: welcomeRole{d.Broker}, Dealer: welcomeRole{d.Dealer}}, Realm: cleanText(d.Realm),
		Agent: cleanText(d.Agent),
	}
	f := &WelcomeForm{serializer: s}
	for i, w := range [...]welcomeRealm{whole, {Roles: whole.Roles}, {}} {
		b, _ := w.MarshalMsg(nil) // cannot fail: text and booleans
		var scratch []byte
		f.shared[i] = cutPairs(b, s, &scratch)
	}
	return f
}

// Append encodes the WELCOME of one session. bytesMax is the length in octets of the longest message that the client
// accepts. If WELCOME is longer, Append leaves out realm and agent, then the names of the features. If it is still
// too long, ok is false and dst is returned unchanged in length.
func (f *WelcomeForm) Append(dst []byte, session uint64, identity *WelcomeIdentity,
	bytesMax int,
) (_ []byte, ok bool) {
	buf, out := bytebufferpool.Get(), bytebufferpool.Get()
	defer bytebufferpool.Put(buf)
	defer bytebufferpool.Put(out)
	w := welcomeIdentity{
		AuthID: cleanText(identity.AuthID), AuthRole: cleanText(identity.AuthRole),
		AuthMethod: cleanText(identity.AuthMethod), AuthProvider: cleanText(identity.AuthProvider),
	}
	if f.canSay(identity.AuthExtra) {
		extra := msgp.Raw(identity.AuthExtra)
		w.AuthExtra = &extra
	}
	buf.B, _ = w.MarshalMsg(buf.B) // cannot fail: text and a checked dictionary
	own := cutPairs(buf.B, f.serializer, &out.B)
	for _, shared := range f.shared {
		b := comma(headWelcome(dst, f.serializer, 3, session), f.serializer)
		b = appendDictHead(b, f.serializer, shared.n+own.n)
		b = append(b, shared.pairs...)
		b = append(comma(b, f.serializer), own.pairs...)
		if f.serializer == JSON {
			b = append(b, "}]"...)
		}
		if len(b)-len(dst) <= bytesMax {
			return b, true
		}
	}
	return dst, false
}

// AppendWelcome encodes one WELCOME. To write many, keep the form and use its Append.
func AppendWelcome(dst []byte, s Serializer, session uint64, d *WelcomeDetails, identity *WelcomeIdentity) []byte {
	dst, _ = NewWelcomeForm(s, d).Append(dst, session, identity, MessageBytesMax)
	return dst
}

// canSay reports whether extra is a dictionary that can be part of this WELCOME.
func (f *WelcomeForm) canSay(extra []byte) bool {
	if len(extra) == 0 {
		return false
	}
	if end, why := skipMsgpack(extra, 0, 2, make(nesting, depthMax)); why != "" || end != len(extra) {
		return false
	}
	if k, _ := kindAt(MessagePack, extra, 0); k != kindDict {
		return false
	}
	if f.serializer == MessagePack {
		return true
	}
	_, err := Transcode(nil, extra, MessagePack, f.serializer, MessageBytesMax)
	return err == nil
}

// cutPairs returns the pairs of the dictionary b in the serializer s. b is in MessagePack and has less than 16 pairs.
// The result aliases b or the scratch.
func cutPairs(b []byte, s Serializer, scratch *[]byte) encodedPairs {
	n := int(b[0] & 15)
	if s == MessagePack {
		return encodedPairs{n, b[1:]}
	}
	*scratch, _ = Transcode((*scratch)[:0], b, MessagePack, s, math.MaxInt) // cannot fail: see canSay
	if s == JSON {
		return encodedPairs{n, (*scratch)[1 : len(*scratch)-1]}
	}
	return encodedPairs{n, (*scratch)[1:]}
}

// cleanText replaces invalid UTF-8.
func cleanText(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}
