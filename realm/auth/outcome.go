package auth

import (
	"time"

	"banyan/codec"
)

// A Kind says what the caller does with an Outcome.
type Kind uint8

// The kinds of outcomes.
const (
	Challenge Kind = iota + 1 // send CHALLENGE, call Answer with the AUTHENTICATE
	Ask                       // call the authenticator of Request, call Resume
	Work                      // run Work in a pool; its result is the next outcome
	Welcome                   // send WELCOME for Principal
	Refuse                    // send ABORT with Refusal, close the transport
)

// An Outcome is what one step of an attempt leads to. Only the fields of its kind are set.
type Outcome struct {
	Kind      Kind
	Method    string         // Challenge: CHALLENGE.AuthMethod
	Extra     map[string]any // Challenge: CHALLENGE.Extra; values that codec.AppendValue encodes
	Request   *Request       // Ask
	Work      func() Outcome // Work: hashes a password or verifies a JWT; it does not write to the attempt
	Principal *Principal     // Welcome
	Refusal   *Refusal       // Refuse
}

// A Principal is who a session is (PROTOCOL 10.1).
type Principal struct {
	Realm    string // the realm to join; a dynamic authenticator may name another than HELLO
	AuthID   string
	Role     string
	Method   string
	Provider string         // static, jwt or dynamic; by cookie that of the login that bound it
	Extra    map[string]any // WELCOME.Details.authextra, nil for none; values that codec.AppendValue encodes
	Expires  time.Time      // when the proof of identity ends: a JWT, a client certificate; zero for never

	proof   proof       // of a static user; by cookie that of the login that bound it
	vouched func() bool // Transport.Vouched, if p logged in by TLS certificate or by a cookie of such a login
}

// A Refusal is an ABORT to be.
type Refusal struct {
	URI     string
	Message string // for people; it tells nothing about which principals exist
	Scram   string // ABORT.Details.scram, a server error value of RFC 5802; "" for none (PROTOCOL 10.4)
}

func refuse(uri, message string) Outcome {
	return Outcome{Kind: Refuse, Refusal: &Refusal{URI: uri, Message: message}}
}

// deny is the one answer to all wrong credentials of a method, and to principals that do not exist.
func deny(method string) Outcome {
	return refuse(codec.ErrAuthenticationDenied, method+": the credentials are wrong")
}

// broken refuses because the authenticator failed, not the client.
func broken(message string) Outcome { return refuse(codec.ErrAuthenticationFailed, message) }

// violation refuses a message that the state of the attempt does not allow (PROTOCOL 1.4).
func violation(message string) Outcome { return refuse(codec.ErrProtocolViolation, message) }
