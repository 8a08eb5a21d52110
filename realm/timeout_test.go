package realm

import (
	"testing"
	"time"

	"banyan/codec"
)

// TestTimeoutUnits: what a realm takes the timeout of a call for, with fractions, and at the bound; what is forwarded
// is in milliseconds. RPC-49, RPC-54.
func TestTimeoutUnits(t *testing.T) {
	for _, c := range []struct {
		seconds bool
		sent    any
		want    time.Duration // 0: none
	}{
		{false, int64(1000), time.Second},
		{false, 2.5, 3 * time.Millisecond},
		{false, 0.5, time.Millisecond},
		{false, 20.0, 20 * time.Millisecond},
		{false, int64(0), 0},
		{false, int64(1) << 60, timeoutMillisMax * time.Millisecond},
		{true, int64(2), 2 * time.Second},
		{true, 2.5, 2500 * time.Millisecond},
		{true, 0.25, 250 * time.Millisecond},
		{true, 0.00001, time.Millisecond},
		{true, 0.0, 0},
		{true, nil, 0},
		{true, int64(timeoutMillisMax / 1000), timeoutMillisMax * time.Millisecond},
		{true, timeoutMillisMax/1000 + 0.5, timeoutMillisMax * time.Millisecond},
		{true, 1e18, timeoutMillisMax * time.Millisecond},
	} {
		b := newBed(t, 1, Config{Realms: []RealmConfig{{URI: "realm1", TimeoutSeconds: c.seconds}}})
		caller, callee := b.join(0), b.join(0)
		warned := 0
		b.Warned = func(string, ...any) { warned++ }
		callee.register(1, "p", "single")
		callee.say(codec.Register, 2, values{"forward_timeout": true}, "minds")
		callee.expect(codec.Registered, 2, nil)
		caller.say(codec.Call, 1, values{"timeout": c.sent}, "minds")
		details := values{}
		if c.want > 0 {
			details["timeout"] = c.want.Milliseconds()
		}
		callee.expect(codec.Invocation, 1, nil, details)
		caller.say(codec.Call, 2, values{"timeout": c.sent}, "p")
		callee.expect(codec.Invocation, 2, nil, values{})
		if f, float := c.sent.(float64); (warned > 0) != (!c.seconds && float && f != 20) {
			t.Errorf("%+v: %d warnings", c, warned)
		}
		if c.want == 0 {
			if n := b.Loops[0].Armed(); n != 0 {
				t.Errorf("%+v: %d timers", c, n)
			}
			continue
		}
		b.Advance(c.want - 1)
		b.Settle()
		caller.silent()
		b.Advance(1)
		b.Settle()
		caller.refused(codec.Call, 2, codec.ErrTimeout)
	}
}

// TestTimeoutUnitChanges: a new configuration is in force for the next call.
func TestTimeoutUnitChanges(t *testing.T) {
	b := newBed(t, 1, Config{Realms: []RealmConfig{{URI: "realm1"}}})
	caller, callee := b.join(0), b.join(0)
	callee.register(1, "p", "single")
	b.apply(Config{Realms: []RealmConfig{{URI: "realm1", TimeoutSeconds: true}}})
	caller.say(codec.Call, 1, values{"timeout": int64(20)}, "p")
	b.Advance(19 * time.Second)
	b.Settle()
	caller.silent()
	b.Advance(time.Second)
	b.Settle()
	caller.refused(codec.Call, 1, codec.ErrTimeout)
}
