package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"banyan/codec"
)

// A natsFake is the least NATS server that the loads need: exact subjects and a star at the end.
type natsFake struct {
	mu     sync.Mutex
	subs   map[string][]natsSub // by subject, without the star
	spoil  func(n int, payload []byte) (again []byte)
	events int    // guarded by mu
	turn   int    // of the members of a group; guarded by mu
	extra  string // what comes behind the 10th event; guarded by mu
}

type natsSub struct {
	net.Conn
	id    string
	group bool // one of the group gets a message, and there is one group
}

func startNATSFake(t *testing.T, spoil func(n int, payload []byte) []byte, extra string) (url string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &natsFake{subs: map[string][]natsSub{}, spoil: spoil, extra: extra}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { s.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		conns.Wait() // the loads close their connections
	})
	return "nats://" + l.Addr().String()
}

func (s *natsFake) serve(c net.Conn) {
	defer c.Close()
	fmt.Fprint(c, "INFO {}\r\n")
	in := bufio.NewReader(c)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		f := strings.Fields(line)
		switch f[0] {
		case "PONG", "CONNECT":
		case "PING":
			s.mu.Lock()
			fmt.Fprint(c, "PONG\r\nPING\r\n") // a ping of its own, for the client to answer
			s.mu.Unlock()
		case "SUB":
			s.mu.Lock()
			subject := strings.TrimSuffix(f[1], "*")
			id := f[len(f)-1]
			s.subs[subject] = append(s.subs[subject], natsSub{c, id, len(f) == 4})
			if id[0] == natsEvents {
				// A message that was on its way: it comes before the PONG.
				fmt.Fprintf(c, "MSG %s %s 5\r\nearly\r\n", f[1], id)
			}
			s.mu.Unlock()
		case "UNSUB":
			s.mu.Lock()
			for subject, subs := range s.subs {
				s.subs[subject] = slices.DeleteFunc(subs, func(sub natsSub) bool {
					return sub.Conn == c && sub.id == f[1]
				})
			}
			s.mu.Unlock()
		case "PUB":
			var n int
			fmt.Sscan(f[len(f)-1], &n)
			payload := make([]byte, n+2)
			if _, err := io.ReadFull(in, payload); err != nil {
				return
			}
			s.publish(f[1], strings.Join(f[2:len(f)-1], ""), payload[:n])
		}
	}
}

func (s *natsFake) publish(subject, reply string, payload []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	subs := s.subs[subject]
	if subs == nil {
		subs = s.subs[subject[:strings.LastIndexByte(subject, '.')+1]]
	}
	if reply != "" {
		reply += " "
	}
	if len(subs) > 0 && subs[0].group {
		s.turn = (s.turn + 1) % len(subs)
		subs = subs[s.turn : s.turn+1]
	}
	for _, c := range subs {
		s.events++
		p := payload
		if s.spoil != nil {
			if p = s.spoil(s.events, payload); p == nil {
				continue
			}
		}
		// The ping comes with the message: the client must not wait for another message
		// before it accounts for this one.
		fmt.Fprintf(c, "MSG %s %s %s%d\r\n%s\r\nPING\r\n", subject, c.id, reply, len(p), p)
		if s.events == 10 {
			fmt.Fprint(c, s.extra)
		}
	}
}

func natsOptions(url string) Options {
	return Options{
		URL: url, PID: -1, InFlight: 4, Warmup: 10 * time.Millisecond, Duration: 100 * time.Millisecond,
	}
}

// natsLoads are the loads that NATS can play too.
var natsLoads = map[string]func(ctx context.Context, o Options) (*Report, error){
	"fanout": func(ctx context.Context, o Options) (*Report, error) {
		return Fanout(ctx, FanoutPlan{Options: o, Subscribers: 3})
	},
	"publishers": func(ctx context.Context, o Options) (*Report, error) {
		return Fanout(ctx, FanoutPlan{Options: o, Publishers: 3, Subscribers: 2})
	},
	"topics": func(ctx context.Context, o Options) (*Report, error) {
		return Topics(ctx, TopicsPlan{Options: o, Topics: 7, PerTopic: 2, Sessions: 3})
	},
	"rpc": func(ctx context.Context, o Options) (*Report, error) {
		return RPC(ctx, RPCPlan{Options: o, Callers: 2})
	},
	"callees": func(ctx context.Context, o Options) (*Report, error) {
		return RPC(ctx, RPCPlan{Options: o, Callers: 2, Callees: 3})
	},
	"churn": func(ctx context.Context, o Options) (*Report, error) {
		return Churn(ctx, ChurnPlan{Options: o, Subscribers: 2, Churners: 2, Cycles: 500})
	},
}

func TestNATSVerifies(t *testing.T) {
	t.Parallel()
	for name, run := range natsLoads {
		for _, rate := range []float64{0, 500} {
			if rate > 0 && name == "churn" {
				continue // 500 is the default
			}
			t.Run(fmt.Sprintf("%s at %g", name, rate), func(t *testing.T) {
				t.Parallel()
				o := natsOptions(startNATSFake(t, nil, ""))
				o.Rate = rate
				r := measured(t, o, func(o Options) (*Report, error) { return run(t.Context(), o) })
				if !r.Verified.OK || r.Verified.Expected != r.Verified.Received || r.Verified.Received == 0 {
					t.Errorf("%+v", r.Verified)
				}
				if r.Latency.Count == 0 || r.Latency.P50 <= 0 {
					t.Errorf("latency %+v", r.Latency)
				}
			})
		}
	}
	t.Run("idle", func(t *testing.T) {
		t.Parallel()
		r, err := Idle(t.Context(), IdlePlan{Options: natsOptions(startNATSFake(t, nil, "")), Sessions: 5})
		if err != nil || !r.Verified.OK || r.Verified.Expected != 5 || r.Verified.Received != 5 {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// TestNATSRefuses: loads without a form in NATS are refused before anything is sent.
func TestNATSRefuses(t *testing.T) {
	o := Options{URL: "nats://127.0.0.1:1"}
	for name, run := range map[string]func() (*Report, error){
		"mixed":       func() (*Report, error) { return Fanout(t.Context(), FanoutPlan{Options: o, Mixed: true}) },
		"progressive": func() (*Report, error) { return RPC(t.Context(), RPCPlan{Options: o, Results: 2}) },
		"storm":       func() (*Report, error) { return Storm(t.Context(), StormPlan{Options: o}) },
	} {
		var wrong *UsageError
		if _, err := run(); !errors.As(err, &wrong) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNATSSubjects: patterns of WAMP as subjects of NATS.
func TestNATSSubjects(t *testing.T) {
	for _, c := range []struct{ uri, match, want string }{
		{"a.b", "", "a.b"},
		{"a.b.", "prefix", "a.b.>"},
		{"a..c.", "wildcard", "a.*.c.*"},
		{"a.b", "prefix", ""}, // NATS matches whole components only
	} {
		m := &codec.Message{Format: codec.MessagePack, URI: []byte(c.uri)}
		if c.match != "" {
			var err error
			if m.Dict, err = codec.AppendValue(nil, codec.MessagePack, map[string]any{"match": c.match}); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := natsSubject(m); got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%s %s: %q, %v", c.match, c.uri, got, err)
		}
	}
}

// TestNATSFindsFaults spoils one message and wants it found.
func TestNATSFindsFaults(t *testing.T) {
	t.Parallel()
	nth := func(spoil func(b []byte) []byte) func(int, []byte) []byte {
		return func(n int, b []byte) []byte {
			if n == 10 {
				return spoil(b)
			}
			return b
		}
	}
	damage := nth(func(b []byte) []byte { return append([]byte("zz"), b[2:]...) })
	cut := nth(func(b []byte) []byte { return b[:len(b)-1] })
	lose := nth(func([]byte) []byte { return nil })
	damaged := map[string]int64{"events with a damaged payload": 1, "events lost": 1}
	undecodable := map[string]int64{"undecodable messages": 1}
	for name, c := range map[string]struct {
		load  string
		spoil func(int, []byte) []byte
		extra string
		want  map[string]int64
	}{
		"damaged event":  {"fanout", damage, "", damaged},
		"cut event":      {"fanout", cut, "", damaged},
		"lost event":     {"fanout", lose, "", map[string]int64{"events lost": 1}},
		"lost of topics": {"topics", lose, "", map[string]int64{"events lost": 1}},
		"damaged result": {"rpc", damage, "", map[string]int64{"results with a damaged or foreign payload": 1}},
		"PONG of nobody": {"fanout", nil, "PONG\r\n", undecodable},
		"no such sid":    {"fanout", nil, "MSG a.b x1 1\r\na\r\n", undecodable},
		"no number":      {"fanout", nil, "MSG a.b sx 1\r\na\r\n", undecodable},
		"no sid":         {"fanout", nil, "MSG a.b 1\r\na\r\n", undecodable},
		"other inbox": {
			"rpc", nil, "MSG _INBOX.0123456789abcdef.7 i 1\r\na\r\n", undecodable,
		},
		"lost result": {"rpc", lose, "", map[string]int64{"calls without an answer": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			patient(t, func(stall time.Duration) string {
				o := natsOptions(startNATSFake(t, c.spoil, c.extra))
				o.Stall, o.Duration = stall, stall/3
				r, err := natsLoads[c.load](t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				return failed(r, c.want)
			})
		})
	}
}
