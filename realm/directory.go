package realm

import (
	"sync"

	"banyan/engine/port"
)

// The directory finds the sessions of the router: by id from anywhere, and by realm and loop from that loop. Whatever
// walks sessions does so loop by loop and in chunks.
type directory struct{ shards [16]shard }

type shard struct {
	mu       sync.Mutex
	sessions map[uint64]*session // guarded by mu; nil: the id is taken, its session is not joined yet
	most     int                 // guarded by mu: ids at one time since the map was made
	_        [40]byte
}

func (d *directory) shard(id uint64) *shard { return &d.shards[id%uint64(len(d.shards))] }

// find returns the session of that id, or nil. It may have left by the time its loop is reached. Any goroutine.
func (d *directory) find(id uint64) *session {
	sh := d.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.sessions[id]
}

// draw returns an id that no live session of the router has, and holds it until release (PROTOCOL 2).
func (d *directory) draw(x port.Executor, ids *idSource) uint64 {
	for {
		id := ids.session(x)
		x.Step("directory.lock")
		sh := d.shard(id)
		sh.mu.Lock()
		_, taken := sh.sessions[id]
		if !taken {
			if sh.sessions == nil {
				sh.sessions = make(map[uint64]*session)
			}
			sh.sessions[id] = nil
		}
		sh.mu.Unlock()
		if !taken {
			return id
		}
	}
}

// enter makes s known under its id, which was drawn before.
func (d *directory) enter(x port.Executor, s *session) {
	x.Step("directory.lock")
	sh := d.shard(s.id)
	sh.mu.Lock()
	sh.sessions[s.id] = s
	sh.mu.Unlock()
}

// release gives an id back.
func (d *directory) release(x port.Executor, id uint64) {
	x.Step("directory.lock")
	sh := d.shard(id)
	sh.mu.Lock()
	sh.most = max(sh.most, len(sh.sessions))
	delete(sh.sessions, id)
	if len(sh.sessions) == 0 && sh.most > idsKept {
		sh.sessions, sh.most = nil, 0
	}
	sh.mu.Unlock()
}

// A sessionList is the sessions of one realm on one loop, newest first. Owned by that loop.
type sessionList struct {
	head    *session
	cursors []*cursor
	_       [32]byte // the lists of neighbours share no cache line
}

// A cursor is a place in a list that walks it in chunks. It moves on when its session leaves.
type cursor struct{ next *session }

func (sl *sessionList) add(s *session) {
	s.next = sl.head
	if s.next != nil {
		s.next.prev = s
	}
	sl.head = s
}

func (sl *sessionList) remove(s *session) {
	for _, c := range sl.cursors {
		if c.next == s {
			c.next = s.next
		}
	}
	if s.prev != nil {
		s.prev.next = s.next
	} else {
		sl.head = s.next
	}
	if s.next != nil {
		s.next.prev = s.prev
	}
	s.prev, s.next = nil, nil
}

// begin returns a cursor at the first session. Sessions that join later are not visited.
func (sl *sessionList) begin() *cursor {
	c := &cursor{sl.head}
	sl.cursors = append(sl.cursors, c)
	return c
}

// end forgets c.
func (sl *sessionList) end(c *cursor) {
	for i, other := range sl.cursors {
		if other == c {
			sl.cursors = append(sl.cursors[:i], sl.cursors[i+1:]...)
			return
		}
	}
}
