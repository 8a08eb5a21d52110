package realm

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"banyan/codec"
	"banyan/engine/port"
)

// The router as a part of a Go program: a Client is a session of that program, without a socket.
//
//	Client's methods  any goroutine   encode the request, note who waits for the answer, submit it to the home loop
//	the home loop                     receives it like any other; what is appended for the session goes to its inbox
//	Client.serve      one goroutine   decodes the inbox, answers those who wait, calls handlers of events; each
//	                                  invocation gets a goroutine

// ClientConfig says who a local session is.
type ClientConfig struct {
	Realm    string // must exist
	AuthID   string // default: a random one
	AuthRole string // default: "trusted", which needs no permission; the realm's Policy decides what others may do
}

// A Client is a session of this process. Its methods may be called by any goroutine.
type Client struct {
	// Fixed by Join.
	router *Router
	conn   *localConn
	id     uint64
	done   chan struct{} // closed when the session is over
	stop   context.CancelFunc
	ctx    context.Context // of handlers: ends with the session
	wake   chan struct{}

	mu       sync.Mutex
	inbox    [][]byte                      // guarded by mu
	over     bool                          // guarded by mu
	last     uint64                        // guarded by mu: the latest request id
	pending  map[uint64]*request           // guarded by mu; by request id
	events   map[uint64]func(Event)        // guarded by mu; by subscription id
	handlers map[uint64]Handler            // guarded by mu; by registration id
	calls    map[uint64]context.CancelFunc // guarded by mu; invocations under way, by invocation id
}

// An Event is a publication that a subscription received.
type Event struct {
	Publication uint64
	Topic       string // "" if it is the topic subscribed to
	Args        []any
	Kwargs      map[string]any
}

// An Invocation is a call that a registration received.
type Invocation struct {
	Procedure string // "" if it is the procedure registered
	Args      []any
	Kwargs    map[string]any
}

// A Result is the answer to a call.
type Result struct {
	Args   []any
	Kwargs map[string]any
}

// A Handler answers an invocation, on a goroutine of its own. ctx ends when the caller has canceled or the session is
// over. An *Error goes to the caller as it is; any other error becomes wamp.error.runtime_error with its text.
type Handler func(ctx context.Context, in Invocation) (Result, error)

// An Error is an ERROR of the protocol.
type Error struct {
	URI    string
	Args   []any
	Kwargs map[string]any
}

func (e *Error) Error() string {
	if len(e.Args) > 0 {
		return fmt.Sprintf("%s: %v", e.URI, e.Args[0])
	}
	return e.URI
}

// errRuntime is what an error of a Handler becomes.
const errRuntime = "wamp.error.runtime_error"

// ErrLeft is returned when the session is over: by Close, because its realm was closed, because it was killed, or
// because it left too much unread.
var ErrLeft = errors.New("realm: the session is over")

// A request waits for its answer.
type request struct {
	id      uint64
	answer  chan []any
	note    func(answer []any) // called by serve before anything behind the answer is looked at; mu is held
	abandon func()             // called when nobody waits any more; mu is held if note is set
}

// localHomes deals local sessions out to loops.
var localHomes atomic.Uint64

// Join makes a local session. It fails with ErrNoSuchRealm, or ErrStopped.
func (r *Router) Join(ctx context.Context, cfg ClientConfig) (*Client, error) {
	setDefault(&cfg.AuthRole, trustedRole)
	l := &Client{
		router: r, done: make(chan struct{}), wake: make(chan struct{}, 1),
		pending: map[uint64]*request{}, events: map[uint64]func(Event){},
		handlers: map[uint64]Handler{}, calls: map[uint64]context.CancelFunc{},
	}
	joined := make(chan struct{})
	var failed error
	home := int(localHomes.Add(1) % uint64(len(r.perLoop)))
	if err := r.submit(home, func(x port.Executor) {
		defer close(joined)
		l.conn, failed = r.openLocal(x, cfg.Realm, codec.Identity{AuthID: cfg.AuthID, AuthRole: cfg.AuthRole}, l.hear,
			l.ended)
		if failed == nil {
			l.id = l.conn.handler.session.id
		}
	}); err != nil {
		return nil, err
	}
	if err := wait(ctx, joined); err != nil {
		go func() { // it may still come: nobody would end it
			<-joined
			if failed == nil {
				_ = l.leave()
			}
		}()
		return nil, err
	}
	if failed != nil {
		return nil, fmt.Errorf("%w: %q", failed, cfg.Realm)
	}
	l.ctx, l.stop = context.WithCancel(context.Background())
	go l.serve()
	return l, nil
}

// ID is the session id.
func (l *Client) ID() uint64 { return l.id }

// Done is closed when the session is over.
func (l *Client) Done() <-chan struct{} { return l.done }

// Close ends the session and waits until it is over.
func (l *Client) Close() error {
	if err := l.leave(); err != nil {
		return err
	}
	<-l.done
	return nil
}

func (l *Client) leave() error { return l.router.submit(l.conn.home, l.conn.hangUp) }

// Publish publishes an event and returns its id when the router has accepted it. options are those of PUBLISH; nil
// for none. An *Error says that the router refused.
func (l *Client) Publish(ctx context.Context, topic string, options map[string]any, args []any,
	kwargs map[string]any,
) (uint64, error) {
	o := map[string]any{}
	for k, v := range options {
		o[k] = v
	}
	o["acknowledge"] = true
	answer, err := l.ask(ctx, codec.Publish, []any{o, topic}, args, kwargs, &request{})
	if err != nil {
		return 0, err
	}
	return id(answer, 2), nil
}

// Call calls a procedure and returns its final result. options are those of CALL; nil for none. When ctx ends the
// call is canceled. An *Error is the callee's, or the router's.
func (l *Client) Call(ctx context.Context, procedure string, options map[string]any, args []any,
	kwargs map[string]any,
) (Result, error) {
	if options == nil {
		options = map[string]any{}
	}
	q := &request{}
	q.abandon = func() {
		_ = l.send([]any{int64(codec.Cancel), int64(q.id), map[string]any{"mode": "killnowait"}})
	}
	answer, err := l.ask(ctx, codec.Call, []any{options, procedure}, args, kwargs, q)
	if err != nil {
		return Result{}, err
	}
	var r Result
	r.Args, r.Kwargs = payload(answer, 3)
	return r, nil
}

// Subscribe calls f for every event of a topic, in their order, until the function that it returns is called. options
// are those of SUBSCRIBE; nil for none. f must not block for long: while it does, the events behind wait, and too
// many of them end the session.
func (l *Client) Subscribe(ctx context.Context, topic string, options map[string]any,
	f func(Event),
) (unsubscribe func(context.Context) error, err error) {
	return hold(ctx, l, codec.Subscribe, codec.Unsubscribe, topic, options, l.events, f)
}

// Register answers the calls of a procedure with h until the function that it returns is called. options are those of
// REGISTER; nil for none.
func (l *Client) Register(ctx context.Context, procedure string, options map[string]any,
	h Handler,
) (unregister func(context.Context) error, err error) {
	return hold(ctx, l, codec.Register, codec.Unregister, procedure, options, l.handlers, h)
}

// hold subscribes or registers, and keeps f in table, which mu guards, until the function that it returns is called.
func hold[F any](ctx context.Context, l *Client, begin, end codec.Type, uri string, options map[string]any,
	table map[uint64]F, f F,
) (func(context.Context) error, error) {
	if options == nil {
		options = map[string]any{}
	}
	q := &request{note: func(answer []any) { table[id(answer, 2)] = f }}
	q.abandon = func() {
		q.note = func(answer []any) {
			held := int64(id(answer, 2))
			go func() { _ = l.send([]any{int64(end), int64(l.next()), held}) }() // next takes mu
		}
	}
	answer, err := l.ask(ctx, begin, []any{options, uri}, nil, nil, q)
	if err != nil {
		return nil, err
	}
	held := id(answer, 2)
	return func(ctx context.Context) error {
		_, err := l.ask(ctx, end, []any{int64(held)}, nil, nil, &request{note: func([]any) { delete(table, held) }})
		return err
	}, nil
}

// next draws a request id.
func (l *Client) next() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	return l.last
}

// ask sends a request of type t and waits for its answer.
func (l *Client) ask(ctx context.Context, t codec.Type, elements, args []any, kwargs map[string]any,
	q *request,
) ([]any, error) {
	q.id, q.answer = l.next(), make(chan []any, 1)
	msg := append([]any{int64(t), int64(q.id)}, elements...)
	l.mu.Lock()
	if l.over {
		l.mu.Unlock()
		return nil, ErrLeft
	}
	l.pending[q.id] = q
	l.mu.Unlock()
	if err := l.send(withPayload(msg, args, kwargs)); err != nil {
		l.mu.Lock()
		delete(l.pending, q.id)
		l.mu.Unlock()
		return nil, err
	}
	select {
	case answer := <-q.answer:
		return answer, asError(answer)
	case <-l.done:
		select {
		case answer := <-q.answer: // it came before the end
			return answer, asError(answer)
		default:
			return nil, ErrLeft
		}
	case <-ctx.Done():
	}
	l.mu.Lock()
	switch waits := l.pending[q.id] == q; {
	case !waits: // serve has the answer
		l.mu.Unlock()
		answer := <-q.answer
		return answer, asError(answer)
	case q.abandon == nil:
		l.mu.Unlock()
	case q.note != nil: // the answer will be undone
		q.abandon()
		l.mu.Unlock()
	default:
		l.mu.Unlock()
		q.abandon()
	}
	return nil, ctx.Err()
}

// withPayload adds what there is of a payload to msg.
func withPayload(msg, args []any, kwargs map[string]any) []any {
	switch {
	case len(kwargs) > 0:
		return append(msg, args, kwargs)
	case len(args) > 0:
		return append(msg, args)
	}
	return msg
}

// payload reads a payload whose arguments stand at index i of msg.
func payload(msg []any, i int) (args []any, kwargs map[string]any) {
	if len(msg) > i {
		args, _ = msg[i].([]any)
	}
	if len(msg) > i+1 {
		kwargs, _ = msg[i+1].(map[string]any)
	}
	return args, kwargs
}

// id reads the id at index i of msg.
func id(msg []any, i int) uint64 {
	if len(msg) > i {
		if n, ok := msg[i].(int64); ok {
			return uint64(n)
		}
	}
	return 0
}

// asError returns the error that an answer is, or nil.
func asError(answer []any) error {
	if codec.Type(id(answer, 0)) != codec.Error || len(answer) < 5 {
		return nil
	}
	e := &Error{}
	e.URI, _ = answer[4].(string)
	e.Args, e.Kwargs = payload(answer, 5)
	return e
}

// send submits one message to the session's loop.
func (l *Client) send(msg []any) error {
	b, err := codec.AppendValue(nil, codec.MessagePack, msg)
	if err != nil {
		return fmt.Errorf("realm: %w", err)
	}
	return l.router.submit(l.conn.home, func(x port.Executor) {
		if !l.conn.over {
			l.conn.send(x, b)
		}
	})
}

// hear puts a message into the inbox. On the loop.
func (l *Client) hear(_ port.Executor, msg []byte) {
	l.conn.unread.Add(int64(len(msg)))
	l.mu.Lock()
	l.inbox = append(l.inbox, msg)
	l.mu.Unlock()
	l.signal()
}

// ended takes note of the end of the session. On the loop.
func (l *Client) ended(port.Executor) {
	l.mu.Lock()
	l.over = true
	l.mu.Unlock()
	l.signal()
}

func (l *Client) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// serve deals with the inbox until the session is over and the inbox empty.
func (l *Client) serve() {
	defer close(l.done)
	defer l.stop()
	for range l.wake {
		l.mu.Lock()
		inbox, over := l.inbox, l.over
		l.inbox = nil
		l.mu.Unlock()
		for _, b := range inbox {
			if v, err := codec.Value(codec.MessagePack, b); err == nil {
				if msg, ok := v.([]any); ok {
					l.receive(msg)
				}
			}
			l.conn.unread.Add(int64(-len(b)))
		}
		if over {
			return
		}
	}
}

// receive deals with one message of the router.
func (l *Client) receive(msg []any) {
	switch t := codec.Type(id(msg, 0)); t {
	case codec.Event:
		l.mu.Lock()
		f := l.events[id(msg, 1)]
		l.mu.Unlock()
		if f == nil {
			return
		}
		e := Event{Publication: id(msg, 2), Topic: detail(msg, 3, "topic")}
		e.Args, e.Kwargs = payload(msg, 4)
		f(e)
	case codec.Invocation:
		l.invoke(msg)
	case codec.Interrupt:
		l.mu.Lock()
		cancel := l.calls[id(msg, 1)]
		l.mu.Unlock()
		if cancel != nil {
			cancel()
		}
	case codec.Goodbye: // the router's: nothing follows it
		_ = l.leave()
	case codec.Error, codec.Result, codec.Published, codec.Subscribed, codec.Unsubscribed, codec.Registered,
		codec.Unregistered:
		at := 1
		if t == codec.Error {
			at = 2
		}
		l.mu.Lock()
		q := l.pending[id(msg, at)]
		delete(l.pending, id(msg, at))
		if q != nil && q.note != nil && t != codec.Error {
			q.note(msg)
		}
		l.mu.Unlock()
		if q != nil {
			q.answer <- msg
		}
	}
}

// detail reads a text from the details at index i of msg.
func detail(msg []any, i int, key string) string {
	if len(msg) <= i {
		return ""
	}
	d, _ := msg[i].(map[string]any)
	text, _ := d[key].(string)
	return text
}

// invoke has an invocation answered, on a goroutine of its own: their number is bounded by Config.CallsMax.
func (l *Client) invoke(msg []any) {
	invocation := id(msg, 1)
	in := Invocation{Procedure: detail(msg, 3, "procedure")}
	in.Args, in.Kwargs = payload(msg, 4)
	ctx, cancel := context.WithCancel(l.ctx)
	l.mu.Lock()
	h := l.handlers[id(msg, 2)]
	l.calls[invocation] = cancel
	l.mu.Unlock()
	go func() {
		defer func() {
			l.mu.Lock()
			delete(l.calls, invocation)
			l.mu.Unlock()
			cancel()
		}()
		failed := &Error{URI: codec.ErrNoSuchProcedure}
		var result Result
		if h != nil {
			var err error
			if result, err = h(ctx, in); err == nil {
				_ = l.send(withPayload([]any{int64(codec.Yield), int64(invocation), map[string]any{}}, result.Args,
					result.Kwargs))
				return
			}
			if !errors.As(err, &failed) {
				failed = &Error{URI: errRuntime, Args: []any{err.Error()}}
			}
		}
		_ = l.send(withPayload([]any{
			int64(codec.Error), int64(codec.Invocation), int64(invocation),
			map[string]any{},
			failed.URI,
		}, failed.Args, failed.Kwargs))
	}()
}
