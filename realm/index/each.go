package index

// Shards is how many parts EachExact goes through.
const Shards = indexShards

// EachExact calls f with every record of an exact URI in one of the Shards, under its mutex: whoever makes or removes
// records there waits, 0.1 ms for each 10 000. Any goroutine.
func (ix *Index[V]) EachExact(shard int, f func(v *V)) {
	s := &ix.exact[shard]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.table.each(f)
}

// each calls f with every value. The lock of the writers is held.
func (t *table[V]) each(f func(v *V)) {
	l := t.level.Load()
	if l == nil {
		return
	}
	if l.parts != nil {
		for i := range l.parts {
			l.parts[i].each(f)
		}
		return
	}
	l.each(func(e *entry[V]) { f(e.value.Load()) })
}
