package codec

// arguments reads the payload tail's first element, Arguments, at the cursor (PROTOCOL 1.1, 12.2). empty says that it is an
// empty list, which counts as absent unless ArgumentsKw follow.
func (r *input) arguments(s Serializer, e int, m *Message, transparent bool) (empty, ok bool) {
	start := r.i
	k, empty := kindAt(s, r.b, start)
	end, why := skip(s, r.b, start, 1, &r.st)
	switch {
	case why != "":
		return false, r.fail(e, why)
	case k == kindNull:
		empty = false
	case k == kindList:
		if !empty && transparent && m.Options.Has(KeyEncAlgo) {
			return false, r.fail(e, whyAlgoList)
		}
		m.Payload.Args = r.b[start:end:end]
	case transparent && (k == kindBin || k == kindText):
		if !m.Options.Has(KeyEncAlgo) {
			return false, r.fail(e, whyNoAlgo)
		}
		m.Payload.Args = r.b[start:end:end]
		m.Payload.Transparent = true
	default:
		return false, r.expected(e, wantedList)
	}
	r.i = end
	return empty, true
}

// argumentsKw reads the last element of the payload tail, at the cursor.
func (r *input) argumentsKw(s Serializer, e int, m *Message) bool {
	start := r.i
	k, empty := kindAt(s, r.b, start)
	end, why := skip(s, r.b, start, 1, &r.st)
	switch {
	case why != "":
		return r.fail(e, why)
	case k == kindNull:
	case k != kindDict:
		return r.expected(e, wantedDict)
	case m.Payload.Transparent:
		return r.fail(e, whyAfterTransparent)
	case !empty && m.Options.Has(KeyEncAlgo):
		return r.fail(e, whyAlgoList)
	case !empty:
		m.Payload.Kwargs = r.b[start:end:end]
	}
	r.i = end
	return true
}
