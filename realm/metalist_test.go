package realm

import (
	"slices"
	"testing"

	"banyan/codec"
)

// listed has p call a meta procedure that answers with a list of ids, and returns them sorted, or nil if there is
// another answer.
func (p *peer) listed(request int, procedure string, args ...any) (ids []int64) {
	p.bed.t.Helper()
	p.say(codec.Call, request, values{}, procedure, args)
	m := p.hear()
	if m[0] != int64(codec.Result) {
		return nil
	}
	for _, id := range m[3].([]any)[0].([]any) {
		ids = append(ids, id.(int64))
	}
	slices.Sort(ids)
	return ids
}

// TestMETA02Long: a list of more ids than a loop encodes has all of them once, in every serializer, copied into the
// queue or linked (META-02, META-27); a client that cannot take it is told so, and META-01 counts without a list.
func TestMETA02Long(t *testing.T) {
	b := newBed(t, 2, Config{})
	var want []int64
	first := b.join(0)
	want = append(want, int64(first.id))
	sub := first.subscribe(1, "t")
	for i := range 2 * metaAtOnce {
		p := b.join(i % 2)
		p.subscribe(1, "t")
		want = append(want, int64(p.id))
	}
	slices.Sort(want)
	request := 1
	for _, large := range []int{1 << 20, 1 << 10} {
		b.router.bounds.largeBytes = large
		for name, s := range every {
			p := b.joinAs(1, s, 1<<20)
			for range 2 {
				request++
				all := append(slices.Clone(want), int64(p.id))
				slices.Sort(all)
				if got := p.listed(request, "wamp.session.list"); !slices.Equal(got, all) {
					t.Errorf("%s: %d sessions are listed, want %d", name, len(got), len(all))
				}
				request++
				if got := p.listed(request, "wamp.subscription.list_subscribers", sub); !slices.Equal(got, want) {
					t.Errorf("%s: %d subscribers are listed, want %d", name, len(got), len(want))
				}
			}
			if linked := len(p.Pieces) > 0; linked != (large < 1<<20) {
				t.Errorf("%s: answers above %d octets: linked is %v", name, large, linked)
			}
			p.HangUp()
			b.Settle()
		}
		narrow := b.joinAs(0, codec.CBOR, 4<<10)
		narrow.say(codec.Call, 1, values{}, "wamp.session.list")
		narrow.refused(codec.Call, 1, codec.ErrPayloadSizeExceeded)
		narrow.say(codec.Call, 2, values{}, "wamp.session.count")
		narrow.expect(codec.Result, 2, values{}, []any{int64(len(want) + 1)})
		narrow.HangUp()
		b.Settle()
	}
	if n := b.router.listed.Load(); n != 0 {
		t.Errorf("%d ids still have room", n)
	}
}

// TestListedIDs: all lists together have so much room and no more; a list without room is refused and leaves none
// taken, so that the next finds it. Counting and killing go on.
func TestListedIDs(t *testing.T) {
	b := newBed(t, 2, Config{})
	p := b.join(0)
	for i := range 3 {
		b.join(i % 2)
	}
	// Two loops with sessions, each of which takes room for metaAtOnce at a time.
	for _, c := range []struct {
		room int64
		want int
	}{{2 * metaAtOnce, 4}, {2*metaAtOnce - 1, 0}, {0, 0}, {2 * metaAtOnce, 4}} {
		b.router.bounds.listedIDs = c.room
		p.say(codec.Call, 1, values{}, "wamp.session.list")
		if c.want == 0 {
			p.refused(codec.Call, 1, codec.ErrUnavailable)
		} else if m := p.expect(codec.Result, 1, values{}, nil); len(m[3].([]any)[0].([]any)) != c.want {
			t.Errorf("room %d: %v", c.room, m)
		}
		p.say(codec.Call, 2, values{}, "wamp.session.count")
		p.expect(codec.Result, 2, values{}, []any{int64(4)})
		if n := b.router.listed.Load(); n != 0 {
			t.Errorf("room %d: %d ids still have room", c.room, n)
		}
	}
}

// TestListGrows: a list takes room as it grows, and not more than twice what it needs.
func TestListGrows(t *testing.T) {
	b := newBed(t, 1, Config{})
	p := b.join(0)
	for range 3 * metaAtOnce {
		b.join(0)
	}
	b.router.bounds.listedIDs = 4 * metaAtOnce
	for i := range 2 {
		if got := len(p.listed(i+1, "wamp.session.list")); got != 3*metaAtOnce+1 {
			t.Errorf("%d sessions are listed", got)
		}
	}
	b.router.bounds.listedIDs--
	p.say(codec.Call, 5, values{}, "wamp.session.list")
	p.refused(codec.Call, 5, codec.ErrUnavailable)
	if n := b.router.listed.Load(); n != 0 {
		t.Errorf("%d ids still have room", n)
	}
}
