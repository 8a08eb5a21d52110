package codec

// What makes a value malformed. Constants, so that a refusal on the hot path costs nothing.
const (
	whyShort    = "the value ends early"
	whyDeep     = "containers nest too deeply"
	whyReserved = "reserved head octet"
	whyCount    = "a container announces more items than there are octets"
)

// nesting is scratch for skipping: what is left in each open container. Its length is how deep containers may nest. It needs no clearing;
// its owner lends it.
type nesting []uint64

// skip returns the end of the value that begins at b[i] inside depth open containers, and why it is malformed, "" if it is not. In
// JSON, b[i] is the first octet of the value, not white space. It neither recurses nor allocates.
func skip(s Serializer, b []byte, i, depth int, st nesting) (end int, why string) {
	switch s {
	case JSON:
		return skipJSON(b, i, depth, st)
	case MessagePack:
		return skipMsgpack(b, i, depth, st)
	default:
		return skipCBOR(b, i, depth, st)
	}
}
