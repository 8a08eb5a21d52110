package codec

// DRAFT of the exported surface, agreed between the packages. The codec work replaces this file: every name, signature and promise
// below must exist in the end, in files named after their subject.

// A Key names a known key of an options or details dictionary.
type Key uint8

// Known keys. (The codec completes the list from PROTOCOL 1.5; names follow the key.)
const (
	KeyAcknowledge Key = iota
	KeyExcludeMe
	KeyDiscloseMe
	KeyProgress
	KeyReceiveProgress
	KeyForceReregister
)

// Options are the known keys of one dictionary, checked against their types (PROTOCOL 1.5): null counts as absent, unknown keys are
// skipped, the last of duplicate keys wins. The zero value is the empty dictionary.
type Options struct {
	Match       Match
	Invoke      Invoke
	Mode        CancelMode
	Timeout     uint64 // ms
	Concurrency uint64
	_           [8]byte
}

// Has reports whether k was present and not null.
func (o *Options) Has(k Key) bool { panic("draft") }

// Bool returns the value of the boolean k, or def when it is absent.
func (o *Options) Bool(k Key, def bool) bool { panic("draft") }

// Raw returns the encoded value of k, or nil.
func (o *Options) Raw(k Key) []byte { panic("draft") }

// A Decoder decodes messages. It belongs to one goroutine or loop and is reused; decoding allocates nothing (scratch aside).
type Decoder struct{ _ int }

// Decode reads one whole message from b into m, which is overwritten. It checks structure, element counts, types, ids, known option
// keys, depth and payload well-formedness (PROTOCOL 1.3, 1.5, 14.3, 14.6), for messages of both directions. The error is a
// *Violation.
func (d *Decoder) Decode(s Serializer, b []byte, m *Message) error { panic("draft") }

// Details are the details of an EVENT, INVOCATION or RESULT that the router writes. Zero fields are left out.
type Details struct {
	Topic           []byte // EVENT
	Procedure       []byte // INVOCATION
	Progress        bool   // RESULT, INVOCATION
	ReceiveProgress bool   // INVOCATION
	Retained        bool
	Timeout         uint64
	Publisher       *Identity // EVENT: publisher*, INVOCATION: caller*
	// Forward gives the options whose forwarded keys (ppt_*, enc_*, transaction_hash) are copied, in any serializer. May be nil.
	Forward *Options
}

// An Identity is a disclosed publisher or caller.
type Identity struct {
	Session  uint64
	AuthID   string
	AuthRole string
}

// WelcomeDetails are WELCOME.Details (PROTOCOL 4.3).
type WelcomeDetails struct {
	Realm, AuthID, AuthRole, AuthMethod, AuthProvider, Agent string
	Broker, Dealer                                           []string // feature names, announced as true
}

// HelloDetails are HELLO.Details as the router reads them; cold, may allocate.
type HelloDetails struct {
	Agent       string
	AuthID      string // "" when absent or empty
	AuthRole    string
	AuthMethods []string
	AuthExtra   []byte // raw dict in MessagePack, nil if absent
	// Roles maps each announced role name to the features that are boolean true; spelling variants are normalized (PROTOCOL 4.2).
	Roles map[string][]string
}

// ParseHello reads the details of a decoded HELLO. Wrong types are a *Violation.
func ParseHello(m *Message) (*HelloDetails, error) { panic("draft") }

// Append encodes any of the 25 messages from its fields; Dict (raw, in m.Format; nil is {}) and the payload are transcoded when m.Format
// (Payload.Format) differs from s. Clients and tests use it; the router's hot path uses the functions below. On error dst is
// returned unchanged in length.
func Append(dst []byte, s Serializer, m *Message) ([]byte, error) { panic("draft") }

// The router's encoders. They append one message and allocate nothing but growth of dst.

func AppendWelcome(dst []byte, s Serializer, session uint64, d *WelcomeDetails) []byte {
	panic("draft")
}
func AppendAbort(dst []byte, s Serializer, reason, message string) []byte    { panic("draft") }
func AppendGoodbye(dst []byte, s Serializer, reason, message string) []byte  { panic("draft") }
func AppendPublished(dst []byte, s Serializer, request, publication uint64) []byte {
	panic("draft")
}
func AppendSubscribed(dst []byte, s Serializer, request, subscription uint64) []byte {
	panic("draft")
}
func AppendUnsubscribed(dst []byte, s Serializer, request uint64) []byte { panic("draft") }
func AppendRegistered(dst []byte, s Serializer, request, registration uint64) []byte {
	panic("draft")
}
func AppendUnregistered(dst []byte, s Serializer, request uint64) []byte { panic("draft") }
func AppendInterrupt(dst []byte, s Serializer, request uint64, mode CancelMode) []byte {
	panic("draft")
}

// AppendEvent, AppendInvocation, AppendResult fail only when the payload cannot be transcoded; dst then comes back unchanged in length.
func AppendEvent(dst []byte, s Serializer, subscription, publication uint64, d *Details, p *Payload) ([]byte, error) {
	panic("draft")
}
func AppendInvocation(dst []byte, s Serializer, request, registration uint64, d *Details, p *Payload) ([]byte, error) {
	panic("draft")
}
func AppendResult(dst []byte, s Serializer, request uint64, d *Details, p *Payload) ([]byte, error) {
	panic("draft")
}

// AppendError encodes ERROR. details is a raw dictionary in p.Format (nil is {}); p may be nil.
func AppendError(dst []byte, s Serializer, requestType Type, request uint64, details []byte, uri []byte, p *Payload) ([]byte, error) {
	panic("draft")
}

// AppendRefusal encodes ERROR with empty details and, when message is not "", Arguments [message]. It cannot fail.
func AppendRefusal(dst []byte, s Serializer, requestType Type, request uint64, uri, message string) []byte {
	panic("draft")
}

// AppendValue encodes a Go value (nil, bool, ints, uints, floats, string, []byte, []any, map[string]any). Cold paths only.
func AppendValue(dst []byte, s Serializer, v any) ([]byte, error) { panic("draft") }

// Value decodes one encoded value into the same Go types (integers int64, or uint64 above its range). Cold paths only.
func Value(s Serializer, raw []byte) (any, error) { panic("draft") }

// Transcode appends the one value in src, which must be well-formed in from, to dst in the encoding to (PROTOCOL 14.4).
func Transcode(dst, src []byte, from, to Serializer) ([]byte, error) { panic("draft") }

// ValidURI checks u against PROTOCOL 3.1: the form depends on match (exact: no empty component; prefix: the last may be empty;
// wildcard: any may be empty). It does not check the length.
func ValidURI(u []byte, match Match, strict bool) bool { panic("draft") }

// ReservedURI reports whether u's first component is exactly "wamp" (PROTOCOL 3.3).
func ReservedURI(u []byte) bool { panic("draft") }

// ID maps 64 random bits to the global id range [1, 2^53] (PROTOCOL 2).
func ID(random uint64) uint64 { panic("draft") }

// MaxID is 2^53.
const MaxID = 1 << 53

// A Framing is how a transport wraps one message on its way out.
type Framing uint8

// Framings.
const (
	WebSocket         Framing = iota // one unmasked, unfragmented frame; text for JSON, binary otherwise
	WebSocketBatch                   // the same around one batch entry: JSON + 0x1E, or 32-bit length + message
	WebSocketBatchOld                // as WebSocketBatch, but JSON ends in 0x18 (PROTOCOL 13.2)
	RawSocket                        // 4-octet prefix
	numFramings
)

// A Variant is a serializer and a framing: what a connection wants its bytes to look like. It indexes arrays of NumVariants.
type Variant uint8

// NumVariants is the number of Variants.
const NumVariants = 3 * int(numFramings)

// MakeVariant combines s and f.
func MakeVariant(s Serializer, f Framing) Variant { return Variant(uint8(s-1) + 3*uint8(f)) }

// Serializer returns v's serializer.
func (v Variant) Serializer() Serializer { return Serializer(v%3) + 1 }

// Framing returns v's framing.
func (v Variant) Framing() Framing { return Framing(v / 3) }

// AppendFrame appends msg wrapped for v.
func AppendFrame(dst []byte, v Variant, msg []byte) []byte { panic("draft") }

// BeginFrame makes room for the header of a message of about estimate bytes that the caller appends next; EndFrame writes the header, moving
// the message if the estimate chose another header length. start is len(dst) before BeginFrame.
func BeginFrame(dst []byte, v Variant, estimate int) []byte { panic("draft") }

// EndFrame completes the frame that BeginFrame began at start with the same estimate; it returns the message's length.
func EndFrame(dst []byte, v Variant, start, estimate int) (framed []byte, messageLen int) {
	panic("draft")
}

// FrameLen returns the length of the first whole frame of v in b, and of the message in it.
func FrameLen(v Variant, b []byte) (frame, message int) { panic("draft") }

// Predefined URIs (PROTOCOL 5). The codec completes the list; names follow the URI.
const (
	ErrInvalidURI             = "wamp.error.invalid_uri"
	ErrNoSuchProcedure        = "wamp.error.no_such_procedure"
	ErrProcedureAlreadyExists = "wamp.error.procedure_already_exists"
	ErrNoSuchRegistration     = "wamp.error.no_such_registration"
	ErrNoSuchSubscription     = "wamp.error.no_such_subscription"
	ErrInvalidArgument        = "wamp.error.invalid_argument"
	ErrCanceled               = "wamp.error.canceled"
	ErrPayloadSizeExceeded    = "wamp.error.payload_size_exceeded"
	ErrProtocolViolation      = "wamp.error.protocol_violation"
	ErrNoSuchRealm            = "wamp.error.no_such_realm"
	ErrNoSuchRole             = "wamp.error.no_such_role"
	ErrNoMatchingAuthMethod   = "wamp.error.no_matching_auth_method"
	ErrAuthenticationRequired = "wamp.error.authentication_required"
	ErrOptionNotAllowed       = "wamp.error.option_not_allowed"
	ErrNetworkFailure         = "wamp.error.network_failure"
	ErrFeatureNotSupported    = "wamp.error.feature_not_supported"
	ErrUnavailable            = "wamp.error.unavailable"
	CloseGoodbyeAndOut        = "wamp.close.goodbye_and_out"
	CloseSystemShutdown       = "wamp.close.system_shutdown"
	CloseCloseRealm           = "wamp.close.close_realm"
	CloseKilled               = "wamp.close.killed"
)
