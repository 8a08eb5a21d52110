package policy

import (
	"errors"
	"fmt"

	"banyan/codec"
)

// ErrAnswer is the error for every answer of an authorizer that is not as PROTOCOL 11 has it. The request is refused
// with authorization_failed then.
var ErrAnswer = errors.New("policy: the authorizer answered with something else than true, false or {allow: …}")

// A Choice is a boolean that may be left out.
type Choice uint8

// Choices.
const (
	Unsaid Choice = iota
	No
	Yes
)

func (c Choice) or(unsaid bool) bool {
	if c == Unsaid {
		return unsaid
	}
	return c == Yes
}

// An Answer is what a dynamic authorizer said.
type Answer struct {
	Allow    bool
	Disclose Choice // Unsaid: as the permissions say
	Cache    Choice // may the answer be kept? Unsaid: as the permissions say
}

// ReadAnswer reads the Arguments of the RESULT of an authorizer, encoded in s. The error is or wraps ErrAnswer.
func ReadAnswer(s codec.Serializer, args []byte) (Answer, error) {
	if len(args) > answerBytesMax {
		return Answer{}, fmt.Errorf("%w: %d octets, at most %d are read", ErrAnswer, len(args), answerBytesMax)
	}
	if len(args) == 0 {
		return ParseAnswer(nil)
	}
	v, err := codec.Value(s, args)
	if err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	list, ok := v.([]any)
	if !ok {
		return Answer{}, fmt.Errorf("%w: no list of arguments", ErrAnswer)
	}
	return ParseAnswer(list)
}

// ParseAnswer reads the arguments of the RESULT of an authorizer: a boolean, or a dictionary with allow and perhaps
// disclose, cache and validate. null counts as absent, other keys and further arguments are skipped. A validate that
// asks for something is an error, because this router does not look into payloads: to allow what was to be validated
// would be wrong. The error wraps ErrAnswer and tells an operator what is wrong.
func ParseAnswer(args []any) (Answer, error) {
	if len(args) == 0 {
		return Answer{}, fmt.Errorf("%w: no argument", ErrAnswer)
	}
	var dict map[string]any
	switch v := args[0].(type) {
	case bool:
		return Answer{Allow: v}, nil
	case map[string]any:
		dict = v
	default:
		return Answer{}, fmt.Errorf("%w: its first argument is a %T", ErrAnswer, v)
	}
	var a Answer
	allow, err := choice(dict, "allow")
	if err == nil && allow == Unsaid {
		err = fmt.Errorf("%w: allow is missing", ErrAnswer)
	}
	if err == nil {
		a.Disclose, err = choice(dict, "disclose")
	}
	if err == nil {
		a.Cache, err = choice(dict, "cache")
	}
	if validate := dict["validate"]; err == nil && validate != nil {
		if wanted, ok := validate.(map[string]any); !ok || len(wanted) > 0 {
			err = fmt.Errorf("%w: validate is not supported", ErrAnswer)
		}
	}
	if err != nil {
		return Answer{}, err
	}
	a.Allow = allow == Yes
	return a, nil
}

func choice(dict map[string]any, key string) (Choice, error) {
	switch v := dict[key].(type) {
	case nil:
		return Unsaid, nil
	case bool:
		if v {
			return Yes, nil
		}
		return No, nil
	default:
		return Unsaid, fmt.Errorf("%w: %s is a %T", ErrAnswer, key, v)
	}
}

// Answered returns the decision after the authorizer has given its answer to the request of which the permissions
// said d. A definitive d stays as it is.
func (d Decision) Answered(a Answer) Decision {
	if d.Definitive {
		return d
	}
	if !a.Allow {
		d.Trust = 0
	}
	return Decision{
		Allow:      a.Allow,
		Disclose:   a.Allow && a.Disclose.or(d.Disclose),
		Cache:      a.Cache.or(d.Cache),
		Trust:      d.Trust,
		Definitive: true,
	}
}

// Failure returns the error URI for a request whose authorizer answered with an ERROR of that URI:
// authorization_failed, except that authorization_required reaches the client (PROTOCOL 5.1). "" stands for a
// timeout, an answer that ReadAnswer refused, and an authorizer that is not there.
func Failure(errorURI string) string {
	if errorURI == codec.ErrAuthorizationRequired {
		return errorURI
	}
	return codec.ErrAuthorizationFailed
}
