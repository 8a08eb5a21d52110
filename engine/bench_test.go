//go:build linux

package engine

import (
	"bufio"
	"io"
	"net"
	"runtime"
	"testing"

	"banyan/engine/internal/wire"
	"banyan/engine/port"
)

// benchDial opens a RawSocket connection outside of the clock.
func benchDial(b *testing.B, e *Engine) *peer {
	b.Helper()
	a := e.Addrs()[0]
	nc, err := net.Dial(a.Network(), a.String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { nc.Close() })
	p := &peer{nc, b, bufio.NewReaderSize(nc, 64<<10)}
	p.send([]byte{0x7F, 0xF3, 0, 0})
	p.expect([]byte{0x7F, 0xF3, 0, 0})
	return p
}

// One message there and back, and a window of them: what the loop costs without any routing.
func BenchmarkEcho(b *testing.B) {
	for _, window := range []int{1, 64} {
		b.Run(map[int]string{1: "window=1", 64: "window=64"}[window], func(b *testing.B) {
			e := start(b, Config{Loops: 1}, echoes)
			p := benchDial(b, e)
			frame := rawFrameOf(make([]byte, 64))
			out := make([]byte, 0, window*len(frame))
			for range window {
				out = append(out, frame...)
			}
			in := make([]byte, len(out))
			b.ReportAllocs()
			for n := 0; n < b.N; n += window {
				p.send(out)
				if _, err := io.ReadFull(p.r, in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A run of events appended to members of one loop and written: what a delivery costs.
func BenchmarkFanout(b *testing.B) {
	const members = 100
	conns := make(chan port.Conn, members)
	e := start(b, Config{Loops: 1}, func(x port.Executor, c port.Conn) port.Handler {
		conns <- c
		return &session{c: c}
	})
	var all []port.Conn
	for range members {
		p := benchDial(b, e)
		go io.Copy(io.Discard, p.r)
		all = append(all, <-conns)
	}
	run := rawFrameOf(make([]byte, 200))
	done := make(chan bool)
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += members {
		e.loops[0].post(note{kind: noteJob, job: &countJob{members: 1, end: func(x port.Executor) {
			for _, c := range all {
				c.AppendRun(x, run, 1, 0)
			}
			done <- true
		}}})
		<-done
	}
}

func BenchmarkOpenClose(b *testing.B) {
	for _, loops := range []int{1, 2} {
		b.Run(map[int]string{1: "loops=1", 2: "loops=2"}[loops], func(b *testing.B) {
			e := start(b, Config{Loops: loops}, echoes)
			address := e.Addrs()[0].String()
			var answer [4]byte
			for b.Loop() {
				nc, err := net.Dial("tcp", address)
				if err != nil {
					b.Fatal(err)
				}
				if _, err = nc.Write([]byte{0x7F, 0xF3, 0, 0}); err == nil {
					_, err = io.ReadFull(nc, answer[:])
				}
				if err != nil {
					b.Fatal(err)
				}
				nc.Close()
			}
		})
	}
}

// BenchmarkIdle reports the heap of one idle connection, the client's end in this process included, and what of it
// the transport handshake left.
func BenchmarkIdle(b *testing.B) {
	const conns = 2000
	e := start(b, Config{Loops: 2}, func(_ port.Executor, c port.Conn) port.Handler { return &session{c: c} })
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	clients := make([]net.Conn, 0, conns)
	a := e.Addrs()[0]
	before := heap()
	for range conns {
		nc, err := net.Dial(a.Network(), a.String())
		if err != nil {
			b.Fatal(err)
		}
		clients = append(clients, nc)
	}
	eventually(b, "accepted", func() bool { return e.Stats().Connections == conns })
	dialed := heap()
	for _, nc := range clients {
		if _, err := nc.Write([]byte{0x7F, 0xF1, 0, 0}); err != nil {
			b.Fatal(err)
		}
	}
	eventually(b, "open", func() bool { return e.Stats().Sessions == conns })
	opened := heap()
	for _, nc := range clients {
		nc.Close()
	}
	for b.Loop() {
		// The figures are what counts; there is nothing to time.
	}
	b.ReportMetric(float64(opened-before)/conns, "B/conn")
	b.ReportMetric(float64(opened-dialed)/conns, "B/handshake")
	b.ReportMetric(0, "ns/op")
}

func BenchmarkParseHead(b *testing.B) {
	data := upgradeRequest("wamp.2.msgpack")
	b.ReportAllocs()
	for b.Loop() {
		if _, _, refused := wire.ReadHead(data); refused != nil {
			b.Fatal(refused)
		}
	}
}
