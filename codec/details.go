package codec

import "math/bits"

// Details are the details of an EVENT, INVOCATION or RESULT that the router writes. Zero fields are left out.
type Details struct {
	Topic           []byte // EVENT
	Procedure       []byte // INVOCATION
	Progress        bool   // RESULT, INVOCATION
	ReceiveProgress bool   // INVOCATION
	Retained        bool
	Timeout         uint64    // ms
	Publisher       *Identity // EVENT: publisher*, INVOCATION: caller*
	// Forward gives the options whose forwarded keys (ppt_*, enc_*, transaction_hash) are copied, in any serializer. May be nil.
	Forward *Options
}

// An Identity is a disclosed publisher or caller. Empty strings are left out.
type Identity struct {
	Session  uint64
	AuthID   string
	AuthRole string
}

// identityNames are the keys under which a message discloses an Identity.
type identityNames struct{ session, authID, authRole string }

var (
	eventNames      = identityNames{"publisher", "publisher_authid", "publisher_authrole"}
	invocationNames = identityNames{"caller", "caller_authid", "caller_authrole"}
	resultNames     = identityNames{"callee", "callee_authid", "callee_authrole"}
)

// pairs counts the entries that d makes.
func (d *Details) pairs() (n int) {
	for _, present := range [...]bool{d.Topic != nil, d.Procedure != nil, d.Progress, d.ReceiveProgress, d.Retained, d.Timeout != 0} {
		if present {
			n++
		}
	}
	if p := d.Publisher; p != nil {
		n++
		if p.AuthID != "" {
			n++
		}
		if p.AuthRole != "" {
			n++
		}
	}
	if d.Forward != nil {
		n += bits.OnesCount64(uint64(d.Forward.has & forwardedKeys))
	}
	return n
}

// appendDetails appends the dictionary that d describes.
func appendDetails(dst []byte, s Serializer, d *Details, names *identityNames) ([]byte, error) {
	if d == nil {
		return appendEmptyDict(dst, s), nil
	}
	n := d.pairs()
	if n == 0 {
		return appendEmptyDict(dst, s), nil
	}
	w := beginDict(dst, s, n)
	if p := d.Publisher; p != nil {
		w.key(names.session)
		w.dst = appendUint(w.dst, s, p.Session)
		if p.AuthID != "" {
			w.key(names.authID)
			w.dst = appendCleanText(w.dst, s, p.AuthID)
		}
		if p.AuthRole != "" {
			w.key(names.authRole)
			w.dst = appendCleanText(w.dst, s, p.AuthRole)
		}
	}
	if d.Topic != nil {
		w.key("topic")
		w.dst = appendText(w.dst, s, d.Topic)
	}
	if d.Procedure != nil {
		w.key("procedure")
		w.dst = appendText(w.dst, s, d.Procedure)
	}
	if d.Progress {
		w.key("progress")
		w.dst = appendBool(w.dst, s, true)
	}
	if d.ReceiveProgress {
		w.key("receive_progress")
		w.dst = appendBool(w.dst, s, true)
	}
	if d.Retained {
		w.key("retained")
		w.dst = appendBool(w.dst, s, true)
	}
	if d.Timeout != 0 {
		w.key("timeout")
		w.dst = appendUint(w.dst, s, d.Timeout)
	}
	if d.Forward != nil {
		if err := w.forward(d.Forward); err != nil {
			return dst, err
		}
	}
	return w.end(), nil
}

// forward copies the forwarded keys of o.
func (w *dictWriter) forward(o *Options) (err error) {
	if o.has&forwardedKeys == 0 {
		return nil
	}
	var raws [forwardedLast - forwardedFirst + 1][]byte
	o.find(raws[:], forwardedFirst)
	for i, raw := range raws {
		if raw == nil {
			continue
		}
		w.key(keyTable[forwardedFirst+Key(i)].name)
		if w.dst, err = Transcode(w.dst, raw, o.format, w.s); err != nil {
			return err
		}
	}
	return nil
}
