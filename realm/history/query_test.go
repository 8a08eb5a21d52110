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

// TestQueryOfMany: a query looks at all records of a log, however many they are, page by page, and as far back for a
// publication that it names. PUB-45.
func TestQueryOfMany(t *testing.T) {
	const records = 1<<21 + 1
	for _, c := range []struct {
		q     Query
		found int
		err   error
	}{
		{Query{Topic: []byte("none")}, 0, nil},
		{Query{Topic: []byte("none"), Reverse: true}, 0, nil},
		{Query{FromPublication: 1, Limit: 3}, 3, nil},
		{Query{AfterPublication: 1, UntilPublication: 2}, 1, nil},
		{Query{AfterPublication: records}, 0, nil},
		{Query{FromPublication: records + 1}, 0, ErrNoPublication},
	} {
		cursor := NewCursor(&countedSource{records, AppendRecord(nil, event(1, "1"))}, 0, &c.q)
		found := 0
		p, err := cursor.Next()
		for ; err == nil && !p.Done; p, err = cursor.Next() {
			found += len(p.Events)
		}
		if found += len(p.Events); !errors.Is(err, c.err) || found != c.found {
			t.Errorf("%+v: %d events, %v", c.q, found, err)
		}
	}
}
