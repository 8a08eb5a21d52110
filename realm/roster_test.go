package realm

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"banyan/codec"
	"banyan/engine/port"
)

// A testEntry has left when its flag says so.
type testEntry struct {
	n    int
	gone *bool
}

func (e testEntry) left() bool { return *e.gone }

// TestRoster: the entries that have not left are there in their order; of the others an eighth at most; and what
// somebody has read does not change.
func TestRoster(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		var r roster[testEntry]
		var model []testEntry
		var read, copied [][]testEntry
		copies := 0
		for n := range 300 {
			if len(model) == 0 || rnd.IntN(5) < 3 {
				e := testEntry{n, new(bool)}
				r.add(e)
				model = append(model, e)
			} else {
				i := rnd.IntN(len(model))
				*model[i].gone = true
				before := r.all()
				switch squeezed := r.remove(); {
				case squeezed == nil:
				case !slices.Equal(squeezed, before):
					t.Fatalf("seed %d, step %d: the list before is not told", seed, n)
				default:
					copies++
				}
				model = slices.Delete(model, i, i+1)
			}
			all := r.all()
			present := slices.DeleteFunc(slices.Clone(all), testEntry.left)
			if !slices.Equal(present, model) || r.size() != len(model) {
				t.Fatalf("seed %d, step %d: %d entries of %d, size %d", seed, n, len(present), len(model), r.size())
			}
			if absent := len(all) - len(model); absent > 0 && absent<<rosterShift >= len(all) {
				t.Fatalf("seed %d, step %d: %d of %d have left", seed, n, absent, len(all))
			}
			read, copied = append(read, all), append(copied, slices.Clone(all))
		}
		for i := range read {
			if !slices.Equal(read[i], copied[i]) {
				t.Fatalf("seed %d: what was read after step %d has changed", seed, i)
			}
		}
	}
}

// TestRosterCosts: one that comes and goes beside many is copied about once in so many as are an eighth of them.
func TestRosterCosts(t *testing.T) {
	const many, rounds = 4096, 4096
	var r roster[testEntry]
	for n := range many {
		r.add(testEntry{n, new(bool)})
	}
	before := &r.all()[0]
	copies := 0
	for n := range rounds {
		e := testEntry{n, new(bool)}
		r.add(e)
		*e.gone = true
		r.remove()
		if now := &r.all()[0]; now != before {
			before = now
			copies++
		}
	}
	if most := rounds / (many >> rosterShift) * 2; copies > most {
		t.Errorf("%d copies, at most %d are wanted", copies, most)
	}
}

// TestRosterRead: readers look at a list while others come and go.
func TestRosterRead(t *testing.T) {
	b := newBed(t, 1, Config{})
	x := port.Executor(b.Loops[0])
	reg := new(registration)
	var mu sync.Mutex
	var done sync.WaitGroup
	stay := &callee{reg: reg}
	reg.callees.add(stay)
	for range 2 {
		done.Go(func() {
			for range 2000 {
				c := &callee{reg: reg}
				mu.Lock()
				reg.callees.add(c)
				mu.Unlock()
				mu.Lock()
				left := reg.drop(c)
				mu.Unlock()
				if left < 1 {
					t.Error("nobody is there")
				}
			}
		})
	}
	for range 2000 {
		callees := reg.callees.all()
		if !slices.Contains(callees, stay) {
			t.Fatal("one that stays is missing")
		}
		reg.first(x, callees)
	}
	done.Wait()
	if n := reg.callees.size(); n != 1 {
		t.Errorf("%d are left", n)
	}
}

// TestLeftCallees: who has left a registration is chosen by no policy, though the list may still have it.
func TestLeftCallees(t *testing.T) {
	b := newBed(t, 1, Config{})
	x := port.Executor(b.Loops[0])
	callees := make([]*callee, 20)
	for i := range callees {
		callees[i] = &callee{session: &session{id: uint64(i)}, nkey: uint64(i)}
		callees[i].open.Store(7)
	}
	callees[4].open.Store(0)
	callees[4].out.Store(true)
	callees[9].open.Store(6)
	if got := leastBusy(callees, 0); got != 9 {
		t.Errorf("least busy: %d", got)
	}
	drawn := 0
	for range 2000 {
		if randomCallee(x, callees) == 4 {
			drawn++
		}
	}
	if drawn > 10 { // 1 of 20 would be 100; four times in a row is 1 of 160 000
		t.Errorf("drawn %d times", drawn)
	}
	r := &rerouting{reg: new(registration), tried: []*session{callees[0].session}}
	if got := r.leastBusy(callees, 1); got != 9 {
		t.Errorf("least busy of those not tried: %d", got)
	}
	for range 500 {
		if r.random(x, callees) == 4 {
			t.Fatal("drawn again")
		}
	}
}

// TestRosterShards: of twenty nodes those that own a key give up one after the other, and each time the next one gets
// it, of publications and of calls: nothing that has left owns anything, though the list may still have it.
func TestRosterShards(t *testing.T) {
	b := shardedBed(t, 2)
	caller := b.join(0)
	var nkeys []string
	nodes := map[string]*peer{}
	subs, regs := map[string]int64{}, map[string]int64{}
	for i := range 20 {
		nkey := fmt.Sprint("n", i)
		p := b.join(i % 2)
		subs[nkey] = p.subscribeAs(1, "t", nkey)
		p.say(codec.Register, 2, values{"invoke": "roundrobin", "nkey": nkey}, "p")
		regs[nkey] = p.expect(codec.Registered, 2, nil)[2].(int64)
		nkeys, nodes[nkey] = append(nkeys, nkey), p
	}
	for round, nkey := range heaviest("key", nkeys) {
		p := nodes[nkey]
		caller.say(codec.Publish, 1, values{"rkey": "key"}, "t")
		p.expect(codec.Event, subs[nkey], nil, values{})
		caller.say(codec.Call, 2+round, values{"rkey": "key", "runmode": "partition"}, "p")
		id := p.expect(codec.Invocation, nil, nil, values{})[1]
		p.say(codec.Yield, id, values{})
		caller.expect(codec.Result, 2+round, values{})
		for _, other := range nodes {
			other.silent()
		}
		p.say(codec.Unsubscribe, 3, subs[nkey])
		p.expect(codec.Unsubscribed, 3)
		p.say(codec.Unregister, 4, regs[nkey])
		p.expect(codec.Unregistered, 4)
		caller.say(codec.Call, 100+round, values{}, "wamp.registration.count_callees", []any{regs[nkey]})
		caller.say(codec.Call, 200+round, values{}, "wamp.registration.list_callees", []any{regs[nkey]})
		if left := int64(19 - round); left > 0 {
			caller.expect(codec.Result, 100+round, values{}, []any{left})
			ids := caller.expect(codec.Result, 200+round, values{}, nil)[3].([]any)[0].([]any)
			if len(ids) != int(left) {
				t.Errorf("%d are listed, %d are left", len(ids), left)
			}
		} else {
			caller.refused(codec.Call, 100+round, codec.ErrNoSuchRegistration)
			caller.refused(codec.Call, 200+round, codec.ErrNoSuchRegistration)
		}
	}
}

// TestShardWork: choosing an owner among many counts as work of the turn, of subscribers and of callees.
func TestShardWork(t *testing.T) {
	b := shardedBed(t, 1)
	p := b.join(0)
	p.subscribeAs(1, "t", "n1")
	p.say(codec.Register, 2, values{"invoke": "roundrobin", "nkey": "n1"}, "p")
	p.expect(codec.Registered, 2, nil)
	q := b.join(0)
	work := func() int {
		before := b.Loops[0].Worked()
		q.say(codec.Publish, 1, values{"rkey": "key"}, "t")
		p.expect(codec.Event, nil, nil, values{})
		return b.Loops[0].Worked() - before
	}
	called := func(request int) int {
		before := b.Loops[0].Worked()
		q.say(codec.Call, request, values{"rkey": "key", "runmode": "partition"}, "p")
		p.expect(codec.Invocation, nil, nil, values{})
		return b.Loops[0].Worked() - before
	}
	fewPlaces, fewCallees := work(), called(1)
	rm := b.router.named["realm1"]
	set := rm.topics.Find([]byte("t"), codec.Exact).shards.Load()
	reg := rm.procedures.Find([]byte("p"), codec.Exact)
	place, c := set.places.all()[0], reg.callees.all()[0]
	const more = 1024
	for range more {
		set.places.add(place)
		reg.callees.add(c)
	}
	if got, want := work()-fewPlaces, more>>shardShift; got != want {
		t.Errorf("%d subscribers: %d units of work, want %d", more, got, want)
	}
	if got, want := called(2)-fewCallees, more>>heirShift; got != want {
		t.Errorf("%d callees: %d units of work, want %d", more, got, want)
	}
}

// TestRosterLatest: of several sessions with one nkey the one that subscribed last owns its keys; when it gives up,
// the one before it does.
func TestRosterLatest(t *testing.T) {
	b := shardedBed(t, 2)
	publisher := b.join(0)
	var same []*peer
	var subs []int64
	for i := range 3 {
		p := b.join(i % 2)
		same, subs = append(same, p), append(subs, p.subscribeAs(1, "t", "n1"))
	}
	for i := len(same) - 1; i >= 0; i-- {
		publisher.say(codec.Publish, 1, values{"rkey": "key"}, "t")
		same[i].expect(codec.Event, subs[i], nil, values{})
		for _, other := range same {
			other.silent()
		}
		same[i].say(codec.Unsubscribe, 2, subs[i])
		same[i].expect(codec.Unsubscribed, 2)
	}
}

// TestRosterFull: who has left makes room for another callee at once, though the list may still have it.
func TestRosterFull(t *testing.T) {
	const most = 20
	b := newBed(t, 1, Config{CalleesMax: most})
	var callees []*peer
	for range most + 1 {
		callees = append(callees, b.join(0))
	}
	last := callees[most]
	for _, p := range callees[:most] {
		p.register(1, "p", "roundrobin")
	}
	for i, p := range callees[:3] {
		last.say(codec.Register, 10+3*i, values{"invoke": "roundrobin"}, "p")
		last.refused(codec.Register, 10+3*i, codec.ErrOptionNotAllowed)
		p.HangUp()
		b.Settle()
		id := last.register(11+3*i, "p", "roundrobin")
		callees[i] = b.join(0)
		callees[i].say(codec.Register, 1, values{"invoke": "roundrobin"}, "p")
		callees[i].refused(codec.Register, 1, codec.ErrOptionNotAllowed)
		last.say(codec.Unregister, 12+3*i, id)
		last.expect(codec.Unregistered, 12+3*i)
		callees[i].register(2, "p", "roundrobin")
	}
}
