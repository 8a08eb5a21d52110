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

// A Raw is a value that is encoded already: AppendValue transcodes it.
type Raw struct {
	Format Serializer
	Octets []byte
}
