package features

// A Feature is a row of the table.
type Feature struct {
	Name string
	// Announced are the names in WELCOME, each with its role: broker.publisher_exclusion. WELCOME has them if and
	// only if the feature is complete.
	Announced []string
	With      string // the option of a realm that is off and has to be on for that; "" if there is none
	IDs       string // what the checklist asks: ids and ranges of a group, PUB-07…10
	Lacks     string // what is missing yet, if the ids do not say so
	Out       string // why the router does not have it; "" if it has, or will
}

// Table is all of them.
var Table = []Feature{
	// Basic profile
	{Name: "Sessions, realms, GOODBYE, ABORT", IDs: "SES-01…52"},
	{Name: "Messages, options and ids, checked", IDs: "MSG-01…43 ID-01…16"},
	{Name: "URIs, loose and strict", IDs: "URI-01…06 URI-24…33"},
	{Name: "Publish and subscribe", IDs: "SUB-01…09 SUB-14 SUB-18…20 PUB-01…07 PUB-28 PUB-29 PUB-57 PUB-58"},
	{Name: "Remote procedure calls", IDs: "REG-01…07 REG-20 REG-25 RPC-01…22 RPC-87 RPC-88"},
	{Name: "Order of messages", IDs: "ORD-01…14"},
	{
		Name:      "Pattern-based subscriptions and registrations",
		Announced: []string{"broker.pattern_based_subscription", "dealer.pattern_based_registration"},
		IDs:       "URI-07…23 SUB-10…13 REG-26 RPC-23 RPC-24",
	},

	// Publish and subscribe
	{Name: "Publisher exclusion", Announced: []string{"broker.publisher_exclusion"}, IDs: "PUB-07…10"},
	{
		Name: "Subscriber black- and whitelisting", Announced: []string{"broker.subscriber_blackwhite_listing"},
		IDs: "PUB-11…21",
	},
	{Name: "Publisher identification", Announced: []string{"broker.publisher_identification"}, IDs: "PUB-22…27"},
	{Name: "Publication trust levels", Announced: []string{"broker.publication_trustlevels"}, IDs: "PUB-30"},
	{Name: "Event retention", Announced: []string{"broker.event_retention"}, IDs: "PUB-31…40"},
	{Name: "Event history", Announced: []string{"broker.event_history"}, IDs: "PUB-41…54"},
	{
		Name: "Sharded subscriptions", Announced: []string{"broker.sharded_subscription"},
		With: "sharding", IDs: "PUB-55 PUB-56",
	},
	{
		Name: "Subscription revocation", Announced: []string{"broker.subscription_revocation"},
		IDs: "SUB-15…17 META-40",
	},

	// Calls
	{
		Name: "Progressive call results", Announced: []string{"dealer.progressive_call_results"},
		IDs: "RPC-25…33 RPC-89",
	},
	{
		Name: "Progressive call invocations", Announced: []string{"dealer.progressive_call_invocations"},
		IDs: "RPC-34…45 RPC-72",
	},
	{Name: "Call timeouts", Announced: []string{"dealer.call_timeout"}, IDs: "RPC-46…55"},
	{
		Name: "Call canceling", Announced: []string{"dealer.call_canceling"},
		IDs: "RPC-56…71 RPC-73 RPC-90",
	},
	{Name: "Caller identification", Announced: []string{"dealer.caller_identification"}, IDs: "RPC-74…79"},
	{Name: "Call trust levels", Announced: []string{"dealer.call_trustlevels"}, IDs: "RPC-80"},
	{Name: "Shared registrations", Announced: []string{"dealer.shared_registration"}, IDs: "REG-08…19"},
	{
		Name: "Sharded registrations", Announced: []string{"dealer.sharded_registration"}, IDs: "RPC-86",
		With: "sharding",
	},
	{
		Name: "Registration revocation", Announced: []string{"dealer.registration_revocation"},
		IDs: "REG-21…23 META-41",
	},
	{Name: "Forced re-registration", IDs: "REG-24"},
	{Name: "Call rerouting", Announced: []string{"dealer.call_reroute"}, IDs: "RPC-81…85"},

	// Both
	{
		Name: "Payload passthru mode, and the older transparent payload",
		Announced: []string{
			"broker.payload_passthru_mode", "dealer.payload_passthru_mode", "broker.payload_transparency",
			"dealer.payload_transparency",
		},
		IDs: "PPT-01…15",
	},
	{
		Name:      "Session meta API",
		Announced: []string{"broker.session_meta_api", "dealer.session_meta_api"},
		IDs:       "META-01…17 META-38 META-39 META-42 META-44",
	},
	{
		Name: "Subscription meta API", Announced: []string{"broker.subscription_meta_api"},
		IDs: "META-18…28 META-35…37 META-40",
	},
	{
		Name: "Registration meta API", Announced: []string{"dealer.registration_meta_api"},
		IDs: "META-29…35 META-41",
	},
	{Name: "Session testaments", Announced: []string{"dealer.testament_meta_api"}, IDs: "TST-01…14"},
	{Name: "Reflection", IDs: "META-43", Out: "a sketch that nobody uses; the procedures do not exist"},

	// Who
	{
		Name: "Authentication: anonymous, ticket, WAMP-CRA, SCRAM, cryptosign, TLS, dynamic",
		IDs:  "AUTH-01…52",
	},
	{Name: "Authorization: roles and authorizer procedures", IDs: "AUZ-01…15"},

	// How
	{Name: "WebSocket", IDs: "TRN-01…12 TRN-50…53 TRN-56…58 TRN-61"},
	{Name: "Batched WebSocket", IDs: "TRN-13…17"},
	{Name: "RawSocket", IDs: "TRN-18…32 TRN-55 TRN-59 TRN-60"},
	{Name: "HTTP long-poll", IDs: "TRN-33…43"},
	{Name: "TLS, Unix sockets, one port for all, hostile peers", IDs: "TRN-44…49 TRN-54"},
	{
		Name: "Multiplexed transport", Out: "the specification only names it; one connection carries any number of " +
			"subscriptions and calls, and a second one is cheap",
	},
	{Name: "JSON, MessagePack, CBOR", IDs: "SER-01…23 SER-25…28"},
	{
		Name: "UBJSON", IDs: "SER-24", Out: "hardly a client offers it, and CBOR does the same; the subprotocol is " +
			"refused",
	},
	{
		Name: "FlatBuffers", IDs: "SER-24", Out: "experimental in one client, and its schemas do not cover every " +
			"message; the subprotocol is refused",
	},
	{
		Name: "Router-to-router links", IDs: "R2R-01…06", Out: "several nodes are for later; forward_for is " +
			"checked and goes no further",
	},
	{Name: "Limits", IDs: "LIM-01…09"},
}
