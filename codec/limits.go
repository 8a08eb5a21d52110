package codec

// The limits of this package, each with its unit, the reason for it and what happens beyond it.

const (
	// MessageBytesMax is the longest message that the router sends, in octets without framing, to a receiver that announces no limit of
	// its own: 64 MiB. A message of at most 16 MiB can become several times as long in another serializer; without a bound a stranger
	// would choose how much a receiver gets. Beyond it AppendFrame and EndFrame refuse to build the frame.
	MessageBytesMax = 64 << 20

	// rawSocketBytesMax is the longest message that the RawSocket prefix expresses, in octets (PROTOCOL 13.3). Beyond it AppendFrame and
	// EndFrame refuse to build the frame.
	rawSocketBytesMax = 1 << 24
)
