//go:build linux

package engine

import (
	"encoding/binary"

	"banyan/engine/internal/outq"
	"banyan/engine/internal/wire"
)

// pollMessages are the messages of one answer to a receive, cut off the front of a session's queue.
type pollMessages struct {
	batched bool // as many as fit; otherwise one
	json    bool
	oldEnd  bool // a JSON message in a batch ends in 0x18

	pieces [][]byte // of the body; nobody changes them any more
	bytes  int      // of the body
	used   int      // octets of the queue

	copied []byte // the end of the body, which is not in pieces yet
}

// The octets that end a JSON message in a batch (PROTOCOL 13.2).
const (
	pollEnd    = 0x1E
	pollEndOld = 0x18
)

// cut takes whole frames off the list that begins at first, which holds nothing but whole frames.
func (m *pollMessages) cut(first *outq.Segment) {
	var prefix [wire.RawPrefixBytes]byte
	have, missing := 0, 0 // octets of prefix, and of the message behind it that are still to come
	used := 0
	for b, stays := range first.All() {
		for len(b) > 0 {
			if missing == 0 && have == 0 && m.enough() {
				break
			}
			if missing == 0 {
				n := copy(prefix[have:], b)
				have, used, b = have+n, used+n, b[n:]
				if have < len(prefix) {
					continue
				}
				missing, have = int(binary.BigEndian.Uint32(prefix[:])), 0
				if m.batched && !m.json {
					m.add(prefix[:], false)
				}
				continue
			}
			n := min(missing, len(b))
			m.add(b[:n], stays)
			missing, used, b = missing-n, used+n, b[n:]
			if missing > 0 {
				continue
			}
			m.used = used
			switch {
			case m.batched && m.json && m.oldEnd:
				m.add([]byte{pollEndOld}, false)
			case m.batched && m.json:
				m.add([]byte{pollEnd}, false)
			}
		}
	}
	m.flush()
}

// enough reports that no further message goes into the body: they end with the present one.
func (m *pollMessages) enough() bool {
	return m.used > 0 && (!m.batched || m.bytes >= longPollBatchBytes)
}

// add appends b to the body. What is long and stays is not copied.
func (m *pollMessages) add(b []byte, stays bool) {
	m.bytes += len(b)
	if stays && len(b) >= pieceLinked {
		m.flush()
		m.pieces = append(m.pieces, b)
		return
	}
	m.copied = append(m.copied, b...)
}

func (m *pollMessages) flush() {
	if len(m.copied) > 0 {
		m.pieces = append(m.pieces, m.copied)
		m.copied = nil
	}
}
