package disk

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"banyan/realm/history"
)

// TestLargeEvents: PUB-53. The bounds of a log hold for events of a megabyte too, each by itself: the oldest go, what
// stays is whole, after a restart as well, and a query says that some have gone.
func TestLargeEvents(t *testing.T) {
	const large = 1 << 20
	payload := func(i uint64) string {
		return fmt.Sprintf("%d ", i) + strings.Repeat(string(rune('a'+i)), large)
	}
	size := int64(history.RecordRoom(event(1, payload(1)))) + history.RecordOverhead
	trimmed := func(s history.Stats) int64 { return s.Trimmed }
	for _, c := range []struct {
		name   string
		bounds history.Bounds
		want   []uint64
		count  func(history.Stats) int64
	}{
		{"count", history.Bounds{Events: 2}, []uint64{5, 6}, trimmed},
		{"bytes", history.Bounds{Bytes: 3 * size}, []uint64{4, 5, 6}, trimmed},
		{"age", history.Bounds{Age: 3}, []uint64{4, 5, 6}, func(s history.Stats) int64 { return s.Expired }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := openTest(t, Config{Path: t.TempDir() + "/history.db"})
			for range 2 {
				l := openLog(t, s, topicKey, c.bounds)
				for i := range uint64(6) {
					if err := s.Append(event(i+1, payload(i+1)), []history.Log{l}, nil); err != nil {
						t.Fatal(err)
					}
					flush(t, s)
				}
				s.Expire(time.Unix(0, 6))
				flush(t, s)
				check := func() {
					t.Helper()
					var ids []uint64
					for _, e := range query(t, s, l, new(history.Query)) {
						ids = append(ids, e.Publication)
						if string(e.Payload.Args) != payload(e.Publication) {
							t.Errorf("the payload of %d is another one, of %d octets", e.Publication,
								len(e.Payload.Args))
						}
					}
					if !slices.Equal(ids, c.want) {
						t.Errorf("events are %d, want %d", ids, c.want)
					}
					if span, err := s.Span(l); err != nil || !span.Trimmed {
						t.Errorf("%+v, %v", span, err)
					}
				}
				check()
				if n := c.count(s.Stats()); n != int64(6-len(c.want)) {
					t.Errorf("%d have gone: %+v", n, s.Stats())
				}
				closeStore(t, s)
				s = openTest(t, Config{Path: s.cfg.Path})
				l = openLog(t, s, topicKey, c.bounds)
				flush(t, s)
				check()
				if err := s.Purge(topicKey); err != nil {
					t.Fatal(err)
				}
				flush(t, s)
				closeStore(t, s)
				s = openTest(t, Config{Path: s.cfg.Path})
			}
		})
	}
	// One that alone exceeds the bytes is refused, at n and n + 1.
	s := openTest(t, Config{})
	for i, b := range []int64{size, size - 1} {
		l := openLog(t, s, history.Key{Realm: "realm1", URI: fmt.Sprint("bytes", i)}, history.Bounds{Bytes: b})
		if err := s.Append(event(1, payload(1)), []history.Log{l}, nil); (err == nil) != (i == 0) {
			t.Errorf("%d bytes: %v", b, err)
		}
	}
	if n := s.Stats().RefusedTooLarge; n != 1 {
		t.Errorf("%d were refused", n)
	}
}
