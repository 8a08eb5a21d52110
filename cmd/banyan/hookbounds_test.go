package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"banyan/cmd/banyan/config"
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

// TestShortBody: an answer of the longest length is read to its end, and one octet more is an error.
func TestShortBody(t *testing.T) {
	for n, want := range map[int]error{7: nil, 8: errLongAnswer} {
		b := &shortBody{ReadCloser: io.NopCloser(strings.NewReader(strings.Repeat("x", n))), left: 7}
		if got, err := io.ReadAll(b); !errors.Is(err, want) || err == nil && len(got) != n {
			t.Errorf("%d bytes: %q, %v", n, got, err)
		}
	}
}
