package client

import (
	"errors"
	"fmt"
	"strings"
)

// ErrClosed is returned for work on a connection that Close has ended.
var ErrClosed = errors.New("client: closed")

// A ConnectError says that the network, TLS or the opening handshake failed.
type ConnectError struct {
	URL string
	Err error
}

func (e *ConnectError) Error() string { return fmt.Sprintf("connect to %s: %v", e.URL, e.Err) }
func (e *ConnectError) Unwrap() error { return e.Err }

// An AbortError is an ABORT of the router: it refused the session or ended it for a violation (PROTOCOL 4.5).
type AbortError struct {
	Reason  string // a URI
	Message string // Details.message, may be empty
}

func (e *AbortError) Error() string {
	if e.Message == "" {
		return "the router aborted: " + e.Reason
	}
	return fmt.Sprintf("the router aborted: %s (%s)", e.Reason, e.Message)
}

// A GoodbyeError is a GOODBYE that the router began.
type GoodbyeError struct {
	Reason  string
	Message string
}

func (e *GoodbyeError) Error() string {
	if e.Message == "" {
		return "the router said goodbye: " + e.Reason
	}
	return fmt.Sprintf("the router said goodbye: %s (%s)", e.Reason, e.Message)
}

// A RevokedError says that the router has taken a subscription or registration away, which ends the session.
type RevokedError struct {
	What   string // subscription or registration
	Reason string // a URI, may be empty
}

func (e *RevokedError) Error() string {
	if e.Reason == "" {
		return "the router has taken a " + e.What + " away"
	}
	return "the router has taken a " + e.What + " away: " + e.Reason
}

// A CloseError is a WebSocket close frame of the router.
type CloseError struct {
	Code   int // 1005 when the frame had none
	Reason string
}

func (e *CloseError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("the router closed the WebSocket with code %d", e.Code)
	}
	return fmt.Sprintf("the router closed the WebSocket with code %d (%s)", e.Code, e.Reason)
}

// An Error is a WAMP ERROR: the answer to a request, or what a callee's handler returns to have it sent.
type Error struct {
	URI     string
	Details map[string]any
	Values
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.URI)
	for _, a := range e.Args {
		fmt.Fprintf(&b, " %v", a)
	}
	return b.String()
}

// A protocolError says that the router sent something no router may send.
type protocolError struct{ what string }

func (e *protocolError) Error() string { return "the router broke the protocol: " + e.what }

func protocolErrorf(format string, args ...any) error {
	return &protocolError{what: fmt.Sprintf(format, args...)}
}
