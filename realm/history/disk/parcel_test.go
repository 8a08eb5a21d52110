package disk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"banyan/realm/history"
)

func parcelOf(seq uint64, n int) []byte {
	var records [][]byte
	for i := range n {
		records = append(records, history.AppendRecord(nil, event(uint64(i+1), strings.Repeat("1", i))))
	}
	return makeParcel(seq, records)
}

// TestParcel: each single octet that is wrong is found, and so is a parcel in another place; what is sound is read.
func TestParcel(t *testing.T) {
	whole := parcelOf(7, 3)
	for i := -1; i < len(whole); i++ {
		b := bytes.Clone(whole)
		if i >= 0 {
			b[i] ^= 0x10
		}
		p, ok := openParcel(7, b)
		sound, all := 0, 0
		for seq, rec, _, more := p.next(); more; seq, rec, _, more = p.next() {
			if seq != uint64(7+all) {
				t.Errorf("octet %d: record %d is number %d", i, all, seq)
			}
			all++
			if rec == nil {
				continue
			}
			sound++
			if e, err := history.ReadRecord(rec); err != nil || e.Publication != uint64(all) {
				t.Errorf("octet %d: record %d is %+v: %v", i, all, e, err)
			}
		}
		head := parcelHead + 3*parcelEntry + parcelChecksum
		switch {
		case i < 0 && (!ok || sound != 3), i >= 0 && i < head && ok, i >= head && (!ok || sound != 2 || all != 3):
			t.Errorf("octet %d: sound is the head %t, %d of %d records", i, ok, sound, all)
		}
	}
	if _, ok := openParcel(8, whole); ok {
		t.Error("a parcel in another place is sound")
	}
	for n := range whole {
		if p, ok := openParcel(7, whole[:n]); ok {
			for range 3 {
				_, _, length, more := p.next()
				if !more || length == 0 {
					t.Errorf("of %d octets a record is missing", n)
				}
			}
			if _, rec, _, _ := openLast(p); rec != nil {
				t.Errorf("of %d octets the last record is sound", n)
			}
		}
	}
}

// openLast reads the last record of p again.
func openLast(p opened) (seq uint64, rec []byte, length int, more bool) {
	p.i, p.at = 0, 0
	for range p.n {
		seq, rec, length, more = p.next()
	}
	return seq, rec, length, more
}

func FuzzParcel(f *testing.F) {
	f.Add(uint64(7), parcelOf(7, 3))
	f.Add(uint64(0), parcelOf(0, 1))
	f.Fuzz(func(t *testing.T, seq uint64, b []byte) {
		// The checksum of the head is put right, so that what is behind it is reached.
		if len(b) > parcelHead {
			n := uint64(binary.LittleEndian.Uint32(b[1:]))
			if head := parcelHead + n*parcelEntry; head+parcelChecksum <= uint64(len(b)) {
				b = bytes.Clone(b)
				binary.LittleEndian.PutUint32(b[head:], checksum(seq, b[:head]))
			}
		}
		p, ok := openParcel(seq, b)
		if !ok {
			return
		}
		n := 0
		for at, rec, _, more := p.next(); more; at, rec, _, more = p.next() {
			if at != seq+uint64(n) || rec != nil && !history.IsRecord(rec) {
				t.Errorf("record %d is number %d: %q", n, at, rec)
			}
			n++
		}
		if n != p.n {
			t.Errorf("%d records of %d", n, p.n)
		}
	})
}

// TestParcelSizes: a parcel is full at so many records or octets; one record may be longer.
func TestParcelSizes(t *testing.T) {
	s := openTest(t, Config{Gather: -1})
	for i, c := range []struct{ events, octets, parcels int }{
		{parcelRecordsMax, 1, 1},
		{parcelRecordsMax + 1, 1, 2},
		{3, parcelBytesMax, 3},
		{4, parcelBytesMax/2 - 100, 2},
	} {
		k := history.Key{Realm: "r", URI: fmt.Sprint(i)}
		l := openLog(t, s, k, history.Bounds{})
		g := hold(t, s, openLog(t, s, topicKey, history.Bounds{}), 1)
		for id := range uint64(c.events) {
			if err := s.Append(event(id+1, strings.Repeat("1", c.octets)), []history.Log{l}, nil); err != nil {
				t.Fatal(err)
			}
		}
		close(g.gate)
		flush(t, s)
		if ids := stored(t, s, l); len(ids) != c.events || ids[c.events-1] != uint64(c.events) {
			t.Errorf("case %d: %d events", i, len(ids))
		}
		if n := parcels(t, s, k); n != c.parcels {
			t.Errorf("case %d: %d parcels", i, n)
		}
	}
}
