package realm

import (
	"errors"
	"maps"
	"slices"
	"time"

	"banyan/codec"
	"banyan/engine/port"
	"banyan/realm/auth"
)

// Calls that the router itself makes, to authenticators and authorizers.
//
//	ask      any place on a loop: notes the question and submits a CALL of the asker of this loop and realm
//	asker    a session without a client, which belongs to no list: broker and dealer see an ordinary caller
//	answer   RESULT or ERROR comes back to the asker, on the same loop; the timer of the question may come first
//
// done is called exactly once, never within the handling of a message, unless the question is canceled.

// An asker makes the calls of one loop in one realm. Owned by loop.
type asker struct {
	realm   *realm
	conn    *localConn
	decoder codec.Decoder
	last    uint64
	open    map[uint64]*question // by request id
}

// A question is one of its calls. Owned by loop.
type question struct {
	asker *asker // nil: there is none, or the question is over
	id    uint64
	timer port.Timer
	done  func(x port.Executor, a *answer)
}

// An answer is what became of a question.
type answer struct {
	uri    string // of an ERROR, or "" if there was no answer at all
	result bool   // it is a RESULT
	args   []byte // the arguments of either, in MessagePack; nil for none
}

// errNoAnswer says that nobody is there to answer, or that the answer did not come in time.
var errNoAnswer = errors.New("no answer in time")

// first returns the first argument of a RESULT, or the error that the answer is.
func (a *answer) first() (any, error) {
	if !a.result && a.uri == "" {
		return nil, errNoAnswer
	}
	var args []any
	if len(a.args) > 0 {
		v, err := codec.Value(codec.MessagePack, a.args)
		if err != nil {
			return nil, err
		}
		args, _ = v.([]any)
	}
	var first any
	if len(args) > 0 {
		first = args[0]
	}
	if a.result {
		return first, nil
	}
	if slices.Contains(routerErrors, a.uri) {
		return nil, errors.New(a.uri)
	}
	text, _ := first.(string)
	return nil, &auth.AuthenticatorError{URI: a.uri, Message: text}
}

// routerErrors are those with which the router itself answers a call: the procedure is not there, its callee left or
// does not keep up, the question is too long.
var routerErrors = []string{
	codec.ErrNoSuchProcedure, codec.ErrNetworkFailure, codec.ErrCanceled, codec.ErrInvalidURI,
	codec.ErrPayloadSizeExceeded, codec.ErrInvalidArgument, codec.ErrOptionNotAllowed,
}

// isDenial reports whether err is an authenticator's no.
func isDenial(err error) bool {
	_, ok := errors.AsType[*auth.AuthenticatorError](err)
	return ok
}

// ask calls a procedure of rm.
func (rm *realm) ask(x port.Executor, procedure string, args []any, timeout time.Duration,
	done func(x port.Executor, a *answer),
) *question {
	q := &question{done: done}
	q.timer.Fire = q.expire
	rm.asked.Store(true) // first: if the realm is still known after that, whoever forgets it closes the asker
	if rm.router.realms.Find([]byte(rm.uri), codec.Exact) != rm {
		x.Start(&q.timer, 0) // it is closed
		return q
	}
	k := rm.askers[x.Loop()]
	if k == nil {
		k = rm.newAsker(x)
	}
	id := k.last + 1
	msg, err := codec.AppendValue(nil, codec.MessagePack, []any{
		int(codec.Call), id, map[string]any{}, procedure, args,
	})
	if err != nil {
		x.Start(&q.timer, 0)
		return q
	}
	k.last = id // without gaps, as a strict realm wants it
	q.asker, q.id = k, id
	k.open[id] = q
	x.Start(&q.timer, timeout)
	k.conn.sendSoon(x, msg)
	return q
}

// newAsker makes the asker of this loop.
func (rm *realm) newAsker(x port.Executor) *asker {
	k := &asker{realm: rm, open: map[uint64]*question{}}
	k.decoder.SetDepthMax(codec.DepthMaxMost)
	k.conn = rm.openHidden(x, k.hear, k.ended)
	rm.askers[x.Loop()] = k
	return k
}

// openHidden makes a session of the router itself, which belongs to no list.
func (rm *realm) openHidden(x port.Executor, hear func(x port.Executor, msg []byte),
	ended func(x port.Executor),
) *localConn {
	r := rm.router
	c := newLocalConn(x, hear, ended)
	c.handler = &handler{router: r, conn: c, state: stateJoined}
	id := r.directory.draw(x, &r.ids) // held, so that nobody else has it; it finds no session
	s := newSession(x, c.handler, rm, id, localRoles, codec.Identity{
		Session: id, AuthID: drawAuthID(x), AuthRole: trustedRole,
	})
	s.trusted, s.hidden, s.live = true, true, true
	c.handler.session = s
	return c
}

// hear takes the answer to a question.
func (k *asker) hear(x port.Executor, msg []byte) {
	var m codec.Message
	if err := k.decoder.Decode(codec.MessagePack, msg, &m); err != nil {
		return // the router wrote it
	}
	q := k.open[m.Request]
	if q == nil {
		return // it came after the timer, or nobody waits any more
	}
	switch m.Type {
	case codec.Result:
		q.end(x, &answer{result: true, args: m.Payload.Args})
	case codec.Error:
		q.end(x, &answer{uri: string(m.URI), args: m.Payload.Args})
	}
}

// ended fails the questions of an asker whose session is over: its realm was closed, or an answer was too long.
func (k *asker) ended(x port.Executor) {
	if loop := x.Loop(); k.realm.askers[loop] == k {
		k.realm.askers[loop] = nil
	}
	for _, id := range slices.Sorted(maps.Keys(k.open)) {
		k.open[id].end(x, &answer{})
	}
}

// expire ends a question whose answer did not come in time.
func (q *question) expire(x port.Executor) {
	if q.asker != nil {
		q.interrupt(x)
	}
	q.end(x, &answer{})
}

// end hands the answer over.
func (q *question) end(x port.Executor, a *answer) {
	q.forget(x)
	q.done(x, a)
}

// cancel ends a question that nobody waits for any more.
func (q *question) cancel(x port.Executor) {
	if q.asker != nil {
		q.interrupt(x)
	}
	q.forget(x)
}

func (q *question) forget(x port.Executor) {
	x.Stop(&q.timer)
	if q.asker != nil {
		delete(q.asker.open, q.id)
		q.asker = nil
	}
}

// interrupt cancels the call.
func (q *question) interrupt(x port.Executor) {
	msg, _ := codec.AppendValue(nil, codec.MessagePack, []any{ // cannot fail: numbers and text
		int(codec.Cancel), q.id, map[string]any{"mode": "killnowait"},
	})
	q.asker.conn.sendSoon(x, msg)
}

// closeHidden ends the sessions of the router on this loop: the asker, with its questions, and the voice. What is
// retained goes.
func (rm *realm) closeHidden(x port.Executor) {
	if k := rm.askers[x.Loop()]; k != nil {
		k.conn.hangUp(x)
	}
	if x.Loop() == rm.meta.home {
		rm.meta.close(x)
		rm.forgetRetained(x)
	}
}
