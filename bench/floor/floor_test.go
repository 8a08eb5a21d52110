package floor_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"banyan/bench/client"
	"banyan/bench/floor"
	"banyan/bench/load"
	"banyan/codec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs a floor and returns the address it listens on.
func start(t *testing.T, address string) string {
	t.Helper()
	s, err := floor.Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	run(t, s)
	return s.Addr().String()
}

// run runs a floor until the test ends.
func run(t *testing.T, s interface {
	Run() error
	Stop() error
},
) {
	done := make(chan error)
	go func() { done <- s.Run() }()
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// options are those of a load of a hundredth of a second, see moves.
func options(url string, ser codec.Serializer, payload int) load.Options {
	return load.Options{
		URL: url, Serializer: ser, PayloadBytes: payload, InFlight: 8, PID: -1,
		Duration: 10 * time.Millisecond,
	}
}

// moves runs a load, longer and longer until something came back: a busy machine may take its time.
func moves(t *testing.T, name string, l load.Options, run func(load.Options) (*load.Report, error)) {
	t.Helper()
	for ; ; l.Duration *= 4 {
		switch r, err := run(l); {
		case err != nil:
			t.Fatalf("%s: %v", name, err)
		case !r.Verified.OK || r.Verified.Received == 0 && l.Duration > 5*time.Second:
			t.Errorf("%s: %+v", name, r.Verified)
			return
		case r.Verified.Received > 0:
			return
		}
	}
}

// TestFloorMovesTheBytes: the floor passes the verification that routers have to pass, over every transport and
// serializer, with payloads that fill a frame of each length, and with sessions that come and go on the same server.
func TestFloorMovesTheBytes(t *testing.T) {
	t.Parallel()
	tcp := start(t, "127.0.0.1:0")
	unix := start(t, "unix:"+filepath.Join(t.TempDir(), "floor"))
	for _, url := range []string{"ws://" + tcp + "/ws", "rs://" + tcp, "unix:" + unix, "ws+unix:" + unix} {
		for i, ser := range []codec.Serializer{codec.JSON, codec.MessagePack, codec.CBOR} {
			payload := []int{64, 300, 100_000}[i]
			name := fmt.Sprintf("%s %s", strings.SplitN(url, ":", 2)[0], client.SerializerName(ser))
			moves(t, name, options(url, ser, payload), func(l load.Options) (*load.Report, error) {
				return load.Fanout(t.Context(), load.FanoutPlan{Options: l, Publishers: 2, Subscribers: 3})
			})
			moves(t, name, options(url, ser, payload), func(l load.Options) (*load.Report, error) {
				return load.RPC(t.Context(), load.RPCPlan{Options: l, Callers: 3, Callees: 2})
			})
			if !strings.HasPrefix(url, "ws:") {
				continue // results do not care how they are framed
			}
			moves(t, name+", progressive", options(url, ser, payload), func(l load.Options) (*load.Report, error) {
				return load.RPC(t.Context(), load.RPCPlan{Options: l, Results: 4})
			})
		}
	}
}

// TestFloorCarriesSessions: sessions come and go, and many stay idle.
func TestFloorCarriesSessions(t *testing.T) {
	t.Parallel()
	addr := start(t, "127.0.0.1:0")
	for _, url := range []string{"ws://" + addr + "/ws", "rs://" + addr} {
		moves(t, "storm", options(url, codec.MessagePack, 64), func(l load.Options) (*load.Report, error) {
			return load.Storm(t.Context(), load.StormPlan{Options: l})
		})
		r, err := load.Idle(t.Context(), load.IdlePlan{
			Options: options(url, codec.CBOR, 64), Sessions: 300,
		})
		if err != nil {
			t.Fatal(err)
		}
		if !r.Verified.OK || r.Verified.Received != 300 {
			t.Errorf("%+v", r.Verified)
		}
	}
}

// TestFloorEncrypts: the floor with TLS passes the same verification, and survives clients that leave.
func TestFloorEncrypts(t *testing.T) {
	t.Parallel()
	web := httptest.NewUnstartedServer(nil)
	web.StartTLS() // for its certificate
	certificates, roots := web.TLS.Certificates, x509.NewCertPool()
	roots.AddCert(web.Certificate())
	web.Close()
	s, err := floor.ListenTLS("127.0.0.1:0", &tls.Config{Certificates: certificates})
	if err != nil {
		t.Fatal(err)
	}
	run(t, s)
	for _, scheme := range []string{"wss", "rss"} {
		l := options(fmt.Sprintf("%s://%s", scheme, s.Addr()), codec.MessagePack, 300)
		l.TLS = &tls.Config{RootCAs: roots}
		moves(t, scheme+", fan-out", l, func(l load.Options) (*load.Report, error) {
			return load.Fanout(t.Context(), load.FanoutPlan{Options: l, Publishers: 2, Subscribers: 3})
		})
		moves(t, scheme+", rpc", l, func(l load.Options) (*load.Report, error) {
			return load.RPC(t.Context(), load.RPCPlan{Options: l, Callers: 3})
		})
		moves(t, scheme+", storm", l, func(l load.Options) (*load.Report, error) {
			return load.Storm(t.Context(), load.StormPlan{Options: l})
		})
	}
	trusting := client.Options{TLS: &tls.Config{RootCAs: roots}}
	idle, err := client.Connect(t.Context(), "wss://"+s.Addr().String(), trusting)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { idle.Close() }) // behind the stop of the floor, which does not wait for it
}

func TestFloorSaysGoodbye(t *testing.T) {
	addr := start(t, "127.0.0.1:0")
	for _, url := range []string{"ws://" + addr + "/ws", "rs://" + addr} {
		seen := map[uint64]bool{}
		for range 3 {
			s, err := client.Dial(t.Context(), url, client.Options{Realm: "any"})
			if err != nil {
				t.Fatal(err)
			}
			if s.ID < 1<<52 || s.ID > 1<<53 || seen[s.ID] {
				t.Errorf("session id %d", s.ID)
			}
			seen[s.ID] = true
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := client.Connect(t.Context(), "ws://"+addr+"/", client.Options{Batched: true}); err == nil {
		t.Error("the floor took a subprotocol that it does not speak")
	}
}

func TestListenErrors(t *testing.T) {
	addr := start(t, "127.0.0.1:0")
	if _, err := floor.Listen(addr); err == nil {
		t.Error("two floors on one port")
	}
}
