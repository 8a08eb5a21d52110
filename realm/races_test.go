package realm

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"banyan/codec"
)

// A race is one call of caller to callee, on two loops (PROTOCOL 8.15).
type race struct {
	*bed
	caller, callee *peer
	gone           bool // the caller has left
	over           bool // the callee has left
}

// newRace makes a call with a timeout of 100 ms that wants progressive results.
func newRace(t *testing.T, canceling, chunks bool) *race {
	t.Helper()
	b := newBed(t, 2, Config{})
	r := &race{bed: b, caller: b.join(0), callee: b.connect(1, codec.JSON, 1<<20)}
	r.callee.say(codec.Hello, "realm1", values{"roles": values{"callee": values{"features": values{
		"call_canceling": canceling, "progressive_call_results": true, "progressive_call_invocations": true,
	}}}})
	r.callee.expect(codec.Welcome, nil, nil)
	r.callee.register(1, "p", "single")
	options := values{"receive_progress": true, "timeout": 100}
	if chunks {
		options["progress"] = true
	}
	r.caller.say(codec.Call, 1, options, "p")
	r.callee.expect(codec.Invocation, 1, nil, nil)
	return r
}

// do posts an event.
func (r *race) do(event string) {
	switch event {
	case "progress":
		r.callee.post(codec.Yield, 1, values{"progress": true})
	case "yield":
		r.callee.post(codec.Yield, 1, values{})
	case "error":
		r.callee.post(codec.Error, codec.Invocation, 1, values{}, "com.error")
	case "skip", "kill", "killnowait":
		r.caller.post(codec.Cancel, 1, values{"mode": event})
	case "timeout":
		r.Advance(100 * time.Millisecond)
	case "caller leaves":
		r.caller.HangUp()
		r.gone = true
	case "callee leaves":
		r.callee.HangUp()
		r.over = true
	case "chunk":
		r.caller.post(codec.Call, 1, values{"progress": true}, "p")
	default:
		r.t.Fatal(event)
	}
}

// heard returns what a peer has heard, in words.
func heard(p *peer) string {
	var all []string
	for m := p.hear(); m != nil; m = p.hear() {
		switch t := codec.Type(m[0].(int64)); t {
		case codec.Result:
			all = append(all, "RESULT")
			if m[2].(values)["progress"] == true {
				all[len(all)-1] = "PROGRESS"
			}
		case codec.Error:
			uri := m[4].(string)
			all = append(all, "ERROR "+uri[strings.LastIndexByte(uri, '.')+1:])
		case codec.Interrupt:
			all = append(all, "INTERRUPT "+m[2].(values)["mode"].(string))
		case codec.Invocation:
			all = append(all, "INVOCATION")
		default:
			all = append(all, fmt.Sprint(m))
		}
	}
	return strings.Join(all, ", ")
}

// step does an event and compares what both hear.
func (r *race) step(event, caller, callee string) {
	r.t.Helper()
	r.do(event)
	r.Settle()
	if got := heard(r.caller); got != caller && !r.gone {
		r.t.Errorf("%s: the caller hears %q, want %q", event, got, caller)
	}
	if got := heard(r.callee); got != callee && !r.over {
		r.t.Errorf("%s: the callee hears %q, want %q", event, got, callee)
	}
}

// TestCallStates: each event in each state of a call, whether the callee announced call_canceling or not. The end of
// the call is told once; a callee without the feature hears no INTERRUPT, and one with it hears one at most.
func TestCallStates(t *testing.T) {
	t.Attr("checklist", "RPC-11 RPC-12 RPC-14 RPC-17 RPC-29 RPC-33 RPC-44 RPC-46 RPC-47 RPC-56 RPC-57 RPC-58 "+
		"RPC-59 RPC-61 RPC-62 RPC-65 RPC-66 RPC-67 RPC-68 RPC-69 RPC-70 RPC-72")
	type outcome struct {
		event, caller, callee string
		open                  bool // the call is open after it
	}
	active := []outcome{
		{"progress", "PROGRESS", "", true},
		{"yield", "RESULT", "", false},
		{"error", "ERROR error", "", false},
		{"skip", "ERROR canceled", "", false},
		{"kill", "", "INTERRUPT kill", true},
		{"killnowait", "ERROR canceled", "INTERRUPT killnowait", false},
		{"timeout", "ERROR timeout", "INTERRUPT killnowait", false},
		{"caller leaves", "", "INTERRUPT killnowait", false},
		{"callee leaves", "ERROR canceled", "", false},
		{"chunk", "", "INVOCATION", true},
	}
	killing := []outcome{
		{"progress", "PROGRESS", "", true},
		{"yield", "RESULT", "", false},
		{"error", "ERROR error", "", false},
		{"skip", "ERROR canceled", "", false},
		{"kill", "", "", true},
		{"killnowait", "ERROR canceled", "", false},
		{"timeout", "ERROR timeout", "", false},
		{"caller leaves", "", "", false},
		{"callee leaves", "ERROR canceled", "", false},
		{"chunk", "", "", true},
	}
	// run plays events up to a state, and then one more.
	run := func(canceling, chunks bool, before []outcome, then outcome) {
		names := []string{}
		for _, e := range before {
			names = append(names, e.event)
		}
		t.Run(fmt.Sprintf("canceling=%v/chunks=%v/%s, then %s", canceling, chunks, strings.Join(names, ", "),
			then.event), func(t *testing.T) {
			r := newRace(t, canceling, chunks)
			open := true
			for _, e := range append(slices.Clone(before), then) {
				if !canceling {
					e.callee = ""
					if e.event == "kill" && open {
						e.caller, e.open = "ERROR canceled", false
					}
				}
				if open = e.open; r.gone {
					e.caller = ""
				}
				r.step(e.event, e.caller, e.callee)
			}
			if n := r.router.Stats().OpenCalls; n != map[bool]int64{true: 1}[open] {
				t.Errorf("%d open calls, want %v", n, open)
			}
			// The other one lives on, and a late answer is no violation.
			if !r.over {
				r.callee.say(codec.Yield, 1, values{})
				if got := heard(r.callee); got != "" {
					t.Errorf("after its last answer the callee hears %s", got)
				}
				r.callee.say(codec.Register, 2, values{}, "q")
				r.callee.expect(codec.Registered, 2, nil)
			}
			if !r.gone {
				r.caller.hear() // the answer of a call that was open
				r.caller.open()
			}
			if n := r.router.Stats().OpenCalls; n != 0 {
				t.Errorf("%d open calls in the end", n)
			}
		})
	}
	for _, canceling := range []bool{true, false} {
		for _, chunks := range []bool{false, true} {
			if chunks && !canceling {
				continue // feature_not_supported
			}
			events := func(state []outcome) []outcome {
				if chunks {
					return state
				}
				return state[:len(state)-1]
			}
			for _, e := range events(active) {
				run(canceling, chunks, nil, e)
				// From every end of the call: nothing that comes later is heard by anybody.
				if e.open || e.event == "callee leaves" {
					continue
				}
				for _, late := range events(active) {
					byCaller := []string{"skip", "kill", "killnowait", "caller leaves", "chunk"}
					if e.event == "caller leaves" && slices.Contains(byCaller, late.event) {
						continue
					}
					run(canceling, chunks, []outcome{e}, outcome{event: late.event})
				}
			}
			if !canceling {
				continue // there, kill is skip
			}
			kill := active[4]
			for _, e := range events(killing) {
				run(canceling, chunks, []outcome{kill}, e)
				if e.open || e.event == "callee leaves" || e.event == "caller leaves" {
					continue
				}
				for _, late := range events(active) {
					run(canceling, chunks, []outcome{kill, e}, outcome{event: late.event})
				}
			}
		}
	}
}

// TestCallRaces: an event of the callee and one of the caller at a time, loops interleaving at random: the caller
// hears one end of the call, and INTERRUPT goes only to a callee that announced call_canceling, once.
func TestCallRaces(t *testing.T) {
	t.Attr("checklist", "RPC-71 RPC-87 RPC-88")
	for _, canceling := range []bool{true, false} {
		for _, first := range []string{"progress", "yield", "error", "callee leaves"} {
			for _, second := range []string{"skip", "kill", "killnowait", "timeout", "caller leaves"} {
				for range 20 {
					r := newRace(t, canceling, false)
					r.Switch = 50
					r.do(first)
					r.do(second)
					r.Settle()
					caller, callee := heard(r.caller), heard(r.callee)
					if first == "progress" && !r.over {
						r.callee.say(codec.Yield, 1, values{})
						caller = strings.TrimPrefix(strings.TrimPrefix(caller, "PROGRESS"), ", ")
						caller += heard(r.caller)
					}
					if !r.gone && (caller == "" || strings.Contains(caller, ",")) {
						t.Errorf("%s and %s: the caller hears %q", first, second, caller)
					}
					if strings.Contains(callee, ",") || callee != "" && !canceling && !r.over {
						t.Errorf("%s and %s: the callee hears %q", first, second, callee)
					}
					if n := r.router.Stats().OpenCalls; n != 0 {
						t.Errorf("%s and %s: %d open calls", first, second, n)
					}
				}
			}
		}
	}
}
