package history

import (
	"testing"

	"go.uber.org/goleak"

	"banyan/codec"
)

// The package starts no goroutine; neither may a test leave one behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var topicKey = Key{Realm: "realm1", URI: "com.example.topic"}

func event(publication uint64, payload string) *Event {
	return &Event{
		Publication: publication, Time: int64(publication), Topic: []byte("com.example.topic"),
		Payload: codec.Payload{Format: codec.JSON, Args: []byte(payload)},
	}
}

func openLog(t testing.TB, s Store, k Key, b Bounds) Log {
	t.Helper()
	l, err := s.Log(k, b)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// ids returns the publications that q finds, and the pages.
func ids(t testing.TB, s Store, l Log, q *Query) (found []uint64, pages []Page) {
	t.Helper()
	c := NewCursor(s, l, q)
	for {
		p, err := c.Next()
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, p)
		for _, e := range p.Events {
			found = append(found, e.Publication)
		}
		if p.Done {
			return found, pages
		}
	}
}
