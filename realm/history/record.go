package history

import (
	"encoding/binary"
	"errors"

	"banyan/codec"
)

// A record is one event as octets, the same in memory and on disk:
//
//	version, flags, lists  1 each
//	publication, time      8 each, little endian
//	topic                  text
//	lists                  those that are present: a count, then texts
//	publisher              session id, authid, authrole
//	trust level            if present
//	options, args, kwargs  those that are present: a length, then octets
//
// A text is a length and octets; lengths, counts and ids are varints. The first part is what a query looks at.
const (
	recordVersion = 1
	headBytes     = 3 + 8 + 8

	formatMask      = 3 // of the flags: the serializer
	flagTransparent = 1 << 2
	flagDisclosed   = 1 << 3
	flagArgs        = 1 << 4
	flagKwargs      = 1 << 5
	flagOptions     = 1 << 6
	flagTrust       = 1 << 7

	listExcludeAuthID    = 1 << 0
	listExcludeAuthRole  = 1 << 1
	listEligibleAuthID   = 1 << 2
	listEligibleAuthRole = 1 << 3
	listsAll             = 1<<4 - 1
)

var errRecord = errors.New("history: no record of an event")

// RecordRoom returns a length that is at least that of the record of e.
func RecordRoom(e *Event) int {
	n := headBytes + 8*binary.MaxVarintLen64 + len(e.Topic) + len(e.Publisher.AuthID) + len(e.Publisher.AuthRole) +
		len(e.Options) + len(e.Payload.Args) + len(e.Payload.Kwargs)
	if f := e.Filter; f != nil {
		for _, list := range f.lists() {
			n += binary.MaxVarintLen64
			for _, name := range *list {
				n += binary.MaxVarintLen64 + len(name)
			}
		}
	}
	return n
}

// lists returns the lists that a record keeps, in the order of their bits.
func (f *Filter) lists() [4]*[]string {
	return [...]*[]string{&f.ExcludeAuthID, &f.ExcludeAuthRole, &f.EligibleAuthID, &f.EligibleAuthRole}
}

// AppendRecord appends the record of e to dst. Lists of session ids and ExcludeMe are not in it.
func AppendRecord(dst []byte, e *Event) []byte {
	flags := byte(e.Payload.Format) & formatMask
	for _, f := range [...]struct {
		bit byte
		set bool
	}{
		{flagTransparent, e.Payload.Transparent},
		{flagDisclosed, e.Disclosed},
		{flagArgs, e.Payload.Args != nil},
		{flagKwargs, e.Payload.Kwargs != nil},
		{flagOptions, e.Options != nil},
		{flagTrust, e.HasTrust},
	} {
		if f.set {
			flags |= f.bit
		}
	}
	var lists byte
	if e.Filter != nil {
		for i, list := range e.Filter.lists() {
			if *list != nil {
				lists |= 1 << i
			}
		}
	}
	dst = append(dst, recordVersion, flags, lists)
	dst = binary.LittleEndian.AppendUint64(dst, e.Publication)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(e.Time))
	dst = appendOctets(dst, e.Topic)
	if lists != 0 {
		for _, list := range e.Filter.lists() {
			if *list == nil {
				continue
			}
			dst = binary.AppendUvarint(dst, uint64(len(*list)))
			for _, name := range *list {
				dst = append(binary.AppendUvarint(dst, uint64(len(name))), name...)
			}
		}
	}
	dst = binary.AppendUvarint(dst, e.Publisher.Session)
	dst = append(binary.AppendUvarint(dst, uint64(len(e.Publisher.AuthID))), e.Publisher.AuthID...)
	dst = append(binary.AppendUvarint(dst, uint64(len(e.Publisher.AuthRole))), e.Publisher.AuthRole...)
	if e.HasTrust {
		dst = binary.AppendUvarint(dst, e.Trust)
	}
	if e.Options != nil {
		dst = appendOctets(dst, e.Options)
	}
	if e.Payload.Args != nil {
		dst = appendOctets(dst, e.Payload.Args)
	}
	if e.Payload.Kwargs != nil {
		dst = appendOctets(dst, e.Payload.Kwargs)
	}
	return dst
}

func appendOctets(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// ReadRecord returns the event of rec, whose octets it aliases.
func ReadRecord(rec []byte) (e Event, err error) {
	if !IsRecord(rec) {
		return Event{}, errRecord
	}
	flags, lists := rec[1], rec[2]
	e.Publication, e.Time = RecordPublication(rec), RecordTime(rec)
	r := recordReader{b: rec[headBytes:]}
	e.Topic = r.octets()
	if lists != 0 {
		e.Filter = new(Filter)
		for i, list := range e.Filter.lists() {
			if lists&(1<<i) == 0 {
				continue
			}
			n := r.count()
			*list = make([]string, 0, min(n, 64))
			for ; n > 0 && !r.bad; n-- {
				*list = append(*list, string(r.octets()))
			}
		}
	}
	e.Publisher = codec.Identity{Session: r.number(), AuthID: string(r.octets()), AuthRole: string(r.octets())}
	if e.HasTrust = flags&flagTrust != 0; e.HasTrust {
		e.Trust = r.number()
	}
	if flags&flagOptions != 0 {
		e.Options = r.octets()
	}
	if flags&flagArgs != 0 {
		e.Payload.Args = r.octets()
	}
	if flags&flagKwargs != 0 {
		e.Payload.Kwargs = r.octets()
	}
	e.Payload.Format = codec.Serializer(flags & formatMask)
	e.Payload.Transparent = flags&flagTransparent != 0
	e.Disclosed = flags&flagDisclosed != 0
	if r.bad || len(r.b) != 0 {
		return Event{}, errRecord
	}
	return e, nil
}

// IsRecord reports whether rec has the head of a record, so that RecordTime and RecordPublication can read it.
func IsRecord(rec []byte) bool {
	return len(rec) > headBytes && rec[0] == recordVersion && rec[1]&formatMask != 0 && rec[2]&^listsAll == 0
}

// RecordPublication returns the publication of a record that AppendRecord made.
func RecordPublication(rec []byte) uint64 { return binary.LittleEndian.Uint64(rec[3:]) }

// RecordTime returns the time of a record that AppendRecord made.
func RecordTime(rec []byte) int64 { return int64(binary.LittleEndian.Uint64(rec[11:])) }

// recordAdmits reports whether who may have the event of rec, and whether it is of that topic; nil stands for any.
func recordAdmits(rec []byte, who *codec.Identity, topic []byte) (admitted, ofTopic bool) {
	r := recordReader{b: rec[headBytes:]}
	ofTopic = string(r.octets()) == string(topic) || topic == nil
	admitted = true
	for i := range 4 {
		bit := byte(1) << i
		if rec[2]&bit == 0 {
			continue
		}
		name := who.AuthID
		if bit&(listExcludeAuthRole|listEligibleAuthRole) != 0 {
			name = who.AuthRole
		}
		listed := false
		for n := r.count(); n > 0 && !r.bad; n-- {
			listed = string(r.octets()) == name || listed
		}
		if white := bit&(listEligibleAuthID|listEligibleAuthRole) != 0; listed != white {
			admitted = false
		}
	}
	return admitted && !r.bad, ofTopic
}

// A recordReader reads what is left of a record. After an error it returns nothing.
type recordReader struct {
	b   []byte
	bad bool
}

func (r *recordReader) number() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads the number of things that follow, each of an octet or more.
func (r *recordReader) count() int {
	n := r.number()
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return 0
	}
	return int(n)
}

func (r *recordReader) octets() []byte {
	n := r.count()
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}
