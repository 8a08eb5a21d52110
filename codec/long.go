package codec

import "runtime"

// Long values are copied, and long buffers grow, in steps; others may run between two of them. The runtime cannot
// interrupt a goroutine within one copy, nor, in practice, in a loop of nothing but copies. While it waits for the
// end, to begin a collection, it lets all who allocate wait, too: 16 MiB into new memory take 5 to 40 ms.

const (
	// stepBytes is how many octets are copied in one step, and from which length on a buffer grows in steps.
	stepBytes = 256 << 10
	// growRoom is more than what any value but text and binary needs.
	growRoom = 64
)

// appendLong is append, in steps if s is long.
//
// hot: inlined as far as here; without that bench rpc costs 2 % more.
func appendLong[T string | []byte](dst []byte, s T) []byte {
	if len(s) <= stepBytes {
		return append(dst, s...)
	}
	return appendSteps(dst, s)
}

func appendSteps[T string | []byte](dst []byte, s T) []byte {
	dst = growLong(dst, len(s))
	for len(s) > 0 {
		n := min(len(s), stepBytes)
		dst = append(dst, s[:n]...)
		s = s[n:]
		runtime.Gosched()
	}
	return dst
}

// isTight reports whether dst is long and about to grow: then growLong comes before append would do it.
func isTight(dst []byte) bool { return len(dst) > stepBytes && cap(dst)-len(dst) < growRoom }

// growLong returns dst with room for n more octets.
func growLong(dst []byte, n int) []byte {
	if cap(dst)-len(dst) >= n {
		return dst
	}
	longer := make([]byte, len(dst), max(len(dst)+n, len(dst)+len(dst)/2)) // cleared in steps, if it has to be
	for i := 0; i < len(dst); i += stepBytes {
		copy(longer[i:], dst[i:min(i+stepBytes, len(dst))])
		runtime.Gosched()
	}
	return longer
}
