//go:build linux

package engine

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"banyan/engine/internal/outq"
	"banyan/engine/port"
)

// cpu is the CPU time of this process.
func cpu() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkTLSHandshake compares what a handshake costs with crypto/tls itself: one goroutine for each connection.
// Sixteen clients connect at a time. Both ends are in this process, and cpu-us/op is the CPU time of both.
func BenchmarkTLSHandshake(b *testing.B) {
	for _, version := range tlsVersions {
		for _, server := range []string{"engine", "stock"} {
			b.Run(fmt.Sprintf("version=%s/server=%s", tls.VersionName(version)[4:], server), func(b *testing.B) {
				e, a := startTLS(b, Config{Loops: 1}, CredentialsConfig{}, echoes)
				address := e.Addrs()[0].String()
				if server == "stock" {
					address = stockServer(b, e.cfg.TLS[anyPort].Credentials.forConn())
				}
				cfg := a.client("router.test")
				cfg.MaxVersion = version
				began := cpu()
				b.SetParallelism(8)
				b.RunParallel(func(pb *testing.PB) {
					var octet [4]byte
					for pb.Next() {
						nc, err := tls.Dial("tcp", address, cfg)
						if err != nil {
							b.Error(err)
							return
						}
						if _, err = nc.Write([]byte{0x7F, 0xF3, 0, 0}); err == nil {
							_, err = io.ReadFull(nc, octet[:])
						}
						if err != nil {
							b.Error(err)
							return
						}
						_ = nc.NetConn().Close()
					}
				})
				b.ReportMetric(float64((cpu()-began).Microseconds())/float64(b.N), "cpu-us/op")
			})
		}
	}
}

// stockServer answers the first four octets of each connection, and returns its address.
func stockServer(b *testing.B, cfg *tls.Config) string {
	l, err := tls.Listen("tcp", "127.0.0.1:0", cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				var octets [4]byte
				if _, err := io.ReadFull(c, octets[:]); err == nil {
					_, _ = c.Write(octets[:])
				}
				_, _ = io.Copy(io.Discard, c)
			}()
		}
	}()
	return l.Addr().String()
}

// BenchmarkTLSFanout is BenchmarkFanout over TLS, with 64 octets of payload; bare is a program that encrypts the same
// octets for each receiver with crypto/tls, and nothing else. The clients throw away what they get, undecrypted;
// cpu-ns/op is the CPU time of both ends.
func BenchmarkTLSFanout(b *testing.B) {
	const members = 100
	run := rawFrameOf(make([]byte, 64))
	b.Run("server=engine", func(b *testing.B) {
		conns := make(chan port.Conn, members)
		e, a := startTLS(b, Config{Loops: 1}, CredentialsConfig{}, func(x port.Executor, c port.Conn) port.Handler {
			conns <- c
			return &session{c: c}
		})
		var all []port.Conn
		for range members {
			p := dialTLS(b, e, a.client("router.test")).rawHello()
			go io.Copy(io.Discard, p.Conn.(*tls.Conn).NetConn())
			all = append(all, <-conns)
		}
		done := make(chan bool)
		b.ReportAllocs()
		b.ResetTimer()
		began := cpu()
		for n := 0; n < b.N; n += members {
			on(e, 0, func(x port.Executor) {
				for _, c := range all {
					c.AppendRun(x, run, 1, 0)
				}
				done <- true
			})
			<-done
		}
		b.ReportMetric(float64(cpu()-began)/float64(b.N), "cpu-ns/op")
	})
	b.Run("server=bare", func(b *testing.B) {
		a := newAuthority(b)
		_, pair := a.issue("router", "ecdsa", "router.test")
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer l.Close()
		var all []*tls.Conn
		for range members {
			nc, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			defer nc.Close()
			sc, err := l.Accept()
			if err != nil {
				b.Fatal(err)
			}
			s := tls.Server(sc, &tls.Config{Certificates: []tls.Certificate{pair}})
			ended := make(chan error)
			go func() { ended <- s.Handshake() }()
			if err := tls.Client(nc, a.client("router.test")).Handshake(); err != nil {
				b.Fatal(err)
			}
			if err := <-ended; err != nil {
				b.Fatal(err)
			}
			go io.Copy(io.Discard, nc)
			all = append(all, s)
		}
		b.ReportAllocs()
		b.ResetTimer()
		began := cpu()
		for n := 0; n < b.N; n += members {
			for _, c := range all {
				if _, err := c.Write(run); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(cpu()-began)/float64(b.N), "cpu-ns/op")
	})
}

// BenchmarkTLSSeal is what Send costs without the socket.
func BenchmarkTLSSeal(b *testing.B) {
	for _, n := range []int{64, 1024, 16 << 10} {
		b.Run(fmt.Sprintf("bytes=%d", n), func(b *testing.B) {
			c, _ := completeTLS(b)
			var v outq.Vectors
			var q outq.Queue
			msg := make([]byte, n)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				q.Lock()
				q.Share(msg, 1, 0, 0)
				q.Unlock()
				q.Flush(c.tls, &v, 0, 0)
			}
		})
	}
}

// complete returns a connection with TLS, on a fakeSocket that takes everything, and its client.
func (s *stillTLS) complete(cfg *tls.Config) (*conn, *memoryTLS) {
	client := newMemoryTLS(cfg)
	s.t.Cleanup(client.stop)
	client.step()
	c, k := s.connect(1, nil)
	for !client.complete || c.tls == nil || !c.tls.complete {
		k.in, client.out = append(k.in, client.out...), nil
		c.read()
		s.steps(1)
		client.in, k.capture = append(client.in, k.capture...), nil
		client.step()
	}
	return c, client
}

// completeTLS returns a connection with TLS whose socket throws everything away.
func completeTLS(t testing.TB) (*conn, *memoryTLS) {
	s := newStillTLS(t, Live{})
	c, client := s.complete(s.a.client("router.test"))
	c.tls.socket = discardSocket{}
	return c, client
}

type discardSocket struct{ fakeSocket }

func (discardSocket) read(int, []byte) (int, error)      { return 0, outq.ErrAgain }
func (discardSocket) write(_ int, b []byte) (int, error) { return len(b), nil }
func (discardSocket) failure(int) error                  { return nil }
func (discardSocket) shutdown(int)                       {}
func (discardSocket) close(int)                          {}

// A record costs no allocation, either way.
func TestTLSAllocatesNothing(t *testing.T) {
	c, client := completeTLS(t)
	var v outq.Vectors
	var q outq.Queue
	msg := make([]byte, 100)
	if n := testing.AllocsPerRun(100, func() {
		for range 3 {
			q.Lock()
			q.Share(msg, 1, 0, 0)
			q.Unlock()
		}
		q.Flush(c.tls, &v, 0, 0)
	}); n > poolAllocates {
		t.Errorf("%v allocations for a record out", n)
	}
	k := &fakeSocket{room: -1}
	c.tls.socket = k
	var records [][]byte
	for range 110 {
		client.out = nil
		client.write(msg)
		records = append(records, bytes.Clone(client.out))
	}
	b := make([]byte, 64<<10)
	if n := testing.AllocsPerRun(100, func() {
		k.in, records = records[0], records[1:]
		if n, err := c.tls.read(1, b); n != len(msg) || err != nil {
			t.Fatal(n, err)
		}
	}); n > poolAllocates {
		t.Errorf("%v allocations for a record in", n)
	}
}

// What an idle session with TLS keeps, after it has had a record of full length each way: at most 12 KiB.
func TestTLSIdle(t *testing.T) {
	s := newStillTLS(t, Live{})
	const conns, most = 100, 12 << 10
	record := make([]byte, 16<<10-4)
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	for fd := range 2 * conns {
		if fd == conns { // what the first have left for reuse is there
			before := heap()
			defer func() {
				each := (heap() - before) / conns
				t.Logf("%d bytes each", each)
				if each > most {
					t.Errorf("an idle session keeps %d bytes, at most %d are wanted", each, most)
				}
				runtime.KeepAlive(s)
			}()
		}
		client := newMemoryTLS(s.a.client("router.test"))
		client.step()
		c, k := s.connect(fd, nil)
		pump := func() {
			k.in, client.out = append(k.in, client.out...), nil
			for len(k.in) > 0 {
				c.read()
			}
			s.steps(1)
			s.l.turn(nil)
			client.in, k.capture = append(client.in, k.capture...), nil
			client.step()
		}
		for !client.complete || c.handler == nil {
			if client.complete && c.tls.complete {
				client.write([]byte{0x7F, 0xF3, 0, 0})
			}
			pump()
		}
		client.write(rawFrameOf(record))
		for range 3 {
			pump()
		}
		if len(client.got) != 4+4+len(record) {
			t.Fatalf("%d octets came back", len(client.got))
		}
		client.stop()
		k.in, k.capture = nil, nil
	}
}

// BenchmarkTLSStorm is the time of one message there and back on an established connection while others make
// handshakes at a rate. The clients of the storm take CPU of this machine, too.
func BenchmarkTLSStorm(b *testing.B) {
	for _, rate := range []int{0, 100, 300} {
		b.Run(fmt.Sprintf("handshakes=%d", rate), func(b *testing.B) {
			e, a := startTLS(b, Config{}, CredentialsConfig{}, echoes)
			cfg := a.client("router.test")
			ctx, cancel := context.WithCancel(b.Context())
			var storm sync.WaitGroup
			if rate > 0 {
				storm.Go(func() {
					tick := time.NewTicker(time.Second / time.Duration(rate))
					defer tick.Stop()
					for ctx.Err() == nil {
						<-tick.C
						storm.Go(func() {
							if nc, err := tls.Dial("tcp", e.Addrs()[0].String(), cfg); err == nil {
								_ = nc.NetConn().Close()
							}
						})
					}
				})
			}
			p := dialTLS(b, e, cfg).rawHello()
			_ = p.SetDeadline(time.Time{})
			msg := rawFrameOf(make([]byte, 64))
			var times []time.Duration
			began := time.Now()
			for b.Loop() {
				at := time.Now()
				p.send(msg)
				p.expect(msg)
				times = append(times, time.Since(at))
			}
			spent := time.Since(began).Seconds()
			b.ReportMetric(float64(e.Stats().TLSHandshakes)/spent, "handshakes/s")
			cancel()
			storm.Wait()
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)*99/100].Microseconds()), "p99-us")
			b.ReportMetric(float64(times[len(times)/2].Microseconds()), "p50-us")
		})
	}
}
