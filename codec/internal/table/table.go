// Package table is the one place that says what each WAMP message holds and what each known option key means
// (PROTOCOL 1.2, 1.3, 1.5). The generator beside it turns the table into the decoders, the encoders' heads and the
// key lookup of package codec.
package table

// A Kind is the type of one element of a message and the field of codec.Message that receives it.
type Kind uint8

// Element kinds.
const (
	Request       Kind = iota + 1 // id → Message.Request
	RequestOrZero                 // id → Message.Request; 0 announces a Revocation element
	ID                            // id → Message.ID
	Publication                   // id → Message.Publication
	RequestType                   // type code → Message.RequestType
	Text                          // text → Message.URI
	Realm                         // text or null → Message.URI
	Dict                          // dictionary → Message.Dict and Message.Options
	LooseDict                     // the same, may be missing or null on receive; always sent
	OptionalDict                  // the same, may be missing or null
	Revocation                    // the dictionary that follows a request id of 0, and only that
)

// An Element is one position of a message after its type code.
type Element struct {
	Name string // in the protocol's words; violations repeat it
	Kind Kind
}

// Optional reports whether e may be missing.
func (e Element) Optional() bool {
	return e.Kind == LooseDict || e.Kind == OptionalDict || e.Kind == Revocation
}

// A Payload says whether a message ends in the optional payload at the end (PROTOCOL 1.1).
type Payload uint8

// Forms of the payload at the end.
const (
	None        Payload = iota
	Plain               // Arguments and ArgumentsKw
	Transparent         // the same, or the single element of PROTOCOL 12.2
)

// A Sender says which side of a session sends a message.
type Sender uint8

// Senders.
const (
	Client Sender = 1 << iota
	Router
	Both = Client | Router
)

// A Message is one row of PROTOCOL 1.2.
type Message struct {
	Go       string // the constant of codec.Type
	Name     string
	Code     int
	Elements []Element
	Payload  Payload
	Sender   Sender
	Keys     []string // the known keys of its dictionary
}

// Min is the smallest number of elements, the type code included.
func (m *Message) Min() int {
	n := 1
	for _, e := range m.Elements {
		if !e.Optional() {
			n++
		}
	}
	return n
}

// Max is the largest number of elements, the type code included.
func (m *Message) Max() int {
	n := 1 + len(m.Elements)
	if m.Payload != None {
		n += 2
	}
	return n
}

var (
	passthru = []string{
		"ppt_scheme", "ppt_serializer", "ppt_cipher", "ppt_keyid", "enc_algo", "enc_key", "enc_serializer",
		"transaction_hash", "forward_for",
	}
	identity = []string{"agent", "authid", "authrole", "authextra", "roles"}
)

func keys(groups ...[]string) (all []string) {
	for _, g := range groups {
		all = append(all, g...)
	}
	return all
}

// Messages are all messages of the basic and advanced profile, in order of their codes.
var Messages = []Message{
	{
		Go: "Hello", Name: "HELLO", Code: 1, Sender: Client,
		Elements: []Element{{"Realm", Realm}, {"Details", Dict}},
		Keys:     keys(identity, []string{"authmethods"}),
	},
	{
		Go: "Welcome", Name: "WELCOME", Code: 2, Sender: Router,
		Elements: []Element{{"Session", Request}, {"Details", Dict}},
		Keys:     keys(identity, []string{"realm", "authmethod", "authprovider"}),
	},
	{
		Go: "Abort", Name: "ABORT", Code: 3, Sender: Both, Payload: Plain,
		Elements: []Element{{"Details", Dict}, {"Reason", Text}},
	},
	{
		Go: "Challenge", Name: "CHALLENGE", Code: 4, Sender: Router,
		Elements: []Element{{"AuthMethod", Text}, {"Extra", Dict}},
	},
	{
		Go: "Authenticate", Name: "AUTHENTICATE", Code: 5, Sender: Client,
		Elements: []Element{{"Signature", Text}, {"Extra", LooseDict}},
	},
	{
		Go: "Goodbye", Name: "GOODBYE", Code: 6, Sender: Both,
		Elements: []Element{{"Details", Dict}, {"Reason", Text}},
	},
	{
		Go: "Error", Name: "ERROR", Code: 8, Sender: Both, Payload: Transparent,
		Elements: []Element{
			{"REQUEST.Type", RequestType},
			{"REQUEST.Request", Request},
			{"Details", Dict},
			{"Error", Text},
		},
		Keys: keys(passthru, []string{"callee", "callee_authid", "callee_authrole"}),
	},
	{
		Go: "Publish", Name: "PUBLISH", Code: 16, Sender: Client, Payload: Transparent,
		Elements: []Element{{"Request", Request}, {"Options", Dict}, {"Topic", Text}},
		Keys: keys([]string{
			"acknowledge", "exclude_me", "exclude", "eligible", "exclude_authid", "exclude_authrole",
			"eligible_authid", "eligible_authrole", "disclose_me", "retain", "rkey",
		}, passthru),
	},
	{
		Go: "Published", Name: "PUBLISHED", Code: 17, Sender: Router,
		Elements: []Element{{"PUBLISH.Request", Request}, {"Publication", ID}},
	},
	{
		Go: "Subscribe", Name: "SUBSCRIBE", Code: 32, Sender: Client,
		Elements: []Element{{"Request", Request}, {"Options", Dict}, {"Topic", Text}},
		Keys:     []string{"match", "get_retained", "nkey", "forward_for"},
	},
	{
		Go: "Subscribed", Name: "SUBSCRIBED", Code: 33, Sender: Router,
		Elements: []Element{{"SUBSCRIBE.Request", Request}, {"Subscription", ID}},
	},
	{
		Go: "Unsubscribe", Name: "UNSUBSCRIBE", Code: 34, Sender: Client,
		Elements: []Element{{"Request", Request}, {"Subscription", ID}, {"Options", OptionalDict}},
		Keys:     []string{"forward_for"},
	},
	{
		Go: "Unsubscribed", Name: "UNSUBSCRIBED", Code: 35, Sender: Router,
		Elements: []Element{{"UNSUBSCRIBE.Request", RequestOrZero}, {"Details", Revocation}},
		Keys:     []string{"subscription", "reason"},
	},
	{
		Go: "Event", Name: "EVENT", Code: 36, Sender: Router, Payload: Transparent,
		Elements: []Element{{"Subscription", ID}, {"Publication", Publication}, {"Details", Dict}},
		Keys: keys([]string{
			"publisher", "publisher_authid", "publisher_authrole", "topic", "trustlevel", "retained",
			"x_acknowledged_delivery", "payload_limit_exceeded",
		}, passthru),
	},
	{
		Go: "Call", Name: "CALL", Code: 48, Sender: Client, Payload: Transparent,
		Elements: []Element{{"Request", Request}, {"Options", Dict}, {"Procedure", Text}},
		Keys: keys([]string{
			"receive_progress", "progress", "timeout", "disclose_me", "rkey", "runmode",
		}, passthru),
	},
	{
		Go: "Cancel", Name: "CANCEL", Code: 49, Sender: Client,
		Elements: []Element{{"CALL.Request", Request}, {"Options", Dict}},
		Keys:     []string{"mode", "forward_for"},
	},
	{
		Go: "Result", Name: "RESULT", Code: 50, Sender: Router, Payload: Transparent,
		Elements: []Element{{"CALL.Request", Request}, {"Details", Dict}},
		Keys:     keys([]string{"progress"}, passthru),
	},
	{
		Go: "Register", Name: "REGISTER", Code: 64, Sender: Client,
		Elements: []Element{{"Request", Request}, {"Options", Dict}, {"Procedure", Text}},
		Keys: []string{
			"match", "invoke", "disclose_caller", "forward_timeout", "concurrency", "force_reregister", "nkey",
			"forward_for",
		},
	},
	{
		Go: "Registered", Name: "REGISTERED", Code: 65, Sender: Router,
		Elements: []Element{{"REGISTER.Request", Request}, {"Registration", ID}},
	},
	{
		Go: "Unregister", Name: "UNREGISTER", Code: 66, Sender: Client,
		Elements: []Element{{"Request", Request}, {"Registration", ID}, {"Options", OptionalDict}},
		Keys:     []string{"forward_for"},
	},
	{
		Go: "Unregistered", Name: "UNREGISTERED", Code: 67, Sender: Router,
		Elements: []Element{{"UNREGISTER.Request", RequestOrZero}, {"Details", Revocation}},
		Keys:     []string{"registration", "reason"},
	},
	{
		Go: "Invocation", Name: "INVOCATION", Code: 68, Sender: Router, Payload: Transparent,
		Elements: []Element{{"Request", Request}, {"Registration", ID}, {"Details", Dict}},
		Keys: keys([]string{
			"caller", "caller_authid", "caller_authrole", "procedure", "receive_progress", "progress", "timeout",
			"trustlevel",
		}, passthru),
	},
	{
		Go: "Interrupt", Name: "INTERRUPT", Code: 69, Sender: Router,
		Elements: []Element{{"INVOCATION.Request", Request}, {"Options", Dict}},
		Keys:     []string{"mode", "reason", "forward_for"},
	},
	{
		Go: "Yield", Name: "YIELD", Code: 70, Sender: Client, Payload: Transparent,
		Elements: []Element{{"INVOCATION.Request", Request}, {"Options", Dict}},
		Keys:     keys([]string{"progress"}, passthru),
	},
	{
		Go: "EventReceived", Name: "EVENT_RECEIVED", Code: 337, Sender: Client,
		Elements: []Element{{"Publication", ID}, {"Details", OptionalDict}},
	},
}

// A Key is a known key of some options or details dictionary (PROTOCOL 1.5).
type Key struct {
	Name string
	Go   string // the constant of codec.Key
	Want string // the constant of codec's check for its values
	Doc  string
}

// Keys are all known keys; a message knows those that its row lists.
var Keys = []Key{
	{"acknowledge", "KeyAcknowledge", "wantBool", "PUBLISH"},
	{"exclude_me", "KeyExcludeMe", "wantBool", "PUBLISH"},
	{"disclose_me", "KeyDiscloseMe", "wantBool", "PUBLISH, CALL"},
	{"progress", "KeyProgress", "wantBool", "CALL, YIELD, INVOCATION, RESULT"},
	{"receive_progress", "KeyReceiveProgress", "wantBool", "CALL, INVOCATION"},
	{"force_reregister", "KeyForceReregister", "wantBool", "REGISTER"},
	{"retain", "KeyRetain", "wantBool", "PUBLISH"},
	{"get_retained", "KeyGetRetained", "wantBool", "SUBSCRIBE"},
	{"disclose_caller", "KeyDiscloseCaller", "wantBool", "REGISTER"},
	{"forward_timeout", "KeyForwardTimeout", "wantBool", "REGISTER"},
	{"retained", "KeyRetained", "wantBool", "EVENT"},
	{"x_acknowledged_delivery", "KeyXAcknowledgedDelivery", "wantBool", "EVENT"},
	{"payload_limit_exceeded", "KeyPayloadLimitExceeded", "wantBool", "EVENT"},
	{"match", "KeyMatch", "wantMatch", "SUBSCRIBE, REGISTER: Options.Match"},
	{"invoke", "KeyInvoke", "wantInvoke", "REGISTER: Options.Invoke"},
	{"mode", "KeyMode", "wantMode", "CANCEL, INTERRUPT: Options.Mode"},
	{"timeout", "KeyTimeout", "wantTimeout", "CALL, INVOCATION: Options.Timeout and TimeoutFraction"},
	{"concurrency", "KeyConcurrency", "wantInteger", "REGISTER"},
	{"trustlevel", "KeyTrustlevel", "wantInteger", "EVENT, INVOCATION"},
	{"exclude", "KeyExclude", "wantIDs", "PUBLISH: list of session ids"},
	{"eligible", "KeyEligible", "wantIDs", "PUBLISH: list of session ids"},
	{"exclude_authid", "KeyExcludeAuthid", "wantTexts", "PUBLISH: list of text"},
	{"exclude_authrole", "KeyExcludeAuthrole", "wantTexts", "PUBLISH: list of text"},
	{"eligible_authid", "KeyEligibleAuthid", "wantTexts", "PUBLISH: list of text"},
	{"eligible_authrole", "KeyEligibleAuthrole", "wantTexts", "PUBLISH: list of text"},
	{"rkey", "KeyRkey", "wantText", "PUBLISH, CALL"},
	{"nkey", "KeyNkey", "wantText", "SUBSCRIBE, REGISTER"},
	{"runmode", "KeyRunmode", "wantText", "CALL"},
	{"ppt_scheme", "KeyPptScheme", "wantText", "payload-bearing messages; forwarded"},
	{"ppt_serializer", "KeyPptSerializer", "wantText", "payload-bearing messages; forwarded"},
	{"ppt_cipher", "KeyPptCipher", "wantText", "payload-bearing messages; forwarded"},
	{"ppt_keyid", "KeyPptKeyid", "wantText", "payload-bearing messages; forwarded"},
	{"enc_algo", "KeyEncAlgo", "wantAlgorithm", "payload-bearing messages; forwarded; marks a transparent payload"},
	{"enc_key", "KeyEncKey", "wantText", "payload-bearing messages; forwarded"},
	{"enc_serializer", "KeyEncSerializer", "wantSerializer", "payload-bearing messages; forwarded"},
	{"transaction_hash", "KeyTransactionHash", "wantText", "payload-bearing messages; forwarded"},
	{"forward_for", "KeyForwardFor", "wantLinks", "list of {session, authid, authrole}"},
	{"publisher", "KeyPublisher", "wantID", "EVENT"},
	{"publisher_authid", "KeyPublisherAuthid", "wantText", "EVENT"},
	{"publisher_authrole", "KeyPublisherAuthrole", "wantText", "EVENT"},
	{"topic", "KeyTopic", "wantText", "EVENT"},
	{"caller", "KeyCaller", "wantID", "INVOCATION"},
	{"caller_authid", "KeyCallerAuthid", "wantText", "INVOCATION"},
	{"caller_authrole", "KeyCallerAuthrole", "wantText", "INVOCATION"},
	{"callee", "KeyCallee", "wantID", "ERROR"},
	{"callee_authid", "KeyCalleeAuthid", "wantText", "ERROR"},
	{"callee_authrole", "KeyCalleeAuthrole", "wantText", "ERROR"},
	{"procedure", "KeyProcedure", "wantText", "INVOCATION"},
	{"reason", "KeyReason", "wantText", "INTERRUPT and revocations"},
	{"subscription", "KeySubscription", "wantID", "revocation UNSUBSCRIBED"},
	{"registration", "KeyRegistration", "wantID", "revocation UNREGISTERED"},
	{"roles", "KeyRoles", "wantDict", "HELLO, WELCOME"},
	{"agent", "KeyAgent", "wantText", "HELLO, WELCOME"},
	{"realm", "KeyRealm", "wantText", "WELCOME"},
	{"authid", "KeyAuthid", "wantText", "HELLO, WELCOME"},
	{"authrole", "KeyAuthrole", "wantText", "HELLO, WELCOME"},
	{"authmethod", "KeyAuthmethod", "wantText", "WELCOME"},
	{"authmethods", "KeyAuthmethods", "wantTexts", "HELLO: list of text"},
	{"authprovider", "KeyAuthprovider", "wantText", "WELCOME"},
	{"authextra", "KeyAuthextra", "wantDict", "HELLO, WELCOME"},
}
