package history

// The limits of history. An operator sets those of a log (Bounds) and of a store; the constants are ours.
const (
	// LogsMax is how many logs a store keeps. Realms that are made when somebody joins can each bring some. More:
	// ErrLogs.
	LogsMax = 65_536
	// RecordBytesMax is the longest record, in octets: the longest message, its options and its lists. Longer:
	// ErrTooLarge.
	RecordBytesMax = 32 << 20
	// RecordOverhead is what a record counts beside its octets, toward the bounds in bytes: its place in the log.
	RecordOverhead = 64

	// DefaultEvents, DefaultBytes and DefaultAge are the bounds of a log that names none. Beyond, the oldest go.
	DefaultEvents = 1000
	DefaultBytes  = 64 << 20
	DefaultAge    = 0 // no bound

	// DefaultMemoryBytes is what all logs in memory may hold together, in octets. Beyond, the oldest go.
	DefaultMemoryBytes = 256 << 20

	// What one page of a query may do. The rest follows on the next page; the caller bounds the query.

	pageExamined = 1024      // records
	pageReads    = 4 << 20   // octets of records examined
	pageBytes    = 256 << 10 // octets of records found, or one record
	pageEvents   = 256       // records found; to encode one takes some 30 us

	// evictSlack is how far below the bound of the store evicting goes on, in octets, so that it is rare.
	evictSlack = 1 << 20
	// expireAtOnce is how many records Expire drops under one hold of a log's lock.
	expireAtOnce = 1024
	// encodeUnlocked is from how many octets on a record is encoded before the lock is taken.
	encodeUnlocked = 64 << 10

	// DefaultRetainedEvents and DefaultRetainedBytes bound the retained events of a realm. Beyond: ErrRetainedFull.
	DefaultRetainedEvents = 10_000
	DefaultRetainedBytes  = 64 << 20
	// retainedOverhead is what a retained event counts beside its octets: the event, and its topic in the map.
	retainedOverhead = 512
	// restrictedMax is how many events with lists are retained for one topic beside the one for everybody. More: the
	// oldest of them goes.
	restrictedMax = 8
)
