package codec

// The limits of this package, each with its unit, the reason for it and what happens beyond it.

const (
	// MessageBytesMax is the longest message that the router sends, in octets without framing, to a receiver that
	// announces no limit of its own: 64 MiB. A message of 16 MiB can become several times as long in another
	// serializer; without a limit the sender would choose how much memory its receivers cost. Beyond it AppendFrame
	// and EndFrame build no frame.
	MessageBytesMax = 64 << 20

	// rawSocketBytesMax is the longest message that the RawSocket prefix expresses, in octets (PROTOCOL 13.3). Beyond
	// it AppendFrame and EndFrame build no frame.
	rawSocketBytesMax = 1 << 24

	// depthMax is how deep containers may nest in one message, the message's own list and CBOR tags included
	// (PROTOCOL 14.6), unless Decoder.SetDepthMax says otherwise. Readers of other implementations recurse, so depth
	// costs them stack. Beyond it the message is a violation.
	depthMax = 64

	// DepthMaxMost is the most that Decoder.SetDepthMax allows; transcoding and AppendValue stop there as well.
	DepthMaxMost = 512

	// ListEntriesMax is how many entries the lists of a PUBLISH that choose receivers (exclude, eligible, by session,
	// authid and authrole) may have together; Options.ListEntries counts them. A message of 16 MiB has room for eight
	// million, and the broker sorts them. Beyond it the broker answers wamp.error.option_not_allowed.
	ListEntriesMax = 65536

	// scratchBytesMax is how much scratch, in octets, a Decoder or a transcoder keeps from one message to the next.
	// Scratch beyond it is left to the garbage collector.
	scratchBytesMax = 64 << 10

	// countsMax is the same for the number of containers that a transcoder counts.
	countsMax = 8 << 10

	// The work of transcoding is measured in tokens, about 0.1 us each. Beside a token for every value,
	// 2^octetsPerTokenShift octets are a token; an integer beyond 64 bits, or a decimal of more than longDigits
	// octets, is longTokens more, and one for each 2^longDigitsShift of its octets.
	octetsPerTokenShift = 7
	longDigits          = 19
	longTokens          = 8
	longDigitsShift     = 2

	// bignumBytesMax is the size in octets of the largest integer that is converted between the bases 2 and 10, which
	// costs more than linear time, and bignumDigitsMax the number of decimal digits that make as many. Beyond them a
	// CBOR bignum becomes a byte string, a JSON number text.
	bignumBytesMax  = 1024
	bignumDigitsMax = 2466
)
