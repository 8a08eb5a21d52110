package policy

import (
	"errors"
	"strings"
	"testing"

	"banyan/codec"

	"github.com/google/go-cmp/cmp"
)

var serializers = []codec.Serializer{codec.JSON, codec.MessagePack, codec.CBOR}

type dict = map[string]any

// TestAUZAnswers: a boolean or a dictionary with allow, in every serializer. AUZ-08, AUZ-10, AUZ-12.
func TestAUZAnswers(t *testing.T) {
	t.Attr("checklist", "AUZ-08 AUZ-10 AUZ-12")
	for _, c := range []struct {
		args []any
		want Answer
	}{
		{[]any{true}, Answer{Allow: true}},
		{[]any{false}, Answer{}},
		{[]any{true, "more", 3}, Answer{Allow: true}},
		{[]any{dict{"allow": true}}, Answer{Allow: true}},
		{[]any{dict{"allow": false, "disclose": true, "cache": true}}, Answer{false, Yes, Yes}},
		{[]any{dict{"allow": true, "disclose": false, "cache": false}}, Answer{true, No, No}},
		{[]any{dict{"allow": true, "disclose": nil, "cache": nil, "validate": nil}}, Answer{Allow: true}},
		{[]any{dict{"allow": true, "validate": dict{}, "other": []any{1}}}, Answer{Allow: true}},
	} {
		for _, s := range serializers {
			raw, err := codec.AppendValue(nil, s, c.args)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := ReadAnswer(s, raw); err != nil || got != c.want {
				t.Errorf("%v %v: %+v, %v, want %+v", s, c.args, got, err, c.want)
			}
		}
	}
}

// TestAUZRubbish: every other answer is an error, and allows nothing. AUZ-09.
func TestAUZRubbish(t *testing.T) {
	t.Attr("checklist", "AUZ-09")
	for _, args := range []any{
		[]any{},
		[]any{nil},
		[]any{1},
		[]any{"true"},
		[]any{[]any{true}},
		[]any{dict{}},
		dict{"allow": true},
		true, nil,
		[]any{dict{"allow": nil}},
		[]any{dict{"allow": 1}},
		[]any{dict{"allow": "yes"}},
		[]any{dict{"Allow": true}},
		[]any{dict{"allow": true, "disclose": "all"}},
		[]any{dict{"allow": true, "disclose": dict{"caller": true}}},
		[]any{dict{"allow": true, "disclose": true, "cache": 30}},
		[]any{dict{"allow": true, "validate": dict{"call": "x"}}},
		[]any{dict{"allow": true, "validate": true}},
	} {
		for _, s := range serializers {
			raw, err := codec.AppendValue(nil, s, args)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ReadAnswer(s, raw)
			if !errors.Is(err, ErrAnswer) || got != (Answer{}) {
				t.Errorf("%v %v: %+v, %v", s, args, got, err)
			}
		}
	}
	for _, raw := range []string{"", "[", "[true", "[true]x", "\xff"} {
		for _, s := range serializers {
			if got, err := ReadAnswer(s, []byte(raw)); !errors.Is(err, ErrAnswer) || got != (Answer{}) {
				t.Errorf("%v %q: %+v, %v", s, raw, got, err)
			}
		}
	}
}

// TestAnswerBytesMax: an answer of n octets is read, one of n+1 is not.
func TestAnswerBytesMax(t *testing.T) {
	for n, ok := range []bool{true, false} {
		raw := "[true,\"" + strings.Repeat("x", answerBytesMax+n-len(`[true,""]`)) + "\"]"
		if a, err := ReadAnswer(codec.JSON, []byte(raw)); a.Allow != ok || (err == nil) != ok {
			t.Errorf("%d octets: %+v, %v", len(raw), a, err)
		}
	}
}

// TestAUZAnswered: the answer decides; what it leaves out is as the permissions say; nobody who is denied is
// disclosed; a permission that decides is not overruled. AUZ-08, AUZ-12.
func TestAUZAnswered(t *testing.T) {
	t.Attr("checklist", "AUZ-08 AUZ-12")
	for _, c := range []struct {
		from Decision
		a    Answer
		want Decision
	}{
		{Decision{}, Answer{Allow: true}, Decision{Allow: true, Definitive: true}},
		{Decision{}, Answer{}, Decision{Definitive: true}},
		{Decision{}, Answer{true, Yes, Yes}, Decision{true, true, true, 0, true}},
		{Decision{Trust: 3}, Answer{Allow: true}, Decision{Allow: true, Trust: 3, Definitive: true}},
		{Decision{Trust: 3}, Answer{}, Decision{Definitive: true}},
		{Decision{Disclose: true, Cache: true}, Answer{Allow: true}, Decision{true, true, true, 0, true}},
		{Decision{Disclose: true, Cache: true}, Answer{true, No, No}, Decision{Allow: true, Definitive: true}},
		{Decision{Disclose: true, Cache: true}, Answer{}, Decision{Cache: true, Definitive: true}},
		{Decision{}, Answer{false, Yes, Yes}, Decision{Cache: true, Definitive: true}},
		{denied, Answer{true, Yes, Yes}, denied},
		{Decision{Allow: true, Definitive: true}, Answer{}, Decision{Allow: true, Definitive: true}},
	} {
		if got := c.from.Answered(c.a); got != c.want {
			t.Errorf("%+v answered %+v: %+v, want %+v", c.from, c.a, got, c.want)
		}
	}
}

// TestAUZFailure: an authorizer that raises, times out or is not there is authorization_failed, whatever it says but
// authorization_required. AUZ-09.
func TestAUZFailure(t *testing.T) {
	t.Attr("checklist", "AUZ-09")
	for _, uri := range []string{
		"", codec.ErrNotAuthorized, codec.ErrNoSuchProcedure, codec.ErrTimeout, "com.example.no",
	} {
		if got := Failure(uri); got != "wamp.error.authorization_failed" {
			t.Errorf("%q: %s", uri, got)
		}
	}
	if got := Failure("wamp.error.authorization_required"); got != "wamp.error.authorization_required" {
		t.Errorf("%s", got)
	}
}

// TestAUZRequest: the authorizer gets session_details, uri, action, options, with the match of patterns, in every
// serializer. AUZ-08.
func TestAUZRequest(t *testing.T) {
	t.Attr("checklist", "AUZ-08")
	options := dict{"acknowledge": true}
	q := Request{
		Session: Session{
			ID: 7, Realm: "realm1", AuthID: "joe", AuthRole: "user", AuthMethod: "ticket", AuthProvider: "static",
		},
		URI: "com.a", Options: options,
	}
	details := dict{
		"session": int64(7), "realm": "realm1", "authid": "joe", "authrole": "user", "authmethod": "ticket",
		"authprovider": "static",
	}
	check := func(want ...any) {
		t.Helper()
		for _, s := range serializers {
			raw, err := q.Append(nil, s)
			if err != nil {
				t.Fatal(err)
			}
			got, err := codec.Value(s, raw)
			if diff := cmp.Diff(any(want), got); diff != "" || err != nil {
				t.Errorf("%v: %v %s", s, err, diff)
			}
		}
	}
	check(details, "com.a", "publish", dict{"acknowledge": true})
	q.Action, q.Options = Call, nil
	check(details, "com.a", "call", dict{})
	q.Session.AuthExtra = dict{"x": int64(1)}
	details["authextra"] = dict{"x": int64(1)}
	q.Action = Register
	check(details, "com.a", "register", dict{"match": "exact"})
	q.Action, q.Match, q.URI = Subscribe, codec.Wildcard, "com..a"
	q.Options = dict{"get_retained": true}
	check(details, "com..a", "subscribe", dict{"match": "wildcard", "get_retained": true})
	if diff := cmp.Diff(dict{"get_retained": true}, q.Options); diff != "" {
		t.Errorf("the options of the caller were changed: %s", diff)
	}
	q.Options = dict{"x": struct{}{}}
	if raw, err := q.Append([]byte("abc"), codec.JSON); err == nil || string(raw) != "abc" {
		t.Errorf("%q, %v", raw, err)
	}
}
