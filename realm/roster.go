package realm

import "sync/atomic"

// A roster is a list that changes under a mutex of its owner, and that others read without it. It keeps the order in
// which its entries came. Adding one copies nothing most of the time, and one that leaves is only marked: the list is
// copied without such entries when they are an eighth of it. So a change costs the same however many entries there
// are.
type roster[T rosterEntry] struct {
	list   atomic.Pointer[[]T] // each list is immutable; a later one may have the same memory and be longer
	absent int                 // guarded by the owner's mutex: entries of the list that have left
}

// A rosterEntry knows whether it has left: then readers pass it by. It never comes back.
type rosterEntry interface{ left() bool }

// rosterShift says how many absent entries make a roster copy its list: 1 of 2^rosterShift.
const rosterShift = 3

// all returns the list, with some entries that have left. Any goroutine; nobody may change it.
func (r *roster[T]) all() []T {
	if p := r.list.Load(); p != nil {
		return *p
	}
	return nil
}

// size is how many entries have not left. The owner's mutex is held.
func (r *roster[T]) size() int { return len(r.all()) - r.absent }

// add puts e at the end. The owner's mutex is held.
func (r *roster[T]) add(e T) {
	// Readers of a shorter list with the same memory never look behind its end.
	list := append(r.all(), e)
	r.list.Store(&list)
}

// remove takes note that an entry has been marked as left. It returns the list as it was if it has become another
// one, else nil. The owner's mutex is held.
func (r *roster[T]) remove() (squeezed []T) {
	r.absent++
	old := r.all()
	if r.absent<<rosterShift < len(old) {
		return nil
	}
	present := make([]T, 0, r.size()+r.size()>>rosterShift+1)
	for _, e := range old {
		if !e.left() {
			present = append(present, e)
		}
	}
	r.absent = 0
	r.list.Store(&present)
	return old
}
