package realm

import (
	"testing"

	"banyan/codec"
)

// TestRetainedAreAsked: PUB-40. Retained events count as answers to the SUBSCRIBE; live ones do not.
func TestRetainedAreAsked(t *testing.T) {
	b := newBed(t, 1, Config{})
	p, s := b.join(0), b.join(0)
	p.retain(1, "t", "one")
	s.recall(1, "t", "exact")
	s.expect(codec.Event, nil, nil, values{"retained": true}, []any{"one"})
	p.retain(2, "t", "two")
	s.expect(codec.Event, nil, nil, values{}, []any{"two"})
	if s.Asked() != 1 || s.Runs() != 2 {
		t.Errorf("%d runs, of these %d asked for", s.Runs(), s.Asked())
	}
}
