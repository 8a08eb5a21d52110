package realm

import (
	"sync/atomic"

	"banyan/engine/port"
)

// Stats are totals since the router was made, except where a line says "now". They are summed from counters of each
// loop that are read one after the other, so a figure may lag another by what happened meanwhile.
type Stats struct {
	Realms        int64 // now
	Sessions      int64 // now
	Subscriptions int64 // now: (session, subscription) pairs
	Registrations int64 // now: (session, registration) pairs
	OpenCalls     int64 // now
	HistoryBytes  int64 // now: of events in memory
	RetainedBytes int64 // now: of retained events

	Joined       int64 // sessions that got WELCOME
	Refused      int64 // HELLOs answered with ABORT
	Publications int64 // valid PUBLISHes
	Events       int64 // events handed to a subscriber's queue
	Calls        int64 // CALLs, refused ones included
	Results      int64 // final RESULTs
	Progress     int64 // progressive RESULTs
	CallErrors   int64 // ERRORs to callers, whoever made them
	Errors       int64 // ERRORs to every other request
	Violations   int64 // sessions or connections ended by a breach of the protocol
	Timeouts     int64 // connections closed because HELLO or the GOODBYE reply did not come

	EventsTooLong        int64 // events not sent because the receiver announced a smaller message limit
	EventsUntranscodable int64 // events not sent because a serializer cannot carry the payload, once per publication
	ChunksLate           int64 // CALLs that go on with a progressive call that was over
	EventsDeflated       int64 // events that were compressed, once per serializer of a publication
	DeflatedFrom         int64 // octets of those events before, and DeflatedTo after
	DeflatedTo           int64
	AnswersLate          int64 // YIELDs and ERRORs for a call that was over
	Unauthorized         int64 // requests that the policy of a realm forbade
	Large                int64 // messages that were checked in the pool for their length
	Chunked              int64 // publications that took more than one turn
	PoolFull             int64 // times a message had to wait because the pool had no room
	Challenged           int64 // CHALLENGEs sent
	LoginsFailed         int64 // logins that were refused because of what the client said, or an authenticator
	LoginsLimited        int64 // HELLOs refused because of earlier failures
	LoginsCrowded        int64 // logins that waited for others of their address or authid, which were being judged
	LoginsBusy           int64 // logins refused because the router had no room to check them
	AuthenticatorsFailed int64 // questions that an authenticator did not answer as it should
	AuthorizersAsked     int64 // questions to authorizers
	AuthorizersFailed    int64 // requests refused because an authorizer did not answer as it should, or is missing
	OverQuota            int64 // requests and HELLOs refused because of a quota or an authid that is taken
	OverBudget           int64 // SUBSCRIBEs, REGISTERs, CALLs refused because the process has no memory left
	Replaced             int64 // sessions ended because another one took their authid
	Expired              int64 // sessions ended because their proof of identity has expired
	CallsSaturated       int64 // calls answered unavailable because every callee had as many as it wants
	Rerouted             int64 // times a call went to another callee because one was unavailable
	ReroutesNot          int64 // calls that could not be kept for that: no memory left, or too many of one caller
	CallsOverloaded      int64 // calls answered network_failure because the callee's queue was full
	Retained             int64 // events that were retained
	RetainedRefused      int64 // publications that could not be retained: not allowed, or no room
	RetainedSent         int64 // retained events handed to a subscriber's queue
	RetainedCut          int64 // SUBSCRIBEs that asked for more retained events than are sent at once
	Sharded              int64 // publications with rkey, once per subscription that has subscribers with nkey
	ShardsRefused        int64 // requests refused: an rkey or nkey is too long, or too many have an nkey
	Recorded             int64 // events that one history at least has taken
	HistoryRefused       int64 // events that one history at least did not take
	ListsUnknown         int64 // publications with an unknown option that looks like a black- or whitelist
	HistoryUnstored      int64 // of the events that the disk lost (history.Stats), those whose publishers waited
	Queries              int64 // get_events that were answered with events, perhaps none
	QueriesRefused       int64 // get_events that were answered unavailable
	MetaEventsLost       int64 // meta events that found no room in the queue
	MetaPaced            int64 // times a session had to wait because many meta events did
}

// A counter is one figure of one loop: written by that loop, read by Stats.
type counter = atomic.Int64

// counters belong to one loop; the padding keeps loops off each other's cache lines.
type counters struct {
	_ [64]byte

	sessions, subscriptions, registrations, openCalls            counter
	joined, refused, publications, events                        counter
	calls, results, progress, callErrors, errors                 counter
	violations, timeouts                                         counter
	eventsTooLong, eventsUntranscodable, answersLate, refusals   counter
	unauthorized, large, chunked, poolFull                       counter
	challenged, loginsFailed, limited, loginsCrowded, loginsBusy counter
	authenticatorsFailed, asked, authorizersFailed               counter
	eventsDeflated, deflatedFrom, deflatedTo                     counter
	overQuota, overBudget, replaced, expired                     counter
	metaLost, metaPaced, chunksLate, saturated                   counter
	rerouted, reroutesNot                                        counter
	retained, retainedRefused, retainedSent, retainedCut         counter
	sharded, shardsRefused                                       counter
	recorded, historyRefused, historyUnstored, listsUnknown      counter
	queries, queriesRefused                                      counter

	_ [64]byte
}

// batchCounts are what a loop has counted in this batch and not yet added to its counters: one atomic addition per
// batch and figure instead of several per call. Owned by loop.
//
// hot: BenchmarkCall.
type batchCounts struct {
	calls, results, openCalls int64
	batched                   bool // EndOfBatch is coming
}

// counts returns the counts of this batch, to be added to.
func (l *perLoop) counts(x port.Executor) *batchCounts {
	if !l.batch.batched {
		l.batch.batched = true
		x.AtBatchEnd(l)
	}
	return &l.batch
}

// EndOfBatch adds the counts of the batch to the counters.
func (l *perLoop) EndOfBatch(port.Executor) {
	f := &l.batch
	l.counters.calls.Add(f.calls)
	l.counters.results.Add(f.results)
	l.counters.openCalls.Add(f.openCalls)
	*f = batchCounts{}
}

// Stats sums the counters of all loops. Any goroutine.
func (r *Router) Stats() Stats {
	var s Stats
	s.Realms = r.count.Load()
	s.HistoryBytes, s.RetainedBytes = r.memory.Bytes(), r.retainedCharged.Load()
	for _, l := range r.perLoop {
		c := &l.counters
		s.Sessions += c.sessions.Load()
		s.Subscriptions += c.subscriptions.Load()
		s.Registrations += c.registrations.Load()
		s.OpenCalls += c.openCalls.Load()
		s.Joined += c.joined.Load()
		s.Refused += c.refused.Load()
		s.Publications += c.publications.Load()
		s.Events += c.events.Load()
		s.Calls += c.calls.Load()
		s.Results += c.results.Load()
		s.Progress += c.progress.Load()
		s.CallErrors += c.callErrors.Load()
		s.Errors += c.errors.Load()
		s.Violations += c.violations.Load()
		s.Timeouts += c.timeouts.Load()
		s.EventsTooLong += c.eventsTooLong.Load()
		s.EventsUntranscodable += c.eventsUntranscodable.Load()
		s.ChunksLate += c.chunksLate.Load()
		s.EventsDeflated += c.eventsDeflated.Load()
		s.DeflatedFrom += c.deflatedFrom.Load()
		s.DeflatedTo += c.deflatedTo.Load()
		s.AnswersLate += c.answersLate.Load()
		s.Unauthorized += c.unauthorized.Load()
		s.Large += c.large.Load()
		s.Chunked += c.chunked.Load()
		s.PoolFull += c.poolFull.Load()
		s.Challenged += c.challenged.Load()
		s.LoginsFailed += c.loginsFailed.Load()
		s.LoginsLimited += c.limited.Load()
		s.LoginsCrowded += c.loginsCrowded.Load()
		s.LoginsBusy += c.loginsBusy.Load()
		s.AuthenticatorsFailed += c.authenticatorsFailed.Load()
		s.AuthorizersAsked += c.asked.Load()
		s.AuthorizersFailed += c.authorizersFailed.Load()
		s.OverQuota += c.overQuota.Load()
		s.OverBudget += c.overBudget.Load()
		s.Replaced += c.replaced.Load()
		s.Expired += c.expired.Load()
		s.Retained += c.retained.Load()
		s.RetainedRefused += c.retainedRefused.Load()
		s.RetainedSent += c.retainedSent.Load()
		s.RetainedCut += c.retainedCut.Load()
		s.Sharded += c.sharded.Load()
		s.ShardsRefused += c.shardsRefused.Load()
		s.Recorded += c.recorded.Load()
		s.HistoryRefused += c.historyRefused.Load()
		s.HistoryUnstored += c.historyUnstored.Load()
		s.ListsUnknown += c.listsUnknown.Load()
		s.Queries += c.queries.Load()
		s.QueriesRefused += c.queriesRefused.Load()
		s.MetaEventsLost += c.metaLost.Load()
		s.MetaPaced += c.metaPaced.Load()
		s.CallsSaturated += c.saturated.Load()
		s.Rerouted += c.rerouted.Load()
		s.ReroutesNot += c.reroutesNot.Load()
		s.CallsOverloaded += c.refusals.Load()
	}
	return s
}
