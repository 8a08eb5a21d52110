package realm

import (
	"fmt"
	"sync"
	"testing"

	"banyan/codec"
	"banyan/realm/realmtest"
)

// TestParallel runs real goroutines through publish, call, cancel, subscribe and leave on three loops: for the race
// detector. What must hold in any order is checked: SUB-18, ORD-02, RPC-71, RPC-88.
func TestParallel(t *testing.T) {
	t.Attr("checklist", "SUB-18 ORD-02 RPC-71 RPC-88")
	r, err := New(Config{Realms: []RealmConfig{{URI: "realm1", Sharding: true}}, Loops: 3})
	if err != nil {
		t.Fatal(err)
	}
	w := realmtest.NewWorld(7, 3)
	w.Open = r.Open
	w.CreditBytes = 4096
	w.Start()
	const clients, rounds = 9, 150
	var wg sync.WaitGroup
	conns := make([]*realmtest.Conn, clients)
	heard := make([][][]byte, clients)
	for i := range clients {
		conns[i] = w.Connect(i%3, codec.MakeVariant(codec.Serializer(1+i%3), codec.RawSocket), 1<<20, true)
		wg.Add(1)
		go func() {
			defer wg.Done()
			heard[i] = drive(t, conns[i], i, rounds)
		}()
	}
	wg.Wait()
	w.Settle()
	for i, c := range conns {
		checkStream(t, c, i, heard[i])
		c.HangUp()
	}
	w.Stop()
	nothingLeft(t, r, w)
}

// drive sends rounds of traffic without waiting for any of it, answering the invocations that have come. It returns
// what it has read.
func drive(t *testing.T, c *realmtest.Conn, number, rounds int) (heard [][]byte) {
	send := func(v ...any) {
		b, err := codec.AppendValue(nil, c.Variant().Serializer(), v)
		if err != nil {
			t.Error(err)
			return
		}
		c.Send(b)
	}
	answer := func() {
		for b := c.Next(); b != nil; b = c.Next() {
			heard = append(heard, b)
			v, err := codec.Value(c.Variant().Serializer(), b)
			if err != nil {
				t.Error(err)
				return
			}
			if m := v.([]any); m[0] == int64(codec.Invocation) {
				send(int64(codec.Yield), m[1], values{}, m[4])
			}
		}
	}
	send(int64(codec.Hello), "realm1", values{"roles": values{
		"publisher": values{}, "subscriber": values{}, "caller": values{},
		"callee": values{"features": values{"progressive_call_results": true, "call_canceling": true}},
	}})
	request := int64(0)
	next := func() int64 { request++; return request }
	for round := range rounds {
		answer()
		send(int64(codec.Subscribe), next(), values{}, "t")
		send(int64(codec.Subscribe), next(), values{"match": "prefix"}, "t")
		send(int64(codec.Subscribe), next(), values{"nkey": fmt.Sprint(number % 5)}, "s")
		send(int64(codec.Register), next(), values{"invoke": "roundrobin"}, "p")
		for i := range 4 {
			args := []any{int64(number), int64(round*4 + i)}
			send(int64(codec.Publish), next(), values{}, "t", args)
			send(int64(codec.Publish), next(), values{"rkey": fmt.Sprint(i)}, "s", args)
		}
		call := next()
		byKey := values{"runmode": "partition", "rkey": fmt.Sprint(round)}
		send(int64(codec.Call), call, byKey, "p", []any{int64(number)})
		if round%3 == 0 {
			send(int64(codec.Cancel), call, values{"mode": []string{"skip", "kill", "killnowait"}[round/3%3]})
		}
	}
	send(int64(codec.Goodbye), values{}, "wamp.close.close_realm")
	return heard
}

// checkStream reads what one client was sent: every publisher's events in order, one final answer at most per call,
// nothing after GOODBYE.
func checkStream(t *testing.T, c *realmtest.Conn, number int, heard [][]byte) {
	t.Helper()
	for b := c.Next(); b != nil; b = c.Next() {
		heard = append(heard, b)
	}
	last := map[int64]map[int64]int64{} // subscription, publisher: sequence
	answered := map[int64]bool{}
	ended := false
	for _, b := range heard {
		v, err := codec.Value(c.Variant().Serializer(), b)
		if err != nil {
			t.Fatalf("client %d: %v", number, err)
		}
		m := v.([]any)
		if ended {
			t.Fatalf("client %d: %v after GOODBYE", number, m)
		}
		switch codec.Type(m[0].(int64)) {
		case codec.Goodbye:
			ended = true
		case codec.Event:
			args := m[4].([]any)
			id, from, sequence := m[1].(int64), args[0].(int64), args[1].(int64)
			if last[id] == nil {
				last[id] = map[int64]int64{}
			}
			if before, ok := last[id][from]; ok && sequence <= before {
				t.Fatalf("client %d: event %d of %d after %d", number, sequence, from, before)
			}
			last[id][from] = sequence
		case codec.Result:
			if answered[m[1].(int64)] {
				t.Fatalf("client %d: call %v answered twice", number, m[1])
			}
			answered[m[1].(int64)] = true
		case codec.Error:
			if m[1] != int64(codec.Call) {
				t.Fatalf("client %d: %v", number, m)
			}
			if answered[m[2].(int64)] {
				t.Fatalf("client %d: call %v answered twice", number, m[2])
			}
			answered[m[2].(int64)] = true
		case codec.Abort:
			t.Fatalf("client %d: %v", number, m)
		}
	}
	if !ended {
		t.Errorf("client %d: no GOODBYE", number)
	}
}
