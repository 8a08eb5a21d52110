package realm

import (
	"hash/maphash"
	"slices"
	"sync"

	"banyan/codec"
	"banyan/engine/port"
	"banyan/realm/auth"
)

// authIDs finds the sessions of a realm by authid. A realm has it once its AuthIDPolicy or a quota asks for it; local
// sessions are not in it. Any goroutine.
type authIDs struct {
	seed   maphash.Seed
	shards [16]authIDShard
}

type authIDShard struct {
	mu      sync.Mutex
	holders map[string][]*session // guarded by mu; session.holding is the index in the list
	_       [40]byte
}

func newAuthIDs() *authIDs { return &authIDs{seed: maphash.MakeSeed()} }

func (a *authIDs) shard(authid string) *authIDShard {
	return &a.shards[maphash.String(a.seed, authid)%uint64(len(a.shards))]
}

// Values of session.holding that are no index.
const (
	neverHeld  = -1 // the realm had no directory when it joined
	heldNoMore = -2 // it was replaced, or has left
)

// authIDRule says who may have the same authid.
type authIDRule struct {
	policy auth.AuthIDPolicy
	most   int // sessions of one authid; 0: no limit
}

func (set *settings) authIDRule() authIDRule {
	r := authIDRule{most: set.Quotas.SessionsPerAuthIDMax}
	if set.Auth != nil {
		r.policy = set.Auth.AuthIDPolicy()
	}
	return r
}

// needed reports whether sessions have to be found by authid.
func (r authIDRule) needed() bool { return r.policy != auth.AllowDuplicates || r.most > 0 }

var (
	refuseDuplicate = &refusal{
		codec.ErrNotAuthorized, "a session with this authid is there already, and this realm allows only one",
	}
	refusePerAuthID = &refusal{
		codec.ErrOptionNotAllowed, "there are as many sessions with this authid as the realm allows",
	}
)

// enter makes s the, or a, holder of its authid. It returns the older sessions that have to go, or why s may not
// join. Nobody can come in between: of two that join at the same moment one is the older.
func (a *authIDs) enter(x port.Executor, s *session, rule authIDRule) (replaced []*session, why *refusal) {
	x.Step("authids.lock")
	authid := s.identity.AuthID
	sh := a.shard(authid)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	held := sh.holders[authid]
	switch {
	case len(held) == 0:
	case rule.policy == auth.RefuseDuplicates:
		return nil, refuseDuplicate
	case rule.policy == auth.ReplaceDuplicates:
		replaced, held = held, nil
		for _, old := range replaced {
			old.holding = heldNoMore
		}
	case rule.most > 0 && len(held) >= rule.most:
		return nil, refusePerAuthID
	}
	sh.put(s, held)
	return replaced, nil
}

// adopt makes a session that joined before the realm had a directory a holder of its authid. Nobody has to go for it.
func (a *authIDs) adopt(x port.Executor, s *session) {
	x.Step("authids.lock")
	sh := a.shard(s.identity.AuthID)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if s.holding == neverHeld {
		sh.put(s, sh.holders[s.identity.AuthID])
	}
}

// put adds s to the holders of its authid. mu is held.
func (sh *authIDShard) put(s *session, held []*session) {
	if sh.holders == nil {
		sh.holders = make(map[string][]*session)
	}
	s.holding = len(held)
	sh.holders[s.identity.AuthID] = append(held, s)
}

// leave takes s out, unless it was replaced or never in.
func (a *authIDs) leave(x port.Executor, s *session) {
	x.Step("authids.lock")
	authid := s.identity.AuthID
	sh := a.shard(authid)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if s.holding < 0 {
		return
	}
	held := sh.holders[authid]
	last := len(held) - 1
	held[s.holding] = held[last]
	held[s.holding].holding = s.holding
	held[last] = nil
	s.holding = heldNoMore
	if last == 0 {
		delete(sh.holders, authid)
		return
	}
	sh.holders[authid] = held[:last]
}

// A replacing ends sessions of one loop whose authid another session has taken. It waits for nothing.
type replacing struct{ sessions []*session }

// replace posts the ends of older sessions to their loops.
func (s *session) replace(x port.Executor, older []*session) {
	slices.SortStableFunc(older, func(a, b *session) int { return a.home - b.home })
	for len(older) > 0 {
		n := slices.IndexFunc(older, func(o *session) bool { return o.home != older[0].home })
		if n < 0 {
			n = len(older)
		}
		x.Post(older[0].home, s.id, &replacing{older[:n:n]})
		older = older[n:]
	}
}

// Run says goodbye to some of them.
func (j *replacing) Run(x port.Executor, budget int) (more bool) {
	for n := max(x.Grant(min(budget, listChunk)), 1); n > 0 && len(j.sessions) > 0; {
		old := j.sessions[0]
		j.sessions = j.sessions[1:]
		if old.left {
			n--
			continue
		}
		old.realm.router.perLoop[x.Loop()].counters.replaced.Add(1)
		n -= old.handler.goodbye(x, codec.CloseKilled, "another session has joined with the same authid",
			port.CloseNormal)
	}
	return len(j.sessions) > 0
}
