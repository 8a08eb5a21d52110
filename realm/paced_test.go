package realm

import (
	"strings"
	"testing"

	"banyan/realm/history"
)

// TestHistoryWarned: events that find no room in a history are counted one by one, and the log tells once a second.
func TestHistoryWarned(t *testing.T) {
	b := newBed(t, 1, Config{Realms: []RealmConfig{kept("realm1", history.Bounds{})}})
	warned := b.warned()
	p := b.join(0)
	p.publish(1, "com.h", "one")
	b.BytesMax = b.Charged()
	long := strings.Repeat("x", historyStep)
	for i, lines := range []int{1, 0, 0, 1} {
		if i == 3 {
			b.Advance(warnEvery)
		}
		p.publish(2, "com.h", long)
		if got := warned(); len(got) != lines {
			t.Errorf("event %d: %q", i, got)
		}
	}
	if n := b.router.Stats().HistoryRefused; n != 4 {
		t.Errorf("%d are counted", n)
	}
}
