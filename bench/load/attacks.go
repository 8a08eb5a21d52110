package load

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"banyan/bench/client"
	"banyan/codec"
)

// An attack is something that one client, or a few, can send to make the other clients of a router wait.
type attack struct {
	name string
	// prepare opens sessions and encodes messages before anything is measured. It returns the function that runs
	// beside the tickers, and says how much of the load the router granted. The function should only send: the
	// tickers must not wait for the attacker's own work.
	prepare func(ctx context.Context, a *attacker) (act func(ctx context.Context) error, done string, err error)
}

// attacks are the loads of Hostile, in the order in which they run.
var attacks = []attack{
	{"large publishes to three serializers", largePublishes},
	{"an event too long for a RawSocket subscriber", longEvent},
	{"publishes that match many patterns", manyPatterns},
	{"many subscriptions arrive", arriving},
	{"many exact subscriptions leave", leaving("")},
	{"many prefix subscriptions leave", leaving("prefix")},
	{"a caller with many open calls leaves", openCalls(true)},
	{"a callee with many open calls leaves", openCalls(false)},
	{"unfinished messages before HELLO", unfinished},
	{"a batch of small publishes", largeBatch},
	{"publishes with long exclude lists", longLists},
	{"bursts of calls from many callers", callBursts},
}

const (
	attackEvery  = 250 * time.Millisecond // between two of the same
	attackSettle = 100 * time.Millisecond // of undisturbed measuring before what happens once

	patternParts   = 16  // components of the topic that many patterns match
	unfinishedMany = 100 // connections
	batchMembers   = 20  // of each of the two topics of a batch
	burstCallers   = 64
	burstCalls     = 256  // of each caller
	askedAtOnce    = 1024 // requests without an answer
)

// An attacker opens the connections of one attack.
type attacker struct {
	*run
	plan   *HostilePlan
	others []*attacker // that reach the router over another transport

	ended atomic.Int64 // connections that the router ended
}

// leave closes all connections without a goodbye.
func (a *attacker) leave() {
	a.closing.Store(true)
	a.connsLock.Lock()
	conns := a.conns
	a.conns = nil
	a.connsLock.Unlock()
	for _, c := range conns {
		c.(*wamp).Abandon()
	}
	a.loops.Wait()
	for _, b := range a.others {
		b.leave()
	}
}

// session joins with a client of its own.
func (a *attacker) session(ctx context.Context, s codec.Serializer) (*wamp, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	l, err := a.joinOne(ctx, s)
	if err != nil {
		return nil, err
	}
	w, ok := l.(*wamp)
	if !ok {
		return nil, errors.New("no WAMP router")
	}
	return w, nil
}

// discard reads and forgets all messages to w.
func (a *attacker) discard(w *wamp) {
	a.loops.Go(func() {
		w.Discard()
		if !a.closing.Load() {
			a.ended.Add(1)
		}
	})
}

// abandon ends one connection of the attacker, by its own will.
func (a *attacker) abandon(w *wamp) error {
	a.closing.Store(true)
	return w.Abandon()
}

// endedByRouter counts the connections that the router ended, over every transport.
func (a *attacker) endedByRouter() int64 {
	n := a.ended.Load()
	for _, b := range a.others {
		n += b.endedByRouter()
	}
	return n
}

// over returns an attacker that reaches the same port over another transport of the router: rs, or ws with batches.
func (a *attacker) over(scheme string) (*attacker, error) {
	b := *a.plan
	now, rest, _ := strings.Cut(b.URL, "://")
	host, path, _ := strings.Cut(rest, "/")
	switch {
	case now != "ws" && now != "rs":
		return nil, errors.New("it needs a ws:// or rs:// URL")
	case scheme == "rs":
		b.URL = "rs://" + host
	case path == "":
		b.URL = "ws://" + host + "/ws"
	}
	b.Batched = scheme == "ws"
	other := &attacker{run: newRun(b.Options), plan: &b}
	a.others = append(a.others, other)
	return other, nil
}

// ask sends n requests made by next, many at once, and returns how many were granted before the first refusal.
func ask(w *wamp, n int, next func(i int) *codec.Message, want codec.Type) (granted int, err error) {
	w.SetReadDeadline(time.Now().Add(connectTimeout + time.Duration(n)*100*time.Microsecond))
	defer w.SetReadDeadline(time.Time{})
	sent, refused := 0, false
	for got := 0; got < sent || sent < n && !refused; got++ {
		for ; !refused && sent < n && sent-got < askedAtOnce; sent++ {
			m := next(sent)
			m.Request, m.Format = uint64(sent+1), w.Serializer()
			if err := w.Send(m); err != nil {
				return granted, err
			}
		}
		m, err := w.Next()
		switch {
		case err != nil:
			return granted, err
		case m.Type == want:
			granted++
		case m.Type == codec.Error:
			refused = true
		default:
			return granted, fmt.Errorf("message type %d as answer", m.Type)
		}
	}
	return granted, nil
}

// matching encodes the options of a SUBSCRIBE with a policy of matching.
func matching(match string) []byte {
	if match == "" {
		return nil
	}
	b, err := codec.AppendValue(nil, codec.MessagePack, map[string]any{"match": match})
	if err != nil {
		panic(err) // a map with one text
	}
	return b
}

// listen joins n sessions, with the serializers in turn, subscribes each to the topic and forgets its events.
func (a *attacker) listen(ctx context.Context, n int, topic string, serializers ...codec.Serializer) error {
	for i := range n {
		w, err := a.session(ctx, serializers[i%len(serializers)])
		if err != nil {
			return err
		}
		if _, err := request(w, &codec.Message{Type: codec.Subscribe, Request: 1, URI: []byte(topic)},
			codec.Subscribed); err != nil {
			return err
		}
		a.discard(w)
	}
	return nil
}

// sender joins a session whose answers are forgotten.
func (a *attacker) sender(ctx context.Context) (*wamp, error) {
	w, err := a.session(ctx, codec.MessagePack)
	if err == nil {
		a.discard(w)
	}
	return w, err
}

// published encodes a PUBLISH in MessagePack.
func published(topic string, options map[string]any, args any) ([]byte, error) {
	m := codec.Message{Type: codec.Publish, Format: codec.MessagePack, Request: 1, URI: []byte(topic)}
	var err error
	if options != nil {
		if m.Dict, err = codec.AppendValue(nil, codec.MessagePack, options); err != nil {
			return nil, err
		}
	}
	if args != nil {
		m.Payload.Format = codec.MessagePack
		if m.Payload.Args, err = codec.AppendValue(nil, codec.MessagePack, args); err != nil {
			return nil, err
		}
	}
	return codec.Append(nil, codec.MessagePack, &m)
}

// every sends the messages in turn, one per interval, until ctx ends. If the router ends the session, a new session
// goes on.
func (a *attacker) every(w *wamp, messages ...[]byte) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		tick := time.NewTicker(attackEvery)
		defer tick.Stop()
		// If the router no longer reads, the end of ctx must still end the wait.
		first := w
		stop := context.AfterFunc(ctx, func() { a.abandon(first) })
		for i := 0; ; i++ {
			w.Queue(messages[i%len(messages)])
			if err := w.FlushAndWait(); err != nil && stop() {
				next, err := a.sender(ctx)
				if err != nil {
					return err
				}
				w = next
				stop = context.AfterFunc(ctx, func() { a.abandon(next) })
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return nil
			}
		}
	}
}

// later calls f after a moment, and waits for the end.
func later(f func() error) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		wait := time.NewTimer(attackSettle)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-ctx.Done():
			return nil
		}
		err := f()
		<-ctx.Done()
		return err
	}
}

// largePublishes go to a subscriber of each serializer: one long text, and a list of
// numbers, where each element is work.
func largePublishes(ctx context.Context, a *attacker) (func(context.Context) error, string, error) {
	topic := unique("bench.hostile")
	if err := a.listen(ctx, 3, topic, codec.MessagePack, codec.JSON, codec.CBOR); err != nil {
		return nil, "", err
	}
	text, err := published(topic, nil, []any{strings.Repeat("a", a.plan.Bytes)})
	if err != nil {
		return nil, "", err
	}
	numbers := make([]any, a.plan.Bytes/3) // JSON needs two octets for each
	for i := range numbers {
		numbers[i] = 7
	}
	list, err := published(topic, nil, numbers)
	if err != nil {
		return nil, "", err
	}
	w, err := a.sender(ctx)
	return a.every(w, text, list), fmt.Sprintf("%d bytes of text, %d numbers, in turn",
		a.plan.Bytes, len(numbers)), err
}

// longEvent is short in MessagePack and longer in JSON than a RawSocket frame can be: U+0001 is one octet in one and
// six in the other.
func longEvent(ctx context.Context, a *attacker) (func(context.Context) error, string, error) {
	topic := unique("bench.hostile")
	raw, err := a.over("rs")
	if err != nil {
		return nil, "", err
	}
	if err := raw.listen(ctx, 1, topic, codec.JSON); err != nil {
		return nil, "", err
	}
	n := min(a.plan.Bytes, 3<<20)
	message, err := published(topic, nil, []any{strings.Repeat("\x01", n)})
	if err != nil {
		return nil, "", err
	}
	w, err := a.sender(ctx)
	return a.every(w, message), fmt.Sprintf("%d bytes, %d in JSON", n, 6*n), err
}

// manyPatterns is one session whose wildcard patterns all match one topic, and another that publishes to it.
func manyPatterns(ctx context.Context, a *attacker) (func(context.Context) error, string, error) {
	w, err := a.session(ctx, codec.MessagePack)
	if err != nil {
		return nil, "", err
	}
	parts := strings.Split(unique("bench.hostile")+strings.Repeat(".part", patternParts), ".")
	topic := strings.Join(parts, ".")
	first := len(parts) - patternParts
	star := matching("wildcard")
	// Pattern i has a star where i has a zero bit: none in the last one, which is the topic itself.
	granted, err := ask(w, min(a.plan.Many, 1<<patternParts), func(i int) *codec.Message {
		for p := range patternParts {
			parts[first+p] = ""
			if i>>p&1 != 0 {
				parts[first+p] = "part"
			}
		}
		return &codec.Message{Type: codec.Subscribe, URI: []byte(strings.Join(parts, ".")), Dict: star}
	}, codec.Subscribed)
	if err != nil {
		return nil, "", err
	}
	a.discard(w)
	message, err := published(topic, nil, nil)
	if err != nil {
		return nil, "", err
	}
	p, err := a.sender(ctx)
	return a.every(p, message), fmt.Sprintf("%d patterns", granted), err
}

// arriving is one session that sends SUBSCRIBEs as fast as its connection takes them, each for another topic, and
// reads the answers.
func arriving(ctx context.Context, a *attacker) (func(context.Context) error, string, error) {
	w, err := a.sender(ctx)
	if err != nil {
		return nil, "", err
	}
	space := unique("bench.hostile")
	return func(ctx context.Context) error {
		stop := context.AfterFunc(ctx, func() { a.abandon(w) })
		defer stop()
		return later(func() error {
			for i := range a.plan.Many {
				err := w.Send(&codec.Message{
					Type: codec.Subscribe, Format: codec.MessagePack, Request: uint64(i + 1),
					URI: fmt.Appendf(nil, "%s.t%d.leaf", space, i),
				})
				if err == nil && i%askedAtOnce == 0 {
					err = w.FlushAndWait()
				}
				if ctx.Err() != nil {
					return nil
				}
				if err != nil {
					return err
				}
			}
			return w.FlushAndWait()
		})(ctx)
	}, fmt.Sprintf("%d subscriptions asked for", a.plan.Many), nil
}

// leaving is one session that takes as many subscriptions as it is granted; then its connection ends.
func leaving(match string) func(ctx context.Context, a *attacker) (func(context.Context) error, string, error) {
	return func(ctx context.Context, a *attacker) (func(context.Context) error, string, error) {
		w, err := a.session(ctx, codec.MessagePack)
		if err != nil {
			return nil, "", err
		}
		space, options := unique("bench.hostile"), matching(match)
		granted, err := ask(w, a.plan.Many, func(i int) *codec.Message {
			return &codec.Message{
				Type: codec.Subscribe, URI: fmt.Appendf(nil, "%s.t%d.leaf", space, i),
				Dict: options,
			}
		}, codec.Subscribed)
		return later(w.Abandon), fmt.Sprintf("%d subscriptions", granted), err
	}
}

// openCalls is a caller with many calls that the callee does not answer; then the connection of one of the two ends.
func openCalls(
	callerLeaves bool,
) func(ctx context.Context, a *attacker) (func(context.Context) error, string, error) {
	return func(ctx context.Context, a *attacker) (func(context.Context) error, string, error) {
		callee, err := a.session(ctx, codec.MessagePack)
		if err != nil {
			return nil, "", err
		}
		procedure := []byte(unique("bench.hostile"))
		if _, err := request(callee, &codec.Message{Type: codec.Register, Request: 1, URI: procedure},
			codec.Registered); err != nil {
			return nil, "", err
		}
		caller, err := a.session(ctx, codec.MessagePack)
		if err != nil {
			return nil, "", err
		}
		a.discard(caller)
		// The callee counts: a call that the router refuses does not reach it.
		invoked, asked := make(chan int, 1), make(chan struct{})
		a.loops.Go(func() {
			n := 0
			for n < a.plan.Many {
				callee.SetReadDeadline(time.Now().Add(time.Second))
				if _, err := callee.Next(); err != nil {
					select {
					case <-asked: // all calls are sent, and nothing came for a second
					default:
						continue
					}
					break
				}
				n++
			}
			invoked <- n
			callee.SetReadDeadline(time.Time{})
			callee.Discard()
		})
		for i := range a.plan.Many {
			err := caller.Send(&codec.Message{
				Type: codec.Call, Format: codec.MessagePack, Request: uint64(i + 1),
				URI: procedure,
			})
			if err == nil && i%askedAtOnce == 0 {
				err = caller.FlushAndWait()
			}
			if err != nil || ctx.Err() != nil {
				break // the router refuses more
			}
		}
		err = caller.FlushAndWait()
		close(asked)
		granted := <-invoked
		leaves := callee
		if callerLeaves {
			leaves = caller
		}
		return later(func() error { return a.abandon(leaves) }), fmt.Sprintf("%d open calls", granted), err
	}
}

// unfinished are RawSocket connections that send messages of the greatest length, all but the last octet, and nothing
// before them.
func unfinished(ctx context.Context, a *attacker) (func(context.Context) error, string, error) {
	raw, err := a.over("rs")
	if err != nil {
		return nil, "", err
	}
	body := make([]byte, 4+a.plan.Bytes)
	binary.BigEndian.PutUint32(body, uint32(a.plan.Bytes)+1)
	act := func(ctx context.Context) error {
		var sending sync.WaitGroup
		for range unfinishedMany {
			c, err := client.Connect(ctx, raw.URL, client.Options{})
			if err != nil {
				continue // the router refuses more
			}
			context.AfterFunc(ctx, func() { c.Abandon() })
			sending.Go(func() {
				c.SendRaw(body)
				c.FlushAndWait() // the router may close the connection
			})
		}
		sending.Wait()
		<-ctx.Done()
		return nil
	}
	return act, fmt.Sprintf("%d connections, %d bytes each", unfinishedMany, a.plan.Bytes), nil
}

// largeBatch is one WebSocket message that is full of publishes to two topics in turn.
func largeBatch(ctx context.Context, a *attacker) (func(context.Context) error, string, error) {
	batched, err := a.over("ws")
	if err != nil {
		return nil, "", err
	}
	w, err := batched.sender(ctx)
	if err != nil {
		return nil, "", err
	}
	var entries [2][]byte
	for i := range entries {
		topic := unique("bench.hostile")
		if err := a.listen(ctx, batchMembers, topic, codec.MessagePack); err != nil {
			return nil, "", err
		}
		if entries[i], err = published(topic, nil, []any{strings.Repeat("a", 64)}); err != nil {
			return nil, "", err
		}
	}
	var batch []byte
	n := 0
	for len(batch) < a.plan.Bytes {
		entry := entries[n%2]
		batch = append(binary.BigEndian.AppendUint32(batch, uint32(len(entry))), entry...)
		n++
	}
	const finBinary = 0x82
	act := later(func() error { return w.SendFrame(finBinary, batch) })
	return act, fmt.Sprintf("%d publishes to %d subscribers each", n, batchMembers), nil
}

// longLists are publishes that name very many sessions to leave out.
func longLists(ctx context.Context, a *attacker) (func(context.Context) error, string, error) {
	topic := unique("bench.hostile")
	if err := a.listen(ctx, 2, topic, codec.MessagePack); err != nil {
		return nil, "", err
	}
	const idBytes = 9 // of an id above 2^32
	ids := make([]any, a.plan.Bytes/idBytes)
	for i := range ids {
		ids[i] = uint64(1<<40 - i*7919) // not sorted
	}
	numbers, err := published(topic, map[string]any{"exclude": ids}, nil)
	if err != nil {
		return nil, "", err
	}
	names := make([]any, a.plan.Bytes/idBytes)
	for i := range names {
		names[i] = fmt.Sprintf("%08d", (i*7919)%100_000_000)
	}
	texts, err := published(topic, map[string]any{"exclude_authid": names}, nil)
	if err != nil {
		return nil, "", err
	}
	w, err := a.sender(ctx)
	return a.every(w, numbers, texts), fmt.Sprintf("%d ids or names", len(ids)), err
}

// callBursts are calls of many sessions at the same moment. The procedure does not exist, so only the router works.
func callBursts(ctx context.Context, a *attacker) (func(context.Context) error, string, error) {
	callers := make([]*wamp, burstCallers)
	for i := range callers {
		var err error
		if callers[i], err = a.sender(ctx); err != nil {
			return nil, "", err
		}
	}
	procedure := []byte(unique("bench.hostile"))
	calls := min(burstCalls, a.plan.Many)
	number := uint64(0)
	act := func(ctx context.Context) error {
		tick := time.NewTicker(attackEvery)
		defer tick.Stop()
		for {
			for i := range calls {
				for _, w := range callers {
					if err := w.Send(&codec.Message{
						Type: codec.Call, Request: number + uint64(i) + 1,
						URI: procedure,
					}); err != nil {
						return err
					}
				}
			}
			number += uint64(calls)
			for _, w := range callers {
				if err := w.Flush(); err != nil {
					return err
				}
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return nil
			}
		}
	}
	return act, fmt.Sprintf("%d callers, %d calls each", burstCallers, calls), nil
}
