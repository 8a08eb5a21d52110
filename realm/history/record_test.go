package history

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"banyan/codec"
)

func sampleEvents() []*Event {
	return []*Event{
		{Publication: 1, Topic: []byte("a"), Payload: codec.Payload{Format: codec.JSON}},
		{
			Publication: 1 << 53, Time: -5, Topic: []byte("com.example.topic"),
			Publisher: codec.Identity{Session: 1 << 53, AuthID: "joe", AuthRole: "user"}, Disclosed: true,
			Trust: 7, HasTrust: true, Options: []byte{0x80},
			Payload: codec.Payload{
				Format: codec.MessagePack, Args: []byte{0x91, 1}, Kwargs: []byte{0x81, 0xa1, 'k', 2},
			},
			Filter: &Filter{
				ExcludeAuthID: []string{"a", ""}, ExcludeAuthRole: []string{}, EligibleAuthID: []string{"joe"},
				EligibleAuthRole: []string{"user", "admin"},
			},
		},
		{
			Publication: 3, Time: 1 << 62, Topic: []byte("x"), Filter: &Filter{EligibleAuthRole: []string{}},
			Payload: codec.Payload{Format: codec.CBOR, Transparent: true, Args: []byte{}},
		},
	}
}

// TestRecord: what is read is what was written, absent and empty kept apart. PUB-28.
func TestRecord(t *testing.T) {
	for _, e := range sampleEvents() {
		rec := AppendRecord([]byte("before"), e)[6:]
		if len(rec) > RecordRoom(e) {
			t.Errorf("%d octets, room for %d", len(rec), RecordRoom(e))
		}
		got, err := ReadRecord(rec)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(e, &got, cmp.AllowUnexported(Event{})); d != "" {
			t.Error(d)
		}
		if RecordTime(rec) != e.Time || RecordPublication(rec) != e.Publication || !IsRecord(rec) {
			t.Errorf("time %d, publication %d", RecordTime(rec), RecordPublication(rec))
		}
		for n := range rec {
			if _, err := ReadRecord(rec[:n]); err == nil {
				t.Errorf("%d octets of %d are a record", n, len(rec))
			}
		}
		if _, err := ReadRecord(append(slices.Clone(rec), 0)); err == nil {
			t.Error("an octet too many is a record")
		}
		for i, wrong := range []byte{recordVersion + 1, 0, 1 << 4} {
			bad := slices.Clone(rec)
			bad[i] = wrong
			if _, err := ReadRecord(bad); err == nil {
				t.Errorf("%d in octet %d is a record", wrong, i)
			}
		}
	}
}

// TestRecordAdmits compares the check on the octets with that of the decoded filter. PUB-49.
func TestRecordAdmits(t *testing.T) {
	lists := [][]string{nil, {}, {"joe"}, {"user"}, {"x", "user", "joe"}}
	for i := range 5 * 5 * 5 * 5 {
		f := &Filter{
			ExcludeAuthID: lists[i%5], ExcludeAuthRole: lists[i/5%5], EligibleAuthID: lists[i/25%5],
			EligibleAuthRole: lists[i/125],
		}
		rec := AppendRecord(nil, &Event{Topic: []byte("t"), Filter: f, Payload: codec.Payload{Format: codec.JSON}})
		for _, who := range []codec.Identity{
			{AuthID: "joe", AuthRole: "user"}, {AuthID: "joe", AuthRole: "x"}, {AuthID: "x", AuthRole: "user"}, {},
		} {
			got, ofTopic := recordAdmits(rec, &who, []byte("t"))
			if want := f.Admits(&who); got != want || !ofTopic || f.clone().admitsSoon(&who) != want {
				t.Errorf("%+v for %+v: %t, %t", f, who, got, ofTopic)
			}
		}
		if _, ofTopic := recordAdmits(rec, new(codec.Identity), []byte("")); ofTopic {
			t.Error("of another topic")
		}
	}
}

// TestFilterSessions: the lists of session ids, for retained events. PUB-35.
func TestFilterSessions(t *testing.T) {
	for _, c := range []struct {
		f    *Filter
		want bool
	}{
		{nil, true},
		{&Filter{}, true},
		{&Filter{Exclude: []uint64{7}}, false},
		{&Filter{Exclude: []uint64{8}}, true},
		{&Filter{Exclude: []uint64{}}, true},
		{&Filter{Eligible: []uint64{7}}, true},
		{&Filter{Eligible: []uint64{}}, false},
		{&Filter{Eligible: []uint64{8}}, false},
		{&Filter{Eligible: []uint64{7}, Exclude: []uint64{7}}, false},
	} {
		if who := (&codec.Identity{Session: 7}); c.f.clone().admitsSoon(who) != c.want || c.f.Admits(who) != c.want {
			t.Errorf("%+v: not %t", c.f, c.want)
		}
	}
}

func FuzzReadRecord(f *testing.F) {
	for _, e := range sampleEvents() {
		f.Add(AppendRecord(nil, e))
	}
	f.Add(append(bytes.Repeat([]byte{1}, headBytes), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1))
	f.Fuzz(func(t *testing.T, rec []byte) {
		e, err := ReadRecord(rec)
		if IsRecord(rec) {
			who := &codec.Identity{AuthID: "joe", AuthRole: "user"}
			admitted, _ := recordAdmits(rec, who, nil)
			if err == nil && admitted != e.Filter.Admits(who) {
				t.Errorf("admitted: %t, the filter is %+v", admitted, e.Filter)
			}
		} else if err == nil {
			t.Error("a record without its head")
		}
		if err != nil {
			return
		}
		again, err := ReadRecord(AppendRecord(nil, &e))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(e, again, cmp.AllowUnexported(Event{})); d != "" {
			t.Error(d)
		}
	})
}
