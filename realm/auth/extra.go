package auth

import (
	"errors"
	"fmt"

	"github.com/tinylib/msgp/msgp"

	"banyan/codec"
)

// An Extra is the authextra of a HELLO or the Extra of an AUTHENTICATE: the keys that methods read (PROTOCOL 10), and
// all of it raw. Keys that no method reads are ignored, among them trustroot and certificates (AUTH-41).
type Extra struct {
	PubKey         string // cryptosign
	Challenge      string // cryptosign: the client asks the router to authenticate itself
	ChannelBinding string // cryptosign, wamp-scram
	Nonce          string // wamp-scram, scram
	CBindData      string // wamp-scram
	Raw            []byte // the dictionary in MessagePack, nil if absent

	wrong extraKeys // keys whose value is not text
}

// extraKeys is a set of the keys that methods read.
type extraKeys uint8

const (
	keyPubKey extraKeys = 1 << iota
	keyChallenge
	keyChannelBinding
	keyNonce
	keyCBindData
)

// ReadExtra reads a raw dictionary in MessagePack; nil is the empty one. A null counts as absent. A known key whose
// value is not text matters only to a method that reads the key, because an application may use the name for its
// own authenticator. Extra aliases raw. The error says why raw is no dictionary.
func ReadExtra(raw []byte) (Extra, error) {
	e := Extra{Raw: raw}
	if len(raw) == 0 {
		return Extra{}, nil
	}
	n, b, err := msgp.ReadMapHeaderBytes(raw)
	if err != nil {
		return Extra{}, errExtra
	}
	for range n {
		var key []byte
		if key, b, err = msgp.ReadMapKeyZC(b); err != nil {
			return Extra{}, errExtra
		}
		field, bit := e.field(string(key))
		switch t := msgp.NextType(b); {
		case field == nil || t == msgp.NilType:
			b, err = msgp.Skip(b)
		case t == msgp.StrType:
			*field, b, err = msgp.ReadStringBytes(b)
		default:
			e.wrong |= bit
			b, err = msgp.Skip(b)
		}
		if err != nil {
			return Extra{}, errExtra
		}
	}
	if len(b) != 0 {
		return Extra{}, errExtra
	}
	return e, nil
}

var errExtra = errors.New("auth: the extra is not a dictionary in MessagePack")

func (e *Extra) field(key string) (*string, extraKeys) {
	switch key {
	case "pubkey":
		return &e.PubKey, keyPubKey
	case "challenge":
		return &e.Challenge, keyChallenge
	case "channel_binding":
		return &e.ChannelBinding, keyChannelBinding
	case "nonce":
		return &e.Nonce, keyNonce
	case "cbind_data":
		return &e.CBindData, keyCBindData
	}
	return nil, 0
}

// Map decodes the whole dictionary, for dynamic authenticators. It is empty if there is none.
func (e *Extra) Map() (map[string]any, error) {
	if len(e.Raw) == 0 {
		return map[string]any{}, nil
	}
	v, err := codec.Value(codec.MessagePack, e.Raw)
	if err != nil {
		return nil, fmt.Errorf("auth: extra: %w", err)
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, errExtra
	}
	return m, nil
}
