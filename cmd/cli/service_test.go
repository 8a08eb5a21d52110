package cli

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"banyan/bench/client"
	"banyan/cmd/config"
	"banyan/codec"
)

// A testService is a router in this process, with its file.
type testService struct {
	*service
	t    *testing.T
	file string
	log  *lockedBuffer
	unix string
}

// startService starts a router of two loops on a Unix socket with what the file says besides, or on the listeners
// that it has. Other files, name and text by turns, are beside it.
func startService(t *testing.T, text string, files ...string) *testService {
	t.Helper()
	dir := t.TempDir()
	s := &testService{
		t: t, file: filepath.Join(dir, "banyan.yaml"), log: &lockedBuffer{}, unix: filepath.Join(dir, "wamp.sock"),
	}
	s.write(text)
	for i := 0; i < len(files); i += 2 {
		if err := os.WriteFile(filepath.Join(dir, files[i]), []byte(files[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	flags := []string{"--config", s.file, "--loops", "2"}
	if !strings.Contains(text, "listeners:") {
		flags = append(flags, "--listen", "unix:"+s.unix)
	}
	c, err := parseServe(flags...)
	if err != nil {
		t.Fatal(err)
	}
	f, _, err := c.load(nil)
	if err != nil {
		t.Fatal(err)
	}
	level := new(slog.LevelVar)
	log := slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: level}))
	s.service = &service{
		source: c, log: log, level: level, started: f.WithoutUsers(), current: f, since: time.Now(),
		pause: func(time.Duration) {}, drained: make(chan struct{}),
	}
	control, err := listenControl(f)
	if err != nil {
		t.Fatal(err)
	}
	if s.router, err = newRouter(f, log, false); err != nil {
		t.Fatal(err)
	}
	control.serve(s.service)
	t.Cleanup(func() {
		control.close()
		if err := s.router.stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *testService) write(text string) {
	s.t.Helper()
	if err := os.WriteFile(s.file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// join joins as an anonymous client.
func (s *testService) join(realm string) (*client.Session, error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	c, err := client.Dial(ctx, "unix:"+s.unix, client.Options{Realm: realm, Serializer: codec.JSON})
	if err == nil {
		s.t.Cleanup(func() { c.Close() })
	}
	return c, err
}

// health is the status that the health check answers with.
func (s *testService) health() int {
	s.t.Helper()
	t := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", s.unix)
	}}
	defer t.CloseIdleConnections()
	r, err := (&http.Client{Transport: t, Timeout: patience}).Get("http://router/healthz")
	if err != nil {
		s.t.Fatal(err)
	}
	r.Body.Close()
	return r.StatusCode
}

// openRealms are realms in which anonymous clients may do everything.
func openRealms(names ...string) string {
	text := "realms:\n"
	for _, n := range names {
		text += "  - uri: " + n + "\n    auth: { anonymous: {} }\n    roles: [{ name: anonymous, permissions: [" +
			"{ uri: '', match: prefix, allow: [call, register, publish, subscribe] }] }]\n"
	}
	return text
}

// TestReload: what a file changes is in force at once and reported; sessions of realms that stay, stay.
func TestReload(t *testing.T) {
	s := startService(t, openRealms("a", "b"))
	stays, err := s.join("a")
	if err != nil {
		t.Fatal(err)
	}
	leaves, err := s.join("b")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 { // the second time nothing changes
		s.write("limits: { message_bytes_max: 1KiB }\nlog: { level: debug }\nprocess: { loops: 3, agent: Me }\n" +
			"keepalive: { ping_interval: 0 }\n" + openRealms("a", "c"))
		r := s.reload("test")
		if !r.Applied || len(r.Problems) > 0 {
			t.Fatalf("%+v", r)
		}
		paths := func(changes []config.Change) (all []string) {
			for _, c := range changes {
				all = append(all, c.Path)
			}
			return all
		}
		want := []string{
			"process.agent", "limits.message_bytes_max", "keepalive.ping_interval", "realms[b]", "realms[c]",
			"log.level",
		}
		if i == 1 {
			want = nil
		}
		if got := paths(r.Changes); !slices.Equal(got, want) {
			t.Errorf("changes %q, want %q", got, want)
		}
		if r.Sessions.RealmClosed != 1-i {
			t.Errorf("sessions %+v", r.Sessions)
		}
		// --loops stands above the file, so nothing needs a restart.
		if len(r.Restart) > 0 {
			t.Errorf("restart for %q", paths(r.Restart))
		}
	}
	if _, err := s.join("c"); err != nil {
		t.Error(err)
	}
	if _, err := s.join("b"); err == nil {
		t.Error("somebody joined a realm that was closed")
	}
	if err := stays.Err(); err != nil {
		t.Errorf("the session of a realm that stays has ended: %v", err)
	}
	eventually(t, "the session of the other realm has ended", func() bool { return leaves.Err() != nil })
	if !strings.Contains(s.log.String(), "level=DEBUG") {
		t.Error("log.level is not live")
	}
	if strings.Count(s.log.String(), `msg=changed`) != 6 {
		t.Errorf("the log says\n%s", s.log)
	}
}

// TestReloadRefused: a file with errors, or one that the realms refuse, changes nothing at all.
func TestReloadRefused(t *testing.T) {
	s := startService(t, "limits: { uri_bytes_max: 20 }\n"+openRealms("a"))
	before := s.inForce()
	key := filepath.Join(filepath.Dir(s.file), "key")
	for name, text := range map[string]string{
		"broken":   "limits: {",
		"an error": "limits: { uri_bytes_max: 0 }\n" + openRealms("b"),
		"the realms": "limits: { uri_bytes_max: 30 }\n" + strings.Replace(openRealms("b"), "anonymous: {}",
			"cryptosign: { router_key_file: "+key+" }, anonymous: {}", 1),
	} {
		if err := os.WriteFile(key, []byte("no key"), 0o600); err != nil {
			t.Fatal(err)
		}
		s.write(text)
		r := s.reload("test")
		if r.Applied || r.Error == "" || len(r.Changes) > 0 {
			t.Errorf("%s: %+v", name, r)
		}
		if s.inForce() != before || s.status().Refused == "" {
			t.Errorf("%s: another configuration is in force", name)
		}
		if _, err := s.join("b"); err == nil {
			t.Errorf("%s: the realm b is there", name)
		}
		if _, err := s.join("a"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !strings.Contains(s.log.String(), "the configuration before stays") &&
		!strings.Contains(s.log.String(), "the one before stays in force") {
		t.Error("the log says nothing")
	}
	s.write(openRealms("a"))
	if r := s.reload("test"); !r.Applied || s.status().Refused != "" {
		t.Errorf("%+v", r)
	}
}

// TestReloadTakenBack: what the engine has taken already is taken back when the realms refuse. No file that was
// checked gets so far: the name of a realm is spoilt behind the check.
func TestReloadTakenBack(t *testing.T) {
	s := startService(t, "limits: { connections_max: 9 }\n"+openRealms("a"))
	s.write("limits: { connections_max: 7 }\n" + openRealms("spoilt"))
	f, report := s.source.read(nil)
	if f == nil {
		t.Fatal(report)
	}
	f.Realms[0].URI = "no realm"
	if _, err := s.apply(f); err == nil || !strings.Contains(err.Error(), "no realm") {
		t.Errorf("the realms took it: %v", err)
	}
	if n := s.router.engine.ConnectionsMax(); n != 9 {
		t.Errorf("the engine has %d connections", n)
	}
	if _, err := s.join("a"); err != nil {
		t.Error(err)
	}
}

// TestReloadRestart: what needs a restart is named until the file says again what the router was started with.
func TestReloadRestart(t *testing.T) {
	s := startService(t, openRealms("a"))
	s.write("limits: { depth_max: 10 }\nbudget: { bytes: 16MiB }\n" + openRealms("a"))
	for range 2 {
		r := s.reload("test")
		if !r.Applied || len(r.Restart) != 2 || r.Restart[0].Path != "limits.depth_max" ||
			r.Restart[1].Path != "budget.bytes" {
			t.Fatalf("%+v", r)
		}
		if got := s.status().Restart; !slices.Equal(got, []string{"limits.depth_max", "budget.bytes"}) {
			t.Errorf("%q", got)
		}
	}
	s.write(openRealms("a"))
	if r := s.reload("test"); len(r.Restart) > 0 || len(s.status().Restart) > 0 {
		t.Errorf("%+v", r)
	}
}

// TestReloadBudget: a longest message that follows from a budget which needs a restart stays within the old one.
func TestReloadBudget(t *testing.T) {
	s := startService(t, "budget: { bytes: 16MiB }\n"+openRealms("a"))
	s.write("budget: { bytes: 1GiB }\nlimits: { message_bytes_max: 16MiB }\n" + openRealms("a"))
	if r := s.reload("test"); !r.Applied {
		t.Fatalf("%+v", r)
	}
	if got := s.live(s.inForce()).MessageBytesMax; got != 7<<20 {
		t.Errorf("messages of %d bytes are accepted", got)
	}
}

// TestReloadListeners: what a listener says about clients is live; another address needs a restart.
func TestReloadListeners(t *testing.T) {
	dir := t.TempDir()
	text := func(rule, address string) string {
		return "listeners: [{ name: one, address: 'unix:" + filepath.Join(dir, address) + "', anonymous: " + rule +
			" }]\n" + openRealms("a")
	}
	s := startService(t, text("local", "x"))
	s.unix = filepath.Join(dir, "x")
	if _, err := s.join("a"); err != nil {
		t.Fatal(err)
	}
	s.write(text("none", "y"))
	r := s.reload("test")
	if !r.Applied || len(r.Changes) != 1 || r.Changes[0].Path != "listeners[one].anonymous" ||
		len(r.Restart) != 1 || r.Restart[0].Path != "listeners[one].address" {
		t.Errorf("%+v", r)
	}
	if _, err := s.join("a"); err == nil {
		t.Error("anonymous: none of a listener is not live")
	}
}

// TestReloadsTakeTurns: many reloads at once leave one of their files in force, whole.
func TestReloadsTakeTurns(t *testing.T) {
	s := startService(t, openRealms("a"))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if r := s.reload("test"); !r.Applied {
				t.Errorf("%+v", r)
			}
		})
		all.Go(func() { s.status() })
	}
	all.Wait()
}

// TestControlBounds: more connections than there is room for wait, and are served later; a long head is refused.
func TestControlBounds(t *testing.T) {
	t.Parallel()
	s := startService(t, "process: { data_dir: data }\n"+openRealms("a"))
	path := s.started.Process.Socket()
	var idle []net.Conn
	for range controlConnectionsMax {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		idle = append(idle, c)
	}
	served := make(chan error, 1)
	go func() {
		var answer status
		_, err := (&controlClient{socket: path}).ask(t.Context(), http.MethodGet, "/status", &answer)
		if err == nil && (answer.Realms != 1 || answer.Config != s.file) {
			err = errors.New("another answer")
		}
		served <- err
	}()
	select {
	case err := <-served:
		t.Fatalf("one more than there is room for was served: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	idle[0].Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
	for _, c := range idle {
		c.Close()
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	go c.Write(append([]byte("GET /status HTTP/1.1\r\nHost: x\r\nA: "), bytes.Repeat([]byte("x"), 64<<10)...))
	b := make([]byte, 64)
	n, _ := c.Read(b)
	if !strings.Contains(string(b[:n]), "431") {
		t.Errorf("%q", b[:n])
	}
}

// TestControlSocket: a stale socket is replaced, a living one and another file are errors, and the mode is 0600.
func TestControlSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.sock")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	if _, err := listenPrivate(path); err == nil || !strings.Contains(err.Error(), "another router") {
		t.Errorf("with a living socket: %v", err)
	}
	stale.Close()
	for range 2 {
		l, err := listenPrivate(path)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Lstat(path)
		if err != nil || info.Mode() != fs.ModeSocket|0o600 {
			t.Errorf("%v, %v", info, err)
		}
		l.Close() // its file stays, as that of a router that was killed
	}
	if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) != 1 {
		t.Errorf("%v, %v", files, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listenPrivate(path); err == nil {
		t.Error("a file was taken for a stale socket")
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "precious" {
		t.Errorf("%q, %v", text, err)
	}
}

// TestWatch: a changed file is reloaded once it is the same twice, and one that was refused is tried again only when
// it changes.
func TestWatch(t *testing.T) {
	s := startService(t, openRealms("a"))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.watch(ctx, 5*time.Millisecond)
	}()
	reloads := func() int { return strings.Count(s.log.String(), "by=\"the file changed\"") }
	joinable := func(realm string) func() bool {
		return func() bool {
			_, err := s.join(realm)
			return err == nil
		}
	}
	users := filepath.Join(filepath.Dir(s.file), "users.yaml")
	if err := os.WriteFile(users, []byte("x: { role: anonymous }"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := reloads()
	s.write(strings.ReplaceAll(openRealms("b"), "    roles", "    users_file: users.yaml\n    roles"))
	eventually(t, "the realm b", joinable("b"))
	eventually(t, "a reload in the log", func() bool { return reloads() > before })
	before = reloads()
	time.Sleep(50 * time.Millisecond) // ten looks, at the users file too
	if more := reloads() - before; more > 0 {
		t.Errorf("files that did not change were read %d times more", more)
	}
	if err := os.WriteFile(users, []byte("x: { role: nobody }"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the users file is noticed", func() bool { return s.status().Refused != "" })
	n := reloads()
	time.Sleep(50 * time.Millisecond) // ten looks
	if more := reloads() - n; more > 0 {
		t.Errorf("a file that was refused was tried %d times more", more)
	}
	s.write(openRealms("c"))
	eventually(t, "the realm c", joinable("c"))
	cancel()
	<-ended
}

// TestWatchSecret: a file with a ticket that changes alone is noticed, as often as it changes.
func TestWatchSecret(t *testing.T) {
	s := startService(t, `
realms:
  - uri: a
    auth: { ticket: { allow_plain: true } }
    roles: [{ name: r }]
    users: { joe: { role: r, ticket: { file: joe.ticket } } }
`, "joe.ticket", "ticket-0")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.watch(ctx, 5*time.Millisecond)
	}()
	for i := 1; i <= 2; i++ {
		ticket := "ticket-" + strconv.Itoa(i)
		if err := os.WriteFile(filepath.Join(filepath.Dir(s.file), "joe.ticket"), []byte(ticket), 0o600); err != nil {
			t.Fatal(err)
		}
		eventually(t, ticket, func() bool {
			c, err := client.Dial(ctx, "unix:"+s.unix, client.Options{
				Realm: "a", Login: &client.Login{AuthID: "joe", Ticket: ticket}, Serializer: codec.JSON,
			})
			if err == nil {
				c.Close()
			}
			return err == nil
		})
	}
	cancel()
	<-ended
}

// TestWatchMissing: a configuration that was refused because a file that it names was missing is in force once the
// file is there.
func TestWatchMissing(t *testing.T) {
	s := startService(t, openRealms("a"))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.watch(ctx, 5*time.Millisecond)
	}()
	s.write(strings.ReplaceAll(openRealms("b"), "    roles", "    users_file: later.yaml\n    roles"))
	eventually(t, "the refusal", func() bool { return s.status().Refused != "" })
	later := filepath.Join(filepath.Dir(s.file), "later.yaml")
	if err := os.WriteFile(later, []byte("x: { role: anonymous }"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the realm b", func() bool {
		_, err := s.join("b")
		return err == nil
	})
	if refused := s.status().Refused; refused != "" {
		t.Errorf("still refused: %s", refused)
	}
	cancel()
	<-ended
}

// TestSpread: with many sessions a stop tells them to leave over drain.spread, those without open calls first, and
// accepts nobody meanwhile; it ends in time.
func TestSpread(t *testing.T) {
	const sessions = 2 * spreadPerSecond
	s := startService(t, "drain: { spread: 400ms, timeout: 8s }\n"+openRealms("a"))
	type end struct {
		at      time.Time
		calling bool
	}
	ends := make(chan end, sessions)
	callee, err := s.join("a")
	if err != nil {
		t.Fatal(err)
	}
	never := func(ctx context.Context, _ *client.Invocation) (client.Values, error) {
		<-ctx.Done()
		return client.Values{}, ctx.Err()
	}
	if _, err := callee.Register(t.Context(), client.Topic{URI: "com.slow"}, nil, never); err != nil {
		t.Fatal(err)
	}
	for i := range sessions {
		c, err := s.join("a")
		if err != nil {
			t.Fatal(err)
		}
		calling := i < 10
		if calling {
			go c.Call(t.Context(), "com.slow", nil, client.Values{}, nil)
		}
		go func() {
			<-c.Done()
			ends <- end{time.Now(), calling}
		}()
	}
	eventually(t, "the calls are open", func() bool { return s.router.realms.Stats().OpenCalls == 10 })
	begin := time.Now()
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	var all []end
	for range sessions {
		select {
		case e := <-ends:
			all = append(all, e)
		case <-time.After(patience):
			t.Fatalf("only %d sessions have ended", len(all))
		}
		if len(all) == sessions/2 {
			if _, err := s.join("a"); err == nil {
				t.Error("somebody was accepted during the stop")
			}
		}
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if last := all[len(all)-1].at.Sub(begin); last < 300*time.Millisecond || time.Since(begin) > 8*time.Second {
		t.Errorf("the last session ended after %v", last)
	}
	for i, e := range all[:sessions/2] {
		if e.calling {
			t.Errorf("a session with an open call was told as number %d of %d", i, sessions)
		}
	}
}

// TestGrace: for drain.grace a router that stops lets clients in, and not after it; with few sessions nothing is
// spread.
func TestGrace(t *testing.T) {
	s := startService(t, "drain: { grace: 300ms, timeout: 8s }\n"+openRealms("a"))
	if status := s.health(); status != http.StatusOK {
		t.Errorf("the health check answers %d", status)
	}
	begin := time.Now()
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	if _, err := s.join("a"); err != nil {
		t.Errorf("within the grace: %v", err)
	}
	if status := s.health(); status != http.StatusServiceUnavailable {
		t.Errorf("within the grace the health check answers %d", status)
	}
	s.reload("the test") // does not undo the stop
	if status := s.health(); status != http.StatusServiceUnavailable {
		t.Errorf("after a reload within the grace the health check answers %d", status)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took < 300*time.Millisecond {
		t.Errorf("the stop took %v", took)
	}
	if _, err := s.join("a"); err == nil {
		t.Error("somebody joined a router that has stopped")
	}
}

// TestSettling: a text is acted on at the second look that finds it, once, until there is another.
func TestSettling(t *testing.T) {
	w := settling{known: "a", before: "a"}
	for i, c := range []struct {
		now  string
		acts bool
	}{
		{"a", false},
		{"b", false},
		{"c", false},
		{"c", true},
		{"c", false},
		{"d", false},
		{"c", false},
		{"c", false},
		{"d", false},
		{"d", true},
	} {
		if got := w.look(c.now); got != c.acts {
			t.Errorf("look %d finds %s and acts: %v", i, c.now, got)
		}
	}
}

// TestReloadListenersByName: what the file says about a listener reaches it, wherever in the file it stands.
func TestReloadListenersByName(t *testing.T) {
	dir := t.TempDir()
	one := func(rule string) string {
		return "  - { name: one, address: 'unix:" + filepath.Join(dir, "x") + "', anonymous: " + rule + " }\n"
	}
	two := "  - { name: two, address: 'unix:" + filepath.Join(dir, "y") + "' }\n"
	s := startService(t, "listeners:\n"+one("local")+two+openRealms("a"))
	for _, rule := range []string{"none", "local"} {
		s.write("listeners:\n" + two + one(rule) + openRealms("a"))
		if r := s.reload("test"); !r.Applied || len(r.Restart) > 0 {
			t.Fatalf("%+v", r)
		}
		s.unix = filepath.Join(dir, "x")
		if _, err := s.join("a"); (err == nil) != (rule == "local") {
			t.Errorf("one, %s: %v", rule, err)
		}
		s.unix = filepath.Join(dir, "y")
		if _, err := s.join("a"); err != nil {
			t.Errorf("two, while one has %s: %v", rule, err)
		}
	}
}

// A reload that meets somebody who writes waits for the whole.
func TestReloadWaitsForTheWholeFile(t *testing.T) {
	t.Parallel()
	s := startService(t, openRealms("a", "b"))
	for name, c := range map[string]struct {
		writes  int // while the reload looks
		applied bool
	}{
		"nobody writes":      {0, true},
		"half of a file":     {1, true},
		"until the last try": {settleTries - 1, true},
		"without end":        {settleTries, false},
	} {
		before, left := s.inForce(), c.writes
		s.write(openRealms("a")) // good, and not meant
		s.pause = func(d time.Duration) {
			if left--; left >= 0 {
				s.write(openRealms("a", "b") + "# " + strconv.Itoa(left) + "\n")
			}
		}
		if c.writes == 0 {
			s.write(openRealms("a", "b"))
		}
		r := s.reload("test")
		if r.Applied != c.applied || r.Sessions.RealmClosed != 0 || !c.applied && s.inForce() != before {
			t.Errorf("%s: %+v", name, r)
		}
		if c.applied && len(s.inForce().Realms) != 2 {
			t.Errorf("%s: half of the file is in force", name)
		}
	}
}

// TestControlWithoutConfiguration: a command that speaks to a router says that its configuration is missing, and what
// is missing in one that is there.
func TestControlWithoutConfiguration(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("there.yaml", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"missing.yaml": "cannot read the configuration missing.yaml", "there.yaml": "names no control socket",
		"": "names no control socket",
	} {
		c := controlClient{source: configSource{file: file}}
		_, err := c.ask(t.Context(), "GET", "/status", new(status))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", file, err)
		}
	}
}
