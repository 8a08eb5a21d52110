//go:build linux

package engine

import (
	"bytes"
	"encoding/binary"
	"errors"

	"banyan/codec"
)

// splitBatch takes the next message off an incoming batch. old tells that a JSON message ended in 0x18.
func splitBatch(s codec.Serializer, b []byte) (msg, rest []byte, old bool, err error) {
	if len(b) == 0 {
		return nil, nil, false, &codec.Violation{Reason: "empty batch"}
	}
	if s == codec.JSON {
		i := bytes.IndexAny(b, "\x1e\x18")
		if i < 0 {
			return nil, nil, false, &codec.Violation{Reason: "batch entry without terminator"}
		}
		return b[:i], b[i+1:], b[i] == 0x18, nil
	}
	if len(b) < 4 || uint64(len(b)-4) < uint64(binary.BigEndian.Uint32(b)) {
		return nil, nil, false, &codec.Violation{Reason: "truncated batch"}
	}
	n := 4 + int(binary.BigEndian.Uint32(b))
	return b[4:n], b[n:], false, nil
}

func asViolation(err error) *codec.Violation {
	if v, ok := errors.AsType[*codec.Violation](err); ok {
		return v
	}
	return &codec.Violation{Reason: err.Error()}
}
