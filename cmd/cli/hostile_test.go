package cli

import (
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"banyan/bench/client"
	"banyan/codec"
	"banyan/engine"
	"banyan/realm"
)

// A recorded conversation is what a valid client writes, cut where its messages end: the opening handshake, then
// frames.
type conversation struct {
	network string
	parts   [][]byte
}

// conversations records a client's part of a session on every listener, framing and serializer.
func conversations(t *testing.T) []conversation {
	t.Helper()
	var all []conversation
	for _, network := range []string{"tcp", "unix"} {
		for _, s := range []codec.Serializer{codec.JSON, codec.MessagePack, codec.CBOR} {
			messages := validMessages(t, s)
			request := "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
				"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
				"Sec-WebSocket-Protocol: wamp.2." + client.SerializerName(s) + "\r\n\r\n"
			web := conversation{network, [][]byte{[]byte(request)}}
			raw := conversation{network, [][]byte{{0x7F, 0xF0 | byte(s), 0, 0}}}
			for i, m := range messages {
				op := ws.OpBinary
				if s == codec.JSON {
					op = ws.OpText
				}
				f := ws.MaskFrame(ws.NewFrame(op, true, m))
				b, err := ws.CompileFrame(f)
				if err != nil {
					t.Fatal(err)
				}
				web.parts = append(web.parts, b)
				raw.parts = append(raw.parts, append(binary.BigEndian.AppendUint32(nil, uint32(len(m))), m...))
				if i == 2 {
					b, err = ws.CompileFrame(ws.MaskFrame(ws.NewPingFrame([]byte("ping"))))
					if err != nil {
						t.Fatal(err)
					}
					web.parts = append(web.parts, b)
					raw.parts = append(raw.parts, []byte{1, 0, 0, 4, 'p', 'i', 'n', 'g'})
				}
			}
			all = append(all, web, raw)
		}
	}
	return all
}

// validMessages are a session's messages in one serializer.
func validMessages(t *testing.T, s codec.Serializer) [][]byte {
	t.Helper()
	value := func(v any) []byte {
		b, err := codec.AppendValue(nil, s, v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	payload := codec.Payload{
		Format: s,
		Args: value([]any{
			"text", int64(-5), uint64(1 << 60), 1.5, true, nil, []byte{1, 2, 3}, map[string]any{"k": []any{}},
		}),
		Kwargs: value(map[string]any{"key": "value"}),
	}
	uri := []byte("com.example.mutant")
	var all [][]byte
	for _, m := range []codec.Message{
		{Type: codec.Hello, URI: []byte("realm1"), Dict: value(client.HelloDetails(""))},
		{Type: codec.Subscribe, Request: 1, URI: uri, Dict: value(map[string]any{"match": "prefix"})},
		{
			Type: codec.Publish, Request: 2, URI: uri,
			Dict: value(map[string]any{"acknowledge": true, "exclude_me": false}), Payload: payload,
		},
		{Type: codec.Register, Request: 3, URI: uri, Dict: value(map[string]any{"invoke": "roundrobin"})},
		{
			Type: codec.Call, Request: 4, URI: uri, Dict: value(map[string]any{"receive_progress": true}),
			Payload: payload,
		},
		{Type: codec.Yield, Request: 1, Dict: value(map[string]any{"progress": true}), Payload: payload},
		{Type: codec.Cancel, Request: 4, Dict: value(map[string]any{"mode": "kill"})},
		{
			Type: codec.Error, RequestType: codec.Invocation, Request: 1, URI: []byte("com.example.error"),
			Payload: payload,
		},
		{Type: codec.Unsubscribe, Request: 5, ID: 1},
		{Type: codec.Unregister, Request: 6, ID: 1},
		{Type: codec.Goodbye, URI: []byte(codec.CloseCloseRealm)},
	} {
		m.Format = s
		b, err := codec.Append(nil, s, &m)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

// mutate returns one conversation as bytes, damaged in one to four places.
func mutate(r *rand.Rand, c conversation) []byte {
	parts := make([][]byte, len(c.parts))
	copy(parts, c.parts)
	var b []byte
	// Most mutants have a whole handshake: otherwise few would reach the parsers behind it.
	first := 0
	if r.IntN(8) != 0 {
		first = 1
	}
	for range 1 + r.IntN(2) {
		i := first + r.IntN(len(parts)-first)
		j := first + r.IntN(len(parts)-first)
		switch r.IntN(3) {
		case 0:
			parts[i], parts[j] = parts[j], parts[i]
		case 1:
			parts[i] = append(append([]byte{}, parts[i]...), parts[j]...)
		}
	}
	start := 0
	for i, p := range parts {
		if i == first {
			start = len(b)
		}
		b = append(b, p...)
	}
	for range 1 + r.IntN(4) {
		at := start + r.IntN(len(b)-start)
		switch r.IntN(6) {
		case 0:
			b[at] ^= 1 << r.IntN(8)
		case 1:
			b[at] = byte(r.Uint32())
		case 2:
			b = append(b[:at:at], b[min(len(b), at+1+r.IntN(16)):]...)
		case 3:
			noise := make([]byte, 1+r.IntN(16))
			for i := range noise {
				noise[i] = byte(r.Uint32())
			}
			b = append(append(append([]byte{}, b[:at]...), noise...), b[at:]...)
		case 4:
			b = b[:at]
		case 5:
			b = append(append([]byte{}, b[:at]...), b[start+r.IntN(at-start+1):]...)
		}
		if len(b) <= start {
			break
		}
	}
	return b
}

// mutations is how many mutants TestLIM02Mutations sends; BANYAN_MUTATIONS overrides it (CI: 100000).
const mutations = 4000

// TestLIM02Mutations sends damaged copies of valid traffic to every listener. The router must go on serving others,
// must not panic, and must keep nothing of the mutants.
func TestLIM02Mutations(t *testing.T) {
	n := mutations
	if text := os.Getenv("BANYAN_MUTATIONS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	r := startRouter(t, func(_ *engine.Config, rc *realm.Config) {
		// The default would let silent mutants fill the table of connections for ten seconds each.
		rc.HelloTimeout = 2 * time.Second
	})
	witness := r.join(t, msgpackWebSocket)
	if _, err := witness.Register(t.Context(), client.Topic{URI: "com.witness"}, nil,
		func(_ context.Context, call *client.Invocation) (client.Values, error) {
			return call.Values, nil
		}); err != nil {
		t.Fatal(err)
	}
	friend := r.join(t, wire{"unix/cbor", "unix", client.Options{Serializer: codec.CBOR}})

	all := conversations(t)
	const workers = 16
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n; i += workers {
				seed := rand.New(rand.NewPCG(uint64(i), 1))
				c := all[i%len(all)]
				if err := r.attack(c.network, mutate(seed, c)); err != nil {
					t.Errorf("mutant %d: %v", i, err)
					return
				}
				if i%256 == 0 {
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					got, err := friend.Call(ctx, "com.witness", nil, client.Values{Args: []any{int64(i)}}, nil)
					cancel()
					if err != nil || len(got.Args) != 1 || got.Args[0] != int64(i) {
						t.Errorf("after mutant %d a friend's call gave %v, %v", i, got, err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	eventually(t, "only the two friends are left", func() bool { return r.realms.Stats().Sessions == 2 })
	if p := r.engine.Stats().Panics; p != 0 {
		t.Errorf("%d panics were recovered", p)
	}
}

// attack writes b and reads until the router is quiet or hangs up.
func (r *testRouter) attack(network string, b []byte) error {
	target := r.tcp
	if network == "unix" {
		target = r.unix
	}
	c, err := net.DialTimeout(network, target, patience)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Second))
	// A router that has seen enough resets the connection: writing fails then, and that is no fault.
	c.Write(b)
	c.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
	io.Copy(io.Discard, c)
	return nil
}

// TestLIM04Churn opens and closes many connections in every way, and wants no goroutine and no descriptor left.
func TestLIM04Churn(t *testing.T) {
	r := startRouter(t, nil)
	all := wires()
	round := func() {
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				for i := range 50 {
					one := all[(w*50+i)%len(all)]
					ctx, cancel := context.WithTimeout(context.Background(), patience)
					c, err := client.Connect(ctx, r.url(one.scheme), one.options)
					if err != nil {
						t.Error(err)
						cancel()
						return
					}
					switch i % 4 {
					case 0: // says nothing
					case 1:
						_, _, err = c.JoinRaw(ctx, "realm1", "")
						c.Close()
					case 2:
						var s *client.Session
						if s, err = c.Join(ctx, "realm1", ""); err == nil {
							_, err = s.Subscribe(ctx, client.Topic{URI: "com.churn"}, nil, func(*client.Event) {})
							s.Close()
						}
					case 3:
						_, _, err = c.JoinRaw(ctx, "realm1", "")
					}
					if err != nil {
						t.Error(err)
					}
					c.Abandon()
					cancel()
				}
			})
		}
		wg.Wait()
		eventually(t, "all connections are gone", func() bool {
			return r.engine.Stats().Connections == 0 && r.realms.Stats().Sessions == 0 &&
				r.realms.Stats().Subscriptions == 0
		})
	}
	round() // buffers, pools and pollers take what they keep
	files, goroutines := openFiles(t), runtime.NumGoroutine()
	for range 3 {
		round()
	}
	eventually(t, "no goroutine more than before", func() bool { return runtime.NumGoroutine() <= goroutines })
	eventually(t, "no descriptor more than before", func() bool { return openFiles(t) <= files })
}

func openFiles(t *testing.T) int {
	t.Helper()
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}
