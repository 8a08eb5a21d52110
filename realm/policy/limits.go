package policy

// The limits of this package. The first two bound what an operator may configure, the others what clients and
// authorizers can make the router keep or read.
const (
	// RolesMax is how many roles one snapshot may have; more: a Problem.
	RolesMax = 10_000
	// PermissionsMax is how many permissions one role may have; more: a Problem. A request with a pattern may look at
	// each permission of the role that does not allow it, 40 to 90 ns for each: 0.5 ms at the limit.
	PermissionsMax = 10_000
	// TrustLevelMax is the highest trust level; higher, or negative: a Problem.
	TrustLevelMax = 1_000_000

	// CacheEntriesDefault is how many answers a Cache holds if nothing else is said. At the limit the answer that was
	// used least recently is evicted, and counted. 240 octets an entry with short names, 2.4 MB in all; with the
	// longest 23 MB.
	CacheEntriesDefault = 10_000
	// cacheKeyBytesMax bounds authrole, authid and URI of one entry together, in octets. Longer: the answer is not
	// kept, and counted, so the authorizer is asked each time. A URI has 1 024 octets by default, an authid from a
	// HELLO could have 64 Ki.
	cacheKeyBytesMax = 2048
	// cacheShards is how many locks a large cache has; a cache of less than cacheShards * cacheShardEntriesMin
	// entries has one.
	cacheShards          = 16
	cacheShardEntriesMin = 64

	// answerBytesMax is the longest list of arguments that is read as the answer of an authorizer, in octets. Longer:
	// ErrAnswer.
	answerBytesMax = 16 << 10
)
