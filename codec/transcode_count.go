package codec

// countJSON fills counts with the items, or pairs, of every container in src.
//
// hot: BenchmarkTranscode/from=json/to=msgpack. It reads only brackets, commas and quotes: 0.79 us, and 1.12 us
// through tokens.
func (t *transcoder) countJSON(src []byte) error {
	t.counts = t.counts[:0]
	open := &t.open // indexes in counts of the open containers
	depth := 0
	filled := false // the innermost open container has an item that no comma has counted
	for i := 0; i < len(src); i++ {
		switch src[i] {
		case '"':
			i, _ = skipJSONString(src, i)
			i--
			filled = true
		case '[', '{':
			if depth == DepthMaxMost {
				return errDepth
			}
			open[depth] = len(t.counts)
			t.counts = append(t.counts, 0)
			depth++
			filled = false
		case ']', '}':
			depth--
			if filled {
				t.counts[open[depth]]++
			}
			filled = true
		case ',':
			t.counts[open[depth-1]]++
		case ' ', '\t', '\r', '\n', ':':
		default:
			filled = true
		}
	}
	return nil
}

// countCBOR fills counts with the items of every indefinite container in src.
func (t *transcoder) countCBOR(src []byte) error {
	t.counts = t.counts[:0]
	x := lexer{s: CBOR, b: src, scratch: t.lex.scratch}
	levels := &t.counting
	depth := 0
	for {
		var tok token
		x.next(&tok)
		switch {
		case tok.kind == kindTag:
			continue
		case tok.kind == kindEnd && depth > 0:
			depth--
			if levels[depth].dict {
				t.counts[levels[depth].index] /= 2
			}
		default:
			if depth > 0 {
				l := &levels[depth-1]
				l.left--
				if l.until {
					t.counts[l.index]++
				}
			}
			if tok.kind == kindList || tok.kind == kindDict {
				if depth == DepthMaxMost {
					return errDepth
				}
				levels[depth] = levelOf(&tok)
				if tok.open {
					levels[depth].index = len(t.counts)
					t.counts = append(t.counts, 0)
				}
				depth++
			}
		}
		for depth > 0 && !levels[depth-1].until && levels[depth-1].left == 0 {
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}
