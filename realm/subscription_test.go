package realm

import (
	"math/rand/v2"
	"testing"

	"banyan/codec"
)

// TestMemberListModel joins, leaves and walks at random beside a slow twin that remembers, for every walk, who was
// there when it began.
func TestMemberListModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	var list memberList
	present := map[*session]*member{}
	var order []*session // of present, for drawing
	type twin struct {
		w    *walk
		owed map[*session]bool // not yet reached, still there
	}
	var walks []*twin
	for step := range 100_000 {
		switch rng.IntN(10) {
		case 0, 1, 2:
			s := new(session)
			m := &member{session: s}
			list.add(m)
			present[s] = m
			order = append(order, s)
		case 3, 4, 5:
			if len(order) == 0 {
				continue
			}
			i := rng.IntN(len(order))
			s := order[i]
			order[i] = order[len(order)-1]
			order = order[:len(order)-1]
			if got := list.remove(present[s]); got != len(order) {
				t.Fatalf("step %d: %d members left, want %d", step, got, len(order))
			}
			delete(present, s)
			for _, tw := range walks {
				delete(tw.owed, s)
			}
		case 6:
			if len(walks) < 4 && len(order) > 0 {
				tw := &twin{w: new(walk), owed: map[*session]bool{}}
				list.begin(tw.w)
				for s := range present {
					tw.owed[s] = true
				}
				walks = append(walks, tw)
			}
		default:
			if len(walks) == 0 {
				continue
			}
			i := rng.IntN(len(walks))
			tw := walks[i]
			for range rng.IntN(20) {
				if tw.w.next >= tw.w.end {
					break
				}
				s := list.seats[tw.w.next].session
				tw.w.next++
				if s == nil {
					continue
				}
				if !tw.owed[s] {
					t.Fatalf("step %d: a walk reached a session twice, or one that joined later", step)
				}
				delete(tw.owed, s)
			}
			if tw.w.next >= tw.w.end {
				if len(tw.owed) > 0 {
					t.Fatalf("step %d: a walk missed %d sessions", step, len(tw.owed))
				}
				list.finish(tw.w)
				walks = append(walks[:i], walks[i+1:]...)
			}
		}
		if list.empty*2 > len(list.seats)+64 {
			t.Fatalf("step %d: %d of %d seats are empty", step, list.empty, len(list.seats))
		}
	}
}

// TestR3 forces the schedule of race R3 on the record itself: one loop is about to join the record it found while
// another drops its last member.
func TestR3(t *testing.T) {
	sub := newSubscription(1, "a.b", codec.Exact, 0, 2) // count 1
	if sub.leaveUnlessLast() {
		t.Fatal("the last member left without the mutex")
	}
	sub.count.Add(-1) // under the mutex, with the removal from the index
	if sub.enter() {
		t.Fatal("zero is not final: a session joined a record that nobody finds")
	}
	sub = newSubscription(2, "a.b", codec.Exact, 0, 2)
	if !sub.enter() || !sub.leaveUnlessLast() || sub.leaveUnlessLast() {
		t.Fatal("entering and leaving beside another member must not need the mutex")
	}
}

// TestMemberListSqueezes: seats that members have left during a walk go when they are the majority, and more than 32.
func TestMemberListSqueezes(t *testing.T) {
	for seats, most := range map[int]int{40: 32, 66: 33, 100: 50} {
		var list memberList
		var members []*member
		for range seats {
			m := &member{session: new(session)}
			list.add(m)
			members = append(members, m)
		}
		var w walk
		list.begin(&w)
		for i := range most {
			list.remove(members[i])
		}
		if len(list.seats) != seats {
			t.Errorf("%d seats of %d after %d have left", len(list.seats), seats, most)
		}
		list.remove(members[most])
		if len(list.seats) != seats-most-1 || list.empty != 0 || w.end != len(list.seats) {
			t.Errorf("%d seats of %d after %d have left, %d empty, the walk ends at %d", len(list.seats), seats,
				most+1, list.empty, w.end)
		}
	}
}

// TestMemberListShrinks: a list that was large gives memory back when less than a quarter of it is in use, and not
// before.
func TestMemberListShrinks(t *testing.T) {
	var list memberList
	var members []*member
	for range 1000 {
		m := &member{session: new(session)}
		list.add(m)
		members = append(members, m)
	}
	for left := len(members) - 1; left >= 0; left-- {
		before := cap(list.seats)
		list.remove(members[left])
		shrinks := before > 64 && left*4 < before
		if now := cap(list.seats); (now < before) != shrinks || now < left {
			t.Errorf("room for %d with %d members, and %d before", now, left, before)
		}
	}
	if n := cap(list.seats); n > 64 {
		t.Errorf("an empty list has room for %d", n)
	}
}
