package compare

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"banyan/bench/load"
)

// A natsFake is the least NATS server that the loads need: exact subjects and a star at the end.
type natsFake struct {
	mu     sync.Mutex
	subs   map[string][]net.Conn // by subject, without the star
	spoil  func(n int, payload []byte) (again []byte)
	events int // guarded by mu
}

func startNATSFake(t *testing.T, spoil func(n int, payload []byte) []byte) (url string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &natsFake{subs: map[string][]net.Conn{}, spoil: spoil}
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
			s.subs[subject] = append(s.subs[subject], c)
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
	conns := s.subs[subject]
	if conns == nil {
		conns = s.subs[subject[:strings.LastIndexByte(subject, '.')+1]]
	}
	if reply != "" {
		reply += " "
	}
	for _, c := range conns {
		s.events++
		p := payload
		if s.spoil != nil {
			if p = s.spoil(s.events, payload); p == nil {
				continue
			}
		}
		// The ping comes with the message: the client must not wait for another message before it accounts for this one.
		fmt.Fprintf(c, "MSG %s 1 %s%d\r\n%s\r\nPING\r\n", subject, reply, len(p), p)
	}
}

func natsTestLoad(url string) load.Options {
	return load.Options{URL: url, PID: os.Getpid(), PayloadBytes: 48, InFlight: 4, Warmup: 50 * time.Millisecond, Duration: 200 * time.Millisecond}
}

func TestNATS(t *testing.T) {
	url := startNATSFake(t, nil)
	for _, p := range []*Plan{
		{Name: "fanout", Scenario: "fanout", Size: 3, InFlight: 4},
		{Name: "publishers", Scenario: "publishers", Size: 3, Subscribers: 2, InFlight: 4},
		{Name: "topics", Scenario: "topics", Size: 7, InFlight: 4},
		{Name: "rpc", Scenario: "rpc", Size: 2, InFlight: 4},
		{Name: "fanout at a rate", Scenario: "fanout", Size: 3, Rate: 500},
		{Name: "publishers at a rate", Scenario: "publishers", Size: 3, Subscribers: 2, Rate: 500},
		{Name: "rpc at a rate", Scenario: "rpc", Size: 2, Rate: 500},
	} {
		load := natsTestLoad(url)
		load.Rate = p.Rate
		r, err := playNATS(context.Background(), p, load)
		if err != nil {
			t.Fatal(err)
		}
		if !r.Verified.OK || r.Verified.Expected != r.Verified.Received || r.Received == 0 || r.PerSecond == 0 {
			t.Errorf("%s: %+v, %d received", p.Name, r.Verified, r.Received)
		}
		if r.Latency.Count == 0 || r.Latency.P50 <= 0 || r.Latency.HDR == "" {
			t.Errorf("%s: latency %+v", p.Name, r.Latency)
		}
		if open := p.Rate > 0; open != (r.Plan.Loop == "open") || open != (r.Latency.From == "intended send time") || r.Plan.Rate != p.Rate {
			t.Errorf("%s: plan %+v, latency from the %s", p.Name, r.Plan, r.Latency.From)
		}
		if r.Router.CPUPerMessage <= 0 || r.Router.RSSBytes == 0 || len(r.Series) == 0 {
			t.Errorf("%s: router %+v, series %v", p.Name, r.Router, r.Series)
		}
	}
}

// TestNATSVerifies spoils one message and wants it found.
func TestNATSVerifies(t *testing.T) {
	damage := func(n int, b []byte) []byte {
		if n != 50 {
			return b
		}
		return append([]byte("zz"), b[2:]...)
	}
	lose := func(n int, b []byte) []byte {
		if n != 50 {
			return b
		}
		return nil
	}
	cut := func(n int, b []byte) []byte {
		if n != 50 {
			return b
		}
		return b[:len(b)-1]
	}
	for name, c := range map[string]struct {
		spoil func(int, []byte) []byte
		plan  Plan
		want  string
	}{
		"damaged event":  {damage, Plan{Name: "fanout", Scenario: "fanout", Size: 3, InFlight: 4}, "events with a damaged payload"},
		"cut event":      {cut, Plan{Name: "fanout", Scenario: "fanout", Size: 3, InFlight: 4}, "events with a damaged payload"},
		"lost event":     {lose, Plan{Name: "fanout", Scenario: "fanout", Size: 3, InFlight: 4}, "events out of order or twice"},
		"lost of topics": {lose, Plan{Name: "topics", Scenario: "topics", Size: 7, InFlight: 4}, "events lost"},
		"damaged result": {damage, Plan{Name: "rpc", Scenario: "rpc", Size: 1, InFlight: 4}, "results with a damaged or foreign payload"},
		"lost result":    {lose, Plan{Name: "rpc", Scenario: "rpc", Size: 1, InFlight: 4}, "calls without an answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := playNATS(context.Background(), &c.plan, natsTestLoad(startNATSFake(t, c.spoil)))
			if err != nil {
				t.Fatal(err)
			}
			if r.Verified.OK || r.Verified.Failures[c.want] == 0 {
				t.Errorf("%+v", r.Verified)
			}
		})
	}
}
