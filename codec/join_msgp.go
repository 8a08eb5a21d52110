package codec

import (
	"errors"
	"unicode/utf8"

	"github.com/tinylib/msgp/msgp"
)

//go:generate go tool msgp -file join_msgp.go -o join_msgp_gen.go -unexported -io=false -tests=false

// msgp generates the code that reads HELLO.Details and writes WELCOME.Details from the structs of this file. JSON and
// CBOR are transcoded from and to MessagePack: a session joins once.

//msgp:ignore welcomeFeatures helloText helloTexts helloExtra helloRoles
//msgp:marshal ignore helloDict
//msgp:size ignore helloDict
//msgp:unmarshal ignore welcomeRealm welcomeRoles welcomeRole welcomeIdentity

// A helloDict is HELLO.Details on the wire. Decode has checked the types of the values; helloRoles checks the inside
// of the roles.
type helloDict struct {
	Agent       helloText  `msg:"agent"`
	AuthID      helloText  `msg:"authid"`
	AuthRole    helloText  `msg:"authrole"`
	AuthMethods helloTexts `msg:"authmethods"`
	AuthExtra   helloExtra `msg:"authextra"`
	Roles       helloRoles `msg:"roles"`
}

// A welcomeRealm is the part of WELCOME.Details that all sessions of a realm share.
type welcomeRealm struct {
	Roles welcomeRoles `msg:"roles"`
	Realm string       `msg:"realm,omitempty"`
	Agent string       `msg:"agent,omitempty"`
}

// welcomeRoles holds broker and dealer and nothing else: clients reject any other key (PROTOCOL 4.3).
type welcomeRoles struct {
	Broker welcomeRole `msg:"broker"`
	Dealer welcomeRole `msg:"dealer"`
}

// A welcomeRole always has the dictionary of features, even an empty one: clients insist on it.
type welcomeRole struct {
	Features welcomeFeatures `msg:"features"`
}

// welcomeFeatures are names of features. Each is announced as true.
type welcomeFeatures []string

// MarshalMsg implements msgp.Marshaler.
func (f welcomeFeatures) MarshalMsg(b []byte) ([]byte, error) {
	b = msgp.AppendMapHeader(b, uint32(len(f)))
	for _, name := range f {
		b = msgp.AppendBool(msgp.AppendString(b, name), true)
	}
	return b, nil
}

// Msgsize implements msgp.Sizer.
func (f welcomeFeatures) Msgsize() int { return msgp.MapHeaderSize }

// A welcomeIdentity is the part of WELCOME.Details that describes one session.
type welcomeIdentity struct {
	AuthID       string    `msg:"authid"`
	AuthRole     string    `msg:"authrole"`
	AuthMethod   string    `msg:"authmethod"`
	AuthProvider string    `msg:"authprovider"`
	AuthExtra    *msgp.Raw `msg:"authextra,omitempty"`
}

// A helloText is text. Decode let nothing else pass but values that count as absent; they become "".
type helloText string

// UnmarshalMsg implements msgp.Unmarshaler.
func (t *helloText) UnmarshalMsg(b []byte) (rest []byte, err error) {
	if msgp.NextType(b) != msgp.StrType {
		*t = ""
		return msgp.Skip(b)
	}
	s, rest, err := msgp.ReadStringBytes(b)
	*t = helloText(s)
	return rest, err
}

// helloTexts is a list of text, nil if absent.
type helloTexts []string

// UnmarshalMsg implements msgp.Unmarshaler.
func (t *helloTexts) UnmarshalMsg(b []byte) (rest []byte, err error) {
	*t = nil
	if msgp.NextType(b) != msgp.ArrayType {
		return msgp.Skip(b)
	}
	n, rest, err := msgp.ReadArrayHeaderBytes(b)
	for ; n > 0 && err == nil; n-- {
		var s string
		s, rest, err = msgp.ReadStringBytes(rest)
		*t = append(*t, s)
	}
	return rest, err
}

// A helloExtra is a raw dictionary, nil if absent.
type helloExtra []byte

// UnmarshalMsg implements msgp.Unmarshaler.
func (e *helloExtra) UnmarshalMsg(b []byte) (rest []byte, err error) {
	*e = nil
	rest, err = msgp.Skip(b)
	if err == nil && msgp.NextType(b) == msgp.MapType {
		*e = append(*e, b[:len(b)-len(rest)]...)
	}
	return rest, err
}

var (
	errHelloRole     = errors.New("roles: expected a dictionary for each role")
	errHelloFeatures = errors.New("roles: expected a dictionary of features")
	errHelloKey      = errors.New("roles: expected text as key")
)

// helloRoles are the announced roles and the features that the router acts upon.
type helloRoles Roles

// calleeCancelling is the other spelling of call_canceling (PROTOCOL 4.2). It is set only while reading.
const calleeCancelling = 1 << 31

// UnmarshalMsg implements msgp.Unmarshaler. The last of duplicate keys wins.
func (r *helloRoles) UnmarshalMsg(b []byte) (rest []byte, err error) {
	var all Roles
	rest, err = helloPairs(b, nil, func(name, b []byte) ([]byte, error) {
		role := roleBit(name)
		all &^= featuresOf(role)
		all |= role
		return helloPairs(b, errHelloRole, func(key, b []byte) ([]byte, error) {
			if string(key) != "features" {
				return msgp.Skip(b)
			}
			all &^= featuresOf(role)
			if msgp.NextType(b) == msgp.NilType {
				return msgp.Skip(b)
			}
			return helloPairs(b, errHelloFeatures, func(feature, b []byte) ([]byte, error) {
				bit := featureBit(role, feature)
				all &^= bit
				if msgp.NextType(b) == msgp.BoolType {
					if on, _, _ := msgp.ReadBoolBytes(b); on {
						all |= bit
					}
				}
				return msgp.Skip(b)
			})
		})
	})
	if all&calleeCancelling != 0 {
		all = all&^calleeCancelling | CalleeCanceling
	}
	*r = helloRoles(all)
	return rest, err
}

// helloPairs calls value for each pair of the dictionary at the beginning of b; value returns the octets behind the
// value. If there is no dictionary, helloPairs returns the error other, or skips the value if other is nil.
func helloPairs(b []byte, other error, value func(key, b []byte) ([]byte, error)) (rest []byte, err error) {
	if msgp.NextType(b) != msgp.MapType {
		if other != nil {
			return b, other
		}
		return msgp.Skip(b)
	}
	n, rest, err := msgp.ReadMapHeaderBytes(b)
	for ; n > 0 && err == nil; n-- {
		var key []byte
		if key, rest, err = msgp.ReadStringZC(rest); err != nil || !utf8.Valid(key) {
			return b, errHelloKey
		}
		rest, err = value(key, rest)
	}
	return rest, err
}
