package policy

import (
	"maps"

	"banyan/codec"
)

// A Session is what an authorizer is told about the session that asks. Immutable while a Request has it.
type Session struct {
	ID                                                uint64
	Realm, AuthID, AuthRole, AuthMethod, AuthProvider string
	AuthExtra                                         map[string]any // nil: left out
}

// A Request is a question for a dynamic authorizer: may this session do that (PROTOCOL 11)?
type Request struct {
	Session Session
	Action  Action
	URI     string // or pattern
	Match   codec.Match
	Options map[string]any // those of the message, as codec.Value decodes them; not changed
}

// Arguments returns the arguments of the call of the authorizer procedure: session_details, uri, action, options. The
// options of SUBSCRIBE and REGISTER always have "match", since the answer may depend on it.
func (q *Request) Arguments() []any {
	s := &q.Session
	details := map[string]any{
		"session": s.ID, "realm": s.Realm, "authid": s.AuthID, "authrole": s.AuthRole, "authmethod": s.AuthMethod,
		"authprovider": s.AuthProvider,
	}
	if s.AuthExtra != nil {
		details["authextra"] = s.AuthExtra
	}
	options := maps.Clone(q.Options)
	if options == nil {
		options = map[string]any{}
	}
	if q.Action == Subscribe || q.Action == Register {
		options["match"] = matchNames[q.Match]
	}
	return []any{details, q.URI, q.Action.String(), options}
}

// Append encodes the Arguments in s. On error, which says what cannot be encoded, it returns dst unchanged in length.
func (q *Request) Append(dst []byte, s codec.Serializer) ([]byte, error) {
	return codec.AppendValue(dst, s, q.Arguments())
}
