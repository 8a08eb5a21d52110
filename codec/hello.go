package codec

import (
	"slices"

	"github.com/tinylib/msgp/msgp"
	"github.com/valyala/bytebufferpool"
)

// HelloDetails are HELLO.Details as the router reads them; cold, may allocate.
type HelloDetails struct {
	Agent       string
	AuthID      string // "" when absent or empty
	AuthRole    string
	AuthMethods []string
	AuthExtra   []byte // raw dict in MessagePack, nil if absent
	// Roles maps each announced role name to the features that are boolean true; spelling variants are normalized (PROTOCOL 4.2).
	Roles map[string][]string
}

// ParseHello reads the details of a decoded HELLO. Wrong types are a *Violation. The result keeps nothing of m.
func ParseHello(m *Message) (*HelloDetails, error) {
	buf := bytebufferpool.Get()
	defer bytebufferpool.Put(buf)
	var err error
	if buf.B, err = Transcode(buf.B, m.Dict, m.Format, MessagePack); err != nil {
		return nil, badHello(err.Error())
	}
	var d helloDict
	if _, err = d.UnmarshalMsg(buf.B); err != nil {
		return nil, badHello(err.Error())
	}
	h := &HelloDetails{
		Agent:       text(d.Agent),
		AuthID:      text(d.AuthID),
		AuthRole:    text(d.AuthRole),
		AuthMethods: d.AuthMethods,
		Roles:       make(map[string][]string, len(d.Roles)),
	}
	if k, _ := kindAt(MessagePack, d.AuthExtra, 0); k == kindDict {
		h.AuthExtra = d.AuthExtra
	}
	for name, role := range d.Roles {
		if role == nil {
			return nil, badHello("roles: expected a dictionary for each role, got null")
		}
		h.Roles[name] = role.names()
	}
	return h, nil
}

// badHello clips why, which may name keys of the client's choice.
func badHello(why string) *Violation {
	const textMax = 200
	return &Violation{Reason: "HELLO.Details: " + why[:min(len(why), textMax)]}
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// names returns the features that are true, sorted, in the protocol's spelling.
func (r *helloRole) names() []string {
	var names []string
	for name, value := range r.Features {
		if on, _, err := msgp.ReadBoolBytes(value); err != nil || !on {
			continue
		}
		switch name {
		case "call_cancelling":
			name = "call_canceling"
		case "shareded_subscriptions":
			name = "sharded_subscription"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
