package codec

// kindAt returns the kind of the value at b[i] and whether it is an empty container. It reads the head only. At the
// end of b it returns kindEnd.
func kindAt(s Serializer, b []byte, i int) (k kind, empty bool) {
	if i >= len(b) {
		return kindEnd, false
	}
	c := b[i]
	switch s {
	case JSON:
		switch c {
		case '[', '{':
			k = kindList
			if c == '{' {
				k = kindDict
			}
			j := skipSpace(b, i+1)
			return k, j < len(b) && b[j] == c+2
		case '"':
			return kindText, false
		case 'n':
			return kindNull, false
		case 't', 'f':
			return kindBool, false
		}
		return kindInt, false
	case MessagePack:
		return kindAtMsgpack(b, i)
	default:
		n, _, _ := cborHead(b, i)
		switch c & 0xe0 {
		case cborBytes:
			return kindBin, false
		case cborText:
			return kindText, false
		case cborList, cborDict:
			k = kindList
			if c&0xe0 == cborDict {
				k = kindDict
			}
			if c&31 == cborIndefinite {
				return k, i+1 < len(b) && b[i+1] == cborBreak
			}
			return k, n == 0
		case cborTag:
			return kindTag, false
		case cborSimple:
			switch c & 31 {
			case 20, 21:
				return kindBool, false
			case 25, 26, 27:
				return kindFloat, false
			}
			return kindNull, false
		}
		return kindInt, false
	}
}

func kindAtMsgpack(b []byte, i int) (k kind, empty bool) {
	c := b[i]
	switch {
	case c < 0x80 || c >= 0xe0:
		return kindInt, false
	case c < 0x90:
		return kindDict, c == 0x80
	case c < 0xa0:
		return kindList, c == 0x90
	case c < 0xc0:
		return kindText, false
	}
	h := &msgpackHeads[c&31]
	switch h.what {
	case msgpackIsList, msgpackIsDict:
		k = kindList
		if h.what == msgpackIsDict {
			k = kindDict
		}
		return k, int(h.octets) < len(b)-i && bigEndian(b, i+1, int(h.octets)) == 0
	}
	switch {
	case c == 0xc0:
		return kindNull, false
	case c <= 0xc3:
		return kindBool, false
	case c <= 0xc6:
		return kindBin, false
	case c >= 0xd9:
		return kindText, false
	case c == 0xca || c == 0xcb:
		return kindFloat, false
	case c >= 0xcc && c <= 0xd3:
		return kindInt, false
	}
	return kindExt, false
}
