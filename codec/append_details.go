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
	Trust           uint32    // EVENT, INVOCATION: the trust level plus one; 0: there is none
	Publisher       *Identity // EVENT: publisher*, INVOCATION: caller*
	// Forward holds options in any serializer; their forwarded keys (ppt_*, enc_*, transaction_hash) are copied. May
	// be nil.
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

// pairs returns the number of pairs that d is written with.
func (d *Details) pairs() (n int) {
	for _, present := range [...]bool{
		d.Topic != nil, d.Procedure != nil, d.Progress, d.ReceiveProgress, d.Retained,
		d.Timeout != 0, d.Trust != 0,
	} {
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
func appendDetails(dst []byte, s Serializer, d *Details, names *identityNames) []byte {
	if d == nil {
		return appendEmptyDict(dst, s)
	}
	n := d.pairs()
	if n == 0 {
		return appendEmptyDict(dst, s)
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
	if d.Trust != 0 {
		w.key("trustlevel")
		w.dst = appendUint(w.dst, s, uint64(d.Trust-1))
	}
	if d.Forward != nil {
		w.forward(d.Forward)
	}
	return w.end()
}

// forward copies the forwarded keys of o. Decode has checked that their values are text, and they stay text: the
// rules for payload, by which a string may stand for binary, do not apply to options (PROTOCOL 1.5).
func (w *dictWriter) forward(o *Options) {
	if o.has&forwardedKeys == 0 {
		return
	}
	var raws [forwardedLast - forwardedFirst + 1][]byte
	o.find(raws[:], forwardedFirst)
	for i, raw := range raws {
		if raw == nil {
			continue
		}
		w.key(keyTable[forwardedFirst+Key(i)].name)
		if o.format == w.s {
			w.dst = append(w.dst, raw...)
			continue
		}
		x := lexer{s: o.format, b: raw}
		var t token
		x.next(&t)
		w.dst = appendText(w.dst, w.s, t.b)
	}
}

// notForwarded reports whether the router keeps the key k of a callee's ERROR to itself (PROTOCOL 1.5, 15).
func notForwarded(k []byte) bool { return string(k) == "forward_for" }

// appendOptions appends the dictionary of o, encoded in s, without the keys that are not forwarded. dst may grow to
// limit octets.
func (o *Options) appendOptions(dst []byte, s Serializer, limit int) (_ []byte, err error) {
	if o == nil || o.dict == nil {
		return appendEmptyDict(dst, s), nil
	}
	kept, dropped := 0, false
	for r := o.pairs(); r.next(); {
		if notForwarded(r.name) {
			dropped = true
		} else {
			kept++
		}
	}
	if !dropped {
		return appendRawDict(dst, s, o.dict, o.format, limit)
	}
	w := beginDict(dst, s, kept)
	for r := o.pairs(); r.next(); {
		if notForwarded(r.name) {
			continue
		}
		w.anyKey(r.name)
		if w.dst, err = Transcode(w.dst, r.value, o.format, s, limit-len(w.dst)); err != nil {
			return dst, err
		}
	}
	return w.end(), nil
}
