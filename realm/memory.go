package realm

import (
	"banyan/codec"
	"banyan/engine/port"
)

// Subscriptions, registrations and open calls are charged to the budget of the process (port.Executor.Charge). So are
// the records and patterns behind them, which go with their last member. Figures are rounded up from what the heap
// shows: see TestMemory.
const (
	shardBytes     = 64  // a session with an nkey in a subscription, besides
	memberBytes    = 192 // a session in a subscription or registration, in all its lists
	recordBytes    = 384 // a subscription or registration, with its entry in the index
	loopBytes      = 8   // of a subscription, for each loop
	componentBytes = 208 // of a pattern, a node of the index

	// Open calls are charged to the caller, with what the callee keeps of them, callsStep at a time. So many of a
	// session are free: to count each of them would cost every call an access to memory that all loops share.
	callsStep = 128
	callBytes = 256
)

var (
	refuseMemory = &refusal{codec.ErrOptionNotAllowed, "the router has no memory left for that"}
	refuseShare  = &refusal{codec.ErrOptionNotAllowed, "this session has as much of the router's memory for " +
		"subscriptions and registrations as one may"}
	refuseCallsMemory = &refusal{codec.ErrOptionNotAllowed, "the router has no memory left for open calls"}
)

// payForCalls charges for a step more of open calls, and reports whether there is memory. The conn lock is held.
func (s *session) payForCalls(x port.Executor) bool {
	if !x.Charge(callsStep * callBytes) {
		return false
	}
	s.callsPaid += callsStep
	return true
}

// refundCalls gives a step back once half of the one before is free as well: a number of calls that goes up and down
// by a few pays nothing. The conn lock is held. Any loop.
func (s *session) refundCalls(x port.Executor) {
	if s.callsPaid > 0 && s.calls.len() <= s.callsPaid-callsStep/2 {
		s.callsPaid -= callsStep
		x.Charge(-callsStep * callBytes)
	}
}

// recordMemory is what the record of (uri, match) takes.
func (rm *realm) recordMemory(uri string, match codec.Match) int {
	return rm.memoryOf(len(uri), components(uri, match))
}

func (rm *realm) memoryOf(octets, components int) int {
	return recordBytes + loopBytes*len(rm.sessions) + octets + componentBytes*components
}

// components is how many nodes of the index a pattern takes at most; 0 for an exact URI.
func components[T string | []byte](uri T, match codec.Match) int {
	if match == codec.Exact {
		return 0
	}
	n := 1
	for i := range len(uri) {
		if uri[i] == '.' {
			n++
		}
	}
	return n
}

// A session may hold a part of the memory that there is for subscriptions and registrations, so that one with many
// long patterns does not leave others without. Each counts whole, though others may share its record.

// shareOf is what a subscription or registration counts of the session's share.
func (s *session) shareOf(uri string, match codec.Match) int64 {
	return int64(memberBytes + s.realm.recordMemory(uri, match))
}

// shardMemory is what an nkey takes besides; 0 is none.
func shardMemory(nkey uint64) int {
	if nkey == 0 {
		return 0
	}
	return shardBytes
}

// mayHold reports whether the session may have a subscription or registration more, with so many bytes besides.
func (s *session) mayHold(x port.Executor, uri []byte, match codec.Match, besides int) bool {
	if s.local {
		return true
	}
	more := int64(memberBytes + besides + s.realm.memoryOf(len(uri), components(uri, match)))
	return s.share+more <= max(x.ChargeMax()/sessionShare, sessionShareMin)
}
