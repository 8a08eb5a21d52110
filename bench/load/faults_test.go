package load

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"syscall"
	"testing"
	"time"

	"banyan/bench/client"
	"banyan/codec"
)

// swapResults exchanges the payloads of the two results behind the 20th.
func swapResults(t *testing.T) func(n int, msg []byte) [][]byte {
	var held []byte
	done := false
	return func(n int, msg []byte) [][]byte {
		switch {
		case n < 20 || done:
			return [][]byte{msg}
		case held == nil:
			held = bytes.Clone(msg)
			return nil
		}
		done = true
		var d codec.Decoder
		var a, b codec.Message
		if err := d.Decode(codec.MessagePack, bytes.Clone(held), &a); err != nil {
			t.Error(err)
		}
		if err := d.Decode(codec.MessagePack, bytes.Clone(msg), &b); err != nil {
			t.Error(err)
		}
		if a.Type != codec.Result || b.Type != codec.Result || a.Request == b.Request {
			t.Errorf("nothing to exchange: %+v, %+v", a, b)
		}
		a.Request, b.Request = b.Request, a.Request
		first, err := codec.Append(nil, codec.MessagePack, &a)
		if err != nil {
			t.Error(err)
		}
		second, err := codec.Append(nil, codec.MessagePack, &b)
		if err != nil {
			t.Error(err)
		}
		return [][]byte{first, second}
	}
}

// TestSwappedResults: each of two calls gets the result of the other. All answers are there, once, whole and for open
// calls; only their payloads tell.
func TestSwappedResults(t *testing.T) {
	t.Parallel()
	s := newFake(t)
	s.fault = swapResults(t)
	ctx, o := counted(t, s)
	r, err := RPC(ctx, RPCPlan{Options: o})
	if err != nil {
		t.Fatal(err)
	}
	if r.Verified.OK || r.Verified.Failures["results with a damaged or foreign payload"] != 2 ||
		len(r.Verified.Failures) != 1 {
		t.Errorf("%+v", r.Verified)
	}
}

// TestResultOfAnotherCaller: the payload has the sequence number that the caller waits for, and another's sender.
func TestResultOfAnotherCaller(t *testing.T) {
	r := &rpc{run: newRun(Options{}), plan: RPCPlan{Results: 1}}
	stamps, err := newStamper(codec.MessagePack, 64, false)
	if err != nil {
		t.Fatal(err)
	}
	for sender, ok := range []bool{false, true, false} {
		k := &caller{
			rpc: r, index: 1, checks: stamps, conn: &wamp{Conn: &client.Conn{}},
			open: map[uint64]openCall{5: {seq: 7}},
		}
		before := r.failures.total()
		k.answer(&codec.Message{
			Type: codec.Result, Request: 5,
			Payload: codec.Payload{Format: codec.MessagePack, Args: stamps.write(stamp{sender: sender, seq: 7})},
		})
		if passed := r.failures.total() == before; passed != ok {
			t.Errorf("from sender %d: passed is %v; %v", sender, passed, r.failures.byID)
		}
	}
}

// TestEventsOfOthers: an event counts if it is for a subscription that is held and from a publisher that there is.
func TestEventsOfOthers(t *testing.T) {
	stamps, err := newStamper(codec.MessagePack, 64, false)
	if err != nil {
		t.Fatal(err)
	}
	s := &subscriber{
		pubsub: &pubsub{run: newRun(Options{})}, stamps: stamps, arrivals: make([]int64, 1),
		conn: &wamp{Conn: &client.Conn{}}, subscriptions: map[uint64]*subscription{7: {from: make([]progress, 1)}},
	}
	for _, c := range []struct {
		kind   codec.Type
		id     uint64
		sender int
		want   string // the failure
	}{
		{codec.Event, 7, 0, ""},
		{codec.Event, 7, 1, "events with a damaged payload"},
		{codec.Event, 8, 0, "unexpected messages of type 36"},
		{codec.Event, 7, 0, ""},
		{codec.Result, 7, 0, "unexpected messages of type 50"},
	} {
		s.failures = failures{}
		seq := s.subscriptions[7].from[0].next
		s.event(&codec.Message{
			Type: c.kind, ID: c.id, Payload: codec.Payload{
				Format: codec.MessagePack, Args: stamps.write(stamp{sender: c.sender, seq: seq}),
			},
		})
		want := map[string]int64{}
		if c.want != "" {
			want[c.want] = 1
		}
		if !maps.Equal(s.failures.byID, want) {
			t.Errorf("%+v: failures %v", c, s.failures.byID)
		}
	}
	if n := s.arrivals[0]; n != 2 {
		t.Errorf("%d events arrived, want 2", n)
	}
}

// TestLossIsCounted: losses are counted to the last event, below and above the number that is remembered one by one,
// in one gap or two.
func TestLossIsCounted(t *testing.T) {
	for _, gaps := range [][]uint64{
		{1},
		{missingMax - 1},
		{missingMax},
		{missingMax + 1},
		{3 * missingMax},
		{missingMax, 1},
		{missingMax - 1, 2},
		{missingMax + 1, 1},
		{missingMax - 1, 1, missingMax},
		{2 * missingMax, 2 * missingMax},
	} {
		for _, tail := range []uint64{0, 1, 3 * missingMax} { // lost behind the last event that came
			h := &subscription{from: make([]progress, 1)}
			f := &pubsub{run: newRun(Options{})}
			s := &subscriber{pubsub: f, subscriptions: map[uint64]*subscription{1: h}}
			f.subscribers = []*subscriber{s}
			at, lost := uint64(0), tail
			for _, gap := range gaps {
				at += gap
				lost += gap
				s.outOfOrder(&h.from[0], at)
				at++
			}
			f.publishers = []*publisher{{seqs: []uint64{at + tail}}}
			f.verify()
			if got := f.failures.byID["events lost"]; got != int64(lost) || f.failures.total() != int64(lost) {
				t.Errorf("gaps %v and %d at the end: %v, want %d events lost", gaps, tail, f.failures.byID, lost)
			}
		}
	}
}

// TestLateEvents: an event that comes behind later ones is late, not lost, as long as it is remembered; the same once
// more came twice.
func TestLateEvents(t *testing.T) {
	h := &subscription{from: make([]progress, 1)}
	f := &pubsub{run: newRun(Options{}), publishers: []*publisher{{seqs: []uint64{missingMax + 1}}}}
	s := &subscriber{pubsub: f, subscriptions: map[uint64]*subscription{1: h}}
	f.subscribers = []*subscriber{s}
	s.outOfOrder(&h.from[0], missingMax) // 0 to missingMax-1 are missing, all of them remembered
	for range 2 {
		s.outOfOrder(&h.from[0], 0)
		s.outOfOrder(&h.from[0], missingMax-1)
	}
	f.verify()
	want := map[string]int64{"events out of order": 2, "events received twice": 2, "events lost": missingMax - 2}
	if fmt.Sprint(f.failures.byID) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", f.failures.byID, want)
	}
}

// TestAnswersOfTheWrongKind: neither a request outside the load nor a cycle of a churner is settled by the answer to
// another kind of request.
func TestAnswersOfTheWrongKind(t *testing.T) {
	c := &churner{
		slots: []slot{{topic: "a"}}, free: make(chan int, 1), pubsub: &pubsub{run: newRun(Options{})},
		pending: map[uint64]openRequest{5: {codec.Subscribe, 0}},
	}
	for _, m := range []codec.Message{
		{Type: codec.Unsubscribed, Request: 5},
		{Type: codec.Registered, Request: 5},
		{Type: codec.Error, RequestType: codec.Unsubscribe, Request: 5},
		{Type: codec.Subscribed, Request: 6},
	} {
		if err := c.take(&m); err == nil || len(c.free) > 0 || c.ended.Load() > 0 || len(c.pending) != 1 {
			t.Errorf("message type %d settled a SUBSCRIBE: %v", m.Type, err)
		}
	}
	c.pending = map[uint64]openRequest{6: {codec.Unsubscribe, 0}}
	if err := c.take(&codec.Message{Type: codec.Subscribed, Request: 6, ID: 9}); err == nil || c.slots[0].id != 0 {
		t.Errorf("SUBSCRIBED settled an UNSUBSCRIBE: %v", err)
	}

	for _, a := range []codec.Message{
		{Type: codec.Registered, Request: 1, ID: 3},
		{Type: codec.Subscribed, Request: 2, ID: 3},
		{Type: codec.Error, RequestType: codec.Register, Request: 1, URI: []byte("a.b")},
		{Type: codec.Error, RequestType: codec.Subscribe, Request: 2, URI: []byte("a.b")},
	} {
		_, err := answerTo(&canned{answers: []codec.Message{a}}, codec.Subscribe, 1, codec.Subscribed)
		if _, refused := err.(*client.Error); err == nil || refused {
			t.Errorf("message type %d for request %d was taken for the answer to SUBSCRIBE 1: %v",
				a.Type, a.Request, err)
		}
	}
	if id, err := answerTo(&canned{answers: []codec.Message{{Type: codec.Subscribed, Request: 1, ID: 3}}},
		codec.Subscribe, 1, codec.Subscribed); id != 3 || err != nil {
		t.Errorf("%d, %v", id, err)
	}
}

// A canned link has these answers, and then the end. It keeps what is sent.
type canned struct {
	link
	answers []codec.Message
	end     error // default io.EOF
	sent    []codec.Message
}

func (c *canned) Next() (*codec.Message, error) {
	if len(c.answers) == 0 {
		return nil, cmp.Or(c.end, io.EOF)
	}
	m := c.answers[0]
	if c.answers = c.answers[1:]; m.Type == 0 {
		return nil, errUndecodable
	}
	return &m, nil
}

func (c *canned) Send(m *codec.Message) error {
	k := *m
	k.Payload.Args = bytes.Clone(k.Payload.Args)
	c.sent = append(c.sent, k)
	return nil
}

func (c *canned) Serializer() codec.Serializer { return codec.MessagePack }

func (c *canned) SetReadDeadline(time.Time) error { return nil }

// TestMessagesOutOfPlace: what a publisher or a callee must not get is counted, and so is what cannot be decoded.
func TestMessagesOutOfPlace(t *testing.T) {
	stamps, err := newStamper(codec.MessagePack, 64, false)
	if err != nil {
		t.Fatal(err)
	}
	payload := func() codec.Payload {
		return codec.Payload{Format: codec.MessagePack, Args: bytes.Clone(stamps.write(stamp{seq: 3}))}
	}
	wanted, err := codec.AppendValue(nil, codec.MessagePack, map[string]any{"receive_progress": true})
	if err != nil {
		t.Fatal(err)
	}
	invocation := func(dict []byte) codec.Message {
		b, err := codec.Append(nil, codec.MessagePack, &codec.Message{
			Type: codec.Invocation, Request: 1, ID: 9, Dict: dict, Format: codec.MessagePack, Payload: payload(),
		})
		var d codec.Decoder
		var m codec.Message
		if err == nil {
			err = d.Decode(codec.MessagePack, b, &m)
		}
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	listen := func(r *run, c link) { (&publisher{pubsub: &pubsub{run: r}, conn: c}).listen() }
	serve := func(results int) func(r *run, c link) {
		return func(r *run, c link) {
			own, err := newStamper(codec.MessagePack, 64, false)
			if err != nil {
				t.Fatal(err)
			}
			(&rpc{run: r, plan: RPCPlan{Results: results}}).serve(c, own)
		}
	}
	const unwanted = "invocations that are damaged or do not want progress"
	astray := codec.Message{Type: codec.Published}
	for name, c := range map[string]struct {
		do      func(r *run, c link)
		message codec.Message
		want    string // the failure
		sends   int
	}{
		"to a publisher":                 {listen, astray, "unexpected messages to publishers", 0},
		"undecodable to a publisher":     {listen, codec.Message{}, "undecodable messages", 0},
		"to a callee":                    {serve(1), astray, "unexpected messages of type 17", 0},
		"a call":                         {serve(1), invocation(nil), "", 1},
		"a call that wants progress":     {serve(3), invocation(wanted), "", 3},
		"a call that wants no progress":  {serve(3), invocation(nil), unwanted, 0},
		"a call without a stamp, simple": {serve(1), codec.Message{Type: codec.Invocation}, "", 1},
		"a call without a stamp":         {serve(3), codec.Message{Type: codec.Invocation}, unwanted, 0},
	} {
		r := newRun(Options{Serializer: codec.MessagePack})
		r.closing.Store(true)
		l := &canned{answers: []codec.Message{c.message}}
		c.do(r, l)
		want := map[string]int64{}
		if c.want != "" {
			want[c.want] = 1
		}
		if !maps.Equal(r.failures.byID, want) || len(l.sent) != c.sends {
			t.Errorf("%s: failures %v, %d messages sent; want %v, %d", name, r.failures.byID, len(l.sent), want,
				c.sends)
		}
	}
}

// TestIntendedTimes: the stamp of a message has the time that it was meant for, not that of sending.
func TestIntendedTimes(t *testing.T) {
	const intended = 99 * time.Hour
	stamps, err := newStamper(codec.MessagePack, 64, false)
	if err != nil {
		t.Fatal(err)
	}
	c := &canned{}
	r := newRun(Options{Serializer: codec.MessagePack, PayloadBytes: 64})
	f := &pubsub{run: r, plan: pubsubPlan{topics: []string{"a.b"}, publishers: 1}}
	p, err := f.newPublisher(0, c)
	if err != nil {
		t.Fatal(err)
	}
	k := &caller{rpc: &rpc{run: r}, conn: c, open: map[uint64]openCall{}, stamps: p.stamps}
	for name, send := range map[string]func(time.Duration) error{"publication": p.one, "call": k.call} {
		if err := send(intended); err != nil {
			t.Fatal(err)
		}
		m := c.sent[len(c.sent)-1]
		if s, ok := stamps.read(&m.Payload); !ok || s.sent != intended {
			t.Errorf("a %s meant for %v has the stamp %+v, %v", name, intended, s, ok)
		}
	}
}

// TestAnswersToCalls: errors of other requests and results in another order are no answers.
func TestAnswersToCalls(t *testing.T) {
	stamps, err := newStamper(codec.MessagePack, 64, false)
	if err != nil {
		t.Fatal(err)
	}
	result := func(number uint64) codec.Message {
		return codec.Message{Type: codec.Result, Request: 5, Payload: codec.Payload{
			Format: codec.MessagePack, Args: bytes.Clone(stamps.write(stamp{seq: 7*3 + number})),
		}}
	}
	progress := func(number uint64) codec.Message {
		m := result(number)
		dict, err := codec.AppendValue(nil, codec.MessagePack, map[string]any{"progress": true})
		if err != nil {
			t.Fatal(err)
		}
		m.Format, m.Dict = codec.MessagePack, dict
		b, err := codec.Append(nil, codec.MessagePack, &m)
		var d codec.Decoder
		m = codec.Message{}
		if err == nil {
			err = d.Decode(codec.MessagePack, b, &m)
		}
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	const damaged, misplaced = "results with a damaged or foreign payload", "results that came out of place"
	for name, c := range map[string]struct {
		answers []codec.Message
		want    map[string]int64
		results int
	}{
		"sound":        {[]codec.Message{progress(0), progress(1), result(2)}, nil, 3},
		"exchanged":    {[]codec.Message{progress(1), progress(0), result(2)}, map[string]int64{damaged: 2}, 3},
		"last first":   {[]codec.Message{result(2)}, map[string]int64{misplaced: 1}, 1},
		"one too many": {[]codec.Message{progress(0), progress(1), progress(2)}, map[string]int64{misplaced: 1}, 3},
		"ERROR": {
			[]codec.Message{{Type: codec.Error, RequestType: codec.Call, Request: 5, URI: []byte("a.b")}},
			map[string]int64{"calls answered with a.b": 1},
			1,
		},
		"ERROR of another request": {
			[]codec.Message{{Type: codec.Error, RequestType: codec.Publish, Request: 5, URI: []byte("a.b")}},
			map[string]int64{"unexpected messages of type 8": 1},
			0,
		},
		"another type": {
			[]codec.Message{{Type: codec.Published, Request: 5}},
			map[string]int64{"unexpected messages of type 17": 1},
			0,
		},
		"another number": {
			[]codec.Message{{Type: codec.Result, Request: 6}},
			map[string]int64{"answers to calls that are not open": 1},
			0,
		},
	} {
		k := &caller{
			rpc:    &rpc{run: newRun(Options{}), plan: RPCPlan{Results: 3}},
			checks: stamps, conn: &wamp{Conn: &client.Conn{}}, open: map[uint64]openCall{5: {seq: 7}},
		}
		results := 0
		for i := range c.answers {
			if result, _ := k.answer(&c.answers[i]); result {
				results++
			}
		}
		if !maps.Equal(k.failures.byID, c.want) || results != c.results {
			t.Errorf("%s: failures %v, %d results; want %v, %d", name, k.failures.byID, results, c.want, c.results)
		}
	}
}

// TestClosedByRouter: a stopped reader was closed if its stream ends, and not if it just waits.
func TestClosedByRouter(t *testing.T) {
	late := codec.Message{Type: codec.Event}
	for end, want := range map[error]bool{io.EOF: true, syscall.ECONNRESET: true, os.ErrDeadlineExceeded: false} {
		for _, rest := range [][]codec.Message{nil, {late, {}, late}} {
			if got := closedByRouter(&canned{answers: rest, end: end}); got != want {
				t.Errorf("%d messages and then %v: closed is %v", len(rest), end, got)
			}
		}
	}
}

// TestUsable: a run means something if at most one message of a hundred was lost.
func TestUsable(t *testing.T) {
	for _, c := range []struct {
		v    Verdict
		want bool
	}{
		{Verdict{OK: true, Expected: 1000, Received: 1000}, true},
		{Verdict{Expected: 1000, Received: 990}, true},
		{Verdict{Expected: 1000, Received: 989}, false},
		{Verdict{OK: true}, false},
	} {
		if got := (&Report{Verified: c.v}).Usable(); got != c.want {
			t.Errorf("%+v: usable is %v", c.v, got)
		}
	}
}
