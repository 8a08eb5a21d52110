package codec

import (
	"errors"
	"math"
	"slices"

	"github.com/valyala/bytebufferpool"
)

// Roles is a set of the roles that HELLO announced, and of the features that a router acts upon (PROTOCOL 4.2).
type Roles uint32

// The roles of a client, and the features that change what it is sent.
const (
	RolePublisher Roles = 1 << iota
	RoleSubscriber
	RoleCaller
	RoleCallee

	CalleeCanceling // call_canceling
	CalleeProgress  // progressive_call_results
	CalleeTimeout   // call_timeout
	CalleeStreams   // progressive_call_invocations
	CallerStreams   // progressive_call_invocations

	CalleeRevocation     // registration_revocation
	SubscriberRevocation // subscription_revocation

	calleeFeatures = CalleeCanceling | CalleeProgress | CalleeTimeout | CalleeStreams | CalleeRevocation |
		calleeCancelling
)

// HelloDetails are the parts of HELLO.Details that a router reads (PROTOCOL 1.5).
type HelloDetails struct {
	Roles       Roles
	Agent       string
	AuthID      string // "" when absent or empty
	AuthRole    string
	AuthMethods []string
	AuthExtra   []byte // a raw dictionary in MessagePack, whatever the client speaks; nil if absent
}

// Anonymous reports whether the client accepts to stay anonymous: it names no method, or "anonymous" among others
// (PROTOCOL 10.1).
func (h *HelloDetails) Anonymous() bool {
	return len(h.AuthMethods) == 0 || slices.Contains(h.AuthMethods, "anonymous")
}

// ReadHello reads the details of a decoded HELLO. Roles or features that are not dictionaries are a *Violation; a
// feature that is not the boolean true does not count. The result keeps nothing of m.
func ReadHello(m *Message) (HelloDetails, error) {
	details := m.Dict
	if m.Format != MessagePack {
		buf := bytebufferpool.Get()
		defer bytebufferpool.Put(buf)
		var err error
		if buf.B, err = Transcode(buf.B, m.Dict, m.Format, MessagePack, math.MaxInt); err != nil {
			return HelloDetails{}, badHello(err)
		}
		details = buf.B
	}
	var d helloDict
	if _, err := d.UnmarshalMsg(details); err != nil {
		return HelloDetails{}, badHello(err)
	}
	return HelloDetails{
		Roles: Roles(d.Roles), Agent: string(d.Agent), AuthID: string(d.AuthID), AuthRole: string(d.AuthRole),
		AuthMethods: d.AuthMethods, AuthExtra: d.AuthExtra,
	}, nil
}

// badHello returns the violation for err. It uses words of this package only: a library's error may quote keys of the
// client.
func badHello(err error) *Violation {
	for _, known := range []error{errHelloRole, errHelloFeatures, errHelloKey} {
		if errors.Is(err, known) {
			return &Violation{Reason: "HELLO.Details." + known.Error()}
		}
	}
	return &Violation{Reason: "HELLO.Details: malformed"}
}

func roleBit(name []byte) Roles {
	switch string(name) {
	case "publisher":
		return RolePublisher
	case "subscriber":
		return RoleSubscriber
	case "caller":
		return RoleCaller
	case "callee":
		return RoleCallee
	}
	return 0
}

// featuresOf are the features of a role.
func featuresOf(role Roles) Roles {
	switch role {
	case RoleCallee:
		return calleeFeatures
	case RoleSubscriber:
		return SubscriberRevocation
	case RoleCaller:
		return CallerStreams
	}
	return 0
}

func featureBit(role Roles, name []byte) Roles {
	switch role {
	case RoleCallee:
	case RoleSubscriber:
		if string(name) == "subscription_revocation" {
			return SubscriberRevocation
		}
		return 0
	case RoleCaller:
		if string(name) == featureStreams {
			return CallerStreams
		}
		return 0
	default:
		return 0
	}
	switch string(name) {
	case featureStreams:
		return CalleeStreams
	case "registration_revocation":
		return CalleeRevocation
	case "call_canceling":
		return CalleeCanceling
	case "call_cancelling":
		return calleeCancelling
	case "progressive_call_results":
		return CalleeProgress
	case "call_timeout":
		return CalleeTimeout
	}
	return 0
}

// featureStreams is a feature of callers and of callees.
const featureStreams = "progressive_call_invocations"
