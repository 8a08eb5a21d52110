package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"banyan/bench/client"
	"banyan/codec"
	"banyan/engine"
	"banyan/realm"
	"banyan/realm/transcript"
)

// A socketPeer is a transcript's connection over a real socket.
type socketPeer struct{ *client.Conn }

func (p socketPeer) Send(msg []byte) error {
	p.Queue(msg)
	// The write may fail because the router has closed the connection; the script says what the router must have sent
	// before.
	if err := p.Flush(); err != nil && !hungUp(err) {
		return err
	}
	return nil
}

func (p socketPeer) Receive(wait time.Duration) ([]byte, error) {
	if err := p.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return nil, err
	}
	msg, err := p.Conn.Receive()
	var closed *client.CloseError
	switch {
	case err == nil:
		return msg, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, nil
	case errors.As(err, &closed), hungUp(err):
		return nil, io.EOF
	}
	return nil, err
}

// hungUp reports whether err is what a socket says after the other end has closed it.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func (p socketPeer) Serializer() codec.Serializer { return p.Conn.Serializer() }

// TestTranscripts plays the realm's transcripts over real sockets, and with mixed ones. EVERY_WIRE=1 plays
// each over every transport with every serializer; otherwise wiresOf chooses. Those over long-poll are whole sessions
// of it (TRN-35).
func TestTranscripts(t *testing.T) {
	t.Parallel()
	t.Attr("checklist", "TRN-35")
	scripts := loadTranscripts(t)
	all := append(wires(), pollWires()...)
	played := map[string][]transcript.Script{} // by wire
	for i, s := range scripts {
		chosen := all
		if os.Getenv("EVERY_WIRE") == "" {
			chosen = wiresOf(i, all)
		}
		for _, w := range chosen {
			played[w.name] = append(played[w.name], s)
		}
	}
	// All wires at once: most of the time goes into waiting for nothing to come.
	var wg sync.WaitGroup
	for _, w := range all {
		wg.Go(func() {
			t.Run(w.name, func(t *testing.T) { playAll(t, played[w.name], func(int) wire { return w }) })
		})
	}
	wg.Go(func() {
		t.Run("mixed", func(t *testing.T) {
			var parts sync.WaitGroup
			for part := range slices.Chunk(scripts, 1+len(scripts)/8) {
				parts.Go(func() { playAll(t, part, func(n int) wire { return all[n*8%len(all)] }) })
			}
			parts.Wait()
		})
	})
	wg.Wait()
}

// wiresOf are those that the i-th transcript is played over: a kind of WebSocket, of RawSocket and of long-poll, each
// with another serializer. Transcripts take turns, so that all wires of a protocol play as many.
func wiresOf(i int, all []wire) (chosen []wire) {
	serializers := []codec.Serializer{codec.JSON, codec.MessagePack, codec.CBOR}
	for n, protocol := range []string{"ws", "rs", "lp"} {
		var kinds []wire // of that protocol, with the serializer whose turn it is
		for _, w := range all {
			if w.protocol() == protocol && w.options.Serializer == serializers[(i+n)%3] {
				kinds = append(kinds, w)
			}
		}
		chosen = append(chosen, kinds[i/3%len(kinds)])
	}
	return chosen
}

// protocol is ws, rs or lp.
func (w wire) protocol() string {
	switch w.scheme {
	case "ws+unix":
		return "ws"
	case "unix":
		return "rs"
	}
	return w.scheme
}

// TestWiresOfTranscripts: every transcript is played with every serializer and over every protocol, and every wire
// plays some.
func TestWiresOfTranscripts(t *testing.T) {
	all := append(wires(), pollWires()...)
	plays := map[string]int{}
	const scripts = 180
	for i := range scripts {
		serializers, protocols := map[codec.Serializer]bool{}, map[string]bool{}
		for _, w := range wiresOf(i, all) {
			serializers[w.options.Serializer], protocols[w.protocol()] = true, true
			plays[w.name]++
		}
		if len(serializers) != 3 || len(protocols) != 3 {
			t.Errorf("transcript %d: %v, %v", i, serializers, protocols)
		}
	}
	for _, w := range all {
		if plays[w.name] < scripts/len(all) {
			t.Errorf("%s plays %d of %d", w.name, plays[w.name], scripts)
		}
	}
}

// loadTranscripts reads those of the realm.
func loadTranscripts(t *testing.T) []transcript.Script {
	t.Helper()
	scripts, err := transcript.Load(os.DirFS("../../realm/testdata/transcripts"))
	if err != nil {
		t.Fatal(err)
	}
	if len(scripts) == 0 {
		t.Fatal("no transcripts")
	}
	return scripts
}

// playAll plays all scripts, one after the other, on one router for each set of options; choose picks the wire of the
// n-th peer of a script. Nothing of a script may be left when the next begins.
func playAll(t *testing.T, scripts []transcript.Script, choose func(n int) wire) {
	routers := map[string]*testRouter{}
	for _, s := range scripts {
		key := fmt.Sprint(s.Options)
		alone := s.Needs("alone") // it hears what other sessions do
		if !alone && routers[key] == nil {
			routers[key] = transcriptRouter(t, s)
		}
		t.Run(s.Name, func(t *testing.T) {
			r := routers[key]
			if alone {
				r = transcriptRouter(t, s)
			}
			playOne(t, r, s, choose)
		})
	}
}

// transcriptRouter is a router with the options that s needs.
func transcriptRouter(t *testing.T, s transcript.Script) *testRouter {
	t.Helper()
	return startRouter(t, func(ec *engine.Config, rc *realm.Config) {
		servePolls(ec)
		one := realm.RealmConfig{
			StrictURIs: s.Needs("strict_uris"), StrictRequestIDs: s.Needs("strict_request_ids"),
			EnforceRoles: s.Needs("enforce_roles"),
			Sharding:     s.Needs("sharding"),
			Retention:    s.Retention(),
			Policy:       s.Policy(),
			History:      s.History(),
		}
		rc.URIBytesMax = s.Value("uri_bytes_max")
		if s.Needs("auto_create") {
			rc.Templates = []realm.Template{{Match: codec.Prefix, RealmConfig: one}}
		}
		rc.Realms = nil
		for _, uri := range []string{"realm1", "realm2"} {
			one.URI = uri
			rc.Realms = append(rc.Realms, one)
		}
	})
}

func playOne(t *testing.T, r *testRouter, s transcript.Script, choose func(n int) wire) {
	n := 0
	transcript.Run(t, s, func(string) transcript.Peer {
		w := choose(n)
		n++
		if w.scheme == "lp" {
			return openPoll(t, r.tcp, w)
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		c, err := client.Connect(ctx, r.url(w.scheme), w.options)
		if err != nil {
			t.Fatal(err)
		}
		return socketPeer{c}
	})
	eventually(t, "nothing left after everybody left", func() bool {
		left := r.realms.Stats()
		return left.Sessions == 0 && left.Subscriptions == 0 && left.Registrations == 0 && left.OpenCalls == 0
	})
}
