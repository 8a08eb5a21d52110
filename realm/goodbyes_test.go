package realm

import (
	"testing"

	"banyan/codec"
	"banyan/engine/port"
)

// Many sessions are told GOODBYE, each of which has open calls: the calls that are answered count, not only the
// sessions, whatever the reason (DESIGN 8.10). Nobody is forgotten.
func TestGoodbyesAreBounded(t *testing.T) {
	const sessions, calls, chunk = 30, 10, 16
	for _, c := range []struct {
		name string
		end  func(b *bed)
	}{
		{"close", func(b *bed) { _ = b.router.closeRealm("realm1", func() {}) }},
		{"reload without the realm", func(b *bed) {
			_ = b.router.apply(Config{Realms: []RealmConfig{{URI: "realm2"}}}, func(Report) {})
		}},
		{"reload that dismisses", func(b *bed) {
			_ = b.router.apply(Config{Realms: []RealmConfig{{URI: "realm1", Anonymous: AnonymousNone}}},
				func(Report) {})
		}},
		{"reload without the role", func(b *bed) {
			_ = b.router.apply(Config{Realms: []RealmConfig{{URI: "realm1", Policy: compile(t)}}}, func(Report) {})
		}},
		{"replace", func(b *bed) {
			b.Submit(0, func(x port.Executor) {
				var older []*session
				s := b.router.named["realm1"].sessions[0].head
				for o := s; o != nil; o = o.next {
					if len(o.registrations) == 0 {
						older = append(older, o)
					}
				}
				s.replace(x, older)
			})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t, 1, Config{})
			callee := b.join(0)
			callee.register(1, "p", "single")
			var callers []*peer
			for range sessions {
				p := b.join(0)
				for i := range calls {
					p.post(codec.Call, i+1, values{}, "p")
				}
				b.Settle()
				callers = append(callers, p)
			}
			b.Budget, b.Chunk = 4*chunk, chunk
			told := func() (answers, goodbyes int) {
				for _, p := range callers {
					for m := p.hear(); m != nil; m = p.hear() {
						switch m[0] {
						case int64(codec.Error):
							answers++
						case int64(codec.Goodbye):
							goodbyes++
						}
					}
				}
				return answers, goodbyes
			}
			c.end(b)
			most, answers, goodbyes := 0, 0, 0
			for {
				more := b.StepLoop(0) || b.Loops[0].Busy()
				a, g := told()
				most, answers, goodbyes = max(most, a+g), answers+a, goodbyes+g
				if !more {
					break
				}
			}
			// Two chunks of a turn, each of which may end within a session.
			if most == 0 || most > 2*(chunk+calls+1) {
				t.Errorf("%d messages were written in one turn", most)
			}
			if answers != sessions*calls || goodbyes != sessions {
				t.Errorf("%d answers, %d goodbyes", answers, goodbyes)
			}
		})
	}
}

// TestClosedRealmIsQuiet: when a realm is closed, by itself or by a change of the configuration, nobody in it hears
// of the ends of the others, and no testament is published: each hears GOODBYE and nothing else.
func TestClosedRealmIsQuiet(t *testing.T) {
	for name, end := range map[string]func(b *bed) error{
		"close": func(b *bed) error { return b.router.closeRealm("realm1", func() {}) },
		"change": func(b *bed) error {
			return b.router.apply(Config{Realms: []RealmConfig{{URI: "realm2"}}}, func(Report) {})
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, 2, Config{Realms: []RealmConfig{{URI: "realm1"}}})
			home := b.router.named["realm1"].meta.home
			listener := b.join(home)
			listener.subscribe(9, "wamp.session.on_join")
			leaver := b.join(1 - home)
			listener.expect(codec.Event, nil, nil, values{}, nil) // so there is somebody who publishes meta events
			listener.subscribe(1, "t")
			for i, topic := range []string{
				"wamp.session.on_leave", "wamp.subscription.on_unsubscribe", "wamp.registration.on_unregister",
			} {
				listener.subscribe(2+i, topic)
			}
			leaver.subscribe(1, "x")
			leaver.register(2, "p", "single")
			leaver.say(codec.Call, 3, values{}, "wamp.session.add_testament", []any{"t", []any{1}, values{}})
			leaver.expect(codec.Result, 3, values{})
			for range 20 { // these end before the listener, one in a turn
				b.join(home)
				listener.expect(codec.Event, nil, nil, values{}, nil)
			}
			b.Budget, b.Chunk = 1, 1
			if err := end(b); err != nil {
				t.Fatal(err)
			}
			b.RunLoop(1 - home) // the listener is there when the other one ends
			b.Settle()
			for _, p := range []*peer{leaver, listener} {
				p.expect(codec.Goodbye, nil, codec.CloseCloseRealm)
				p.silent()
			}
		})
	}
}
