package client

import "banyan/codec"

// Values are application payload: positional and keyword arguments. Integers come as int64, or uint64 above its
// range and json.Number beyond 64 bits, binary as []byte, the rest as encoding/json has it.
type Values struct {
	Args   []any
	Kwargs map[string]any
}

// encode makes the payload of a message to send.
func (v *Values) encode(s codec.Serializer) (codec.Payload, error) {
	p := codec.Payload{Format: s}
	var err error
	if len(v.Args) > 0 {
		if p.Args, err = codec.AppendValue(nil, s, v.Args); err != nil {
			return p, err
		}
	}
	if len(v.Kwargs) > 0 {
		p.Kwargs, err = codec.AppendValue(nil, s, v.Kwargs)
	}
	return p, err
}

// decodeValues copies a received payload out of its buffer. A transparent payload
// (PROTOCOL 12.2) is the only argument.
func decodeValues(p *codec.Payload) (v Values, err error) {
	if len(p.Args) > 0 {
		a, err := codec.Value(p.Format, p.Args)
		if err != nil {
			return v, protocolErrorf("arguments: %v", err)
		}
		if list, ok := a.([]any); ok && !p.Transparent {
			v.Args = list
		} else {
			v.Args = []any{a}
		}
	}
	if len(p.Kwargs) > 0 {
		k, err := codec.Value(p.Format, p.Kwargs)
		if err != nil {
			return v, protocolErrorf("keyword arguments: %v", err)
		}
		m, ok := k.(map[string]any)
		if !ok {
			return v, protocolErrorf("keyword arguments that are no dictionary")
		}
		v.Kwargs = m
	}
	return v, nil
}

// encodeDict encodes options; nil for none.
func encodeDict(s codec.Serializer, d map[string]any) ([]byte, error) {
	if len(d) == 0 {
		return nil, nil
	}
	return codec.AppendValue(nil, s, d)
}
