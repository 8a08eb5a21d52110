package codec

import (
	"unicode"
	"unicode/utf8"
)

// Error URIs that the router puts on the wire or looks for (PROTOCOL 5.1); names follow the URI.
const (
	ErrInvalidURI                 = "wamp.error.invalid_uri"
	ErrNoSuchProcedure            = "wamp.error.no_such_procedure"
	ErrProcedureAlreadyExists     = "wamp.error.procedure_already_exists"
	ErrNoSuchRegistration         = "wamp.error.no_such_registration"
	ErrNoSuchSubscription         = "wamp.error.no_such_subscription"
	ErrInvalidArgument            = "wamp.error.invalid_argument"
	ErrCanceled                   = "wamp.error.canceled"
	ErrTimeout                    = "wamp.error.timeout"
	ErrPayloadSizeExceeded        = "wamp.error.payload_size_exceeded"
	ErrProtocolViolation          = "wamp.error.protocol_violation"
	ErrNotAuthorized              = "wamp.error.not_authorized"
	ErrAuthorizationFailed        = "wamp.error.authorization_failed"
	ErrNoSuchRealm                = "wamp.error.no_such_realm"
	ErrNoSuchRole                 = "wamp.error.no_such_role"
	ErrNoSuchSession              = "wamp.error.no_such_session"
	ErrNoMatchingAuthMethod       = "wamp.error.no_matching_auth_method"
	ErrNoSuchPrincipal            = "wamp.error.no_such_principal"
	ErrAuthenticationDenied       = "wamp.error.authentication_denied"
	ErrAuthenticationFailed       = "wamp.error.authentication_failed"
	ErrAuthenticationRequired     = "wamp.error.authentication_required"
	ErrAuthorizationDenied        = "wamp.error.authorization_denied"
	ErrAuthorizationRequired      = "wamp.error.authorization_required"
	ErrOptionNotAllowed           = "wamp.error.option_not_allowed"
	ErrOptionDisallowedDiscloseMe = "wamp.error.option_disallowed.disclose_me"
	ErrNetworkFailure             = "wamp.error.network_failure"
	ErrUnavailable                = "wamp.error.unavailable"
	ErrUnregistered               = "wamp.error.unregistered"
	ErrNoAvailableCallee          = "wamp.error.no_available_callee"
	ErrFeatureNotSupported        = "wamp.error.feature_not_supported"
	ErrCannotAuthenticate         = "wamp.error.cannot_authenticate" // clients send it in ABORT
)

// Reasons of GOODBYE (PROTOCOL 4.6).
const (
	CloseGoodbyeAndOut  = "wamp.close.goodbye_and_out"
	CloseSystemShutdown = "wamp.close.system_shutdown"
	CloseCloseRealm     = "wamp.close.close_realm"
	CloseKilled         = "wamp.close.killed"
	CloseNormal         = "wamp.close.normal" // accepted, never sent
	CloseLogout         = "wamp.close.logout" // accepted, never sent
)

// ValidURI checks u against PROTOCOL 3.1: the form depends on match (exact: no empty component; prefix: the last may
// be empty; wildcard: any may be empty). It does not check the length. White space is unicode.IsSpace and U+001C to
// U+001F. A URI cannot begin with U+0000, because JSON receivers would read it as binary (PROTOCOL 14.2).
func ValidURI(u []byte, match Match, strict bool) bool {
	empty := true // the component so far
	for i := 0; i < len(u); {
		c := u[i]
		switch {
		case c == '.':
			if empty && match != Wildcard {
				return false
			}
			empty = true
			i++
			continue
		case c-'a' <= 25 || c-'0' <= 9 || c == '_':
			i++
		case strict || c == '#' || c == ' ' || c-'\t' <= '\r'-'\t' || c-0x1c <= 0x1f-0x1c || c == 0 && i == 0:
			return false
		case c < utf8.RuneSelf:
			i++
		default:
			r, n := utf8.DecodeRune(u[i:])
			if r == utf8.RuneError && n <= 1 || unicode.IsSpace(r) {
				return false
			}
			i += n
		}
		empty = false
	}
	return !empty || match != Exact
}

// ReservedURI reports whether u's first component is exactly "wamp" (PROTOCOL 3.3).
func ReservedURI(u []byte) bool {
	return len(u) >= 4 && string(u[:4]) == "wamp" && (len(u) == 4 || u[4] == '.')
}
