package disk

import (
	"time"

	"banyan/realm/history"
)

// The defaults of Config, and limits of ours.
const (
	defaultBytesMax        = 1 << 30              // octets of all records; beyond, the oldest go
	defaultQueueBytesMax   = 16 << 20             // octets accepted and not committed; beyond: ErrFull
	defaultQueueRecordsMax = 65_536               // records, the same
	defaultGather          = 2 * time.Millisecond // what a record waits for others
	defaultBatchBytes      = 1 << 20              // with so many octets nobody waits any more

	// ordersMax is how many calls of Log, Purge, Expire and Flush wait for one commit; more: history.ErrFull.
	ordersMax = history.LogsMax + 1024
	// trimAtOnce is how many records one commit drops for a bound or an age, beside those that it adds: some ms. The
	// rest goes with the next commits, which nobody has to ask for.
	trimAtOnce = 16_384
	// readsMax is how many pages may be read or wait for it at a time; more: ErrBusy. readersMax of them are read.
	readsMax   = 256
	readersMax = 4
	// lockWait is how long Open waits for another process to release the file.
	lockWait = 2 * time.Second
	// problemsMax is how many damaged places Open tells one by one.
	problemsMax = 10
	// queueKept is how large a buffer of the queue is kept for reuse, in octets.
	queueKept = 4 << 20
	// copyUnlocked is from how many octets on a record is encoded before the queue's lock is taken.
	copyUnlocked = 16 << 10
)
