package cli

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/sony/gobreaker/v2"

	"banyan/cmd/config"
	"banyan/realm/auth"
)

// TestLastingKey: the key of mock challenges is made once, for the router alone, and read again.
func TestLastingKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	f := &config.File{Config: &config.Config{Process: config.Process{DataDir: dir}}}
	k := readKeys(t, f)
	info, err := os.Stat(filepath.Join(dir, mockKeyFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	again := readKeys(t, f)
	if !bytes.Equal(k.mock, again.mock) || len(k.mock) != mockKeyBytes {
		t.Errorf("%x and then %x", k.mock, again.mock)
	}
	if bytes.Equal(k.mockFor("a"), k.mockFor("b")) || !bytes.Equal(k.mockFor("a"), again.mockFor("a")) {
		t.Error("the keys of realms are the same, or change")
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("%v is left, %v", files, err)
	}
	for _, bad := range []string{"", "no hex", "00ff", strings.Repeat("0", 2*mockKeyBytes+2)} {
		if err := os.WriteFile(filepath.Join(dir, mockKeyFile), []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := newKeys(f, nil, nil); err == nil || !strings.Contains(err.Error(), mockKeyFile) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if k := readKeys(t, &config.File{Config: &config.Config{}}); k.mockFor("a") != nil {
		t.Error("there is a key without a folder")
	}
}

// TestLastingKeyReadOnly: a key that is there is read where nothing can be written; one that is not is an error that
// says so. (Next to a name of 255 octets no temporary file can be made, by root neither.)
func TestLastingKeyReadOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), strings.Repeat("k", 255))
	if _, err := lastingKey(path); err == nil || !strings.Contains(err.Error(), "cannot keep a key") {
		t.Errorf("without a key: %v", err)
	}
	want := bytes.Repeat([]byte{7}, mockKeyBytes)
	if err := os.WriteFile(path, []byte(hex.EncodeToString(want)), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := lastingKey(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("with a key: %x, %v", got, err)
	}
}

// jwks is a key set with one key, and its private half.
func jwks(t *testing.T, id string) (string, ed25519.PrivateKey) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","use":"sig","kid":%q,"x":%q}]}`, id,
		base64.RawURLEncoding.EncodeToString(public)), private
}

// verifies reports whether a token of this key passes.
func verifies(t *testing.T, find jwt.Keyfunc, id string, key ed25519.PrivateKey) bool {
	t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{"sub": "a"})
	token.Header["kid"] = id
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	_, err = jwt.Parse(text, find)
	return err == nil
}

// TestKeySetFile: keys of a file follow the file, and a file that is none leaves those before.
func TestKeySetFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	first, one := jwks(t, "one")
	write(first)
	var log lockedBuffer
	k := &keys{log: slog.New(slog.NewTextHandler(&log, nil)), sets: map[setName]*keySet{}}
	t.Cleanup(k.refuse)
	j := &config.JWT{KeysFile: path, Refresh: 5 * time.Millisecond}
	find, err := k.keySet(j)
	if err != nil || !verifies(t, find, "one", one) {
		t.Fatal(err)
	}
	second, two := jwks(t, "two")
	write(second)
	eventually(t, "the second key", func() bool { return verifies(t, find, "two", two) })
	if verifies(t, find, "one", one) {
		t.Error("the first key still passes")
	}
	write("{")
	eventually(t, "a warning", func() bool {
		return strings.Contains(log.String(), "those that were read before stay")
	})
	if !verifies(t, find, "two", two) {
		t.Error("a broken file took the keys away")
	}
	next := &keys{log: k.log, sets: map[setName]*keySet{}, old: k.sets}
	if _, err := next.keySet(j); err != nil || next.sets[setName{file: path, refresh: j.Refresh}] !=
		k.sets[setName{file: path, refresh: j.Refresh}] {
		t.Errorf("the next configuration has another key set: %v", err)
	}
	next.accept()
	third, three := jwks(t, "three")
	write(third)
	eventually(t, "the third key", func() bool { return verifies(t, find, "three", three) })
	if err := os.WriteFile(path, bytes.Repeat([]byte(" "), keySetBytesMax+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readKeySet(path); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("a long file: %v", err)
	}
}

// TestKeySetURL: keys are fetched, a service without an answer is no error, and a long answer is refused.
func TestKeySetURL(t *testing.T) {
	set, key := jwks(t, "one")
	var broken atomic.Bool
	broken.Store(true)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case broken.Load():
			w.WriteHeader(http.StatusInternalServerError)
		case r.URL.Path == "/long":
			fmt.Fprint(w, strings.Repeat(" ", keySetBytesMax), set)
		default:
			fmt.Fprint(w, set)
		}
	}))
	defer s.Close()
	var log lockedBuffer
	k := &keys{log: slog.New(slog.NewTextHandler(&log, nil)), sets: map[setName]*keySet{}}
	t.Cleanup(k.refuse)
	find, err := k.keySet(&config.JWT{KeysURL: s.URL, Refresh: 10 * time.Millisecond})
	if err != nil || verifies(t, find, "one", key) {
		t.Fatalf("without an answer: %v", err)
	}
	if !strings.Contains(log.String(), "cannot fetch the keys of tokens") {
		t.Errorf("the log says %q", log.String())
	}
	broken.Store(false)
	eventually(t, "the key", func() bool { return verifies(t, find, "one", key) })
	long, err := k.keySet(&config.JWT{KeysURL: s.URL + "/long", Refresh: time.Hour})
	if err != nil || verifies(t, long, "one", key) {
		t.Errorf("a long answer was taken: %v", err)
	}
}

// TestURLsStayPrivate: no error and no line of the log has the query of a URL, which may be a secret, whether nobody
// answers, or somebody has a wrong answer.
func TestURLsStayPrivate(t *testing.T) {
	const query = "?code=forbidden"
	w := newWebhook(t)
	w.answers(http.StatusTeapot, "no JSON")
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, base := range []string{w.URL, gone.URL} {
		var log lockedBuffer
		k := &keys{log: slog.New(slog.NewTextHandler(&log, nil)), sets: map[setName]*keySet{}}
		if _, err := k.keySet(&config.JWT{KeysURL: base + query, Refresh: time.Hour}); err != nil {
			t.Error(err)
		}
		k.refuse()
		if text := log.String(); strings.Contains(text, "forbidden") || !strings.Contains(text, base) {
			t.Errorf("the log says %q", text)
		}
		h := &config.HTTPHook{URL: base + query, FailuresMax: 100, Pause: time.Hour}
		decide, err := newHook(h)
		if err != nil {
			t.Fatal(err)
		}
		for _, status := range []int{http.StatusTeapot, http.StatusBadRequest, http.StatusOK} {
			w.answers(status, "no JSON")
			_, err = decide(t.Context(), &auth.Request{Realm: "a"})
			if err == nil || strings.Contains(err.Error(), "forbidden") {
				t.Errorf("%d: %v", status, err)
			}
		}
		c, err := authConfig(&config.Realm{URI: "a", Auth: config.Auth{HTTP: h}}, k)
		if err != nil || strings.Contains(c.Dynamic.Authenticator, "forbidden") {
			t.Errorf("%+v, %v", c, err)
		}
	}
}

// A webhook answers as it is told and counts.
type webhook struct {
	*httptest.Server
	status atomic.Int32
	body   atomic.Value // string
	asked  atomic.Int32
	last   atomic.Value // http.Header
	said   atomic.Value // map[string]any
}

func newWebhook(t *testing.T) *webhook {
	w := &webhook{}
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.asked.Add(1)
		w.last.Store(r.Header.Clone())
		var said map[string]any
		if err := json.NewDecoder(r.Body).Decode(&said); err != nil && r.Method == http.MethodPost {
			t.Error(err)
		}
		w.said.Store(said)
		if w.status.Load() == http.StatusFound {
			rw.Header().Set("Location", "/elsewhere")
		}
		rw.WriteHeader(int(w.status.Load()))
		fmt.Fprint(rw, w.body.Load())
	}))
	t.Cleanup(w.Close)
	return w
}

func (w *webhook) answers(status int, body string) {
	w.status.Store(int32(status))
	w.body.Store(body)
}

// TestHook: what a web service answers is what the authenticator says (PROTOCOL 10.8).
func TestHook(t *testing.T) {
	t.Parallel()
	w := newWebhook(t)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	decide, err := newHook(&config.HTTPHook{
		URL: w.URL, SecretFile: secret, Retries: 1, FailuresMax: 100, Pause: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	q := &auth.Request{Realm: "realm1", AuthID: "joe", Details: map[string]any{"ticket": "x"}}
	for _, c := range []struct {
		status int
		body   string
		want   string // "": denied; "error": no answer
		asked  int32
	}{
		{200, `"user"`, "user", 1},
		{200, `{"role":"admin"}`, "map[role:admin]", 1},
		{403, `{"error":"com.no","message":"not you"}`, "", 1},
		{401, "", "", 1},
		{500, `"user"`, "error", 2},
		{404, `"user"`, "error", 2},
		{302, "", "error", 2},
		{200, "no JSON", "error", 2},
		{200, `"` + strings.Repeat("x", hookAnswerBytesMax) + `"`, "error", 2},
	} {
		w.answers(c.status, c.body)
		before := w.asked.Load()
		returned, err := decide(t.Context(), q)
		var denied *auth.AuthenticatorError
		got := fmt.Sprint(returned)
		switch {
		case errors.As(err, &denied):
			got = ""
			if c.body != "" && (denied.URI != "com.no" || denied.Message != "not you") {
				t.Errorf("%d: denied with %+v", c.status, denied)
			}
		case err != nil:
			got = "error"
		}
		if n := w.asked.Load() - before; got != c.want || n != c.asked {
			t.Errorf("%d %.20q: %q, %v, asked %d times", c.status, c.body, got, err, n)
		}
	}
	if h := w.last.Load().(http.Header); h.Get("Authorization") != "Bearer s3cret" ||
		h.Get("Content-Type") != "application/json" {
		t.Errorf("%v", h)
	}
	said := w.said.Load().(map[string]any)
	if said["realm"] != "realm1" || said["authid"] != "joe" || fmt.Sprint(said["details"]) != "map[ticket:x]" {
		t.Errorf("%v", said)
	}
	w.answers(200, `"user"`)
	if _, err := decide(t.Context(), &auth.Request{Realm: "realm1"}); err != nil {
		t.Error(err)
	}
	if said := w.said.Load().(map[string]any); said["authid"] != nil {
		t.Errorf("without authid: %v", said)
	}
}

// TestHookBreaker: after failures_max failures in a row nobody is asked until the pause is over; an answer in between
// begins the count anew, and so does a denial.
func TestHookBreaker(t *testing.T) {
	w := newWebhook(t)
	h := &config.HTTPHook{URL: w.URL, FailuresMax: 2, Pause: 20 * time.Millisecond}
	decide, err := newHook(h)
	if err != nil {
		t.Fatal(err)
	}
	ask := func() error {
		_, err := decide(t.Context(), &auth.Request{})
		return err
	}
	for _, status := range []int{500, 403, 500, 200, 500} {
		w.answers(status, `"user"`)
		if err := ask(); errors.Is(err, gobreaker.ErrOpenState) {
			t.Fatalf("it is open after single failures")
		}
	}
	w.answers(500, "")
	if err := ask(); err == nil || errors.Is(err, gobreaker.ErrOpenState) {
		t.Errorf("the second failure: %v", err)
	}
	asked := w.asked.Load()
	if err := ask(); !errors.Is(err, gobreaker.ErrOpenState) || w.asked.Load() != asked {
		t.Errorf("after two failures: %v", err)
	}
	w.answers(200, `"user"`)
	eventually(t, "it is asked again", func() bool { return ask() == nil })
}

// TestHookDeadline: a service that does not answer in time is an error, also between two questions.
func TestHookDeadline(t *testing.T) {
	w := newWebhook(t)
	w.answers(500, "")
	decide, err := newHook(&config.HTTPHook{URL: w.URL, Retries: 10, FailuresMax: 100, Pause: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := decide(ctx, &auth.Request{}); err == nil || w.asked.Load() > 2 {
		t.Errorf("%v after %d questions", err, w.asked.Load())
	}
}

// A lockedBuffer is a buffer for several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

// Write implements io.Writer.
func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

// String is what was written.
func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestKeySetNames: key sets that differ in one part of their names are followed each for itself; the next
// configuration takes over those that it names and ends the others.
func TestKeySetNames(t *testing.T) {
	dir := t.TempDir()
	files := []string{filepath.Join(dir, "one.json"), filepath.Join(dir, "two.json")}
	for _, path := range files {
		text, _ := jwks(t, filepath.Base(path))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(s.Close)
	k := &keys{log: slog.New(slog.DiscardHandler), sets: map[setName]*keySet{}}
	t.Cleanup(k.refuse)
	options := []*config.JWT{
		{KeysFile: files[0], Refresh: time.Hour},
		{KeysFile: files[1], Refresh: time.Hour},
		{KeysFile: files[0], Refresh: 2 * time.Hour},
		{KeysURL: s.URL + "/one", Refresh: time.Hour},
		{KeysURL: s.URL + "/two", Refresh: time.Hour},
		{KeysURL: s.URL + "/one", Refresh: 2 * time.Hour},
	}
	for range 2 {
		for _, j := range options {
			if _, err := k.keySet(j); err != nil {
				t.Fatal(err)
			}
		}
		if len(k.sets) != len(options) {
			t.Errorf("%d key sets, want %d", len(k.sets), len(options))
		}
	}
	next := &keys{log: k.log, sets: map[setName]*keySet{}, old: k.sets}
	t.Cleanup(next.refuse)
	for i, j := range append([]*config.JWT{{KeysFile: files[1], Refresh: 2 * time.Hour}}, options[1:]...) {
		if _, err := next.keySet(j); err != nil {
			t.Fatal(err)
		}
		name := setName{j.KeysURL, j.KeysFile, j.Refresh}
		if kept := next.sets[name] == k.sets[name]; kept != (i > 0) {
			t.Errorf("key set %+v of the configuration before: %v", name, kept)
		}
	}
}
