package realm

import (
	"strings"
	"sync"
	"sync/atomic"

	"banyan/codec"
	"banyan/engine/port"
)

// Meta events and testaments (PROTOCOL 7.12, 9). One publisher of each realm, its voice, publishes all of them on one
// loop, in the order in which their causes came to be, whatever loops those were on (PROTOCOL 6.2, 9):
//
//	tell      any loop: puts an event at the end of the queue
//	reserve   the same, for one that may not be published yet: what is behind it waits too. on_create is reserved
//	          under the mutex of the index, and ready once SUBSCRIBED or REGISTERED is queued
//	Run       the voice's loop: takes events from the queue while the voice has credit, and publishes them
//
// An event that nobody can be subscribed to costs one load. While many wait, the sessions that cause more are made to
// wait (pace.go). Testaments always find room: their memory was charged when they were made, and is until they are
// published.

// A metaStream is the queue of a realm and its voice.
type metaStream struct {
	// Fixed by newRealm.
	realm *realm
	home  int // the loop of the voice
	lane  uint64

	// Any goroutine.
	listeners atomic.Int64 // subscriptions that a meta event can match
	length    atomic.Int64 // of queue, with the event that is being published

	mu      sync.Mutex
	queue   []*metaEvent // guarded by mu
	running bool         // guarded by mu; a job is under way, or will be when the voice has credit
	closed  bool         // guarded by mu; nobody publishes any more

	// Owned by loop home.
	voice *localConn // nil until there is something to say
	last  uint64     // its latest request id
}

// A metaEvent is one publication to be.
type metaEvent struct {
	topic     string
	args      []any           // of a meta event
	testament *testament      // nil for a meta event
	who       *codec.Identity // whom it discloses, or nil
	trust     uint32          // of a testament: its trust level plus one; 0: none
	ready     bool            // guarded by metaStream.mu
}

// wanted reports whether somebody may hear what happens now. That may be somebody who subscribes later, if events
// wait that he will hear: of those behind them he must not miss any. So the queue is looked at first.
func (ms *metaStream) wanted() bool { return ms.length.Load() > 0 || ms.listeners.Load() > 0 }

// hearsMeta reports whether a subscription can match a topic in the namespace wamp.
func hearsMeta(uri string, match codec.Match) bool {
	const space = "wamp."
	switch match {
	case codec.Prefix:
		return strings.HasPrefix(space, uri) || strings.HasPrefix(uri, space)
	case codec.Wildcard:
		first, _, more := strings.Cut(uri, ".")
		return more && (first == "" || first+"." == space)
	}
	return strings.HasPrefix(uri, space)
}

// tell publishes an event soon. Any loop.
func (ms *metaStream) tell(x port.Executor, topic string, args ...any) {
	x.Step("meta.lock")
	ms.ready(x, ms.reserve(x, topic, args...))
}

// reserve puts an event in the queue that ready has to be called for, on this loop and before long. It returns nil if
// the queue is full. Any loop.
func (ms *metaStream) reserve(x port.Executor, topic string, args ...any) *metaEvent {
	return ms.put(x, &metaEvent{topic: topic, args: args})
}

// put takes over what e is charged.
func (ms *metaStream) put(x port.Executor, e *metaEvent) *metaEvent {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	switch {
	case ms.closed:
		x.Charge(-e.charged())
		return nil
	case e.testament == nil && len(ms.queue) >= metaQueueMax:
		ms.realm.router.perLoop[x.Loop()].counters.metaLost.Add(1)
		x.Warn("meta events come faster than they can be published: some are lost", "realm", ms.realm.uri)
		return nil
	}
	ms.queue = append(ms.queue, e)
	ms.length.Store(int64(len(ms.queue)))
	return e
}

// charged is what e takes of the budget of the process.
func (e *metaEvent) charged() int {
	if e.testament == nil {
		return 0
	}
	return e.testament.bytes()
}

// ready lets a reserved event be published. e may be nil.
func (ms *metaStream) ready(x port.Executor, e *metaEvent) {
	if e == nil {
		return
	}
	x.Step("meta.lock")
	ms.mu.Lock()
	e.ready = true
	begin := !ms.running && len(ms.queue) > 0 && ms.queue[0].ready
	ms.running = ms.running || begin
	ms.mu.Unlock()
	if begin {
		x.Post(ms.home, ms.lane, ms)
	}
}

// next takes the first event from the queue, if it is ready. If not, the job is over.
func (ms *metaStream) next(x port.Executor) *metaEvent {
	x.Step("meta.lock")
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if len(ms.queue) == 0 || !ms.queue[0].ready {
		ms.running = false
		if len(ms.queue) == 0 {
			ms.queue = nil
		}
		ms.length.Store(int64(len(ms.queue)))
		return nil
	}
	e := ms.queue[0]
	ms.queue[0] = nil
	ms.queue = ms.queue[1:]
	ms.length.Store(int64(len(ms.queue)) + 1)
	x.Charge(-e.charged())
	return e
}

// Run publishes events. The voice's loop.
func (ms *metaStream) Run(x port.Executor, budget int) (more bool) {
	rm := ms.realm
	if ms.voice == nil {
		rm.asked.Store(true) // first: if the realm is still known after that, whoever forgets it closes the voice
		if rm.router.realms.Find([]byte(rm.uri), codec.Exact) != rm {
			ms.close(x)
			return false
		}
		ms.speak(x)
	}
	for range max(min(budget, metaEventsAtOnce), 1) {
		if ms.voice.blocked() {
			return false // idle wakes it
		}
		e := ms.next(x)
		if e == nil {
			return false
		}
		ms.publish(x, e)
	}
	return true
}

// speak makes the voice.
func (ms *metaStream) speak(x port.Executor) {
	c := ms.realm.openHidden(x, func(port.Executor, []byte) {}, func(port.Executor) { ms.voice = nil })
	c.idle = func(x port.Executor) {
		ms.mu.Lock()
		running := ms.running
		ms.mu.Unlock()
		if running {
			x.Post(ms.home, ms.lane, ms)
		}
	}
	ms.voice, ms.last = c, 0
}

// publish has the voice publish one event.
func (ms *metaStream) publish(x port.Executor, e *metaEvent) {
	m := codec.Message{
		Type: codec.Publish, Request: ms.last + 1, URI: []byte(e.topic),
		Payload: codec.Payload{Format: codec.MessagePack},
	}
	var err error
	if t := e.testament; t != nil {
		m.Dict, m.Payload = t.options, t.payload
	} else if m.Payload.Args, err = codec.AppendValue(nil, codec.MessagePack, e.args); err != nil {
		panic("realm: a meta event without a form: " + err.Error()) // numbers and text
	}
	m.Format = m.Payload.Format
	msg, err := codec.Append(nil, m.Format, &m)
	if err != nil {
		return // cannot: its parts are well formed
	}
	ms.voice.sendIn(m.Format)
	s := ms.voice.handler.session
	s.face, s.trust = e.who, e.trust
	ms.last++
	ms.voice.handler.Receive(x, msg)
}

// close ends the voice, on its loop, with the realm. What waits, and what comes, is published by nobody.
func (ms *metaStream) close(x port.Executor) {
	ms.mu.Lock()
	ms.closed = true
	for _, e := range ms.queue {
		x.Charge(-e.charged())
	}
	ms.queue = nil
	ms.length.Store(0)
	ms.mu.Unlock()
	if ms.voice != nil {
		ms.voice.hangUp(x)
	}
}
