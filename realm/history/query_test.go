package history

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"
)

// TestQueryBytes: a page has so many octets of records, and not one more. PUB-52.
func TestQueryBytes(t *testing.T) {
	const length, perPage = 1 << 16, pageBytes >> 16
	payload := length - len(AppendRecord(nil, event(1, strings.Repeat("1", length/2)))) + length/2
	for _, more := range []int{0, 1} {
		m := NewMemory(0)
		l := openLog(t, m, topicKey, Bounds{})
		for id := range uint64(perPage + 1) {
			n := payload
			if id == perPage-1 {
				n += more
			}
			if err := m.Append(event(id+1, strings.Repeat("1", n)), []Log{l}, nil); err != nil {
				t.Fatal(err)
			}
		}
		if got, pages := ids(t, m, l, &Query{}); len(got) != perPage+1 || len(pages[0].Events) != perPage-more {
			t.Errorf("%d octets more: %d events, %d on the first page", more, len(got), len(pages[0].Events))
		}
	}
}

// A countedSource has so many records with the publications 1, 2 and so on.
type countedSource struct {
	records uint64
	rec     []byte
}

func (s *countedSource) Span(Log) (Span, error) { return Span{Next: s.records}, nil }

func (s *countedSource) Scan(_ Log, first, next uint64, reverse bool, visit func(seq uint64, rec []byte) bool) error {
	for i := range next - first {
		seq := first + i
		if reverse {
			seq = next - 1 - i
		}
		binary.LittleEndian.PutUint64(s.rec[3:], seq+1)
		if !visit(seq, s.rec) {
			break
		}
	}
	return nil
}

// TestQueryExamined: a query looks at so many records and not one more, and at as many to find a publication that it
// names. PUB-52.
func TestQueryExamined(t *testing.T) {
	for _, c := range []struct {
		records uint64
		q       Query
		cut     bool
		err     error
	}{
		{queryExaminedMax, Query{Topic: []byte("none")}, false, nil},
		{queryExaminedMax + 1, Query{Topic: []byte("none")}, true, nil},
		{queryExaminedMax + 1, Query{Topic: []byte("none"), Reverse: true}, true, nil},
		{queryExaminedMax, Query{Topic: []byte("none"), FromPublication: 1}, false, nil},
		{queryExaminedMax + 1, Query{Topic: []byte("none"), FromPublication: 2}, false, nil},
		{queryExaminedMax + 1, Query{FromPublication: 1}, false, ErrCostly},
	} {
		cursor := NewCursor(&countedSource{c.records, AppendRecord(nil, event(1, "1"))}, 0, &c.q)
		p, err := cursor.Next()
		for err == nil && !p.Done {
			p, err = cursor.Next()
		}
		if !errors.Is(err, c.err) || p.Cut != c.cut {
			t.Errorf("%d records, %+v: cut %t, %v", c.records, c.q, p.Cut, err)
		}
	}
}
