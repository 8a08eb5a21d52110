package codec

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
)

// Messages in frames of permessage-deflate (RFC 7692). Nothing of one message is used for the next, so that many
// receivers share the octets of one frame, and a connection keeps no state.

// DeflateWindowBits is the window that a receiver needs, as RFC 7692 counts it: 4 KiB. Some clients have no larger
// one.
const DeflateWindowBits = 12

// deflateChunk is how much is compressed at a time, in octets. Nothing refers to an earlier chunk, so no distance is
// longer than the window. 64 KiB of JSON take 130 us like this, and become 0.22 of their length; an encoder with a
// window takes 310 us for 0.18.
const deflateChunk = 1 << DeflateWindowBits

// deflateTail is what ends a chunk, and is left out at the end of a message (RFC 7692 7.2.1).
const deflateTail = "\x00\x00\xff\xff"

// A deflater compresses into buf.
type deflater struct {
	w   *flate.Writer
	buf []byte
}

// Write implements io.Writer.
func (d *deflater) Write(b []byte) (int, error) {
	d.buf = append(d.buf, b...)
	return len(b), nil
}

// deflaters have tables of some 100 KiB each; there are as many as goroutines that compress at once.
var deflaters = sync.Pool{New: func() any {
	d := new(deflater)
	d.w, _ = flate.NewWriter(d, flate.BestSpeed) // fails for unknown levels only
	return d
}}

// AppendDeflated appends msg as RFC 7692 compresses it: blocks of DEFLATE without the tail. The result may be longer
// than msg. Any goroutine.
func AppendDeflated(dst, msg []byte) []byte {
	d := deflaters.Get().(*deflater)
	d.buf = dst
	for {
		n := min(len(msg), deflateChunk)
		d.w.Reset(d)
		_, _ = d.w.Write(msg[:n]) // d takes everything
		_ = d.w.Flush()
		if msg = msg[n:]; len(msg) == 0 {
			break
		}
	}
	dst, d.buf = d.buf, nil
	deflaters.Put(d)
	return dst[:len(dst)-len(deflateTail)]
}

// Deflates reports whether frames of v may be compressed.
func (v Variant) Deflates() bool { return variants[v].deflates }

// Deflating returns the variant of v's serializer and framing whose frames may be compressed. RawSocket has none:
// then it returns v.
func (v Variant) Deflating() Variant {
	for _, w := range VariantsOf(v.Serializer()) {
		if w.Framing() == v.Framing() && w.Deflates() {
			return w
		}
	}
	return v
}

// storedHead is the header of a block that is not compressed; the length, its complement and the octets follow.
const storedHead = 0x00

// AppendDeflatedFrame appends a compressed frame of v, which Deflates. z is what AppendDeflated returned for the
// message, and n the length of the message. What batching adds to the message goes into the frame as it is, so all
// variants share z.
func AppendDeflatedFrame(dst []byte, v Variant, z []byte, n int) []byte {
	var before, behind []byte
	var room [2*len(deflateTail) + 8]byte
	switch l, end := v.batchOverhead(); {
	case l > 0:
		before = append(room[:0], storedHead, 4, 0, 0xFF-4, 0xFF, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	case end > 0:
		behind = append(append(room[:0], deflateTail...), storedHead, 1, 0, 0xFF-1, 0xFF)
		// What completes the block of the terminator to an empty one behind it, without the tail.
		behind = append(v.appendTerminator(behind), 0)
	}
	payload := len(before) + len(z) + len(behind)
	first := byte(websocketBinary)
	if v.Serializer() == JSON {
		first = websocketText
	}
	dst = append(dst, first|websocketRSV1)
	switch {
	case payload < 126:
		dst = append(dst, byte(payload))
	case payload < 1<<16:
		dst = append(dst, 126, byte(payload>>8), byte(payload))
	default:
		dst = append(dst, 127, 0, 0, 0, 0, byte(payload>>24), byte(payload>>16), byte(payload>>8), byte(payload))
	}
	return append(append(append(dst, before...), z...), behind...)
}

const websocketRSV1 = 0x40 // the bit of a compressed message

// Errors of Inflate.
var (
	ErrInflateTooLong = errors.New("codec: the message is longer than it may be")
	ErrInflate        = errors.New("codec: malformed compressed message")
)

// An inflater reads one compressed message.
type inflater struct {
	r      io.ReadCloser
	src    bytes.Reader
	chunks [][]byte // of the message, and its end
	next   int      // of chunks
	rest   []byte   // of the last chunk, not in src yet
	pause  func() (goOn bool)
	probe  [1]byte
}

// inflateEnd follows a message: its tail, and an empty last block, so that the end is no unexpected one.
var inflateEnd = []byte(deflateTail + "\x01\x00\x00\xff\xff")

// ReadByte implements io.ByteReader, so that flate reads no octet more than it needs.
func (f *inflater) ReadByte() (byte, error) {
	for {
		b, err := f.src.ReadByte()
		if err == nil || !f.advance() {
			return b, err
		}
	}
}

// Read implements io.Reader.
func (f *inflater) Read(b []byte) (int, error) {
	for {
		n, err := f.src.Read(b)
		if err == nil || !f.advance() {
			return n, err
		}
	}
}

// inflateStep is how many octets are read between two pauses. They take some 2 ms at most: DEFLATE can be made of
// blocks that hold nothing.
const inflateStep = 16 << 10

// advance goes on with the next octets, if there are some.
func (f *inflater) advance() bool {
	if len(f.rest) == 0 {
		if f.next == len(f.chunks) {
			return false
		}
		f.rest = f.chunks[f.next]
		f.next++
	}
	if f.pause != nil && !f.pause() {
		return false
	}
	n := min(len(f.rest), inflateStep)
	f.src.Reset(f.rest[:n])
	f.rest = f.rest[n:]
	return true
}

// ended reports whether all octets were read.
func (f *inflater) ended() bool {
	return f.src.Len() == 0 && len(f.rest) == 0 && f.next == len(f.chunks)
}

// inflaters have a window and tables of some 50 KiB each; there are as many as goroutines that inflate at once.
var inflaters = sync.Pool{New: func() any {
	f := new(inflater)
	f.r = flate.NewReader(f)
	return f
}}

// Inflate appends to dst what a compressed message holds, which is given in chunks. If dst would have more than
// bytesMax octets the error is ErrInflateTooLong; if the message is malformed it is ErrInflate. In both cases dst has
// what was inflated until then. room makes room: it returns a slice with the octets of b and a larger capacity. It
// may be nil if dst has the capacity of bytesMax. pause, unless it is nil, is called every few milliseconds; if it
// returns false the rest is left, and the error is ErrInflate. Any goroutine.
func Inflate(dst []byte, chunks [][]byte, bytesMax int, room func(b []byte) []byte, pause func() (goOn bool),
) ([]byte, error) {
	f := inflaters.Get().(*inflater)
	f.chunks, f.next = append(append(f.chunks, chunks...), inflateEnd), 0
	f.rest, f.pause = nil, pause
	f.src.Reset(nil)
	dst, err := f.inflate(dst, bytesMax, room)
	clear(f.chunks)
	f.chunks = f.chunks[:0]
	f.rest, f.pause = nil, nil
	f.src.Reset(nil)
	inflaters.Put(f)
	return dst, err
}

func (f *inflater) inflate(dst []byte, bytesMax int, room func(b []byte) []byte) ([]byte, error) {
	dst, err := f.stream(dst, bytesMax, room)
	if err != nil || f.ended() {
		return dst, err
	}
	// The message ended with a last block of DEFLATE. RFC 7692 7.2.3.4 wants an empty block behind it and nothing
	// else: every further stream would cost more than its octets.
	n := len(dst)
	if dst, err = f.stream(dst, n, room); err != nil || !f.ended() {
		return dst[:n], ErrInflate
	}
	return dst, nil
}

// stream inflates up to the end of a last block.
func (f *inflater) stream(dst []byte, bytesMax int, room func(b []byte) []byte) ([]byte, error) {
	_ = f.r.(flate.Resetter).Reset(f, nil) // never fails
	for {
		free := f.probe[:]
		if len(dst) < bytesMax {
			if len(dst) == cap(dst) {
				dst = room(dst)
			}
			free = dst[len(dst):min(cap(dst), bytesMax)]
		}
		n, err := f.r.Read(free)
		switch {
		case n > 0 && len(dst) == bytesMax:
			return dst, ErrInflateTooLong
		case err == nil || err == io.EOF:
			if dst = dst[:len(dst)+n]; err == io.EOF {
				return dst, nil
			}
			if f.pause != nil && !f.pause() {
				return dst, ErrInflate
			}
		default:
			return dst[:len(dst)+n], ErrInflate
		}
	}
}
