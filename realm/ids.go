package realm

import (
	"sync/atomic"

	"banyan/codec"
	"banyan/engine/port"
)

// An idSource draws every id that the router gives out, each kind in one place, so that ids can carry a node's part
// later (PROTOCOL 2).
type idSource struct {
	subscriptions atomic.Uint64
	registrations atomic.Uint64
}

// subscription draws the id of a subscription. Small numbers are short on the wire. Any goroutine.
func (i *idSource) subscription() uint64 { return i.subscriptions.Add(1) }

// registration draws the id of a registration. Any goroutine.
func (i *idSource) registration() uint64 { return i.registrations.Add(1) }

// publication draws the id of a publication: random, global scope.
func (i *idSource) publication(x port.Executor) uint64 { return codec.ID(x.Rand()) }

// session draws a candidate for the id of a session: random, global scope. The directory sees that it is unique.
func (i *idSource) session(x port.Executor) uint64 { return codec.ID(x.Rand()) }
