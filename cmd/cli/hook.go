package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/sony/gobreaker/v2"

	"banyan/cmd/config"
	"banyan/realm"
	"banyan/realm/auth"
)

const (
	// hookAnswerBytesMax is the longest answer of a web service, in bytes. Longer: the login fails.
	hookAnswerBytesMax = 64 << 10
	// hookRetryFirst is the pause before the first repetition of a question; each pause is twice the one before.
	hookRetryFirst = 100 * time.Millisecond
)

// errBadQuestion is the answer of a service that dislikes what a client said, which another client need not fear.
var errBadQuestion = errors.New("it does not take what the client said")

// badQuestions are the answers by which web services say that.
var badQuestions = []int{
	http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity,
	http.StatusRequestHeaderFieldsTooLarge,
}

// A hook asks a web service about logins: it posts {"realm", "authid", "details"} as JSON, the arguments of a dynamic
// authenticator (PROTOCOL 10.8). The answer is
//
//	200        the role as a JSON text, or a dictionary such as {"role": …, "authid": …, "extra": …}
//	401, 403   no; {"error": URI, "message": text} may say why
//	400, 413, 422, 431
//	           the service does not take this question: the login fails
//	any other  the service has no answer: the question is repeated, and counts as a failure
//
// After http.failures_max failures in a row nobody is asked for http.pause. A client that leaves meanwhile, or whose
// question the service does not take, is no failure. Any goroutine.
type hook struct {
	url, secret string
	name        string // the URL for people
	retries     int
	client      *http.Client
	breaker     *gobreaker.CircuitBreaker[any]
}

func newHook(h *config.HTTPHook) (realm.Authenticator, error) {
	w := &hook{
		url: h.URL, name: config.PublicURL(h.URL), retries: h.Retries,
		client: &http.Client{CheckRedirect: refuseRedirect},
		breaker: gobreaker.NewCircuitBreaker[any](gobreaker.Settings{
			Timeout:     h.Pause,
			ReadyToTrip: func(c gobreaker.Counts) bool { return int(c.ConsecutiveFailures) >= h.FailuresMax },
			IsSuccessful: func(err error) bool { // a denial is an answer
				var denied *auth.AuthenticatorError
				return err == nil || errors.As(err, &denied)
			},
			// A client that left, or an answer to nothing but this question, tells nothing about the service:
			// strangers could have it left alone.
			IsExcluded: func(err error) bool {
				return errors.Is(err, context.Canceled) || errors.Is(err, errBadQuestion)
			},
		}),
	}
	if h.SecretFile != "" {
		var err error
		if w.secret, err = readSecret(h.SecretFile); err != nil {
			return nil, fmt.Errorf("auth.http.secret_file: %w", err)
		}
	}
	return w.decide, nil
}

// decide is a realm.Authenticator.
func (w *hook) decide(ctx context.Context, q *auth.Request) (any, error) {
	question := map[string]any{"realm": q.Realm, "authid": nil, "details": q.Details}
	if q.AuthID != "" {
		question["authid"] = q.AuthID
	}
	body, err := json.Marshal(question)
	if err != nil {
		return nil, fmt.Errorf("what the client said is no JSON: %w", err)
	}
	for i, pause := 0, hookRetryFirst; ; i, pause = i+1, 2*pause {
		returned, err := w.breaker.Execute(func() (any, error) { return w.ask(ctx, body) })
		var denied *auth.AuthenticatorError
		if err == nil || errors.As(err, &denied) || i == w.retries || errors.Is(err, gobreaker.ErrOpenState) ||
			errors.Is(err, errBadQuestion) {
			return returned, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(pause):
		}
	}
}

// ask asks once.
func (w *hook) ask(ctx context.Context, body []byte) (any, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return nil, withoutURL(err)
	}
	q.Header.Set("Content-Type", "application/json")
	if w.secret != "" {
		q.Header.Set("Authorization", "Bearer "+w.secret)
	}
	a, err := w.client.Do(q)
	if err != nil {
		return nil, withoutURL(err)
	}
	defer a.Body.Close()
	text, err := io.ReadAll(io.LimitReader(a.Body, hookAnswerBytesMax+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > hookAnswerBytesMax:
		return nil, errLongAnswer
	case a.StatusCode == http.StatusUnauthorized, a.StatusCode == http.StatusForbidden:
		denied := &auth.AuthenticatorError{}
		var said struct{ Error, Message string }
		if json.Unmarshal(text, &said) == nil {
			denied.URI, denied.Message = said.Error, said.Message
		}
		return nil, denied
	case slices.Contains(badQuestions, a.StatusCode):
		return nil, fmt.Errorf("%s answers %s: %w", w.name, a.Status, errBadQuestion)
	case a.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s answers %s", w.name, a.Status)
	}
	var returned any
	if err := json.Unmarshal(text, &returned); err != nil {
		return nil, fmt.Errorf("%s answers with something else than JSON", w.name)
	}
	return returned, nil
}

// withoutURL is the reason behind an error of net/http, which has the whole URL in its text.
func withoutURL(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}
