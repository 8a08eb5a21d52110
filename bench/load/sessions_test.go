package load

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"banyan/bench/client"
	"banyan/codec"
)

func TestStormVerifies(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare func(s *fake)
		want    string // the failure
	}{
		"sound":     {prepare: func(*fake) {}},
		"id twice":  {prepare: func(s *fake) { s.oneID = true }, want: "session ids given twice"},
		"goodbye":   {prepare: func(s *fake) { s.silent = true }, want: "sessions without GOODBYE: EOF"},
		"open loop": {prepare: func(*fake) {}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newFake(t)
			c.prepare(s)
			load := quick(s, codec.CBOR)
			if name == "open loop" {
				load.Rate = 50
			}
			r := measured(t, load, func(o Options) (*Report, error) {
				return Storm(t.Context(), StormPlan{Options: o, Workers: 3})
			})
			if r.Verified.OK != (c.want == "") || c.want != "" && r.Verified.Failures[c.want] == 0 {
				t.Errorf("%+v", r.Verified)
			}
			if lost := r.Verified.Expected - r.Verified.Received; r.Verified.Failures["sessions lost"] != lost ||
				r.Verified.Failures[c.want] != lost {
				t.Errorf("%d of %d sessions came to their end: %v", r.Verified.Received, r.Verified.Expected,
					r.Verified.Failures)
			}
			if c.want == "" && (r.Verified.Received == 0 || r.Verified.Expected != r.Verified.Received ||
				r.Latency.Count == 0 || r.Latency.P50 < 10) { // three round trips take longer
				t.Errorf("%+v %+v", r.Verified, r.Latency)
			}
		})
	}
	_, err := Storm(t.Context(), StormPlan{Options: Options{URL: "rs://127.0.0.1:1"}})
	var connect *client.ConnectError
	if !errors.As(err, &connect) {
		t.Errorf("got %v", err)
	}
}

func TestIdleVerifies(t *testing.T) {
	t.Parallel()
	for _, silent := range []bool{false, true} {
		s := newFake(t)
		s.silent = silent
		r, err := Idle(t.Context(), IdlePlan{Options: quick(s, codec.MessagePack), Sessions: 150})
		if err != nil {
			t.Fatal(err)
		}
		if r.Verified.OK == silent || r.Verified.Expected != 150 ||
			silent && r.Verified.Failures["sessions lost: EOF"] != 150 {
			t.Errorf("%+v", r.Verified)
		}
		var out strings.Builder
		r.Print(&out)
		if !strings.Contains(out.String(), "joining") || strings.Contains(out.String(), "throughput") {
			t.Errorf("the report says\n%s", out.String())
		}
	}
	var usage *UsageError
	if _, err := Idle(t.Context(), IdlePlan{
		Options:  Options{URL: "rs://127.0.0.1:1"},
		Sessions: 1 << 30,
	}); !errors.As(err, &usage) {
		t.Errorf("got %v", err)
	}
}

// TestSpread: the connections of a load come from many addresses of loopback.
func TestSpread(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	from := make(chan string, 3)
	go func() {
		for range cap(from) {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.SetDeadline(time.Now().Add(time.Second))
			c.Read(make([]byte, 4))
			c.Write([]byte{0x7F, 0xF2, 0, 0})
			host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
			from <- host
			c.Close()
		}
	}()
	r := newRun(Options{URL: "rs://" + l.Addr().String()})
	seen := map[string]bool{}
	for range cap(from) {
		c, err := r.connect(t.Context(), codec.MessagePack)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		seen[<-from] = true
	}
	if len(seen) != cap(from) || !seen["127.0.1.1"] {
		t.Errorf("came from %v", seen)
	}
	for url, want := range map[string]bool{
		"ws://127.0.0.1:1/": true, "ws://[::1]:1/": false,
		"rs://10.0.0.1:1": false, "unix:/x": false, "ws://localhost:1/": false,
	} {
		if isLoopback4(url) != want {
			t.Errorf("%s: want %v", url, want)
		}
	}
}
