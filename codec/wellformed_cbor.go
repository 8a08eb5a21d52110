package codec

// Major types of CBOR (RFC 8949 3.1), as the upper three bits of a head.
const (
	cborUint   = 0 << 5
	cborNegint = 1 << 5
	cborBytes  = 2 << 5
	cborText   = 3 << 5
	cborList   = 4 << 5
	cborDict   = 5 << 5
	cborTag    = 6 << 5
	cborSimple = 7 << 5

	cborNull      = cborSimple | 22
	cborUndefined = cborSimple | 23

	cborIndefinite = 31
	cborBreak      = cborSimple | cborIndefinite
)

const (
	whyCBORBreak  = "a break outside of an indefinite container"
	whyCBORChunk  = "an indefinite string holds something else than strings of its kind"
	whyCBOROdd    = "an indefinite map ends after a key"
	whyCBORSimple = "a simple value below 32 in two octets"
)

// The count of an open indefinite container starts at cborOpenDict or cborOpenList and goes down. In a map its parity
// tells keys from values.
const (
	cborOpen     = 1 << 62 // with at least this much left a container is indefinite
	cborOpenHalf = 2 << 62 // below it is a map, from it on a list
	cborOpenDict = cborOpenHalf - 2
	cborOpenList = 3 << 62
)

// cborHead reads the head at b[i]. It returns the argument, 0 for an indefinite head, the bits of a float, and the
// index behind the head.
func cborHead(b []byte, i int) (arg uint64, end int, why string) {
	if uint(i) >= uint(len(b)) {
		return 0, i, whyShort
	}
	c := b[i] & 31
	i++
	switch {
	case c < 24:
		return uint64(c), i, ""
	case c < 28:
		n := 1 << (c - 24)
		if n > len(b)-i {
			return 0, i, whyShort
		}
		return bigEndian(b, i, n), i + n, ""
	case c == cborIndefinite:
		return 0, i, ""
	}
	return 0, i, whyReserved
}

// skipCBOR is skip for CBOR. It checks lengths, reserved heads, breaks and chunks, but not the UTF-8 in strings. A
// tag counts as a level of nesting around its content.
func skipCBOR(b []byte, i, depth int, st nesting) (end int, why string) {
	left, open := uint64(1), 0
	for {
		if uint(i) >= uint(len(b)) {
			return i, whyShort
		}
		c := b[i]
		if c == cborBreak {
			if left < cborOpen {
				return i, whyCBORBreak
			}
			if left < cborOpenHalf && left&1 != 0 {
				return i, whyCBOROdd
			}
			i++
			left = 0
		} else {
			left--
			var n uint64
			if n, i, why = cborHead(b, i); why != "" {
				return i, why
			}
			major, indefinite := c&0xe0, c&31 == cborIndefinite
			switch major {
			case cborUint, cborNegint:
				if indefinite {
					return i, whyReserved
				}
			case cborBytes, cborText:
				if indefinite {
					if i, why = skipChunks(b, i, major); why != "" {
						return i, why
					}
					break
				}
				if n > uint64(len(b)-i) {
					return i, whyShort
				}
				i += int(n)
			case cborSimple:
				if c == cborSimple|24 && n < 32 {
					return i, whyCBORSimple
				}
			default:
				if depth+open >= len(st) {
					return i, whyDeep
				}
				switch {
				case major == cborTag:
					if indefinite {
						return i, whyReserved
					}
					n = 1
				case indefinite && major == cborDict:
					n = cborOpenDict
				case indefinite:
					n = cborOpenList
				case n > uint64(len(b)-i):
					return i, whyCount
				case major == cborDict:
					n *= 2
				}
				if n > 0 {
					st[open] = left
					open++
					left = n
				}
			}
		}
		for left == 0 {
			if open == 0 {
				return i, ""
			}
			open--
			left = st[open]
		}
	}
}

// skipChunks returns the end of an indefinite string of the given major type. Its first chunk begins at b[i].
func skipChunks(b []byte, i int, major byte) (end int, why string) {
	for {
		if i >= len(b) {
			return i, whyShort
		}
		c := b[i]
		if c == cborBreak {
			return i + 1, ""
		}
		if c&0xe0 != major || c&31 == cborIndefinite {
			return i, whyCBORChunk
		}
		var n uint64
		if n, i, why = cborHead(b, i); why != "" {
			return i, why
		}
		if n > uint64(len(b)-i) {
			return i, whyShort
		}
		i += int(n)
	}
}
