package codec

import (
	"bytes"
	"encoding/binary"
)

// The octets that end a JSON message in a batch (PROTOCOL 13.2).
const (
	batchEnd    = 0x1e
	batchEndOld = 0x18
)

// SplitBatch cuts the next message off an incoming batch, which is a WebSocket message of a batched subprotocol
// (PROTOCOL 13.2). rest holds the messages behind it and is empty after the last one. old reports that a JSON message
// ended in 0x18 instead of 0x1E. An empty batch, an empty message, a missing terminator and a length beyond the batch
// are a *Violation.
func SplitBatch(s Serializer, b []byte) (msg, rest []byte, old bool, err error) {
	if len(b) == 0 {
		return nil, nil, false, &Violation{Reason: "batch: empty"}
	}
	if s == JSON {
		return splitJSON(b)
	}
	if len(b) < 4 {
		return nil, nil, false, &Violation{Reason: "batch: a length is cut short"}
	}
	n := uint64(binary.BigEndian.Uint32(b))
	b = b[4:]
	switch {
	case n == 0:
		return nil, nil, false, &Violation{Reason: "batch: an empty message"}
	case n > uint64(len(b)):
		return nil, nil, false, &Violation{Reason: "batch: a message is cut short"}
	}
	return b[:n], b[n:], false, nil
}

// splitJSON reads no further than the first terminator; otherwise a long batch would cost quadratic time.
func splitJSON(b []byte) (msg, rest []byte, old bool, err error) {
	const stride = 4 << 10
	for from := 0; from < len(b); from += stride {
		part := b[from:min(from+stride, len(b))]
		i := bytes.IndexByte(part, batchEnd)
		if i >= 0 {
			part = part[:i]
		}
		old := bytes.IndexByte(part, batchEndOld)
		switch {
		case old >= 0:
			i = old
		case i < 0:
			continue
		}
		if i += from; i == 0 {
			return nil, nil, false, &Violation{Reason: "batch: an empty message"}
		}
		return b[:i], b[i+1:], old >= 0, nil
	}
	return nil, nil, false, &Violation{Reason: "batch: a message lacks its record separator"}
}
