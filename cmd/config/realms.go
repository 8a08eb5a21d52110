//go:build linux

package config

import "time"

// A Realm is an entry of realms, and most of a Template.
type Realm struct {
	// The realm's name, a URI. In a template it is a pattern.
	URI string `yaml:"uri" required:"true" empty:"true"`
	// Accept only URIs of the strict form: a-z, 0-9 and _ in components.
	StrictURIs bool `yaml:"strict_uris" default:"false"`
	// End sessions whose request ids do not count from 1.
	StrictRequestIDs bool `yaml:"strict_request_ids" default:"false"`
	// End sessions that act in a role, such as publisher, which their HELLO did not announce.
	EnforceRoles bool `yaml:"enforce_roles" default:"false"`
	// Refuse disclose_me and disclose_caller.
	ForbidDisclosure bool `yaml:"forbid_disclosure" default:"false"`
	// What the timeout of a CALL counts in: ms as the specification has it, or s as Autobahn for Python and
	// Crossbar.io have it. Fractions are accepted in both.
	CallTimeoutUnit string `yaml:"call_timeout_unit" default:"ms" enum:"ms,s"`
	// Let only those use payload passthru mode who announced payload_passthru_mode: end sessions that send such
	// messages without that, and refuse calls and results for receivers that lack it.
	PPTStrict bool `yaml:"ppt_strict" default:"true"`
	// Offer wamp.session.modify_details, by which those who have a permission that names it give a session another
	// authid, role or other details.
	ModifyDetails bool `yaml:"modify_details" default:"false"`
	// Share events and calls out by key: of the subscribers of a topic that give the option nkey, a publication with
	// the option rkey goes to one, always the same for the same rkey, and a call with rkey and runmode partition goes
	// to such a callee. Otherwise these options are ignored.
	Sharding bool `yaml:"sharding" default:"false"`
	// What happens if somebody joins with an authid that a session has already: allow both, refuse the newer one, or
	// replace the older one.
	AuthidUniqueness string `yaml:"authid_uniqueness" default:"allow" enum:"allow,refuse,replace"`
	// The methods of authentication that this realm offers. Each is on if its key is there, even without a value. The
	// client's order decides between them.
	Auth Auth `yaml:"auth" required:"true"`
	// What those who have joined may do. A request that no permission allows is refused.
	Roles []Role `yaml:"roles" required:"true" max:"10000"`
	// The users, by authid. They hold what verifies a login, written by banyan passwd, keygen and hash-ticket.
	Users map[string]User `yaml:"users" max:"1000000"`
	// A file with more users, in the form of users.
	UsersFile string `yaml:"users_file" default:"" form:"file"`
	// How much all sessions of this realm may use.
	Quotas Quotas `yaml:"quotas"`
	// Events that publishers want to be retained: the last one of a topic is told to those who subscribe later and
	// ask for it.
	Retention Retention `yaml:"retention"`
	// The topics whose events are kept for those who ask for them with wamp.subscription.get_events.
	History []History `yaml:"history" max:"256"`
	// Differences from slow_consumers of the router.
	SlowConsumers *SlowOverride `yaml:"slow_consumers"`
}

// A Template is an entry of templates: the realms that a pattern matches are made when somebody joins them first.
type Template struct {
	// How uri is meant.
	Match string `yaml:"match" default:"prefix" enum:"prefix,wildcard"`
	Realm
}

// Retention is a section retention of a realm.
type Retention struct {
	// Whether anything is retained. A publication that is not is delivered all the same, unless its publisher wants
	// it acknowledged: then it is refused with wamp.error.option_not_allowed. If a reload says no, what is retained
	// goes.
	Enabled bool `yaml:"enabled" default:"true"`
	// The topics whose events may be retained. Empty: all. If a reload leaves some out, what is retained of them
	// goes.
	Topics []Topic `yaml:"topics" max:"1000"`
	// Events that the realm retains at most. More are refused. If a reload lowers it, those retained longest ago go.
	EventsMax int `yaml:"events_max" default:"10000" min:"1" max:"10000000"`
	// Bytes that they may take. More are refused. They count in budget.bytes too: those of all realms may have an
	// eighth of it, and more are refused as well. If a reload lowers bytes_max, those retained longest ago go.
	BytesMax Bytes `yaml:"bytes_max" default:"64MiB" min:"4KiB"`
	// Retained events that one subscription by prefix or wildcard is told at most, those retained first.
	FoundMax int `yaml:"found_max" default:"1000" min:"1" max:"1000000"`
}

// A History is an entry of history of a realm.
type History struct {
	// A topic, or a pattern of topics.
	URI string `yaml:"uri" required:"true" empty:"true"`
	// How uri is meant.
	Match string `yaml:"match" default:"exact" enum:"exact,prefix,wildcard"`
	// Where the events are: in memory they end with the router, on disk they outlive it. Not disk in a template.
	Store string `yaml:"store" default:"memory" enum:"memory,disk"`
	// Events that are kept at most. Beyond, the oldest go: at once if a reload lowers it.
	EventsMax int `yaml:"events_max" default:"1000" min:"1" max:"100000000"`
	// Bytes that they may take. Beyond, the oldest go. An event that takes more by itself is not kept.
	BytesMax Bytes `yaml:"bytes_max" default:"64MiB" min:"4KiB"`
	// How long an event is kept. Queries keep to it at once; the room is free a minute later, or with a reload.
	AgeMax time.Duration `yaml:"age_max" default:"0" min:"1s" zero:"no limit"`
	// When a publisher that wants it is told that its event was published: accepted is at once, some milliseconds
	// before a history on disk shows the event; stored is when the disk has it. If the disk fails it is told an
	// error. Subscribers get the event at once in both cases, unless the publisher is told at once that it cannot be
	// stored.
	Acknowledge string `yaml:"acknowledge" default:"accepted" enum:"accepted,stored"`
}

// A Topic is an entry of topics.
type Topic struct {
	// A topic, or a pattern of topics.
	URI string `yaml:"uri" required:"true" empty:"true"`
	// How uri is meant.
	Match string `yaml:"match" default:"exact" enum:"exact,prefix,wildcard"`
}

// Auth is a section auth of a realm.
type Auth struct {
	// Clients that say nothing about themselves.
	Anonymous *Anonymous `yaml:"anonymous"`
	// A secret text that the client sends. It is refused without encryption, except from this machine.
	Ticket *Ticket `yaml:"ticket"`
	// WAMP-CRA: the client proves that it knows a secret.
	WAMPCRA *WAMPCRA `yaml:"wampcra"`
	// SCRAM as the specification has it: the client proves that it knows a password which the router does not know.
	WAMPSCRAM *WAMPSCRAM `yaml:"wamp-scram"`
	// SCRAM in the dialect of Crossbar.io and Autobahn.
	SCRAM *SCRAM `yaml:"scram"`
	// The client signs with an Ed25519 key whose public half the router knows.
	Cryptosign *Cryptosign `yaml:"cryptosign"`
	// The TLS certificate of the client.
	TLS *TLSAuth `yaml:"tls"`
	// Browsers that have authenticated by another method before and come back. See cookies.
	Cookie *Cookie `yaml:"cookie"`
	// A procedure that decides about logins.
	Dynamic *Dynamic `yaml:"dynamic"`
	// A web service that decides about logins.
	HTTP *HTTPHook `yaml:"http"`
}

// WAMPCRA is a section wampcra of auth.
type WAMPCRA struct{}

// WAMPSCRAM is a section wamp-scram of auth.
type WAMPSCRAM struct{}

// SCRAM is a section scram of auth.
type SCRAM struct{}

// TLSAuth is a section tls of auth.
type TLSAuth struct{}

// Anonymous is a section anonymous of auth.
type Anonymous struct {
	// The role of anonymous sessions.
	Role string `yaml:"role" default:"anonymous"`
	// From where they may come: local is this machine without a proxy, anywhere is everybody, or addresses and
	// prefixes such as 10.0.0.0/8. A listener may say otherwise.
	From []string `yaml:"from" default:"local" form:"source" least:"1"`
}

// Ticket is a section ticket of auth.
type Ticket struct {
	// Accept tickets without encryption from other machines too. Whoever sees the traffic can use them.
	AllowPlain bool `yaml:"allow_plain" default:"false"`
	// A ticket may also be a JSON web token.
	JWT *JWT `yaml:"jwt"`
}

// JWT is a section jwt.
type JWT struct {
	// From where the key set is fetched, without following redirects. This or keys_file.
	KeysURL string `yaml:"keys_url" default:"" form:"url"`
	// A file with the key set. This or keys_url.
	KeysFile string `yaml:"keys_file" default:"" form:"file"`
	// How often the key set is read again.
	Refresh time.Duration `yaml:"refresh" default:"15m" min:"1s"`
	// Who must have issued the token (iss).
	Issuer string `yaml:"issuer" required:"true"`
	// For whom it must have been issued (aud).
	Audience string `yaml:"audience" required:"true"`
	// The claim that holds the authid.
	AuthidClaim string `yaml:"authid_claim" default:"sub"`
	// What stands in front of that claim in the authid, such as "jwt:"; a client that says its authid says both.
	// Without a prefix a token may name a user of this realm's file: whoever issues tokens can be anybody then.
	AuthidPrefix string `yaml:"authid_prefix" default:"" form:"authidprefix"`
	// The claim that holds the role. Empty: role says it for all.
	RoleClaim string `yaml:"role_claim" default:""`
	// The role if role_claim is empty, or if a token does not have that claim.
	Role string `yaml:"role" default:""`
	// The signatures that are accepted.
	Algorithms []string `yaml:"algorithms" default:"RS256, ES256, EdDSA" enum:"@algorithms" least:"1"`
	// How far clocks may differ.
	Leeway time.Duration `yaml:"leeway" default:"30s" min:"1ms" max:"5m" zero:"not at all"`
}

// Cryptosign is a section cryptosign of auth.
type Cryptosign struct {
	// Refuse logins by cryptosign and wamp-scram that are not bound to their TLS connection.
	RequireChannelBinding bool `yaml:"require_channel_binding" default:"false"`
	// A file with the Ed25519 key by which the router shows clients who it is. Empty: it cannot.
	RouterKeyFile string `yaml:"router_key_file" default:"" form:"secretfile"`
}

// Cookie is a section cookie of auth.
type Cookie struct {
	// Accept cookies without encryption from other machines too. Whoever sees the traffic can use them.
	AllowPlain bool `yaml:"allow_plain" default:"false"`
}

// Dynamic is a section dynamic of auth.
type Dynamic struct {
	// The procedure that is called with realm, authid and details.
	Procedure string `yaml:"procedure" required:"true" form:"uri"`
	// The realm in which it is registered. Empty: this one.
	Realm string `yaml:"realm" default:""`
	// The methods that it decides about. Users of the file cannot log in by them.
	Methods []string `yaml:"methods" default:"ticket" enum:"@asked" least:"1"`
	// Without an answer by then the login fails.
	Timeout time.Duration `yaml:"timeout" default:"5s" min:"1ms" max:"5m"`
}

// HTTPHook is a section http of auth.
type HTTPHook struct {
	// Where the question is posted, as JSON. Redirects are not followed.
	URL string `yaml:"url" required:"true" form:"url"`
	// A file with the secret that is sent as bearer token. Empty: none.
	SecretFile string `yaml:"secret_file" default:"" form:"secretfile"`
	// The methods that it decides about. Users of the file cannot log in by them.
	Methods []string `yaml:"methods" default:"ticket" enum:"@asked" least:"1"`
	// Without an answer by then the login fails.
	Timeout time.Duration `yaml:"timeout" default:"5s" min:"1ms" max:"5m"`
	// How often a question that found no answer is asked again, within timeout.
	Retries int `yaml:"retries" default:"2" min:"1" max:"10" zero:"never"`
	// After so many failures in a row the service is left alone for a while.
	FailuresMax int `yaml:"failures_max" default:"5" min:"1"`
	// How long it is left alone. Logins fail at once meanwhile.
	Pause time.Duration `yaml:"pause" default:"10s" min:"1ms" max:"1h"`
}

// A Role is an entry of roles.
type Role struct {
	// The name that users and methods refer to.
	Name string `yaml:"name" required:"true"`
	// What the role may do. Of the entries that match, one decides: an exact one, else a wildcard one, else the
	// longest prefix.
	Permissions []Permission `yaml:"permissions" max:"10000"`
	// A procedure that decides where no permission matches.
	Authorizer *Authorizer `yaml:"authorizer"`
	// Differences from slow_consumers of the realm.
	SlowConsumers *SlowOverride `yaml:"slow_consumers"`
}

// A Permission is an entry of permissions.
type Permission struct {
	// A topic or procedure, or a pattern of them. The empty prefix is everything, except that procedures which take
	// something away from others (wamp.session.kill and its kind, wamp.session.modify_details,
	// wamp.subscription.remove_subscriber, wamp.registration.remove_callee) need a permission whose own URI begins
	// with "wamp.". Who subscribes to a pattern, or registers one, needs the right to everything that it can match.
	URI string `yaml:"uri" required:"true" empty:"true"`
	// How uri is meant. Without it: exact, or prefix if uri ends with *.
	Match string `yaml:"match" default:"auto" auto:"auto" enum:"exact,prefix,wildcard"`
	// What is allowed. Empty: nothing. force_reregister beside register allows the option of that name, which takes a
	// procedure away from those who have registered it.
	Allow []string `yaml:"allow" default:"" enum:"call,register,publish,subscribe,force_reregister"`
	// The identity that receivers are told even if the sender does not ask for it: the caller's, the publisher's.
	Disclose []string `yaml:"disclose" default:"" enum:"caller,publisher"`
	// The trust level that receivers of events and calls are told, in the detail trustlevel: 0 is the least trusted.
	// With -1 they are told none.
	TrustLevel int `yaml:"trustlevel" default:"-1" min:"-1" max:"1000000"`
}

// An Authorizer is a section authorizer of a role.
type Authorizer struct {
	// The procedure that is called with session, URI, action and options.
	Procedure string `yaml:"procedure" required:"true" form:"uri"`
	// Without an answer by then the request fails.
	Timeout time.Duration `yaml:"timeout" default:"2s" min:"1ms" max:"5m"`
	// How long an answer that allows it is kept.
	Cache time.Duration `yaml:"cache" default:"30s" min:"1ms" zero:"not at all"`
}
