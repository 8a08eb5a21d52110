//go:build linux

package engine

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"reflect"
	"unsafe"
)

// A tls.Conn reads into a buffer of its own, which grows to the largest record and is kept as long as the connection.
// tlsBuffers lends it the buffer of the loop instead, for the time of one read: nothing is copied on the way in, and
// an idle connection keeps no buffer. The two fields are not exported. Go has no promise about them, so New fails if
// they are not where they are expected.
type tlsBuffers struct {
	raw  *bytes.Buffer // records that are not decrypted yet
	hand *bytes.Buffer // handshake messages that are not complete yet
}

// tlsFields are the offsets of the two fields.
var tlsFields, errTLSFields = findTLSFields()

func findTLSFields() (at struct{ raw, hand uintptr }, err error) {
	conn, buffer := reflect.TypeFor[tls.Conn](), reflect.TypeFor[bytes.Buffer]()
	raw, okRaw := conn.FieldByName("rawInput")
	hand, okHand := conn.FieldByName("hand")
	if !okRaw || !okHand || raw.Type != buffer || hand.Type != buffer {
		return at, errors.New("engine: crypto/tls of this version of Go keeps its buffers elsewhere; " +
			"build with the version in go.mod")
	}
	at.raw, at.hand = raw.Offset, hand.Offset
	return at, nil
}

// buffersOf finds the buffers of c. Whoever may read c may use them.
//
// hot: BenchmarkTLSIdle. Without it a connection keeps 33 KiB more after one record of full length.
func buffersOf(c *tls.Conn) tlsBuffers {
	return tlsBuffers{
		raw:  (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(c), tlsFields.raw)),
		hand: (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(c), tlsFields.hand)),
	}
}

// lend makes the next reads of the tls.Conn find b, which holds whole records only. It decrypts them in place.
func (t tlsBuffers) lend(b []byte) { *t.raw = *bytes.NewBuffer(b) }

// left is how many octets of what was lent are not read yet.
func (t tlsBuffers) left() int { return t.raw.Len() }

// takeBack ends the loan. What is left is lost. It fails if a handshake message is under way that is longer than any
// that may come after the handshake.
func (t tlsBuffers) takeBack() error {
	*t.raw = bytes.Buffer{}
	switch n := t.hand.Len(); {
	case n > tlsMessageBytesMax:
		return fmt.Errorf("a handshake message after the handshake has %d octets or more; at most %d are taken", n,
			tlsMessageBytesMax)
	case n == 0:
		*t.hand = bytes.Buffer{}
	}
	return nil
}
