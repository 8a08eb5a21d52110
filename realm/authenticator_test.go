package realm

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"banyan/codec"
	"banyan/engine/port"
	"banyan/realm/auth"
)

// dynamicBed is a router whose method ticket, and wampcra, ask a procedure in the realm "service", which a local
// session answers.
type dynamicBed struct {
	*bed
	service *localConn
	asked   int
}

func newDynamicBed(t *testing.T, edit func(*auth.Config, *Config)) *dynamicBed {
	t.Helper()
	b := &dynamicBed{bed: loginBed(t, 2, func(ac *auth.Config, cfg *Config) {
		ac.Users = nil
		ac.Dynamic = &auth.DynamicOptions{
			Authenticator: "com.app.authenticate", ProcedureRealm: "service", Methods: []string{"ticket", "wampcra"},
			Timeout: time.Second,
		}
		cfg.Realms = append(cfg.Realms,
			RealmConfig{URI: "service", StrictRequestIDs: true}, RealmConfig{URI: "realm2"})
		if edit != nil {
			edit(ac, cfg)
		}
	})}
	b.Submit(1, func(x port.Executor) {
		var err error
		b.service, err = b.router.openLocal(x, "service", codec.Identity{AuthRole: trustedRole},
			func(_ port.Executor, msg []byte) {
				v, err := codec.Value(codec.MessagePack, msg)
				if err != nil {
					b.t.Error(err)
				}
				b.heard[b.service] = append(b.heard[b.service], v.([]any))
			}, func(port.Executor) {})
		if err != nil {
			b.t.Error(err)
		}
	})
	b.Settle()
	b.say(b.service, codec.Register, 1, values{}, "com.app.authenticate")
	b.asked = 1
	return b
}

// question returns the next question to the authenticator and its invocation, nil if there is none.
func (b *dynamicBed) question() (args []any, invocation int) {
	b.t.Helper()
	b.Settle()
	if len(b.heard[b.service]) == b.asked {
		return nil, 0
	}
	m := b.heard[b.service][b.asked]
	b.asked++
	if m[0] != int64(codec.Invocation) {
		b.t.Fatalf("the authenticator heard %v", m)
	}
	return m[4].([]any), int(m[1].(int64))
}

// result expects a question and answers it.
func (b *dynamicBed) result(v any) []any {
	b.t.Helper()
	args, invocation := b.question()
	if args == nil {
		b.t.Fatal("nobody asked the authenticator")
	}
	b.say(b.service, codec.Yield, invocation, values{}, []any{v})
	return args
}

func (b *dynamicBed) ticket() *peer {
	b.t.Helper()
	p := b.far(0, codec.JSON, nil)
	p.offer("joe", values{"authextra": values{"x": []any{int64(1)}}, "authrole": "admin"}, "ticket")
	p.challenged("ticket")
	p.say(codec.Authenticate, "secret", values{})
	return p
}

// TestAUTHDynamic: an authenticator decides who a client is: a role, or a dictionary, or another question to it
// (AUTH-42, 43, 45).
func TestAUTHDynamic(t *testing.T) {
	t.Attr("checklist", "AUTH-42 AUTH-43 AUTH-45")
	b := newDynamicBed(t, nil)
	p := b.ticket()
	p.silent()
	if !p.Held() {
		t.Error("the connection is not held")
	}
	args := b.result("user")
	d := args[2].(values)
	if args[0] != "realm1" || args[1] != "joe" || d["ticket"] != "secret" || d["authmethod"] != "ticket" ||
		d["authrole"] != "admin" || d["authextra"].(values)["x"].([]any)[0] != int64(1) || d["session"] == nil ||
		d["transport"].(values)["peer"] != "203.0.113.7" {
		t.Errorf("asked %v", args)
	}
	p.welcomed("joe", "user", "ticket", "dynamic")
	if int64(p.id) != d["session"] {
		t.Errorf("session %d, asked about %v", p.id, d["session"])
	}

	p = b.ticket()
	b.result(values{"realm": "realm2", "authid": "joseph", "role": "staff", "extra": values{"y": 2}})
	m := p.expect(codec.Welcome, nil, nil)
	d = m[2].(values)
	if d["realm"] != "realm2" || d["authid"] != "joseph" || d["authrole"] != "staff" ||
		d["authextra"].(values)["y"] != int64(2) {
		t.Errorf("%v", m)
	}
	p.subscribe(1, "t")
	if b.router.named["realm2"].topics.Find([]byte("t"), codec.Exact) == nil {
		t.Error("the session is not in realm2")
	}

	p = b.ticket() // a second factor
	b.result(values{"challenge": values{"ask": "code"}})
	if extra := p.challenged("ticket"); extra["ask"] != "code" {
		t.Errorf("%v", extra)
	}
	if p.Held() {
		t.Error("held while CHALLENGE waits")
	}
	p.say(codec.Authenticate, "123456", values{})
	if d := b.result("user")[2].(values); d["ticket"] != "123456" || d["round"] != int64(2) {
		t.Errorf("%v", d)
	}
	p.welcomed("joe", "user", "ticket", "dynamic")

	p = b.far(0, codec.CBOR, nil) // the credentials come from it
	p.offer("joe", nil, "wampcra")
	p.silent()
	b.result(values{"role": "user", "secret": secretOf})
	p.say(codec.Authenticate, signCRA(p.challenged("wampcra")["challenge"].(string)), values{})
	p.welcomed("joe", "user", "wampcra", "dynamic")
	if n := b.router.Stats().AuthenticatorsFailed; n != 0 {
		t.Errorf("%d failures counted", n)
	}
}

// TestAUTHDynamicFails: an authenticator that denies, fails, answers with something else, is late or is not there
// (AUTH-44), and realms and roles that it names and nobody has.
func TestAUTHDynamicFails(t *testing.T) {
	t.Attr("checklist", "AUTH-44 AUTH-51")
	rules := grant(t, map[string]bool{"user": true})
	b := newDynamicBed(t, func(_ *auth.Config, cfg *Config) { cfg.Realms[0].Policy = rules })
	fails := func(uri string, reply func(invocation int)) string {
		t.Helper()
		p := b.ticket()
		_, invocation := b.question()
		reply(invocation)
		return p.aborted(uri)
	}
	raise := func(uri string, args ...any) func(int) {
		return func(i int) {
			b.say(b.service, codec.Error, codec.Invocation, i, values{}, uri, append([]any{}, args...))
		}
	}
	if text := fails(codec.ErrNoSuchPrincipal, raise(codec.ErrNoSuchPrincipal, "who?")); text != "who?" {
		t.Errorf("message %q", text)
	}
	fails(codec.ErrAuthenticationDenied, raise("com.app.no"))
	fails(codec.ErrAuthenticationFailed, raise(codec.ErrNoSuchProcedure))
	for _, rubbish := range []any{
		nil, 5,
		[]any{},
		values{},
		values{"role": 5},
		values{"role": "user", "extra": 5},
		"",
		values{"role": "user", "realm": strings.Repeat("x", 2000)},
	} {
		fails(codec.ErrAuthenticationFailed, func(i int) {
			b.say(b.service, codec.Yield, i, values{}, []any{rubbish})
		})
	}
	fails(codec.ErrAuthenticationFailed, func(i int) { b.say(b.service, codec.Yield, i, values{}) })
	for _, realm := range []string{"nowhere", "not valid", strings.Repeat("x", 1024)} {
		fails(codec.ErrNoSuchRealm, func(i int) {
			b.say(b.service, codec.Yield, i, values{}, []any{values{"role": "user", "realm": realm}})
		})
	}
	fails(codec.ErrNoSuchRole, func(i int) { b.say(b.service, codec.Yield, i, values{}, []any{"admin"}) })
	late := 0
	fails(codec.ErrAuthenticationFailed, func(i int) {
		late = i
		b.Advance(time.Second)
		b.Settle()
	})
	b.asked++ // INTERRUPT
	b.say(b.service, codec.Yield, late, values{}, []any{"user"})
	b.idle(1)

	p := b.ticket() // the client leaves; the answer comes late (AUTH-51)
	_, invocation := b.question()
	p.Do(func(x port.Executor) { p.Lock(); p.Finish(x, port.CloseNormal, ""); p.Unlock() })
	b.Settle()
	b.asked++
	b.say(b.service, codec.Yield, invocation, values{}, []any{"user"})
	p.silent()
	b.idle(1)

	p = b.ticket() // the realm of the procedure is closed meanwhile
	b.question()
	if err := b.router.closeRealm("service", func() {}); err != nil {
		t.Fatal(err)
	}
	b.Settle()
	p.aborted(codec.ErrAuthenticationFailed)
	p = b.ticket()
	p.aborted(codec.ErrAuthenticationFailed)
	b.idle(0)
	if n := b.router.Stats().AuthenticatorsFailed; n == 0 {
		t.Error("failures are not counted")
	}
	if n := b.Loops[0].Armed(); n != 0 {
		t.Errorf("%d timers are armed", n)
	}
}

// TestAUTHOwnRealm: without ProcedureRealm the procedure is in the realm that the client joins, and is not subject to
// its permissions.
func TestAUTHOwnRealm(t *testing.T) {
	b := newDynamicBed(t, func(ac *auth.Config, cfg *Config) {
		ac.Dynamic.ProcedureRealm = ""
		cfg.Realms[0].Policy = grant(t, map[string]bool{"user": false, "guest": true})
	})
	callee := b.connect(1, codec.MessagePack, 1<<20)
	callee.offer("", nil)
	callee.welcomed("", "guest", "anonymous", "static")
	callee.say(codec.Register, 1, values{"disclose_caller": true}, "com.app.authenticate")
	callee.expect(codec.Registered, 1, nil)
	p := b.ticket()
	m := callee.expect(codec.Invocation, nil, nil, nil, nil)
	if d := m[3].(values); d["caller_authrole"] != trustedRole {
		t.Errorf("%v", m)
	}
	callee.say(codec.Yield, int(m[1].(int64)), values{}, []any{"user"})
	p.welcomed("joe", "user", "ticket", "dynamic")
	seen := 0
	count := func(int, SessionInfo) { seen++ }
	if err := b.router.listSessions(b.router.named["realm1"], count, func() {}); err != nil {
		t.Fatal(err)
	}
	b.Settle()
	if seen != 2 || b.router.Stats().Sessions != 3 {
		t.Errorf("%d sessions listed, %d counted: the router's own are none", seen, b.router.Stats().Sessions)
	}
}

// TestAUTHHook: an Authenticator is asked aside of the loops, with a deadline; what it returns, denies or fails at is
// followed; too many at a time are refused, one that does not heed its deadline is left behind.
func TestAUTHHook(t *testing.T) {
	var got *auth.Request
	var ctx context.Context
	returned, failed := any("user"), error(nil)
	b := loginBed(t, 1, func(ac *auth.Config, cfg *Config) {
		ac.Users = nil
		ac.Dynamic = &auth.DynamicOptions{
			Authenticator: "https://x", Methods: []string{"ticket"}, Timeout: time.Second,
		}
		cfg.Realms[0].Authenticator = func(c context.Context, q *auth.Request) (any, error) {
			ctx, got = c, q
			return returned, failed
		}
	})
	d := &dynamicBed{bed: b}
	p := d.ticket()
	p.welcomed("joe", "user", "ticket", "dynamic")
	if got.AuthID != "joe" || got.Details["ticket"] != "secret" || got.Authenticator != "https://x" {
		t.Errorf("%+v", got)
	}
	if _, deadline := ctx.Deadline(); !deadline || ctx.Err() == nil {
		t.Error("the context has no deadline, or was not ended")
	}
	returned, failed = nil, &auth.AuthenticatorError{URI: codec.ErrNoSuchPrincipal}
	d.ticket().aborted(codec.ErrNoSuchPrincipal)
	failed = errors.New("503")
	d.ticket().aborted(codec.ErrAuthenticationFailed)
	returned, failed = map[string]any{"role": "user", "authid": "ann"}, nil
	d.ticket().welcomed("ann", "user", "ticket", "dynamic")

	b.Forced = func(int, string) bool { return false }
	begin := func() *peer { return beginTicket(t, b, "secret") }
	p = begin() // it hangs
	b.Advance(time.Second + authenticatorGrace)
	b.RunLoop(0)
	p.aborted(codec.ErrAuthenticationFailed)
	b.idle(2)
	p = begin() // the client leaves
	p.Do(func(x port.Executor) { p.Lock(); p.Finish(x, port.CloseNormal, ""); p.Unlock() })
	b.RunLoop(0)
	b.idle(2)
	if ctx.Err() == nil {
		t.Error("the context of a login that is over goes on")
	}
	if n := b.Loops[0].Armed(); n != 0 {
		t.Errorf("%d timers are armed", n)
	}
	b.router.aside = func(port.Executor, func(), func(port.Executor)) bool { return false }
	begin().aborted(codec.ErrAuthenticationFailed)
	if n := b.router.Stats().LoginsBusy; n != 1 {
		t.Errorf("%d busy", n)
	}
}

// TestAside: questions to an Authenticator run on goroutines, so many at a time and no more, and come back to the
// loop.
func TestAside(t *testing.T) {
	r, w := running(t, 1, Config{})
	defer w.Settle()
	release, done := make(chan struct{}), make(chan bool, authenticatorsAtOnce+1)
	taken := make(chan int)
	w.Submit(0, func(x port.Executor) {
		n := 0
		for range authenticatorsAtOnce + 1 {
			if r.aside(x, func() { <-release }, func(x port.Executor) { done <- x.Loop() == 0 }) {
				n++
			}
		}
		taken <- n
	})
	if n := <-taken; n != authenticatorsAtOnce {
		t.Errorf("%d at a time", n)
	}
	close(release)
	for range authenticatorsAtOnce {
		if !<-done {
			t.Fatal("not on the loop")
		}
	}
	for r.asking.Load() != 0 { // a goroutine is counted until it has ended
		time.Sleep(time.Millisecond)
	}
}

// TestGateIsGone: a session that another realm let in is judged by that realm. When it was closed, and one of its
// name is there again, that is another one: it has not let the session in.
func TestGateIsGone(t *testing.T) {
	for _, again := range []bool{false, true} {
		b := newDynamicBed(t, nil)
		p := b.far(0, codec.JSON, nil)
		p.offer("joe", nil, "ticket")
		p.challenged("ticket")
		p.say(codec.Authenticate, "x", values{})
		b.result(values{"realm": "realm2", "authid": "joe", "role": "user"})
		b.Settle()
		p.expect(codec.Welcome, nil, nil)
		cfg := *b.router.settings.Load()
		if r := b.apply(cfg); r.SessionsDismissed != 0 {
			t.Fatalf("%+v", r)
		}
		p.silent()
		if again {
			if err := b.router.closeRealm("realm1", func() {}); err != nil {
				t.Fatal(err)
			}
			b.Settle()
			if err := b.router.CreateRealm(cfg.Realms[0]); err != nil {
				t.Fatal(err)
			}
			p.silent()
			if r := b.apply(cfg); r.SessionsDismissed != 1 {
				t.Errorf("%+v", r)
			}
			p.expect(codec.Goodbye, nil, codec.CloseKilled)
		}
	}
}
