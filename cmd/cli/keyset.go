package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"

	"banyan/cmd/config"
)

const (
	// keySetTimeout bounds one fetch of a key set. It can delay a start so long, which then goes on without keys.
	keySetTimeout = 5 * time.Second
	// keySetBytesMax is the longest key set, in bytes. Longer: the set is refused, and the one before stays.
	keySetBytesMax = 1 << 20
	// unknownKeyWait is how long a token whose key is not in the set waits for its turn to have the set fetched
	// again, which happens every five minutes at most.
	unknownKeyWait = time.Millisecond
)

// A setName says which key set is meant. Sets with the same name are one.
type setName struct {
	url, file string
	refresh   time.Duration
}

// A keySet finds the keys of tokens, and follows its source until it is ended. Any goroutine.
type keySet struct {
	find jwt.Keyfunc
	end  context.CancelFunc
}

// keySet returns the function that finds the key of a token.
func (k *keys) keySet(j *config.JWT) (jwt.Keyfunc, error) {
	name := setName{j.KeysURL, j.KeysFile, j.Refresh}
	if s := k.sets[name]; s != nil {
		return s.find, nil
	}
	if k.offline && name.url != "" {
		return func(*jwt.Token) (any, error) { return nil, errKeysLater }, nil
	}
	s := k.old[name]
	if s == nil {
		ctx, end := context.WithCancel(context.Background())
		s = &keySet{end: end}
		var err error
		if name.url != "" {
			s.find, err = k.fetched(ctx, name)
		} else {
			s.find, err = k.watched(ctx, name)
		}
		if err != nil {
			end()
			return nil, err
		}
	}
	k.sets[name] = s
	return s.find, nil
}

// fetched is a key set that is fetched now and then. Without an answer there are no keys yet, and the log says so.
func (k *keys) fetched(ctx context.Context, name setName) (jwt.Keyfunc, error) {
	later := true
	set, err := keyfunc.NewDefaultOverrideCtx(ctx, []string{name.url}, keyfunc.Override{
		Client: &http.Client{
			Transport: shortAnswers{http.DefaultTransport, keySetBytesMax}, CheckRedirect: refuseRedirect,
		},
		HTTPTimeout:               keySetTimeout,
		NoErrorReturnFirstHTTPReq: &later,
		RateLimitWaitMax:          unknownKeyWait,
		RefreshInterval:           name.refresh,
		RefreshErrorHandlerFunc: func(string) func(context.Context, error) {
			return func(_ context.Context, err error) {
				k.log.Warn("cannot fetch the keys of tokens; those that were fetched before stay", "url",
					config.PublicURL(name.url), "error", withoutURL(err))
			}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", config.PublicURL(name.url), withoutURL(err))
	}
	return set.Keyfunc, nil
}

// watched is a key set in a file that is read again now and then. A file that is no key set leaves the one before.
func (k *keys) watched(ctx context.Context, name setName) (jwt.Keyfunc, error) {
	var now atomic.Pointer[keyfunc.Keyfunc]
	read := func() error {
		set, err := readKeySet(name.file)
		if err == nil {
			now.Store(&set)
		}
		return err
	}
	if err := read(); err != nil {
		return nil, err
	}
	go func() {
		tick := time.NewTicker(name.refresh)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if err := read(); err != nil {
					k.log.Warn("cannot read the keys of tokens; those that were read before stay", "error", err)
				}
			}
		}
	}()
	return func(t *jwt.Token) (any, error) { return (*now.Load()).Keyfunc(t) }, nil
}

// refuseRedirect keeps keys and logins to the service that the file names: who answers there for a moment, or a page
// there that sends on, could name any other.
func refuseRedirect(*http.Request, []*http.Request) error { return errRedirect }

var errRedirect = errors.New("it answers with a redirect, which is not followed; name the place to which it leads")

func readKeySet(path string) (keyfunc.Keyfunc, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, keySetBytesMax+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > keySetBytesMax:
		return nil, fmt.Errorf("%s has more than %d bytes", path, keySetBytesMax)
	}
	set, err := keyfunc.NewJWKSetJSON(text)
	if err != nil {
		return nil, fmt.Errorf("%s is no JSON Web Key Set: %w", path, err)
	}
	return set, nil
}

// shortAnswers refuses answers that are too long.
type shortAnswers struct {
	http.RoundTripper
	most int64 // bytes
}

// RoundTrip implements http.RoundTripper.
func (s shortAnswers) RoundTrip(q *http.Request) (*http.Response, error) {
	a, err := s.RoundTripper.RoundTrip(q)
	if err == nil {
		a.Body = &shortBody{ReadCloser: a.Body, left: s.most}
	}
	return a, err
}

// A shortBody fails behind its longest length.
type shortBody struct {
	io.ReadCloser
	left int64 // bytes
}

var errLongAnswer = errors.New("the answer is too long")

// Read implements io.Reader.
func (b *shortBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, errLongAnswer
	}
	return n, err
}
