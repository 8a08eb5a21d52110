package realm

import (
	"encoding/base32"
	"encoding/binary"
	"slices"
	"strconv"
	"time"

	"banyan/codec"
	"banyan/engine/port"
)

// The features that WELCOME announces: exactly those that are complete (SES-38). Sorted.
var (
	brokerFeatures = []string{
		"event_history",
		"pattern_based_subscription",
		"payload_passthru_mode",
		"payload_transparency",
		"publication_trustlevels",
		"publisher_exclusion",
		"publisher_identification",
		"session_meta_api",
		"subscriber_blackwhite_listing",
		"subscription_meta_api",
		"subscription_revocation",
	}
	dealerFeatures = []string{
		"call_canceling",
		"call_reroute",
		"call_timeout",
		"call_trustlevels",
		"caller_identification",
		"pattern_based_registration",
		"payload_passthru_mode",
		"payload_transparency",
		"progressive_call_invocations",
		"progressive_call_results",
		"registration_meta_api",
		"registration_revocation",
		"session_meta_api",
		"shared_registration",
		"testament_meta_api",
	}
)

// join answers HELLO, in the order of PROTOCOL 4.2.
func (h *handler) join(x port.Executor, l *perLoop, m *codec.Message) {
	d, err := codec.ReadHello(m)
	if err != nil {
		h.violation(x, err.Error())
		return
	}
	if d.Roles == 0 {
		h.refuse(x, l, codec.ErrNoSuchRole, "HELLO announces none of the roles publisher, subscriber, caller, callee")
		return
	}
	if m.URI == nil {
		h.refuse(x, l, codec.ErrNoSuchRealm, "HELLO names no realm, and this router assigns none")
		return
	}
	if len(m.URI) > h.router.settings.Load().URIBytesMax || !codec.ValidURI(m.URI, codec.Exact, false) {
		h.refuse(x, l, codec.ErrInvalidURI, "the realm is not a valid URI")
		return
	}
	if unwelcome(h.conn.Peer()) {
		h.refuse(x, l, refuseCertificate.uri, refuseCertificate.message)
		return
	}
	rm := h.router.realm(m.URI)
	if rm == nil {
		why := noSuchRealm(string(m.URI))
		h.refuse(x, l, why.uri, why.message)
		return
	}
	set := rm.settings.Load()
	if set.Auth != nil {
		h.beginLogin(x, l, rm, set, &d)
		return
	}
	if !d.Anonymous() {
		h.refuse(x, l, codec.ErrNoMatchingAuthMethod, "this realm offers only the method anonymous")
		return
	}
	why := set.refuseAnonymous(h.conn.Peer())
	if why == nil && set.Policy != nil && set.Policy.Role(anonymousRole) == nil {
		why = refuseRole(anonymousRole)
	}
	if why != nil {
		h.refuse(x, l, why.uri, why.message)
		return
	}
	h.welcome(x, l, rm, set, d.Roles)
}

// refuse answers HELLO, or what came of it, with ABORT and closes the connection.
func (h *handler) refuse(x port.Executor, l *perLoop, uri, message string) {
	l.counters.refused.Add(1)
	h.router.log.Debug("join refused", "peer", h.conn.Peer().Address, "reason", uri, "message", message)
	code := port.CloseNormal
	if uri == codec.ErrPayloadSizeExceeded {
		code = port.ClosePolicy
	}
	h.abort(x, l, uri, message, code)
}

// drawAuthID returns the authid of an anonymous session: 24 random characters, so that it tells nothing about the
// session (PROTOCOL 10.1).
func drawAuthID(x port.Executor) string {
	var random [16]byte
	binary.LittleEndian.PutUint64(random[:], x.Rand())
	binary.LittleEndian.PutUint64(random[8:], x.Rand())
	return base32.StdEncoding.EncodeToString(random[:15])
}

var (
	refuseStrangers = &refusal{
		codec.ErrAuthenticationRequired,
		"anonymous sessions are limited to loopback and Unix sockets; configure the realm to let anonymous join " +
			"from anywhere (serve --anonymous anywhere)",
	}
	refuseListener = &refusal{
		codec.ErrAuthenticationRequired, "anonymous sessions are not allowed through this listener",
	}
	refuseAnonymous = &refusal{codec.ErrAuthenticationRequired, "anonymous sessions are not allowed here"}
)

// refuseAnonymous decides whether an anonymous peer may join; nil says yes.
func (set *settings) refuseAnonymous(p *port.Peer) *refusal {
	if i := p.Listener; i >= 0 && i < len(set.limits.Listeners) {
		allowed := set.limits.Listeners[i].AuthMethods
		if len(allowed) > 0 && !slices.Contains(allowed, anonymousMethod) {
			return refuseListener
		}
	}
	switch rule := set.anonymous(p.Listener); {
	case rule == AnonymousNone:
		return refuseAnonymous
	case rule == AnonymousLocal && !p.Local:
		return refuseStrangers
	}
	return nil
}

// welcomeForm returns what all WELCOMEs of the realm in that serializer have in common. Loops that need it first at
// the same time each make one; they are equal.
func (set *settings) welcomeForm(s codec.Serializer) *codec.WelcomeForm {
	kept := &set.welcomes[s]
	if f := kept.Load(); f != nil {
		return f
	}
	f := codec.NewWelcomeForm(s, &codec.WelcomeDetails{
		Realm:  set.URI,
		Agent:  set.limits.Agent,
		Broker: set.brokerFeatures(),
		Dealer: set.dealerFeatures(),
	})
	kept.Store(f)
	return f
}

// brokerFeatures are those that the settings leave on.
func (set *settings) brokerFeatures() []string {
	features := slices.Clone(brokerFeatures)
	if !set.Retention.Disabled {
		features = append(features, "event_retention")
	}
	if set.Sharding {
		features = append(features, "sharded_subscription")
	}
	slices.Sort(features)
	return features
}

// dealerFeatures are those that the settings leave on.
func (set *settings) dealerFeatures() []string {
	if !set.Sharding {
		return dealerFeatures
	}
	features := append(slices.Clone(dealerFeatures), "sharded_registration")
	slices.Sort(features)
	return features
}

// anonymousRole is the role of every session until authentication gives others.
const anonymousRole = "anonymous"

// anonymousMethod is the authmethod of those who prove nothing.
const anonymousMethod = "anonymous"

// welcome makes the session and tells the peer.
func (h *handler) welcome(x port.Executor, l *perLoop, rm *realm, set *settings, roles codec.Roles) {
	rm, why := h.router.useBy(x, rm, set)
	if why != nil {
		h.refuse(x, l, why.uri, why.message)
		return
	}
	id := h.router.directory.draw(x, &h.router.ids)
	s := newSession(x, h, rm, id, roles, codec.Identity{Session: id, AuthID: drawAuthID(x), AuthRole: anonymousRole})
	var ok bool
	l.out, ok = set.welcomeForm(s.serializer).Append(l.out[:0], id, &codec.WelcomeIdentity{
		AuthID: s.identity.AuthID, AuthRole: s.identity.AuthRole, AuthMethod: anonymousMethod,
		AuthProvider: staticProvider,
	}, s.bytesMax)
	if !ok {
		why = &refusal{codec.ErrPayloadSizeExceeded, "WELCOME is longer than the " + strconv.Itoa(s.bytesMax) +
			" octets that your transport accepts"}
	} else {
		why = s.enter(x, set)
	}
	if why != nil {
		rm.release(x)
		h.router.directory.release(x, id)
		h.refuse(x, l, why.uri, why.message)
		return
	}
	h.begin(x, l, s, l.out)
}

// begin makes s the session of the connection. WELCOME, or nothing for a local session, is appended and the session
// live in one section, so nothing can precede it (SES-02).
func (h *handler) begin(x port.Executor, l *perLoop, s *session, welcome []byte) {
	x.Stop(&h.timer)
	h.state, h.session = stateJoined, s
	h.conn.SetJoined(true)
	h.conn.SetBacklog(s.realm.settings.Load().backlogOf(s.identity.AuthRole))
	s.realm.sessions[s.home].add(s)
	h.router.directory.enter(x, s) // first: whoever has heard of WELCOME finds the session
	l.counters.joined.Add(1)
	l.counters.sessions.Add(1)

	x.Step("conn.lock")
	h.conn.Lock()
	s.live = true
	if len(welcome) > 0 {
		s.append(x, welcome)
	}
	h.conn.Unlock()
	if ms := &s.realm.meta; ms.wanted() {
		ms.tell(x, "wamp.session.on_join", s.metaDetails())
	}
	h.watch(x, time.Time{})
}
