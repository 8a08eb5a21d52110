package realm

import (
	"slices"

	"banyan/codec"
	"banyan/engine/port"
)

// A metaList collects the ids that a meta procedure answers with: each loop its own, chunk by chunk, and the pool
// joins and encodes them if they are many. A million sessions are 8 MiB of ids and 9 MiB of answer, so what all lists
// of the router hold together is bounded: a list that finds no room is dropped, and its call is answered with
// unavailable.
type metaList struct {
	call  *metaCall
	parts []metaPart // by loop
}

// A metaPart is what one loop has collected. Owned by that loop until the walk is over, then by the caller's.
type metaPart struct {
	ids  []uint64
	full bool // the router had no room for more
	_    [32]byte
}

func (m *metaCall) newList(x port.Executor) *metaList {
	return &metaList{call: m, parts: make([]metaPart, x.Loops())}
}

// add puts an id in. Any loop.
func (ml *metaList) add(x port.Executor, id uint64) {
	p := &ml.parts[x.Loop()]
	if p.full {
		return
	}
	if len(p.ids) == cap(p.ids) {
		r := ml.call.session.realm.router
		more := max(len(p.ids), metaAtOnce)
		if r.listed.Add(int64(more)) > r.bounds.listedIDs {
			r.listed.Add(-int64(more + cap(p.ids)))
			p.ids, p.full = nil, true
			return
		}
		p.ids = append(make([]uint64, 0, cap(p.ids)+more), p.ids...)
	}
	p.ids = append(p.ids, id)
}

// len is how many ids there are. The walk is over.
func (ml *metaList) len() (n int) {
	for i := range ml.parts {
		n += len(ml.parts[i].ids)
	}
	return n
}

// release gives back the room for the ids.
func (ml *metaList) release() {
	for i := range ml.parts {
		ml.call.session.realm.router.listed.Add(-int64(cap(ml.parts[i].ids)))
		ml.parts[i].ids = nil
	}
}

// answer answers with one list of the ids, in no order. The caller's loop.
func (ml *metaList) answer(x port.Executor, l *perLoop) {
	m := ml.call
	if slices.ContainsFunc(ml.parts, func(p metaPart) bool { return p.full }) {
		ml.release()
		m.fail(x, l, refuseBusy)
		return
	}
	var b []byte
	err := errNoForm
	encode := func() {
		ids := make([]uint64, 0, ml.len())
		for i := range ml.parts {
			ids = append(ids, ml.parts[i].ids...)
		}
		b, err = codec.AppendValue(nil, m.session.serializer, []any{ids})
	}
	if ml.len() <= metaAtOnce {
		encode()
		ml.release()
		m.finish(x, l, b, err)
		return
	}
	m.wait(x).pool(x, encode, func(x port.Executor) {
		ml.release()
		m.finish(x, m.session.realm.router.perLoop[x.Loop()], b, err)
	})
}
