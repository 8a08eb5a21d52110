package realm

import "testing"

// TestDirectoryGivesMemoryBack: a burst of sessions leaves no large map behind, and a map that is small stays.
func TestDirectoryGivesMemoryBack(t *testing.T) {
	b := newBed(t, 1, Config{})
	d := &b.router.directory
	sh := d.shard(0)
	x := quietLoop{}
	id := func(n int) uint64 { return uint64(n * len(d.shards)) } // all in one shard
	burst := func(n int) {
		if sh.sessions == nil { // as draw does
			sh.sessions = make(map[uint64]*session)
		}
		for i := range n {
			d.enter(x, &session{id: id(i)})
		}
		for i := range n {
			d.release(x, id(i))
		}
	}
	for _, test := range []struct {
		sessions int
		kept     bool
	}{{1, true}, {idsKept, true}, {idsKept + 1, false}, {1, true}} { // the last: of a new map
		burst(test.sessions)
		if kept := sh.sessions != nil; kept != test.kept {
			t.Errorf("after %d sessions: kept %v", test.sessions, kept)
		}
	}
}
