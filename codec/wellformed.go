package codec

// The reasons why a value is malformed. They are constants, so that a refusal on the hot path costs nothing.
const (
	whyShort    = "the value ends early"
	whyDeep     = "containers nest too deeply"
	whyReserved = "reserved head octet"
	whyCount    = "a container announces more items than there are octets"
)

// nesting is scratch for skip: the number of items that are left in each open container. Its length is how deep
// containers may nest. It needs no clearing.
type nesting []uint64

// skip returns the end of the value at b[i], which lies inside depth open containers. If the value is malformed, why
// is the reason, otherwise "". In JSON, b[i] must not be white space. skip neither recurses nor allocates.
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
