package codec

// What a router needs that keeps events and tells of them later (PROTOCOL 7.8, 7.9).

// Forwards reports whether o has one of the keys that accompany the payload to the receivers (PROTOCOL 12).
func (o *Options) Forwards() bool { return o.has&forwardedKeys != 0 }

// PublishOptions reads the raw dictionary of a PUBLISH that has been decoded before, in the serializer s. The result
// has memory of its own. It fails if dict is something else.
func PublishOptions(s Serializer, dict []byte) (o Options, err error) {
	msg, err := Append(nil, s, &Message{Type: Publish, Format: s, Request: 1, URI: []byte("a"), Dict: dict})
	if err != nil {
		return Options{}, err
	}
	var d Decoder
	d.SetDepthMax(DepthMaxMost)
	var m Message
	if err := d.Decode(s, msg, &m); err != nil {
		return Options{}, err
	}
	return m.Options, nil
}

// AppendEventDetails encodes the details of an EVENT alone. d may be nil.
func AppendEventDetails(dst []byte, s Serializer, d *Details) []byte {
	return appendDetails(dst, s, d, &eventNames)
}

// Only returns the dictionary of o reduced to some keys. The result has memory of its own and is in o's serializer.
func (o *Options) Only(keys ...Key) []byte {
	few, n := o.Among(keys...), 0
	for r := few.pairs(); r.next(); {
		if k, known := findKey(r.name); known && few.Has(k) {
			n++
		}
	}
	w := beginDict(nil, o.format, n)
	for r := few.pairs(); r.next(); {
		if k, known := findKey(r.name); known && few.Has(k) {
			w.key(k.String())
			w.dst = append(w.dst, r.value...)
		}
	}
	return w.end()
}

// Among returns o as if it had only some of its keys. It aliases o, and has no Match, Invoke, Mode or Timeout.
func (o *Options) Among(keys ...Key) *Options {
	set := keySet(0)
	for _, k := range keys {
		set |= 1 << k
	}
	return &Options{has: o.has & set, truth: o.truth & set, format: o.format, dict: o.dict}
}

// A Raw is a well-formed value that is encoded already: AppendValue transcodes it.
type Raw struct {
	Format Serializer
	Octets []byte
}

// Items returns the items of a list, which alias it; nil if r is something else.
func (r Raw) Items() (items []Raw) {
	x := lexer{s: r.Format, b: r.Octets}
	var t token
	if x.next(&t); t.kind != kindList {
		return nil
	}
	for n := t.n; t.open || n > 0; n-- {
		item, end := x.item()
		if end {
			break
		}
		items = append(items, Raw{r.Format, item})
	}
	return items
}

// Entry returns the value of a key in a dictionary, the last one if the key is there more than once; it aliases r. ok
// is false if the key is not there, or r is something else.
func (r Raw) Entry(key string) (value Raw, ok bool) {
	x := lexer{s: r.Format, b: r.Octets}
	var dict, k token
	if x.next(&dict); dict.kind != kindDict {
		return Raw{}, false
	}
	for n := dict.n; dict.open || n > 0; n-- {
		name, end := x.item()
		if end {
			break
		}
		octets, _ := x.item()
		x := lexer{s: r.Format, b: name}
		if x.next(&k); k.kind == kindText && string(k.b) == key {
			value, ok = Raw{r.Format, octets}, true
		}
	}
	return value, ok
}
