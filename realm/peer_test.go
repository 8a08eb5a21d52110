package realm

import (
	"bytes"
	"context"
	"testing"
	"time"

	"banyan/codec"
	"banyan/engine/port"
	"banyan/realm/realmtest"

	"github.com/google/go-cmp/cmp"
)

// bed is a router in a seeded world, for tests that say themselves who goes on.
type bed struct {
	*realmtest.World
	t      *testing.T
	router *Router
	pause  map[int]string // loop: the step at which it hands over next
	skip   map[int]int    // loop: how many such steps to let pass first
	heard  map[*localConn][][]any

	answers func() // answers the authorizer's invocations; or nil
}

func newBed(t *testing.T, loops int, cfg Config) *bed {
	t.Helper()
	if len(cfg.Realms)+len(cfg.Templates) == 0 {
		cfg.Realms = []RealmConfig{{URI: "realm1"}, {URI: "realm2"}}
	}
	cfg.Loops = loops
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{
		World: realmtest.NewWorld(1, loops), t: t, router: r, pause: map[int]string{}, skip: map[int]int{},
		heard: map[*localConn][][]any{},
	}
	b.Open = r.Open
	r.clock = func() time.Time { return noon.Add(b.Now()) }
	r.aside = func(x port.Executor, work func(), done func(x port.Executor)) bool {
		return x.Async(func(context.Context) { work() }, done)
	}
	if err := r.Attach(b.World); err != nil {
		t.Fatal(err)
	}
	b.Forced = func(loop int, step string) bool {
		if b.pause[loop] != step {
			return false
		}
		if b.skip[loop] > 0 {
			b.skip[loop]--
			return false
		}
		delete(b.pause, loop)
		return true
	}
	return b
}

// noon is when the clock of a world begins.
var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// apply changes the configuration and lets everything come to rest.
func (b *bed) apply(cfg Config) (report Report) {
	b.t.Helper()
	done := false
	if err := b.router.apply(cfg, func(r Report) { report, done = r, true }); err != nil {
		b.t.Fatal(err)
	}
	b.Settle()
	if !done {
		b.t.Fatal("nobody said that the configuration is applied")
	}
	return report
}

// pauseAt makes loop hand over at the nth step of that name from now, and runs it up to there.
func (b *bed) pauseAt(loop int, step string, nth int) {
	b.t.Helper()
	b.pause[loop], b.skip[loop] = step, nth-1
	if !b.RunLoop(loop) {
		b.t.Fatalf("loop %d never came to step %s", loop, step)
	}
}

// local joins a local session; what it hears is in bed.heard.
func (b *bed) local(loop int) *localConn { return b.localAs(loop, "local") }

func (b *bed) localAs(loop int, role string) (c *localConn) {
	b.t.Helper()
	b.Submit(loop, func(x port.Executor) {
		var err error
		c, err = b.router.openLocal(x, "realm1", codec.Identity{AuthRole: role}, func(_ port.Executor, msg []byte) {
			v, err := codec.Value(codec.MessagePack, msg)
			if err != nil {
				b.t.Error(err)
			}
			b.heard[c] = append(b.heard[c], v.([]any))
		}, func(port.Executor) {})
		if err != nil {
			b.t.Error(err)
		}
	})
	b.Settle()
	return c
}

// say makes a local session send and lets everything come to rest.
func (b *bed) say(c *localConn, t codec.Type, elements ...any) {
	b.t.Helper()
	b.Submit(c.home, func(x port.Executor) { c.send(x, encodeMessage(b.t, codec.MessagePack, t, elements)) })
	b.Settle()
}

func encodeMessage(t testing.TB, s codec.Serializer, typ codec.Type, elements []any) []byte {
	t.Helper()
	msg := []any{int64(typ)}
	for _, e := range elements {
		switch i := e.(type) {
		case int:
			e = int64(i)
		case codec.Type:
			e = int64(i)
		}
		msg = append(msg, e)
	}
	b, err := codec.AppendValue(nil, s, msg)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// peer is a client that speaks Go values.
type peer struct {
	*realmtest.Conn
	bed *bed
	id  uint64
}

func (b *bed) connect(loop int, s codec.Serializer, bytesMax int) *peer {
	return &peer{Conn: b.Connect(loop, codec.MakeVariant(s, codec.RawSocket), bytesMax, true), bed: b}
}

// join connects and joins realm1 with every role; callees announce progress and canceling.
func (b *bed) join(loop int) *peer { return b.joinAs(loop, codec.MessagePack, 1<<20) }

func (b *bed) joinAs(loop int, s codec.Serializer, bytesMax int) *peer {
	b.t.Helper()
	p := b.connect(loop, s, bytesMax)
	p.hello("realm1")
	return p
}

func (p *peer) hello(realm string) {
	p.bed.t.Helper()
	none := map[string]any{}
	p.say(codec.Hello, realm, map[string]any{"roles": map[string]any{
		"publisher": none, "subscriber": none, "caller": none,
		"callee": map[string]any{"features": map[string]any{
			"progressive_call_results": true, "call_canceling": true,
			"call_timeout": true,
		}},
	}})
	welcome := p.hear()
	if len(welcome) != 3 || welcome[0] != int64(codec.Welcome) {
		p.bed.t.Fatalf("no WELCOME: %v", welcome)
	}
	p.id = uint64(welcome[1].(int64))
}

// post sends without letting anybody run.
func (p *peer) post(t codec.Type, elements ...any) {
	p.bed.t.Helper()
	p.Send(encodeMessage(p.bed.t, p.Variant().Serializer(), t, elements))
}

// say sends and lets everything come to rest.
func (p *peer) say(t codec.Type, elements ...any) {
	p.bed.t.Helper()
	p.post(t, elements...)
	p.bed.Settle()
}

// hear returns the next message, nil if there is none.
func (p *peer) hear() []any {
	p.bed.t.Helper()
	b := p.Next()
	if b == nil {
		return nil
	}
	v, err := codec.Value(p.Variant().Serializer(), b)
	if err != nil {
		p.bed.t.Fatalf("%x: %v", b, err)
	}
	return v.([]any)
}

type values = map[string]any

// expect hears one message and compares it with the elements; nil matches anything.
func (p *peer) expect(t codec.Type, elements ...any) []any {
	p.bed.t.Helper()
	got := p.hear()
	want := []any{int64(t)}
	for _, e := range elements {
		switch i := e.(type) {
		case int:
			e = int64(i)
		case uint64:
			e = int64(i)
		case codec.Type:
			e = int64(i)
		}
		want = append(want, e)
	}
	for i := range want {
		if want[i] == nil && i < len(got) {
			want[i] = got[i]
		}
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(bytes.Equal)); diff != "" {
		p.bed.t.Fatalf("unexpected message (-want +got):\n%s", diff)
	}
	return got
}

func (p *peer) silent() {
	p.bed.t.Helper()
	if got := p.hear(); got != nil {
		p.bed.t.Fatalf("unexpected message %v", got)
	}
}

// subscribe returns the subscription's id.
func (p *peer) subscribe(request int, topic string) int64 {
	p.bed.t.Helper()
	p.say(codec.Subscribe, request, values{}, topic)
	return p.expect(codec.Subscribed, request, nil)[2].(int64)
}

// register returns the registration's id.
func (p *peer) register(request int, procedure, invoke string) int64 {
	p.bed.t.Helper()
	p.say(codec.Register, request, values{"invoke": invoke}, procedure)
	return p.expect(codec.Registered, request, nil)[2].(int64)
}

// refused expects an ERROR.
func (p *peer) refused(t codec.Type, request int, uri string) {
	p.bed.t.Helper()
	p.expect(codec.Error, t, request, values{}, uri, nil)
}

// nothingLeftOf checks that everybody but n sessions has left nothing behind.
func nothingLeftOf(t *testing.T, b *bed, n int64) {
	t.Helper()
	if s := b.router.Stats(); s.Sessions != n || s.Subscriptions != 0 || s.Registrations != 0 || s.OpenCalls != 0 {
		t.Errorf("left behind: %+v", s)
	}
}
