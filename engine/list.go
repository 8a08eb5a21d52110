//go:build linux

package engine

// A list is worked off from the front while things are added at the end. It keeps its memory. Owned by loop.
type list[T any] struct {
	items []T
	at    int // items before at are done
}

func (l *list[T]) add(item T) { l.items = append(l.items, item) }

func (l *list[T]) empty() bool { return l.at == len(l.items) }

// next takes the first item.
func (l *list[T]) next() (item T, ok bool) {
	if l.empty() {
		return item, false
	}
	var none T
	item, l.items[l.at] = l.items[l.at], none
	l.at++
	switch {
	case l.at == len(l.items):
		l.items, l.at = l.items[:0], 0
	case l.at >= 1024 && 2*l.at >= len(l.items):
		n := copy(l.items, l.items[l.at:])
		clear(l.items[n:])
		l.items, l.at = l.items[:n], 0
	}
	return item, true
}
