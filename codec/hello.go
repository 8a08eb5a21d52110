package codec

import (
	"errors"
	"math"
	"slices"

	"github.com/valyala/bytebufferpool"
)

// Roles is a set of the roles that HELLO announced, and of the features that a router acts upon (PROTOCOL 4.2).
type Roles uint32

// The roles of a client, and the features that change what it is sent or may send. A feature bit begins with the role
// that announces it.
const (
	RolePublisher Roles = 1 << iota
	RoleSubscriber
	RoleCaller
	RoleCallee

	PublisherPassthru // payload_passthru_mode
	CallerPassthru
	CalleePassthru

	CallerStreams // progressive_call_invocations
	CalleeStreams
	CalleeProgress  // progressive_call_results
	CalleeCanceling // call_canceling
	CalleeTimeout   // call_timeout
	CalleeReroute   // call_reroute

	CalleeRevocation     // registration_revocation
	SubscriberRevocation // subscription_revocation

	PublisherXAcknowledged // x_acknowledged_event_delivery, by which Autobahn for Python is known
)

// features are the features of each role, by their names on the wire.
var features = [...]struct {
	role Roles
	name string
	bit  Roles
}{
	{RolePublisher, "payload_passthru_mode", PublisherPassthru},
	{RolePublisher, "x_acknowledged_event_delivery", PublisherXAcknowledged},
	{RoleSubscriber, "subscription_revocation", SubscriberRevocation},
	{RoleCaller, "payload_passthru_mode", CallerPassthru},
	{RoleCaller, "progressive_call_invocations", CallerStreams},
	{RoleCallee, "call_canceling", CalleeCanceling},
	{RoleCallee, "call_cancelling", calleeCancelling},
	{RoleCallee, "call_reroute", CalleeReroute},
	{RoleCallee, "call_timeout", CalleeTimeout},
	{RoleCallee, "payload_passthru_mode", CalleePassthru},
	{RoleCallee, "progressive_call_invocations", CalleeStreams},
	{RoleCallee, "progressive_call_results", CalleeProgress},
	{RoleCallee, "registration_revocation", CalleeRevocation},
}

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
func featuresOf(role Roles) (bits Roles) {
	for i := range features {
		if features[i].role == role {
			bits |= features[i].bit
		}
	}
	return bits
}

func featureBit(role Roles, name []byte) Roles {
	for i := range features {
		if f := &features[i]; f.role == role && f.name == string(name) {
			return f.bit
		}
	}
	return 0
}
