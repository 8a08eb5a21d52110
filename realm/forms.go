package realm

import (
	"errors"

	"banyan/codec"
	"banyan/engine/port"
)

// The payload of a message in other serializers. Each message is transcoded at most once for each of them:
//
//	short                        by the encoder of the one message that needs it
//	longer, or for many          into the scratch of the loop, before any lock is taken; its work is bounded
//	large, or too much work      in the pool; the session waits, and keeps the form (waiting.go)

// forms are those of the message under way that the loop has made. Owned by loop.
type forms struct {
	made    uint8 // bit s is set once the form for serializer s is made
	work    int   // tokens that may still be transcoded for this message
	tooMuch bool  // they were not enough
	// deflateLater says that the event under way is compressed in the pool.
	deflateLater bool
	of           [codec.CBOR + 1]form
	buffers      [codec.CBOR + 1][]byte
}

// begin forgets the forms of the last message.
func (f *forms) begin(work int) {
	if f.made != 0 {
		f.trim()
	}
	f.made, f.work, f.tooMuch, f.deflateLater = 0, work, false, false
}

// make transcodes p, and reports whether that is done, with or without success: false says that the pool has to.
func (f *forms) make(x port.Executor, to codec.Serializer, p *codec.Payload) bool {
	if f.made&(1<<to) != 0 {
		return true
	}
	if f.tooMuch {
		return false
	}
	before := f.work
	o := &f.of[to]
	o.payload, f.buffers[to], o.err = p.AppendIn(f.buffers[to][:0], to, codec.MessageBytesMax, &f.work)
	x.Work((before - f.work) >> tokenShift)
	if errors.Is(o.err, codec.ErrTooMuchWork) {
		f.tooMuch = true
		return false
	}
	f.made |= 1 << to
	return true
}

// trim drops scratch that a large payload made large.
func (f *forms) trim() {
	for s := range f.buffers {
		if cap(f.buffers[s]) > scratchBytesMax {
			f.buffers[s], f.of[s] = nil, form{}
		}
	}
}

func octets(m *codec.Message) int { return len(m.Payload.Args) + len(m.Payload.Kwargs) }

// formed reports whether payload has an answer: it is false if the pool has to transcode m first.
func (s *session) formed(x port.Executor, l *perLoop, m *codec.Message, to codec.Serializer) bool {
	if m.Format == to || s.form(m, to) != nil {
		return true
	}
	n, bounds := octets(m), &s.realm.router.bounds
	switch {
	case n <= bounds.directBytes:
		return true
	case n > bounds.largeBytes:
		return false
	}
	return l.forms.make(x, to, &m.Payload)
}

// payload returns m's payload as a message for the serializer to needs it: m's own when it is short or needs no
// transcoding, nil if it has to be transcoded in the pool first. The error says that it has no form in that
// serializer.
func (s *session) payload(x port.Executor, l *perLoop, m *codec.Message,
	to codec.Serializer,
) (*codec.Payload, error) {
	if m.Format == to {
		return &m.Payload, nil
	}
	if f := s.form(m, to); f != nil {
		return &f.payload, f.err
	}
	if !s.formed(x, l, m, to) {
		return nil, nil
	}
	if l.forms.made&(1<<to) != 0 {
		f := &l.forms.of[to]
		return &f.payload, f.err
	}
	x.Work(octets(m) >> directShift)
	return &m.Payload, nil
}

// formEvent makes the forms of the event of m that the members of the subscriptions in l.matches need. It reports
// whether the event may be encoded for all of them at once.
func (s *session) formEvent(x port.Executor, l *perLoop, m *codec.Message) bool {
	n, bounds := octets(m), &s.realm.router.bounds
	if n*len(l.matches) > bounds.deflateOctets && deflating(l.matches) {
		l.forms.deflateLater = true
		return false
	}
	switch {
	case len(l.matches) == 1 && n <= bounds.directBytes:
		return true // extend transcodes it
	case len(l.matches) > 1 && n*len(l.matches) > bounds.octetsAtOnce:
		return false
	}
	for serializer := codec.JSON; serializer <= codec.CBOR; serializer++ {
		switch {
		case serializer == m.Format:
		case wanted(l.matches, serializer):
			if !l.forms.make(x, serializer, &m.Payload) {
				return false
			}
		case s.building != nil && s.building.carries(serializer):
			s.seal(x, l) // its members have left; this event does not join the run, without a form
		}
	}
	return true
}

// wanted reports whether any of subs has members of that serializer.
func wanted(subs []*subscription, serializer codec.Serializer) bool {
	for _, sub := range subs {
		if sub.hasMembers(serializer) {
			return true
		}
	}
	return false
}

// eventPayload returns the payload of an event of m for a serializer. A short payload without a form is transcoded by
// the encoder; for a longer one eventPayload returns nil: nobody with that serializer was there when the event was
// published.
func (s *session) eventPayload(x port.Executor, l *perLoop, m *codec.Message,
	to codec.Serializer,
) (*codec.Payload, error) {
	if m.Format == to {
		return &m.Payload, nil
	}
	f := &l.forms.of[to]
	switch {
	case s.chunk != nil: // formed by publishing.form
		f = s.chunk.waiting.forms[to]
	case l.forms.made&(1<<to) == 0:
		f = nil
	}
	if f != nil {
		return &f.payload, f.err
	}
	n := octets(m)
	if n > s.realm.router.bounds.directBytes {
		return nil, nil
	}
	x.Work(n >> directShift)
	return &m.Payload, nil
}
