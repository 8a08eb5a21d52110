package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"go.uber.org/goleak"

	"banyan/bench/client"
	"banyan/codec"
)

// TestMain runs more tests at once than there are CPUs, because most of them wait. A -parallel on the command line
// still counts.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// quick is a load of a tenth of a second.
func quick(s *fake, ser codec.Serializer) Options {
	return Options{
		URL: s.url(), PID: -1, Serializer: ser, InFlight: 4, Warmup: 10 * time.Millisecond,
		Duration: 100 * time.Millisecond,
	}
}

// measured runs a load, longer and longer until a message was received and one's latency counted, or something
// failed: a busy machine may take its time.
func measured(t *testing.T, o Options, run func(o Options) (*Report, error)) *Report {
	t.Helper()
	for ; ; o.Duration *= 4 {
		r, err := run(o)
		if err != nil {
			t.Fatal(err)
		}
		if r.Latency.Count > 0 && r.Received > 0 || !r.Verified.OK || o.Duration > 5*time.Second {
			return r
		}
	}
}

// counted is a load that ends with the 200th message, whatever time that takes, and with the context that ends it.
func counted(t *testing.T, s *fake) (context.Context, Options) {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	s.enough = cancel
	return ctx, Options{
		URL: s.url(), PID: -1, Serializer: codec.MessagePack, InFlight: 4, Stall: 10 * time.Second,
	}
}

// patient tries a load that waits in vain for something, a short time and then, if there is a complaint, a long one.
// On a busy machine the short one may be too short for everything else.
func patient(t *testing.T, try func(stall time.Duration) (complaint string)) {
	t.Helper()
	if try(300*time.Millisecond) == "" {
		return
	}
	if complaint := try(10 * time.Second); complaint != "" {
		t.Error(complaint)
	}
}

// failed is the complaint about a run that should have counted these failures and no others; "" if it has.
func failed(r *Report, want map[string]int64) string {
	if !r.Verified.OK && maps.Equal(r.Verified.Failures, want) {
		return ""
	}
	return fmt.Sprintf("failures %v, want %v", r.Verified.Failures, want)
}

func TestFanoutVerifies(t *testing.T) {
	t.Parallel()
	for _, ser := range []codec.Serializer{codec.JSON, codec.MessagePack, codec.CBOR} {
		s := newFake(t)
		r := measured(t, quick(s, ser), func(o Options) (*Report, error) {
			o.PayloadBytes, o.PID = 200, 0
			return Fanout(t.Context(), FanoutPlan{Options: o, Publishers: 2, Subscribers: 5})
		})
		if !r.Verified.OK || r.Verified.Expected != r.Verified.Received || r.Received == 0 || r.Latency.Count == 0 {
			t.Errorf("%s: %+v, %d received, %d latencies",
				client.SerializerName(ser), r.Verified, r.Received, r.Latency.Count)
		}
		if r.Latency.P50 <= 0 || r.Latency.P50 > r.Latency.P99 || r.Latency.P99 > r.Latency.Max {
			t.Errorf("implausible latencies %+v", r.Latency)
		}
		if r.Router != nil || !strings.Contains(r.NoRouter, "this very process") {
			t.Errorf("the fake runs in this process, but Router = %+v, NoRouter = %q", r.Router, r.NoRouter)
		}
	}
}

func TestFanoutOpenLoop(t *testing.T) {
	t.Parallel()
	s := newFake(t)
	ctx, load := counted(t, s)
	load.Rate = 1000
	r, err := Fanout(ctx, FanoutPlan{Options: load, Subscribers: 3})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Verified.OK || r.Verified.Received < 200 || r.Plan.Loop != "open" ||
		!strings.Contains(r.Latency.From, "intended") {
		t.Errorf("%+v %+v %+v", r.Verified, r.Plan, r.Latency)
	}
}

// TestFanoutFindsFaults: each way of breaking the promise fails the verification, under its own name.
func TestFanoutFindsFaults(t *testing.T) {
	t.Parallel()
	var held []byte
	for name, c := range map[string]struct {
		fault func(n int, msg []byte) [][]byte
		want  map[string]int64
	}{
		"loss": {func(n int, msg []byte) [][]byte {
			if n == 20 {
				return nil
			}
			return [][]byte{msg}
		}, map[string]int64{"events lost": 1}},
		"duplicate": {func(n int, msg []byte) [][]byte {
			if n == 20 {
				return [][]byte{msg, msg}
			}
			return [][]byte{msg}
		}, map[string]int64{"events received twice": 1}},
		"order": {func(n int, msg []byte) [][]byte {
			switch n {
			case 20:
				held = msg
				return nil
			case 21:
				return [][]byte{msg, held}
			}
			return [][]byte{msg}
		}, map[string]int64{"events out of order": 1}},
		"damage": {func(n int, msg []byte) [][]byte {
			if n == 20 {
				msg = bytes.Clone(msg)
				msg[len(msg)-1] ^= 1
			}
			return [][]byte{msg}
		}, map[string]int64{"events with a damaged payload": 1, "events lost": 1}},
		"garbage": {func(n int, msg []byte) [][]byte {
			if n == 20 {
				return [][]byte{msg, {0xC1}}
			}
			return [][]byte{msg}
		}, map[string]int64{"undecodable messages": 1}},
		"foreign message": {func(n int, msg []byte) [][]byte {
			if n == 20 {
				return [][]byte{msg, codec.AppendPublished(nil, codec.MessagePack, 1, 2)}
			}
			return [][]byte{msg}
		}, map[string]int64{"unexpected messages of type 17": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			patient(t, func(stall time.Duration) string {
				s := newFake(t)
				s.fault = c.fault
				ctx, load := counted(t, s)
				load.Stall = stall
				r, err := Fanout(ctx, FanoutPlan{Options: load, Subscribers: 1})
				if err != nil {
					t.Fatal(err)
				}
				var out strings.Builder
				r.Print(&out)
				for what := range c.want {
					if !strings.Contains(out.String(), "1 x "+what) {
						return "the report does not tell:\n" + out.String()
					}
				}
				return failed(r, c.want)
			})
		})
	}
}

func TestRPCVerifies(t *testing.T) {
	t.Parallel()
	for _, ser := range []codec.Serializer{codec.JSON, codec.MessagePack, codec.CBOR} {
		s := newFake(t)
		r := measured(t, quick(s, ser), func(o Options) (*Report, error) {
			return RPC(t.Context(), RPCPlan{Options: o, Callers: 3})
		})
		if !r.Verified.OK || r.Verified.Expected != r.Verified.Received || r.Received == 0 {
			t.Errorf("%s: %+v", client.SerializerName(ser), r.Verified)
		}
		var again Report
		b, err := json.Marshal(r)
		if err == nil {
			err = json.Unmarshal(b, &again)
		}
		if err != nil || again.Schema != Schema || again.Received != r.Received {
			t.Errorf("JSON: %v %+v", err, again)
		}
		h, err := hdrhistogram.Decode([]byte(again.Latency.HDR))
		if err != nil || h.TotalCount() != r.Latency.Count || micro(h.ValueAtQuantile(99)) != r.Latency.P99 {
			t.Errorf("histogram: %v, %+v", err, r.Latency)
		}
	}
}

func TestProgressiveVerifies(t *testing.T) {
	t.Parallel()
	for _, ser := range []codec.Serializer{codec.JSON, codec.MessagePack, codec.CBOR} {
		s := newFake(t)
		r := measured(t, quick(s, ser), func(o Options) (*Report, error) {
			return RPC(t.Context(), RPCPlan{Options: o, Callers: 2, Results: 5})
		})
		if !r.Verified.OK || r.Scenario != "progressive" || r.Verified.Received == 0 || r.Verified.Received%5 != 0 ||
			r.Plan.Progress != 5 {
			t.Errorf("%s: %+v %+v", client.SerializerName(ser), r.Verified, r.Plan)
		}
	}
	// The second of five results is lost: two come with a number too high, and the last one too early.
	patient(t, func(stall time.Duration) string {
		s := newFake(t)
		s.fault = func(n int, msg []byte) [][]byte {
			if n == 21 {
				return nil
			}
			return [][]byte{msg}
		}
		ctx, load := counted(t, s)
		load.Stall = stall
		r, err := RPC(ctx, RPCPlan{Options: load, Results: 5})
		if err != nil {
			t.Fatal(err)
		}
		return failed(r, map[string]int64{
			"results lost": 1, "results that came out of place": 1, "results with a damaged or foreign payload": 2,
		})
	})
}

func TestRPCFindsFaults(t *testing.T) {
	t.Parallel()
	t.Run("loss", func(t *testing.T) {
		t.Parallel()
		patient(t, func(stall time.Duration) string {
			s := newFake(t)
			s.fault = func(n int, msg []byte) [][]byte {
				if n == 20 {
					return nil
				}
				return [][]byte{msg}
			}
			ctx, load := counted(t, s)
			load.Stall = stall
			r, err := RPC(ctx, RPCPlan{Options: load})
			if err != nil {
				t.Fatal(err)
			}
			return failed(r, map[string]int64{"calls without an answer": 1})
		})
	})
	t.Run("twice", func(t *testing.T) {
		t.Parallel()
		s := newFake(t)
		s.fault = func(n int, msg []byte) [][]byte {
			if n == 20 {
				return [][]byte{msg, msg}
			}
			return [][]byte{msg}
		}
		ctx, load := counted(t, s)
		r, err := RPC(ctx, RPCPlan{Options: load})
		if err != nil {
			t.Fatal(err)
		}
		if r.Verified.Failures["answers to calls that are not open"] != 1 {
			t.Errorf("%+v", r.Verified)
		}
	})
	for _, rate := range []float64{0, 1000} {
		t.Run(fmt.Sprintf("error at %g", rate), func(t *testing.T) {
			t.Parallel()
			s := newFake(t)
			s.refuse = map[codec.Type]string{codec.Call: codec.ErrUnavailable}
			ctx, load := counted(t, s)
			load.Rate = rate
			r, err := RPC(ctx, RPCPlan{Options: load})
			if err != nil {
				t.Fatal(err)
			}
			// An ERROR is an answer: a closed loop goes on.
			n := r.Verified.Failures["calls answered with "+codec.ErrUnavailable]
			if r.Verified.OK || n < 200 || n != r.Verified.Received || n != r.Verified.Expected ||
				len(r.Verified.Failures) != 1 {
				t.Errorf("%+v", r.Verified)
			}
		})
	}
}

// TestClosedLoop: no more is in flight than the plan says, if nothing arrives.
func TestClosedLoop(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		run  func(o Options) (*Report, error)
		want map[string]int64
	}{
		"fanout": {func(o Options) (*Report, error) {
			return Fanout(t.Context(), FanoutPlan{Options: o, Publishers: 2, Subscribers: 3})
		}, map[string]int64{"events lost": 2 * 4 * 3}},
		"rpc": {func(o Options) (*Report, error) {
			return RPC(t.Context(), RPCPlan{Options: o, Callers: 2})
		}, map[string]int64{"calls without an answer": 2 * 4}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			patient(t, func(stall time.Duration) string {
				s := newFake(t)
				s.fault = func(int, []byte) [][]byte { return nil }
				o := quick(s, codec.MessagePack)
				o.Stall, o.Duration = stall, stall/3
				r, err := c.run(o)
				if err != nil {
					t.Fatal(err)
				}
				return failed(r, c.want)
			})
		})
	}
}

// TestSharedRegistrations: callees share a registration in turn if there are several.
func TestSharedRegistrations(t *testing.T) {
	t.Parallel()
	const shared = "roundrobin"
	for callees, want := range map[int][]any{1: {nil}, 2: {shared, shared}, 3: {shared, shared, shared}} {
		s := newFake(t)
		var asked []any
		s.slow = func(m *codec.Message) {
			if m.Type != codec.Register {
				return
			}
			var options map[string]any
			if len(m.Dict) > 0 {
				v, err := codec.Value(m.Format, m.Dict)
				if err != nil {
					t.Error(err)
				}
				options = v.(map[string]any)
			}
			asked = append(asked, options["invoke"])
		}
		ctx, load := counted(t, s)
		if _, err := RPC(ctx, RPCPlan{Options: load, Callees: callees}); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(asked, want) {
			t.Errorf("%d callees ask for %v, want %v", callees, asked, want)
		}
	}
}

// TestSeries: a run has about one entry a second, and a last one that is nearly as long.
func TestSeries(t *testing.T) {
	t.Parallel()
	s := newFake(t)
	load := quick(s, codec.MessagePack)
	load.Rate, load.Warmup, load.Duration = 500, 0, 1100*time.Millisecond
	r, err := RPC(t.Context(), RPCPlan{Options: load})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Series) < 1 || len(r.Series) > 2 || r.Series[0].PerSecond <= 0 || r.Series[0].P99 <= 0 ||
		r.Series[0].At < 0.9 {
		t.Errorf("%+v", r.Series)
	}
	if r.Trust.Judged || !r.Trust.OK {
		t.Errorf("%+v", r.Trust)
	}
}

// TestContextEndsLoad: without a duration a load runs until its context ends, and still reports.
func TestContextEndsLoad(t *testing.T) {
	s := newFake(t)
	ctx, load := counted(t, s)
	r, err := Fanout(ctx, FanoutPlan{Options: load, Subscribers: 2})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Verified.OK || r.Verified.Received < 200 {
		t.Errorf("%+v", r)
	}
}

func TestLoadErrors(t *testing.T) {
	for name, plan := range map[string]FanoutPlan{
		"url":         {Options: Options{URL: "http://x"}},
		"payload":     {Options: Options{URL: "rs://127.0.0.1:1", PayloadBytes: 5}},
		"in flight":   {Options: Options{URL: "rs://127.0.0.1:1", InFlight: -1}},
		"subscribers": {Options: Options{URL: "rs://127.0.0.1:1"}, Subscribers: -1},
	} {
		_, err := Fanout(t.Context(), plan)
		var usage *UsageError
		if !errors.As(err, &usage) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	_, err = RPC(t.Context(), RPCPlan{Options: Options{URL: "rs://" + l.Addr().String()}})
	var connect *client.ConnectError
	if !errors.As(err, &connect) {
		t.Errorf("got %v", err)
	}
}

func TestStamp(t *testing.T) {
	for _, ser := range []codec.Serializer{codec.JSON, codec.MessagePack, codec.CBOR} {
		for _, n := range []int{32, 33, 48, 64, 255, 256, 1000, 65536} {
			st, err := newStamper(ser, n, n%2 == 0)
			if err != nil {
				t.Fatal(err)
			}
			want := stamp{sender: 3, seq: 0x123456789a, sent: 77 * time.Hour}
			args := bytes.Clone(st.write(want))
			got, ok := st.read(&codec.Payload{Format: ser, Args: args})
			if !ok || got != want {
				t.Fatalf("%s, %d bytes: got %+v, %v", client.SerializerName(ser), n, got, ok)
			}
			v, err := codec.Value(ser, args)
			if err != nil || len(v.([]any)[0].(string)) != n {
				t.Fatalf("%s, %d bytes: the encoding is not one text: %v", client.SerializerName(ser), n, err)
			}
			// The same value from another router, or through another serializer, is recognized too.
			for _, other := range []codec.Serializer{codec.JSON, codec.MessagePack, codec.CBOR} {
				b, err := codec.Transcode(nil, args, ser, other, codec.MessageBytesMax)
				if err != nil {
					t.Fatal(err)
				}
				if got, ok := st.read(&codec.Payload{Format: other, Args: b}); !ok || got != want {
					t.Fatalf("%d to %d: got %+v, %v", ser, other, got, ok)
				}
			}
			for _, at := range []int{st.offset, st.offset + 10, st.offset + n - 1} {
				bad := bytes.Clone(args)
				bad[at] = '!'
				if got, ok := st.read(&codec.Payload{Format: ser, Args: bad}); ok && got == want {
					t.Fatalf("damage at %d went unnoticed", at)
				}
			}
		}
	}
}

func TestRecorder(t *testing.T) {
	r := newRecorder()
	var b latencyBatch
	for i := range 1000 {
		b.add(time.Duration(i+1)*time.Millisecond, i >= 500)
	}
	b.add(-time.Second, false) // clocks of one machine do not run backwards, but a bug must not panic
	b.add(200*time.Second, true)
	if h, _ := r.total(); longest(h) != 0 {
		t.Errorf("the longest of none is %g us", longest(h))
	}
	r.record(3, &b)
	h, over := r.total()
	if l := longest(h); l < 99e6 || l > 101e6 {
		t.Errorf("the longest is %g us", l)
	}
	if h.TotalCount() != 501 || over != 1 {
		t.Errorf("%d counted, %d over", h.TotalCount(), over)
	}
	if p := time.Duration(h.ValueAtQuantile(50)); p < 745*time.Millisecond || p > 755*time.Millisecond {
		t.Errorf("p50 = %v", p)
	}
	if n := r.takeInterval().TotalCount(); n != 1002 {
		t.Errorf("%d in the interval", n)
	}
	if n := r.takeInterval().TotalCount(); n != 0 {
		t.Errorf("%d in an empty interval", n)
	}
}

func TestPaceCatchesUp(t *testing.T) {
	var clock time.Duration
	ctx, cancel := context.WithCancel(t.Context())
	var intended []time.Duration
	err := Pace(ctx, 1e6, 0, func() time.Duration { clock += 100 * time.Microsecond; return clock },
		func(at time.Duration) error {
			intended = append(intended, at)
			if len(intended) == 5000 {
				cancel()
			}
			return nil
		}, func() error { return nil })
	if err != nil || len(intended) != 5000 {
		t.Fatalf("%v, %d sent", err, len(intended))
	}
	for i, at := range intended {
		if want := 100*time.Microsecond + time.Duration(i)*time.Microsecond; at != want {
			t.Fatalf("message %d was intended for %v, want %v", i, at, want)
		}
	}
}

// TestPaceFlushesItsLastBurst: what was sent when the end came is written, or it would count as lost.
func TestPaceFlushesItsLastBurst(t *testing.T) {
	var clock time.Duration
	ctx, cancel := context.WithCancel(t.Context())
	sent, flushed := 0, 0
	err := Pace(ctx, 1e6, 0, func() time.Duration { clock += 100 * time.Microsecond; return clock },
		func(time.Duration) error {
			if sent++; sent == 57 { // in the middle of a burst
				cancel()
			}
			return nil
		}, func() error { flushed = sent; return nil })
	if err != nil || sent != 57 || flushed != sent {
		t.Errorf("%v, %d sent, %d of them written", err, sent, flushed)
	}
}

func TestFailuresAreBounded(t *testing.T) {
	var f failures
	for i := range 10 * failuresMax {
		f.add(strings.Repeat("x", i), 2)
	}
	if f.total() != 20*failuresMax || len(f.byID) != failuresMax+1 {
		t.Errorf("%d failures of %d kinds", f.total(), len(f.byID))
	}
}

func TestProcess(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	u, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	for _, url := range []string{"ws://" + l.Addr().String() + "/ws", "unix:" + u.Addr().String()} {
		p, err := findProcess(url)
		if err != nil {
			t.Fatalf("%s: %v", url, err)
		}
		if !strings.HasPrefix(p.name(), "load.test") {
			t.Errorf("%s: found process %d, %q", url, p.pid, p.name())
		}
		before, err := p.cpu()
		if err != nil {
			t.Fatal(err)
		}
		for spin := 0; ; spin++ {
			after, err := p.cpu()
			if err != nil {
				t.Fatal(err)
			}
			if after > before {
				break
			}
			if spin > 1e8 {
				t.Fatal("the CPU clock stands still")
			}
		}
		if rss, err := p.rss(); err != nil || rss < 1<<20 {
			t.Errorf("rss = %d, %v", rss, err)
		}
	}
	l.Close()
	if p, err := findProcess("rs://" + l.Addr().String()); !errors.Is(err, errNotLocal) {
		t.Errorf("found %+v, %v for a closed port", p, err)
	}
}
