package auth

import (
	"encoding/base32"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// AnonymousOptions let clients in that prove nothing.
type AnonymousOptions struct {
	Role string // of all of them; "" only if the method is dynamic
	From Source
}

func (o *AnonymousOptions) check(d *DynamicOptions) error {
	if d != nil && slices.Contains(d.Methods, methodAnonymous) {
		return nil
	}
	if err := checkName("role", o.Role, roleBytesMax); err != nil {
		return fmt.Errorf("anonymous: %w", err)
	}
	return nil
}

// source returns from where clients of a connection may come: as its listener says, else as the realm does.
func (o *AnonymousOptions) source(t *Transport) *Source {
	if t.Anonymous != nil {
		return t.Anonymous
	}
	return &o.From
}

// A Source says where clients may come from. Its zero value is nowhere.
type Source struct {
	Any      bool
	Local    bool // loopback and Unix sockets, not through a proxy
	Prefixes []netip.Prefix
}

// ParseSource reads a list of: "any", "local" or "loopback", an address, a prefix such as 10.0.0.0/8. An empty list
// is local. The list ["none"] is nowhere.
func ParseSource(list []string) (Source, error) {
	if len(list) == 0 {
		return Source{Local: true}, nil
	}
	var s Source
	for _, item := range list {
		switch item {
		case "any":
			s.Any = true
			continue
		case "local", "loopback":
			s.Local = true
			continue
		case "none":
			if len(list) > 1 {
				return Source{}, errors.New(`auth: "none" stands alone`)
			}
			continue
		}
		p, err := netip.ParsePrefix(item)
		if err != nil {
			address, addressErr := netip.ParseAddr(item)
			if addressErr != nil || address.Zone() != "" {
				return Source{}, fmt.Errorf(
					"auth: %q is none of any, local, none, an address, a prefix such as 10.0.0.0/8", item)
			}
			p = netip.PrefixFrom(address, address.BitLen())
		}
		if p.Addr().Is4In6() {
			return Source{}, fmt.Errorf("auth: %q: write IPv4 prefixes as such", item)
		}
		s.Prefixes = append(s.Prefixes, p.Masked())
	}
	return s, nil
}

// holds reports whether a client on t comes from s.
func (s *Source) holds(t *Transport) bool {
	if s.Any || s.Local && t.Local {
		return true
	}
	peer := t.Peer.Unmap().WithZone("")
	return slices.ContainsFunc(s.Prefixes, func(p netip.Prefix) bool { return p.Contains(peer) })
}

// String describes s as a refusal does.
func (s *Source) String() string {
	if s.Any {
		return "anywhere"
	}
	var parts []string
	if s.Local {
		parts = append(parts, "loopback and Unix sockets")
	}
	if len(s.Prefixes) > 0 {
		parts = append(parts, "configured networks")
	}
	if len(parts) == 0 {
		return "nowhere"
	}
	return strings.Join(parts, " and ")
}

type anonymous struct{ *AnonymousOptions }

func (m anonymous) blocked(a *Attempt) obstacle {
	if from := m.source(&a.hello.Transport); !from.holds(&a.hello.Transport) {
		return obstacle{why: "only from " + from.String()}
	}
	return obstacle{}
}

func (m anonymous) principal(a *Attempt) (u *User, known bool) {
	return &User{AuthID: a.drawAuthID(), Role: m.Role}, true
}

func (anonymous) mock(*Realm) *User { return nil }

func (anonymous) start(a *Attempt) Outcome { return a.welcome(nil) }

// drawAuthID returns 24 random characters, different for each session (PROTOCOL 10.1).
func (a *Attempt) drawAuthID() string {
	var random [15]byte
	a.hello.draw(random[:])
	return base32.StdEncoding.EncodeToString(random[:])
}
