package outq

import "iter"

// Unsent appends the bytes of s and the segments behind it that are not on the wire yet to dst, up to max bytes.
// Transports that do not hand segments to the kernel as they are read them with it.
func (s *Segment) Unsent(dst []byte, max int) []byte {
	for n := 0; s != nil && n < SegmentsPerSend && max > 0; s = s.next {
		b := s.unsent()
		b = b[:min(len(b), max)]
		dst = append(dst, b...)
		max -= len(b)
		n++
	}
	return dst
}

// Gather returns up to max bytes of s and the segments behind it that are not on the wire yet: in place if they lie
// in one piece, and otherwise copied to v, until it is used again.
func (s *Segment) Gather(v *Vectors, max int) []byte {
	if b := s.unsent(); s.next == nil || len(b) >= max {
		return b[:min(len(b), max)]
	}
	v.gathered = s.Unsent(v.gathered[:0], max)
	return v.gathered
}

// All goes through the bytes of s and the segments behind it that are not on the wire yet. stays says that nobody
// changes them any more, and that they may be linked into another queue.
func (s *Segment) All() iter.Seq2[[]byte, bool] {
	return func(yield func(b []byte, stays bool) bool) {
		for ; s != nil; s = s.next {
			if !yield(s.unsent(), !s.own) {
				return
			}
		}
	}
}
