package index

import (
	"bytes"
	"slices"
	"strings"
	"sync/atomic"

	"banyan/codec"
)

// A trie finds the patterns that match a URI (PROTOCOL 3.4). Writers hold the lock of the index around it; readers
// hold nothing.
//
// Each level of nodes is one component of the pattern. An empty component of a wildcard pattern is the star child. A
// prefix pattern is a prefix of bytes, not of components: it hangs at the node of its whole components, and what
// follows its last dot is its tail. The tails of one node are found by one probe per distinct length, so ten thousand
// siblings cost no more than one.
//
// A node is reached by one path only, so a match visits each node at most once, however the patterns are laid out.
type trie[V any] struct {
	root node[V]
}

type node[V any] struct {
	// Any goroutine may read.
	children table[node[V]]
	star     atomic.Pointer[node[V]]
	wildcard atomic.Pointer[V]
	tails    table[V]
	lengths  atomic.Pointer[[]int] // lengths of the tails, longest first; immutable after publish

	// Guarded by the lock of the writers.
	perLength map[int]int
}

// at returns the node of the whole components of pattern and the rest of it: the tail of a prefix, "" for a wildcard.
// Missing nodes are made when create is set, otherwise the node is nil.
func (t *trie[V]) at(pattern string, match codec.Match, create bool) (*node[V], string) {
	n, rest := &t.root, pattern
	for n != nil {
		component, after, more := strings.Cut(rest, ".")
		if match == codec.Prefix && !more {
			return n, rest
		}
		n = n.child(component, create)
		if !more {
			return n, ""
		}
		rest = after
	}
	return nil, ""
}

func (n *node[V]) child(component string, create bool) *node[V] {
	if component == "" {
		next := n.star.Load()
		if next == nil && create {
			next = new(node[V])
			n.star.Store(next)
		}
		return next
	}
	hash := hashString(component)
	if e := n.children.entry(hash, component); e != nil {
		if next := e.value.Load(); next != nil {
			return next
		}
	}
	if !create {
		return nil
	}
	next := new(node[V])
	n.children.put(hash, component, next)
	return next
}

// find returns the value of exactly this pattern, or nil. Any goroutine.
func (t *trie[V]) find(pattern []byte, match codec.Match) *V {
	n, rest := &t.root, pattern
	for n != nil {
		component, after, more := bytes.Cut(rest, dot)
		if match == codec.Prefix && !more {
			return n.tails.get(hashBytes(rest), rest)
		}
		if len(component) == 0 {
			n = n.star.Load()
		} else {
			n = n.children.get(hashBytes(component), component)
		}
		if !more && n != nil {
			return n.wildcard.Load()
		}
		rest = after
	}
	return nil
}

var dot = []byte{'.'}

// put adds a pattern, or replaces its value. Writers only.
func (t *trie[V]) put(pattern string, match codec.Match, value *V) {
	n, tail := t.at(pattern, match, true)
	if match == codec.Wildcard {
		n.wildcard.Store(value)
		return
	}
	before := n.tails.live
	n.tails.put(hashString(tail), tail, value)
	if n.tails.live > before {
		n.count(len(tail), 1)
	}
}

// remove forgets a pattern and the nodes that only it needed. Writers only.
func (t *trie[V]) remove(pattern string, match codec.Match) {
	t.root.prune(pattern, match)
}

// prune removes the pattern below n and reports whether n is empty now.
func (n *node[V]) prune(rest string, match codec.Match) bool {
	component, after, more := strings.Cut(rest, ".")
	if match == codec.Prefix && !more {
		before := n.tails.live
		n.tails.remove(hashString(rest), rest)
		if n.tails.live < before {
			n.count(len(rest), -1)
		}
		return n.empty()
	}
	next := n.child(component, false)
	if next == nil {
		return false
	}
	gone := false
	if more {
		gone = next.prune(after, match)
	} else {
		next.wildcard.Store(nil)
		gone = next.empty()
	}
	if gone {
		if component == "" {
			n.star.Store(nil)
		} else {
			n.children.remove(hashString(component), component)
		}
	}
	return n.empty()
}

func (n *node[V]) empty() bool {
	return n.children.live == 0 && n.tails.live == 0 && n.star.Load() == nil && n.wildcard.Load() == nil
}

// count notes one tail of that length more or less, and publishes the list of lengths when it changed.
func (n *node[V]) count(length, delta int) {
	if n.perLength == nil {
		n.perLength = make(map[int]int)
	}
	was := n.perLength[length]
	if n.perLength[length] += delta; n.perLength[length] == 0 {
		delete(n.perLength, length)
	} else if was > 0 {
		return
	}
	// A copy in order, not a new order: a thousand lengths would take 0.1 ms to sort, for each pattern.
	var lengths []int
	if old := n.lengths.Load(); old != nil {
		lengths = slices.Clone(*old)
	}
	i, _ := slices.BinarySearchFunc(lengths, length, func(a, b int) int { return b - a })
	if delta > 0 {
		lengths = slices.Insert(lengths, i, length)
	} else {
		lengths = slices.Delete(lengths, i, i+1)
	}
	n.lengths.Store(&lengths)
}

// A branch is a star child that a match has yet to try, and what of the URI is left for it. done: nothing is left.
type branch[V any] struct {
	n    *node[V]
	rest []byte
	done bool
}

// A walk is a search for the patterns that match one URI. It can be interrupted and continued: the number of nodes it
// visits can grow as two to the power of the components of the URI. Owned by the caller.
type walk[V any] struct {
	branch[V]             // the node to visit next; n is nil when the present path has ended
	stack     []branch[V] // star children to try later, at most one per level
}

// run goes on for up to steps nodes and tails and calls yield for every pattern that matches, in the order of 3.4
// among wildcards (literal before star, with backing out of dead ends), until yield returns false. Prefix patterns
// come on the way, shorter ones not necessarily first. It returns how many steps are left, which are less than none
// after a node with many tails, and reports whether the walk has ended; if not, run continues it.
func (w *walk[V]) run(steps int, yield func(v *V, match codec.Match) bool) (left int, ended bool) {
	// One star per level is pending at most. Deeper patterns than this grow the stack on the heap.
	var room [24]branch[V]
	stack := append(room[:0], w.stack...)
	n, rest, done := w.n, w.rest, w.done
	for {
		if n == nil {
			last := len(stack) - 1
			if last < 0 {
				return steps, true
			}
			n, rest, done = stack[last].n, stack[last].rest, stack[last].done
			stack = stack[:last]
		}
		if steps <= 0 {
			w.branch = branch[V]{n, rest, done}
			w.stack = append(w.stack[:0], stack...)
			return steps, false
		}
		steps--
		if done {
			v := n.wildcard.Load()
			n = nil
			if v != nil && !yield(v, codec.Wildcard) {
				return steps, true
			}
			continue
		}
		component, after, more := bytes.Cut(rest, dot)
		probes, goOn := n.eachTail(component, yield)
		if steps -= probes; !goOn {
			return steps, true
		}
		if star := n.star.Load(); star != nil {
			stack = append(stack, branch[V]{n: star, rest: after, done: !more})
		}
		n, rest, done = n.children.get(hashBytes(component), component), after, !more
	}
}

// eachTail yields the prefix patterns at n whose tail begins component. A tail holds no dot, so the rest of the URI
// does not matter. It returns how many tails it looked for, and whether yield wants more.
func (n *node[V]) eachTail(component []byte, yield func(v *V, match codec.Match) bool) (probes int, goOn bool) {
	lengths := n.lengths.Load()
	if lengths == nil {
		return 0, true
	}
	for _, length := range *lengths {
		if length > len(component) {
			continue
		}
		probes++
		tail := component[:length]
		if v := n.tails.get(hashBytes(tail), tail); v != nil && !yield(v, codec.Prefix) {
			return probes, false
		}
	}
	return probes, true
}

// longest returns the value of the longest prefix pattern that matches uri, or nil, and how many nodes and tails it
// looked at: at most two for each octet of uri. Any goroutine.
func (t *trie[V]) longest(uri []byte) (best *V, visits int) {
	n, rest := &t.root, uri
	for n != nil {
		component, after, more := bytes.Cut(rest, dot)
		probes, _ := n.eachTail(component, func(v *V, _ codec.Match) bool {
			best = v // the longest of this node, and longer than any of the nodes above
			return false
		})
		visits += 1 + probes
		if !more {
			return best, visits
		}
		n, rest = n.children.get(hashBytes(component), component), after
	}
	return best, visits
}
