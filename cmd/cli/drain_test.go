package cli

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestFinishCalls: with few sessions a stop lets calls end that are under way, accepts nobody meanwhile, and waits
// for drain.spread at most.
func TestFinishCalls(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		spread  string
		answers bool
		least   time.Duration
	}{
		{"10s", true, 0},
		{"300ms", false, 300 * time.Millisecond},
	} {
		s := startService(t, "drain: { spread: "+c.spread+", timeout: 20s }\n"+openRealms("a"))
		callee, caller := s.talk(t), s.talk(t)
		for _, k := range []*talk{callee, caller} {
			k.says(`[1,"a",{`+allRoles+`}]`, "[2,")
		}
		callee.says(`[64,1,{},"com.a"]`, "[65,")
		caller.Queue([]byte(`[48,1,{},"com.a"]`))
		caller.Flush()
		callee.hears("[68,")
		begin := time.Now()
		stopped := make(chan error, 1)
		go func() { stopped <- s.stop() }()
		eventually(t, "the router has begun to stop", func() bool { return s.stage.Load() == leaving })
		if _, err := s.join("a"); err == nil {
			t.Error("somebody was accepted during the stop")
		}
		if c.answers {
			callee.Queue([]byte(`[70,1,{},["done"]]`))
			callee.Flush()
			caller.hears(`[50,1,{},["done"]]`)
		} else {
			callee.hears("[6,")
		}
		for _, k := range []*talk{callee, caller} {
			k.Queue(fmt.Appendf(nil, `[6,{},%q]`, "wamp.close.goodbye_and_out"))
			k.Flush()
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took < c.least || took > c.least+8*time.Second {
			t.Errorf("with drain.spread %s the stop took %v", c.spread, took)
		}
	}
}

// TestSpreadLeavesCallsTime: with many sessions, too, a stop lets calls end that are under way: their sessions are
// told to leave when they have ended, or at the end of drain.spread. The others are told meanwhile.
func TestSpreadLeavesCallsTime(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		spread  string
		answers bool
		least   time.Duration
	}{
		{"30s", true, 0},
		{"2s", false, 2*time.Second - 2*busyPause},
	} {
		s := startService(t, "drain: { spread: "+c.spread+", timeout: 40s }\n"+openRealms("a"))
		join := func() *talk {
			k := s.talk(t)
			k.says(`[1,"a",{`+allRoles+`}]`, "[2,")
			return k
		}
		bye := func(k *talk) {
			k.hears("[6,")
			k.Queue(fmt.Appendf(nil, `[6,{},%q]`, "wamp.close.goodbye_and_out"))
			k.Flush()
		}
		callee, caller := join(), join()
		var others []*talk
		for len(others) < spreadPerSecond-2 {
			others = append(others, join())
		}
		callee.says(`[64,1,{},"com.a"]`, "[65,")
		caller.Queue([]byte(`[48,1,{},"com.a"]`))
		caller.Flush()
		callee.hears("[68,")
		begin := time.Now()
		stopped := make(chan error, 1)
		go func() { stopped <- s.stop() }()
		for _, k := range others {
			bye(k)
		}
		if c.answers {
			callee.Queue([]byte(`[70,1,{},["done"]]`))
			callee.Flush()
			caller.hears(`[50,1,{},["done"]]`)
			bye(caller)
			bye(callee)
		} else {
			for _, k := range []*talk{caller, callee} { // whoever is told first ends the call
				for got := ""; !strings.HasPrefix(got, "[6,"); {
					b, err := k.Receive()
					if err != nil {
						t.Fatal(err)
					}
					got = string(b)
				}
				k.Queue(fmt.Appendf(nil, `[6,{},%q]`, "wamp.close.goodbye_and_out"))
				k.Flush()
			}
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took < c.least || took > c.least+15*time.Second {
			t.Errorf("with drain.spread %s the stop took %v", c.spread, took)
		}
	}
}

// hears wants a message that begins so.
func (k *talk) hears(want string) {
	k.t.Helper()
	if got, err := k.Receive(); err != nil || !bytes.HasPrefix(got, []byte(want)) {
		k.t.Errorf("got %s, %v, want %s", got, err, want)
	}
}
