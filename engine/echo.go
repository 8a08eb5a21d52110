//go:build linux

package engine

import (
	"banyan/codec"
	"banyan/engine/port"
)

// An echo is the Handler behind every connection of an engine with Config.Echo: what comes goes back, through the same parser and
// queue as everything else. Owned by loop.
type echo struct{ c *conn }

// Receive implements port.Handler.
func (e *echo) Receive(x port.Executor, b []byte) {
	c := e.c
	if len(b) > c.messageMax {
		return // a RawSocket client that sends more than it takes
	}
	c.Lock()
	defer c.Unlock()
	buf, ok := c.Tail(port.Reply)
	switch {
	case !ok:
	case c.phase == phaseRawSocket:
		c.Commit(x, appendRaw(buf, rawMessage, b))
	case c.text:
		c.Commit(x, appendData(buf, opText, b))
	default:
		c.Commit(x, appendData(buf, opBinary, b))
	}
}

// Violate implements port.Handler; the engine closes the connection by itself.
func (e *echo) Violate(port.Executor, *codec.Violation) {}

// Shutdown implements port.Handler.
func (e *echo) Shutdown(x port.Executor) {
	e.c.Lock()
	defer e.c.Unlock()
	e.c.Finish(x, port.CloseGoingAway, "going down")
}

// Closed implements port.Handler; an echo leaves nothing behind.
func (e *echo) Closed(port.Executor) {}
