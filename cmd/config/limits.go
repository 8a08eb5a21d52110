//go:build linux

package config

import "time"

// Limits is the section limits.
type Limits struct {
	// Connections at once; auto is what the limit of open files allows. More are told so and closed: HTTP 503 or
	// RawSocket error 4.
	ConnectionsMax int `yaml:"connections_max" default:"auto" auto:"auto" min:"1" max:"1073741824"`
	// Connections at once from one address, or from one prefix of IPv6 addresses.
	ConnectionsPerAddressMax int `yaml:"connections_per_address_max" default:"0" min:"1" zero:"no limit"`
	// How many leading bits of an IPv4 address count as one address.
	AddressBitsV4 int `yaml:"address_bits_v4" default:"32" min:"8" max:"32"`
	// How many leading bits of an IPv6 address count as one address: usually one customer has a /64.
	AddressBitsV6 int `yaml:"address_bits_v6" default:"64" min:"16" max:"128"`
	// New connections that are admitted each second. Others are told to come back: HTTP 503 with Retry-After, or
	// RawSocket error 4.
	ConnectionsPerSecondMax int `yaml:"connections_per_second_max" default:"0" min:"1" zero:"no limit"`
	// Opening handshakes at once. Others are told to come back.
	HandshakesMax int `yaml:"handshakes_max" default:"0" min:"1" zero:"no limit"`
	// What Retry-After says at least. Clients get different times, so that they do not all return together.
	RetryAfter time.Duration `yaml:"retry_after" default:"5s" min:"1s"`
	// TLS handshakes that may be unfinished at once; more wait, the newest is served first, and the oldest may be
	// closed. auto is what an eighth of the budget allows at 32KiB each, and at most 8192.
	TLSHandshakesMax int `yaml:"tls_handshakes_max" default:"auto" auto:"auto" min:"1" max:"1000000"`
	// From the connection to the end of its opening handshake, with TLS and a PROXY header.
	HandshakeTimeout time.Duration `yaml:"handshake_timeout" default:"10s" min:"1ms"`
	// From the open connection to HELLO.
	HelloTimeout time.Duration `yaml:"hello_timeout" default:"10s" min:"1ms"`
	// From the router's GOODBYE to the client's.
	GoodbyeTimeout time.Duration `yaml:"goodbye_timeout" default:"5s" min:"1ms"`
	// From the router's CHALLENGE to the client's AUTHENTICATE.
	AuthTimeout time.Duration `yaml:"auth_timeout" default:"10s" min:"1ms"`
	// Failed attempts to authenticate in a minute from one address, at most ten of them at once. More are refused
	// without a look. As many logins are checked at a time as failures are left; more of them wait, for auth_timeout
	// at most.
	AuthFailuresPerAddressMax int `yaml:"auth_failures_per_address_max" default:"30" min:"1" zero:"no limit"`
	// Failed attempts to authenticate in a minute with one authid, in the same way.
	AuthFailuresPerAuthidMax int `yaml:"auth_failures_per_authid_max" default:"30" min:"1" zero:"no limit"`

	// The longest message that is accepted from a client. A longer one closes the connection.
	MessageBytesMax Bytes `yaml:"message_bytes_max" default:"16MiB" min:"512B" max:"16MiB"`
	// RawSocket clients that accept no message of this size are refused.
	PeerMessageBytesMin Bytes `yaml:"peer_message_bytes_min" default:"512B" min:"512B" max:"16MiB"`
	// How long an unfinished message may go without another byte.
	MessageTimeout time.Duration `yaml:"message_timeout" default:"30s" min:"1ms" zero:"for ever"`
	// Messages that a session may send each second. With more it is not read from until the second is over.
	MessagesPerSecondMax int `yaml:"messages_per_second_max" default:"0" min:"1" zero:"no limit"`
	// Bytes that a session may send each second. With more it is not read from until the second is over.
	BytesPerSecondMax Bytes `yaml:"bytes_per_second_max" default:"0" min:"1KiB" zero:"no limit"`
	// The longest URI, in bytes. Longer: wamp.error.invalid_uri.
	URIBytesMax int `yaml:"uri_bytes_max" default:"1024" min:"1" max:"16777216"`
	// The shortest event that is compressed for clients that negotiated it. See deflate of a listener.
	DeflateBytesMin Bytes `yaml:"deflate_bytes_min" default:"256B" min:"1B" max:"16MiB"`
	// How deep lists and dictionaries of a message may nest. Deeper: the session is aborted.
	DepthMax int `yaml:"depth_max" default:"64" min:"8" max:"512" reload:"restart"`

	// Subscriptions of a session. More: wamp.error.option_not_allowed, as for the next four.
	SubscriptionsMax int `yaml:"subscriptions_max" default:"100000" min:"1"`
	// How many of them are prefix and wildcard subscriptions.
	PatternsMax int `yaml:"patterns_max" default:"10000" min:"1"`
	// Entries in the lists that choose the receivers of an event.
	FilterEntriesMax int `yaml:"filter_entries_max" default:"8192" min:"1" max:"65536"`
	// Registrations of a session.
	RegistrationsMax int `yaml:"registrations_max" default:"100000" min:"1"`
	// Callees of a shared registration.
	CalleesMax int `yaml:"callees_max" default:"10000" min:"1"`
	// Open calls of a caller, and open invocations of a callee. More: wamp.error.option_not_allowed, and
	// wamp.error.network_failure.
	CallsMax int `yaml:"calls_max" default:"100000" min:"1"`
	// Realms at once, those of templates included. More are not made: wamp.error.no_such_realm.
	RealmsMax int `yaml:"realms_max" default:"10000" min:"1"`
}

// Quotas is a section quotas of a realm. A request beyond one is answered with wamp.error.option_not_allowed, a HELLO
// with ABORT.
type Quotas struct {
	// Sessions in the realm.
	SessionsMax int `yaml:"sessions_max" default:"0" min:"1" zero:"no limit"`
	// Sessions of one authid in the realm.
	SessionsPerAuthidMax int `yaml:"sessions_per_authid_max" default:"0" min:"1" zero:"no limit"`
	// Subscriptions of all sessions of the realm.
	SubscriptionsMax int `yaml:"subscriptions_max" default:"0" min:"1" zero:"no limit"`
	// Registrations of all sessions of the realm.
	RegistrationsMax int `yaml:"registrations_max" default:"0" min:"1" zero:"no limit"`
	// Open calls of all sessions of the realm.
	CallsMax int `yaml:"calls_max" default:"0" min:"1" zero:"no limit"`
}
