package cli

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sony/gobreaker/v2"

	"banyan/cmd/config"
	"banyan/realm/auth"
)

// TestHookAnswerBytes: the longest answer of a web service, at n and n + 1.
func TestHookAnswerBytes(t *testing.T) {
	for n, good := range map[int]bool{hookAnswerBytesMax: true, hookAnswerBytesMax + 1: false} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `"user"`+strings.Repeat(" ", n-len(`"user"`)))
		}))
		decide, err := newHook(&config.HTTPHook{URL: s.URL, FailuresMax: 100, Pause: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		got, err := decide(t.Context(), &auth.Request{Realm: "a"})
		if good && (got != "user" || err != nil) || !good && !errors.Is(err, errLongAnswer) {
			t.Errorf("%d bytes: %v, %v", n, got, err)
		}
		s.Close()
	}
}

// A watchedContext counts who waits for its end.
type watchedContext struct {
	context.Context
	waits int
}

func (c *watchedContext) Done() <-chan struct{} {
	c.waits++
	return c.Context.Done()
}

// TestHookOpenBreaker: while the service is left alone, a login fails at once, without pauses for repetitions.
func TestHookOpenBreaker(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
	}))
	defer s.Close()
	decide, err := newHook(&config.HTTPHook{URL: s.URL, Retries: 1, FailuresMax: 2, Pause: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := decide(t.Context(), &auth.Request{Realm: "a"}); err == nil {
		t.Fatal("no error")
	}
	ctx := &watchedContext{Context: t.Context()}
	if _, err := decide(ctx, &auth.Request{Realm: "a"}); err == nil || ctx.waits != 0 {
		t.Errorf("%v after %d waits", err, ctx.waits)
	}
}

// Neither clients that leave while the service is asked, nor questions that it does not take, have it left alone;
// another failure in between counts on.
func TestHookStrangers(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan int)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		asked <- struct{}{}
		select {
		case status := <-answer:
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `"user"`)
		case <-r.Context().Done():
		}
	}))
	defer s.Close()
	decide, err := newHook(&config.HTTPHook{URL: s.URL, Retries: 3, FailuresMax: 2, Pause: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(ctx context.Context, then func()) (any, error) {
		t.Helper()
		go func() { <-asked; then() }()
		return decide(ctx, &auth.Request{Realm: "a"})
	}
	leaves := func() {
		ctx, leave := context.WithCancel(t.Context())
		if _, err := ask(ctx, leave); !errors.Is(err, context.Canceled) {
			t.Fatalf("who left got %v", err)
		}
	}
	says := func(status int) func() { return func() { answer <- status } }
	for range 3 {
		leaves()
	}
	for _, status := range badQuestions {
		if _, err := ask(t.Context(), says(status)); !errors.Is(err, errBadQuestion) {
			t.Fatalf("%d: %v", status, err)
		}
	}
	if got, err := ask(t.Context(), says(http.StatusOK)); got != "user" || err != nil {
		t.Fatalf("others got %v, %v", got, err)
	}
	// One failure, then a client that leaves, then one more failure: the second in a row.
	failing, end := context.WithCancel(t.Context())
	go func() { <-asked; answer <- http.StatusBadGateway; <-asked; end() }()
	if _, err := decide(failing, &auth.Request{Realm: "a"}); err == nil {
		t.Fatal("no error")
	}
	go func() { <-asked; answer <- http.StatusNotFound }()
	if _, err := decide(t.Context(), &auth.Request{Realm: "a"}); !errors.Is(err, gobreaker.ErrOpenState) {
		t.Fatalf("after two failures: %v", err)
	}
}

// TestShortBody: an answer of the longest length is read to its end, and one octet more is an error.
func TestShortBody(t *testing.T) {
	for n, want := range map[int]error{7: nil, 8: errLongAnswer} {
		b := &shortBody{ReadCloser: io.NopCloser(strings.NewReader(strings.Repeat("x", n))), left: 7}
		if got, err := io.ReadAll(b); !errors.Is(err, want) || err == nil && len(got) != n {
			t.Errorf("%d bytes: %q, %v", n, got, err)
		}
	}
}
