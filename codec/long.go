package codec

// Long values are copied, and long buffers grow, in steps. The runtime cannot interrupt a goroutine within one copy,
// and while it waits for that to end a collection, it lets all who allocate wait too: a copy of 16 MiB
// into new memory takes 5 to 40 ms.

const (
	// stepBytes is how many octets are copied in one step, and from which length on a buffer grows in steps.
	stepBytes = 256 << 10
	// growRoom is more than what any value but text and binary needs.
	growRoom = 64
)

// appendLong is append, in steps if s is long.
func appendLong[T string | []byte](dst []byte, s T) []byte {
	if len(s) <= stepBytes {
		return append(dst, s...)
	}
	dst = growLong(dst, len(s))
	for len(s) > 0 {
		n := min(len(s), stepBytes)
		dst = append(dst, s[:n]...)
		s = s[n:]
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
	}
	return longer
}
