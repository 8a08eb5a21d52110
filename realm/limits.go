package realm

import "time"

// The limits of the realm: each with its unit, its default, and what happens at it. Those that an operator sets are
// fields of Config and live (Router.Apply); the constants are ours. Limits of one message (nesting, list lengths)
// stand in codec/limits.go, those of a connection in engine/limits.go.
const (
	defaultRealmsMax        = 10_000           // realms; more: no_such_realm for a HELLO to an unknown one
	defaultHelloTimeout     = 10 * time.Second // then the connection is closed with 1008
	defaultAuthTimeout      = 10 * time.Second // then: ABORT authentication_failed
	defaultGoodbyeTimeout   = 5 * time.Second  // then the connection is closed
	defaultSubscriptionsMax = 100_000          // per session, patterns included; more: option_not_allowed
	defaultPatternsMax      = 10_000           // prefixes and wildcards per session; more: option_not_allowed
	defaultRegistrationsMax = 100_000          // per session, patterns included; more: option_not_allowed
	defaultCallsMax         = 100_000          // of a caller: option_not_allowed; of a callee: network_failure
	defaultCalleesMax       = 10_000           // of a registration; more: option_not_allowed
	defaultFilterEntriesMax = 8_192            // of one PUBLISH, sorted on the loop; more: option_not_allowed
	defaultURIBytesMax      = 1024             // octets; longer: invalid_uri
	defaultDeflateBytesMin  = 256              // octets of an event; shorter: not compressed

	defaultRetainedFoundMax = 1000 // retained events for one SUBSCRIBE with a pattern; the rest is not sent

	defaultAuthorizerTimeout = 2 * time.Second  // then: authorization_failed
	defaultCacheTime         = 30 * time.Second // then the authorizer is asked again

	// sessionShare is the part of the memory for subscriptions and registrations, one in so many, that one session
	// may have; at least sessionShareMin bytes. More: option_not_allowed.
	sessionShare    = 8
	sessionShareMin = 1 << 20

	// searchesMax is how often one CALL looks for a callee when all that it found have left meanwhile. Then:
	// no_such_procedure.
	searchesMax = 8
	// timeoutMillisMax is the longest timeout of a call, 100 days; a longer one counts as this. The timers of the
	// engine reach 124 days.
	timeoutMillisMax = 100 * 24 * 3600 * 1000

	// reroutesMax is how many callees one call may try, the first one included. More: no_available_callee.
	reroutesMax = 64
	// reroutesBytesMax is how many octets of the open calls of one caller are kept so that they can be rerouted.
	// More: the error of the callee passes through, Stats.ReroutesNot. rerouteBytes is what one call takes besides.
	reroutesBytesMax = 64 << 20
	rerouteBytes     = 1024

	// streamsMax is how many progressive calls of a session are remembered whose last chunk has not come: open ones,
	// and of those that are over the latest, so that late chunks are known for what they are (PROTOCOL 8.6). More
	// open ones: option_not_allowed. Of those that were refused as many are remembered beside them. streamBytes is
	// what one takes in the heap.
	streamsMax  = 1024
	streamBytes = 96

	// randomDraws is how often a call draws a callee at random until it meets one that has not left; after that the
	// next one in order gets it. An eighth of the entries at most have left.
	randomDraws = 4
	// leastBusyAtOnce is how many callees a call looks at to find the one with the fewest open invocations; of a
	// registration that has more, those that are next in turn.
	leastBusyAtOnce = 64

	// shardKeyBytesMax is the longest rkey and nkey, in octets. Longer: option_not_allowed, Stats.ShardsRefused.
	shardKeyBytesMax = 256
	// shardsMax is how many sessions may be in one subscription with an nkey: a publication with rkey weighs all of
	// them, 2 ns each. More: option_not_allowed, Stats.ShardsRefused.
	shardsMax = 1024
	// heirsMax is how many callees a call that goes by its rkey tries, if one after the other is about to leave,
	// until it looks for more.
	heirsMax = 8

	// dictBytesMax is the longest dictionary of options or details, in octets: it is read and forwarded on the loop,
	// in places under a lock. Longer: the session is aborted. The payload is the place for data.
	dictBytesMax = 256 << 10
	// foreignDetailsMax is how long the details of a callee's ERROR may be, in octets, if the caller has another
	// serializer: they are transcoded on the loop, under the lock of the caller. Longer: payload_size_exceeded.
	foreignDetailsMax = 16 << 10

	// extraBytesMax is the longest authextra of a HELLO, and Extra of an AUTHENTICATE, in octets of MessagePack: it
	// is kept while the login is under way. Longer: payload_size_exceeded.
	extraBytesMax = 16 << 10
	// loginBytesFree is how many octets of authextra, and of AUTHENTICATE, a login keeps without asking the budget of
	// the process: no usual method needs more, and a client that has them is let in when memory is short. What is
	// more is charged. No room: authentication_failed, counted as Stats.LoginsBusy.
	loginBytesFree = 2 << 10
	// authRoleBytesMax is the longest authrole that a HELLO may ask for, in octets. Longer: no_such_role.
	authRoleBytesMax = 256
	// authMethodsMax is how many authmethods of a HELLO are kept; the rest is ignored.
	authMethodsMax = 16
	// authMethodBytesMax is the longest name of a method, in octets. A longer name matches no
	// method.
	authMethodBytesMax = 64
	// checksAtOnce is how many logins of one loop the pool may check at a time. An Argon2id takes 0.1 s and 64 MiB,
	// and other work waits behind them. More wait in order, checksWaiting of a loop, each for AuthTimeout. Then, and
	// beyond: authentication_failed, and the limiter does not count it.
	checksAtOnce  = 4
	checksWaiting = 1024
	// crowdedWait is about how long a login waits at first when as many of its address or authid are being judged as
	// the limiter grants failures; then longer and longer, up to crowdedWaitMost. After AuthTimeout:
	// authentication_failed, and the limiter does not count it.
	crowdedWait     = 20 * time.Millisecond
	crowdedWaitMost = time.Second
	// authenticatorsAtOnce is how many goroutines may ask an Authenticator at a time. More logins are refused:
	// authentication_failed.
	authenticatorsAtOnce = 256
	// authenticatorGrace is how long after its deadline an Authenticator may still answer. Then:
	// authentication_failed, whatever it does.
	authenticatorGrace = time.Second

	// expiryPauseMax is how long a session may outlast the proof of its identity, if the clock is set forward: each
	// session that will expire looks at the clock so often.
	expiryPauseMax = 5 * time.Minute
	// authorizerOptionsMax is the longest dictionary of options that is put to an authorizer, in octets: it is
	// decoded on the loop. Longer: authorization_failed.
	authorizerOptionsMax = 64 << 10
	// memoEntries is how many decisions of authorizers a session remembers, 1 KiB of them. More: the cache of the
	// realm is asked.
	memoEntries = 32

	// runBytesMax is where an open run of one variant is sealed. Larger single messages make a run of their own.
	runBytesMax = 32 << 10
	// ownChunk is how many members of the own loop seal walks itself, if the turn grants them.
	ownChunk = 1024

	// The work of a job in one turn.

	// matchMembers is what one match of a PUBLISH costs of the budget of a turn, in members: it is encoded, copied
	// and posted.
	matchMembers = 4
	// encodeShift says what an event costs besides: 1 member more for each 2^encodeShift octets and serializer.
	encodeShift = 9
	// directShift and tokenShift say what transcoding costs in units of port.Executor.Work: 1 for each 2^directShift
	// octets that nobody has looked at, or for each 2^tokenShift tokens.
	directShift = 6
	tokenShift  = 3
	// deflateShift says what compressing costs in the same units: 1 for each 2^deflateShift octets.
	deflateShift = 8
	// visitShift says what a search costs in the same units: 1 for each 2^visitShift nodes and tails that it visits,
	// and componentShift what a pattern costs that is added or removed: 1 for each 2^componentShift components.
	visitShift     = 3
	componentShift = 2
	// shardShift says what it costs to choose an owner: 1 for each 2^shardShift subscribers that are weighed, and
	// heirShift for callees, each of which is a pointer away.
	shardShift = 8
	heirShift  = 6
	// searchSteps is how many nodes of the index a job visits per member of its budget.
	searchSteps = 8
	// listChunk is how many sessions are told of, or said goodbye to, in one go.
	listChunk = 256
	// poolAtOnce is how many messages and meta calls of all sessions may be in the pool at a time, one of a session.
	// Others wait in order with their connections, where the budget of the process reaches them.
	poolAtOnce = 16
	// retryAfter is when work for the pool is offered again after the pool had no room.
	retryAfter = 10 * time.Millisecond

	// keptShare is the part of the memory for what sessions keep, one in so many, that is kept for publishers:
	// retained events and histories in memory. retainedShare is the part of this, one in so many, that retained
	// events may have. More: refused. Histories have the rest; beyond, the oldest events go.
	keptShare     = 2
	retainedShare = 2

	// What is retained.

	// retainedTopicsMax is how many topics and patterns a realm may say it retains.
	retainedTopicsMax = 1000
	// retainedSteps is how many retained topics a job looks at per member of its budget.
	retainedSteps = 8
	// retainedTrimAtOnce is how many topics a reload takes at once of what is retained beyond new bounds, or looks at
	// because it may not be retained any more: under 1 ms, for which publishers may wait.
	retainedTrimAtOnce = 1024
	// retainedBytesMax is how many octets of retained events one SUBSCRIBE is sent, or one event. The rest is not
	// sent: Stats.RetainedCut.
	retainedBytesMax = 8 << 20

	// What history is kept of.

	// historiesMax is how many topics and patterns a realm may keep the history of.
	historiesMax = 256
	// historyStep is how many bytes of the budget the events in memory take at once, and historySteps how many of
	// them may be unused.
	historyStep  = 64 << 10
	historySteps = 16
	// queriesAtOnce is how many get_events of the router are under way at a time. More: unavailable.
	queriesAtOnce = 16
	// queryEventsMax is how many events one answer of get_events has. The answer says that it was cut there.
	queryEventsMax = 10_000
	// queryBytesMax is how long the events of one answer of get_events are together, in octets as the caller gets
	// them. The answer says that it was cut there.
	queryBytesMax = 8 << 20
	// queryPageBytes is what a query is charged with before the events of a page are read, in bytes, besides those
	// that it has. No room: it ends with those, or the call is answered with unavailable.
	queryPageBytes = 512 << 10
	// queryTimeMax is how long a query goes on with further pages: 0.1 s for a million events, and longer if others
	// have the pool. Then the events that it has found are the answer, which says that it was cut there. None:
	// unavailable.
	queryTimeMax = 30 * time.Second
	// queryReadMax is how long a query waits for a page from the disk, which takes some ms. Longer: unavailable.
	queryReadMax = 30 * time.Second
	// queryLookAfter is when a loop looks whether a query has ended, and storedLookAfter whether events are stored,
	// if the goroutine that ended it could not wake the loop.
	queryLookAfter  = 100 * time.Millisecond
	storedLookAfter = 100 * time.Millisecond
	// storedAtOnce is how many publications are acknowledged in one go after the disk has stored them.
	storedAtOnce = 1024

	// What the meta API does.

	// metaAtOnce is how many ids a loop encodes; more are encoded in the pool.
	metaAtOnce = 1024
	// metaSearchSteps is how many nodes of the index are visited in one go, about 0.1 us each.
	metaSearchSteps = 4096
	// metaEventsAtOnce is how many meta events the voice of a realm publishes in one go.
	metaEventsAtOnce = 64
	// metaQueueCrowded is how many meta events and testaments of a realm may wait before sessions that cause more are
	// made to wait themselves: Stats.MetaPaced. metaQueueMax is for what comes all the same, from sessions that join;
	// of meta events, what finds no room is lost: Stats.MetaEventsLost.
	metaQueueCrowded = 1 << 14
	metaQueueMax     = 1 << 16
	// metaRolesMax is how many authroles a call may count or list the sessions of. More: invalid_argument.
	metaRolesMax = 1024
	// metaArgumentsMax is how long the arguments of a meta procedure may be, in bytes, and metaValuesMax how many
	// values there may be in them: they are decoded on the loop, about 0.1 us each. More: invalid_argument.
	metaArgumentsMax = 128 << 10
	metaValuesMax    = 8192
	metaReasonMax    = 256  // octets of a reason
	metaMessageMax   = 4096 // octets of a message for humans
	// alteredBytesMax is how long all details of a session that modify_details has changed may be together, in octets
	// of MessagePack. Longer: option_not_allowed.
	alteredBytesMax = 16 << 10
	alteredOverhead = 512 // what they cost besides, in bytes
	// testamentsMax is how many testaments a session may have, and testamentBytesMax how long they are together, in
	// bytes.
	testamentsMax     = 64
	testamentBytesMax = 256 << 10
	testamentOverhead = 256 // what one costs besides topic and payload

	// Scratch that a loop keeps for reuse.

	scratchBytesMax = 1 << 20 // octets of a scratch buffer
	buildersMax     = 64      // free builders
	idsKept         = 64      // how large an empty map may have been to be kept: maps never shrink
)

// bounds are how much is done at once in one turn (DESIGN 8.10); what exceeds them goes on in later turns, with the
// connection held. Fixed; the simulation makes them small.
type bounds struct {
	largeBytes     int   // octets of a message from which on it is checked, transcoded and encoded in the pool
	directBytes    int   // octets of a payload up to which an encoder transcodes it, perhaps under a lock
	transcodeWork  int   // tokens of about 0.1 us that one message may take to be transcoded; beyond: in the pool
	deflateOctets  int   // octets of one PUBLISH that are compressed; beyond: in the pool
	deflateGain    int   // octets that an event has to become shorter by to go compressed
	octetsAtOnce   int   // octets of one PUBLISH that are encoded for several subscriptions
	matchesAtOnce  int   // subscriptions that one PUBLISH may match
	searchAtOnce   int   // nodes of the index that are visited for one message, about 0.1 us each
	retainedAtOnce int   // retained events that are sent while SUBSCRIBE is handled, if the turn grants them
	farewellAtOnce int   // subscriptions, registrations and calls that end with a session, if the turn grants them
	listedIDs      int64 // ids in lists that the meta API makes at a time, of the whole router; more: unavailable
}

var usualBounds = bounds{
	largeBytes: 256 << 10, directBytes: 4 << 10, transcodeWork: 8192, deflateOctets: 64 << 10, deflateGain: 16,
	octetsAtOnce:  256 << 10,
	matchesAtOnce: 64, searchAtOnce: 1024, retainedAtOnce: 64, farewellAtOnce: 256, listedIDs: 8 << 20,
}
