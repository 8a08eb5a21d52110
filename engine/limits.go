//go:build linux

package engine

import (
	"time"

	"banyan/engine/internal/wire"
	"banyan/engine/port"
)

// The limits of this package that nobody sets, each with its unit, the reason for its value, and the outcome when it
// is reached. Limits that an operator sets are in Config and Live; the limits of a system call's scratch are beside
// that call in internal/outq and internal/poll.

// How many there may be, and how large.
const (
	budgetBytesMin     = 16 << 20  // Config.BudgetBytes; less would close clients of usual habits. Below: New fails
	budgetBytesDefault = 256 << 20 // at least this, where the default is derived from the memory
	// evictBurdenMin is the least burden of a connection that is closed because of the budget, in bytes; the search
	// for connections to close begins at evictBurdenMost.
	evictBurdenMin  = 64 << 10
	evictBurdenMost = 1 << 30
	// idleShare is the part of the budget, one in so many, from which on connections that have not joined, or make
	// no progress, are closed first, if they hold evictIdleMin bytes each.
	idleShare    = 4
	evictIdleMin = 1 << 10
	// keptShare is the part of the budget, one in so many, that subscriptions and registrations may take. More:
	// Charge returns false, and the realm refuses them.
	keptShare = 2
	// bookedBytes is how many bytes a loop may hold more than the budget knows of, within one turn.
	bookedBytes = 64 << 10

	loopsMax  = 64 // event loops; queues and subscriptions keep a bit per loop. More: New fails
	listenMax = 64 // addresses; a listener keeps a bit per loop, and more is a mistake. More: New fails

	// answersFew is how many bytes of answers may be unsent, whatever the backlog is: the least highWater.
	answersFew = port.BacklogBytesMin / 4

	// Live.MessageBytesMax is between these: the longest message that WAMP's RawSocket can carry, and the shortest
	// limit that its handshake can announce.
	messageBytesMax = 16 << 20
	messageBytesMin = 512
	// joinBytesMax is the longest message, in bytes, before a session is joined: a HELLO or AUTHENTICATE needs far
	// less, and any stranger can send it. Longer: as for MessageBytesMax, at the header.
	joinBytesMax = 64 << 10

	// trustedProxiesMax is how many Live.TrustedProxies there may be: all are looked at for each connection. More:
	// New and Apply fail.
	trustedProxiesMax = 1000

	// filesReserve is how many descriptors stay free of connections: listeners, loops, log, a database or two of the
	// embedder, and connections that are refused.
	filesReserve = 64
	filesPerLoop = 4

	// refusalsMax is how many connections over ConnectionsMax may wait to be told so, shared out among the loops that
	// accept. If there are more, the next turn closes the oldest of those that have not asked for anything, counted
	// as Stats.RefusalsCut. So a client that asks for /healthz is answered, however many are silent. At twice as many
	// a loop accepts no more in this turn.
	refusalsMax = 24
	// tlsPlaceBytes is what a TLS handshake that has begun takes, in bytes: its coroutine, what it computes with, and
	// messages. The budget counts it. tlsPlacesShare is the part of the budget, one in so many, that the default of
	// Live.TLSHandshakesMax allows, and tlsPlacesMax the largest default. More: the others wait for a place.
	tlsPlaceBytes  = 32 << 10
	tlsPlacesShare = 8
	tlsPlacesMax   = 8192
	// tlsHandshakeOctetsMax is how long the client's part of a TLS handshake may be, in octets of records: two chains
	// of large certificates. Longer: the handshake fails.
	tlsHandshakeOctetsMax = 32 << 10
	// tlsMessageBytesMax is the longest handshake message after the handshake; a change of keys has 5 octets. Longer:
	// the connection is closed.
	tlsMessageBytesMax = 1 << 10
	// tlsOutBytesMax is how many encrypted octets may wait for the socket: one record, and answers of TLS itself.
	// More: the connection is closed, because its client makes TLS answer and does not read.
	tlsOutBytesMax = tlsRecordBytes + 4<<10
	// tlsStepsAtOnce is how many steps of TLS handshakes of one loop the pool may have at a time. It keeps the pool
	// busy, and other work need not wait for long behind them.
	tlsStepsAtOnce = 8
	// pollBodyBytesMax is the longest body of a long-poll request that sends no message, in octets. Longer: 413.
	pollBodyBytesMax = 4 << 10
	// longPollLateMax is how many receives of a session may be released late, because its messages of a second are
	// used up. More: they are released at once.
	longPollLateMax = 1024
	// longPollUnjoinedShare is the part of Live.ConnectionsMax, one in so many, that sessions may take which have not
	// joined; they may be longPollUnjoinedMin in any case. More: 503, Stats.RefusedUnjoined.
	longPollUnjoinedShare = 8
	longPollUnjoinedMin   = 16
	// longPollCarriersMax is how many connections may carry requests of one session at a time, from the head of a
	// request to its answer, or to the next request if they stay open. More: 429, Stats.LongPollsCrowded.
	longPollCarriersMax = 1024
	// longPollCarriersKept is how many of them stay open, and count for no address. The others keep the place that
	// they have, or need one behind a trusted proxy, and are closed behind their answer.
	longPollCarriersKept = 8
	// longPollSpares is how many connections an address may have beyond its limit, for each of its sessions, until
	// their heads tell whether they carry a request of a session.
	longPollSpares = 2
	// longPollLetIn is how many connections that stay open a session may have if one is let in for it where all are
	// refused. While the router stops, and where the address has too many, it is longPollCarriersKept.
	longPollLetIn = 2
	// deliveredMax is of how many sessions a connection may hold messages that are not written yet. Then it is closed
	// behind its answer.
	deliveredMax = 64
	// longPollBatchBytes is how long the answer to a batched receive is, in octets, before it takes no other message.
	longPollBatchBytes = 1 << 20
	// submitsMax is how many functions may wait for one loop in Submit. More: Submit returns false.
	submitsMax = 4096
	// asyncMax is how many pieces of work may wait for the pool. More: Async returns false, and the client is told
	// that the router is busy.
	asyncMax = 1024
	// poolShare is the part of the CPUs, one in so many, that the pool may use; it has one goroutine at least. With
	// all of them it would make loops wait for a CPU, and collections for goroutines that have none.
	poolShare = 2
)

// messagePace is how many octets of a message a client sends in a second at least; slower, it makes no progress as
// far as the budget is concerned. Without that an octet in a second would be progress, and many clients who hold a
// little in unfinished messages would have others closed.
const messagePace = 64 << 10

// stuckSteps are the times without progress at each of which the burden of a connection becomes four times as large.
// From the first on an unfinished message, and from the second on a socket that takes nothing, is idle.
var stuckSteps = [...]time.Duration{time.Second, 4 * time.Second, 16 * time.Second}

// How long things may take.
const (
	// finishTimeout is how long a finishing connection may take to get rid of its last bytes, and one that carries
	// requests of long-poll to make progress with them. While the engine stops it is at most half of
	// Config.StopTimeout. Then it is closed.
	finishTimeout = 5 * time.Second
	// stopReserve is the part of Config.StopTimeout, one in so many, that is kept for closing the connections that
	// have not said goodbye.
	stopReserve = 8
	// refusalTimeout is how long a refused connection may take to ask for what it is refused. Then it is closed.
	refusalTimeout = time.Second
	// lingerTimeout and lingerBytesMax bound how long a client may go on writing after it was told why it was closed;
	// whichever comes first is the end. A message just over the limit can be written to its end, and then its writer
	// reads. Counted as Stats.LingersCut.
	lingerTimeout  = 2 * time.Second
	lingerBytesMax = 2 * messageBytesMax
	// lingerStrangerMax is the same for a connection on which no session is joined: reading what strangers
	// write is work that they decide on.
	lingerStrangerMax = 16 * joinBytesMax
	// discardReads is how many reads are thrown away before a close, so that the kernel need not answer unread bytes
	// with a reset that could overtake the close frame.
	discardReads = 16

	// tlsCutAfter is how long a TLS handshake may take while others wait for its place. Then it may be cut, and is
	// counted as Stats.TLSCut.
	tlsCutAfter = time.Second
	// poolFullPause is when to try again if the pool is full.
	poolFullPause = 10 * time.Millisecond

	// longPollHold is how long a receive waits for messages. Then it is answered without any. PROTOCOL 13.4 allows 25
	// s, but autobahn-js gives up after 12.
	longPollHold = 10 * time.Second
	// longPollIdle is how long a session may have no receive that waits, and no answer to one on its way. Then it
	// ends: Stats.LongPollTimeouts.
	longPollIdle = 30 * time.Second
	// longPollLooks is how often within this time the session is looked at: while an answer is on its way, the time
	// begins with the last look.
	longPollLooks = 4
	// carrierIdle is how long a connection of long-poll may take for the head of its next request, silence before it
	// included; while the engine stops it is carrierIdleAtEnd. Then it is closed.
	carrierIdle      = 30 * time.Second
	carrierIdleAtEnd = 500 * time.Millisecond

	// evictPause is how long to wait if the budget is exceeded but there is no connection to close.
	evictPause = 100 * time.Millisecond

	// pingsMissed is how many pings in a row may go without a sign of life where Live.PingTimeout does not say. Then
	// the connection is closed.
	pingsMissed = 2
	// nudgeAfter is how long a silent connection may stay with the loop that accepted
	// it before its own loop is woken.
	nudgeAfter = 100 * time.Millisecond
	// blockedPauseMin is how often at most connections whose socket takes nothing are looked at.
	blockedPauseMin = 10 * time.Millisecond
	// unfinishedSweeps is how often within Live.MessageTimeout the unfinished messages of a loop are looked at.
	unfinishedSweeps = 8

	// After the process ran out of descriptors a listener pauses for acceptPauseMin, then twice as long each time.
	acceptPauseMin = 10 * time.Millisecond
	acceptPauseMax = time.Second

	keepAliveIdle     = 60 // s without traffic before TCP asks
	keepAliveInterval = 15 // s between questions
	keepAliveCount    = 4  // unanswered questions that end the connection
	// userTimeout is how long TCP tries to deliver bytes before it ends the connection (TCP_USER_TIMEOUT).
	userTimeout = 120 * time.Second

	// dropsPause is how long no event of a client may be dropped for the next drop to have a line in the log again.
	dropsPause = 10 * time.Second
	// logEvery is how often one kind of warning is written at most. The next one says how many were left out.
	logEvery = time.Second
)

// How much one turn of a loop does. The parts together stay below turnTimeMax, whatever clients send.
const (
	turnTimeMax = 10 * time.Millisecond  // longer turns are counted as Stats.TurnsLong
	readTime    = 1 * time.Millisecond   // handling what was read; the rest waits for the next turn, in its order
	timerTime   = 500 * time.Microsecond // timers that are due; the rest waits for the next turn, in its order
	walkTime    = 250 * time.Microsecond // lanes, beyond one chunk
	flushTime   = 1 * time.Millisecond   // writing
	ageTime     = 250 * time.Microsecond // looking how long events have waited
	discardTime = 500 * time.Microsecond // freeing what closed connections had not sent
	sweepTime   = 250 * time.Microsecond // looking at unfinished messages
	evictTime   = 500 * time.Microsecond // looking for the largest holders, and closing them
	closeTime   = 1 * time.Millisecond   // closing, and saying goodbye when the engine stops

	// giveWayEvery is how often at most a loop that has no time to wait lets others have its CPU and its P.
	// bench hostile --only exact: p99.9 of a ticker 2.3 to 4.9 ms with it, 6.1 to 7.7 without the CPU; --only arrive:
	// 8.4 to 9.6 ms with it, 7.5 to 11.2 without the P.
	giveWayEvery = 250 * time.Microsecond
	// rest is the time between two turns from which on others could run meanwhile; bench storm costs 0.96 x with it.
	rest = 20 * time.Microsecond

	// workPerLook is how much work goes by between two looks at the clock: a message is 1, and 1 more for each KiB.
	workPerLook = 64
	workShift   = 10
	// timersPerLook is how many timers fire between two looks at the clock.
	timersPerLook = 16
	// costPerLook is how many writes, closes or goodbyes go by between two looks at the clock; 16 KiB written count
	// as one more write.
	costPerLook = 16
	tlsStepWork = 32 // work of a light step of a TLS handshake, 10 to 20 us
	goodbyeWork = 4  // work of a handler that counts as one more goodbye
	flushShift  = 14

	// turnSegments is how many segments of queues a turn looks at to drop events; each event that comes looks at
	// segmentsMin at least. What is further away waits, and if nothing is found the event that comes is dropped.
	// segmentsPerLook is how many of a closed connection are freed between two looks at the clock.
	turnSegments    = 8192
	segmentsMin     = 64
	segmentsPerLook = 256

	acceptsPerTurn = 64   // connections accepted for one listener
	turnMembers    = 4096 // members walked, all lanes together
	chunkMembers   = 128  // members walked before the next lane gets its turn
	jobMembers     = 4    // what a job costs at least, so that many empty ones cannot hold the loop
	// batchRounds is how often one batch task looks again at what its own closes and flushes caused.
	batchRounds = 4
	// fewReady is how many descriptors a wait has to find for the loop not to look once more before it writes: what
	// has come meanwhile goes into the same runs. bench fanout --subscribers 100: 226 ns of router CPU per event with
	// it, 244 without.
	fewReady = 4

	// chunkBytes is how much of a message is collected in one buffer, and joinsAtOnce how many messages of a loop may
	// be joined at a time; inflatesAtOnce are compressed. More wait, held.
	chunkBytes     = 1 << bufferShiftMax
	joinsAtOnce    = 2
	inflatesAtOnce = 1
	joinStep       = 256 << 10 // copied at a time

	// A compressed message of at most inflateFrom octets is inflated on the loop, up to inflateTo octets. Beyond
	// either the pool does it: 64 KiB take 100 us, and 4 KiB of blocks that hold nothing 500 us.
	inflateFrom = 4 << 10
	inflateTo   = 64 << 10
	// inflateRatio is by how much DEFLATE makes a message shorter at most, about: what the pool may need counts
	// against the budget before it begins.
	inflateRatio = 1032

	// tlsRecordsPerRead is how many records of TLS one read decrypts. The rest waits for the next turn: a record may
	// be one octet, or a change of keys, which costs 5 us and more.
	tlsRecordsPerRead = 256
	// tlsRecordBytes is how many octets of the queue go into one record: what TLS allows.
	tlsRecordBytes = 16 << 10

	pieceLinked = 16 << 10 // pieces of a frame that are at least as long are linked into the queue instead of copied

	readBytes = 64 << 10                 // one read of one connection
	headroom  = wire.HeadBytesMax + 1024 // longest incomplete piece kept between two reads
	// pongsPerRead is how many pings of one read are answered each. If there are more, only the last of the others is
	// answered (RFC 6455 5.5.3 allows that for all of them).
	pongsPerRead = 64
)

// How much is kept for reuse after a burst. More is left to the collector.
const (
	notesKept    = 4096 // notes of a mailbox, jobs of a lane
	arrivalsKept = 1024
	sparesKept   = 64  // empty lanes
	mapKept      = 256 // size up to which an empty table is kept: maps never shrink
)
