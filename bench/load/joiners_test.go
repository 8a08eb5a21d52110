package load

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"banyan/codec"
)

func joining(s *fake, plan JoinersPlan) JoinersPlan {
	plan.Options = Options{URL: s.url(), PID: -1, Serializer: codec.MessagePack, Stall: 10 * time.Second}
	plan.Sessions = 70
	return plan
}

func TestJoinersVerifies(t *testing.T) {
	t.Parallel()
	for name, plan := range map[string]JoinersPlan{
		"sessions a": {}, "sessions 70, a retained event for each": {Retained: true},
		"sessions 70, one who is told of each": {Listener: true},
		"of each":                              {Retained: true, Listener: true},
	} {
		for _, ser := range []codec.Serializer{codec.JSON, codec.MessagePack, codec.CBOR} {
			s := newFake(t)
			plan := joining(s, plan)
			plan.Serializer = ser
			r, err := Joiners(t.Context(), plan)
			if err != nil {
				t.Fatal(err)
			}
			if !r.Verified.OK || r.Verified.Expected != 70 || r.Verified.Received != 70 || r.Latency.Count != 70 ||
				r.Operations != 70 || r.Plan.Retained != plan.Retained || r.Plan.Listener != plan.Listener {
				t.Errorf("%s: %+v %+v, %d latencies", name, r.Verified, r.Plan, r.Latency.Count)
			}
			if got := s.retainedSent; plan.Retained != (got == 70) || !plan.Retained && got > 0 {
				t.Errorf("%s: %d retained events asked for", name, got)
			}
			if got := s.tell; plan.Listener != (got == 70) || !plan.Listener && got > 0 {
				t.Errorf("%s: %d meta events asked for", name, got)
			}
			var out strings.Builder
			r.Print(&out)
			if !strings.Contains(out.String(), strings.TrimSuffix(name, " a")) ||
				!strings.Contains(out.String(), "all 70 sessions: each joined, subscribed and got its events once") {
				t.Errorf("%s: the report says\n%s", name, out.String())
			}
		}
	}
}

// TestJoinersFindsFaults: each fault befalls one of the sessions, or one of the meta events.
func TestJoinersFindsFaults(t *testing.T) {
	t.Parallel()
	once := func(spoil func(msg []byte) [][]byte) func(int, []byte) [][]byte {
		return func(n int, msg []byte) [][]byte {
			if n == 20 {
				return spoil(msg)
			}
			return [][]byte{msg}
		}
	}
	lose := once(func([]byte) [][]byte { return nil })
	twice := once(func(msg []byte) [][]byte { return [][]byte{msg, msg} })
	behind := once(func(msg []byte) [][]byte {
		return [][]byte{msg, codec.AppendPublished(nil, codec.MessagePack, 1, 2)}
	})
	damage := once(func(msg []byte) [][]byte {
		msg = bytes.Clone(msg)
		msg[len(msg)-1] ^= 1
		return [][]byte{msg}
	})
	foreign := once(func([]byte) [][]byte { return [][]byte{codec.AppendPublished(nil, codec.MessagePack, 1, 2)} })
	encode := func(subscription uint64, d codec.Details, p *codec.Payload) [][]byte {
		msg, err := codec.AppendEvent(nil, codec.MessagePack, subscription, 8, &d, p, codec.MessageBytesMax)
		if err != nil {
			t.Error(err)
		}
		return [][]byte{msg}
	}
	// An event of a session; without one, an event without arguments.
	meta := func(subscription uint64, session ...any) func(int, []byte) [][]byte {
		return once(func([]byte) [][]byte {
			p := &codec.Payload{Format: codec.MessagePack}
			for _, id := range session {
				var err error
				if p.Args, err = codec.AppendValue(nil, p.Format, []any{map[string]any{"session": id}}); err != nil {
					t.Error(err)
				}
			}
			return encode(subscription, codec.Details{}, p)
		})
	}
	marked := func(retained bool) func(int, []byte) [][]byte {
		return once(func(msg []byte) [][]byte {
			var d codec.Decoder
			var m codec.Message
			if err := d.Decode(codec.MessagePack, msg, &m); err != nil {
				t.Error(err)
			}
			return encode(m.ID, codec.Details{Retained: retained}, &m.Payload)
		})
	}
	astray := once(func(msg []byte) [][]byte {
		var d codec.Decoder
		var m codec.Message
		if err := d.Decode(codec.MessagePack, msg, &m); err != nil {
			t.Error(err)
		}
		return encode(m.ID+1, codec.Details{}, &m.Payload)
	})
	for name, c := range map[string]struct {
		retain, told, fault func(int, []byte) [][]byte
		oneID, silent       bool
		want                string // kinds, with a semicolon between them
		n                   int64  // of each kind; 0 for one
	}{
		// The next message is then the live event, or nothing comes.
		"retained lost":     {retain: lose, want: "retained events lost"},
		"retained twice":    {retain: twice, want: "retained events that nobody asked for, or twice"},
		"retained damaged":  {retain: damage, want: "retained events with a damaged payload"},
		"retained unmarked": {retain: marked(false), want: "retained events whose detail retained is wrong"},
		"another message":   {retain: foreign, want: "messages of type 17 instead of retained events"},
		"live lost":         {fault: lose, want: "events lost"},
		"live twice":        {fault: twice, want: "events that nobody asked for, or twice"},
		"another behind it": {fault: behind, want: "messages of type 17 instead of GOODBYE"},
		"silent end":        {silent: true, n: 70, want: "sessions without GOODBYE: EOF"},
		"live damaged":      {fault: damage, want: "events with a damaged payload"},
		"live marked":       {fault: marked(true), want: "events whose detail retained is wrong"},
		"foreign live":      {fault: foreign, want: "messages of type 17 instead of events"},
		"live astray":       {fault: astray, want: "messages of type 36 instead of events"},
		"meta lost":         {told: lose, want: "meta events lost"},
		"meta twice":        {told: twice, want: "meta events received twice"},
		"meta foreign":      {told: foreign, want: "unexpected messages of type 17 to the listener;meta events lost"},
		"meta of nobody":    {told: meta(7, 1<<40), want: "meta events of unknown sessions;meta events lost"},
		"meta of no session": {
			told: meta(7, nil), want: "meta events without a session;meta events lost",
		},
		"meta damaged": {told: meta(7), want: "meta events with a damaged payload;meta events lost"},
		"other subscription": {
			told: meta(8, 1), want: "unexpected messages of type 36 to the listener;meta events lost",
		},
		"ids twice": {oneID: true, n: 69, want: "meta events received twice;meta events lost"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := map[string]int64{}
			for _, what := range strings.Split(c.want, ";") {
				want[what] = max(c.n, 1)
			}
			received := int64(70)
			switch {
			case c.silent:
				received = 0
			case c.told == nil && !c.oneID:
				received--
			}
			patient(t, func(stall time.Duration) string {
				s := newFake(t)
				s.retain, s.told, s.fault, s.oneID, s.silent = c.retain, c.told, c.fault, c.oneID, c.silent
				plan := joining(s, JoinersPlan{Retained: c.retain != nil, Listener: c.told != nil || c.oneID})
				plan.Stall = stall
				r, err := Joiners(t.Context(), plan)
				if err != nil {
					t.Fatal(err)
				}
				if r.Verified.Received != received {
					return fmt.Sprintf("%d sessions got everything, want %d", r.Verified.Received, received)
				}
				return failed(r, want)
			})
		})
	}
}

func TestJoinersErrors(t *testing.T) {
	for name, plan := range map[string]JoinersPlan{
		"none": {Options: Options{URL: "rs://127.0.0.1:1"}, Sessions: -1},
		"many": {Options: Options{URL: "rs://127.0.0.1:1"}, Sessions: 1 << 30},
		"NATS": {Options: Options{URL: "nats://127.0.0.1:1"}},
		"URL":  {Options: Options{URL: "http://x"}},
	} {
		var usage *UsageError
		if _, err := Joiners(t.Context(), plan); !errors.As(err, &usage) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
