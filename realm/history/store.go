package history

import (
	"context"
	"errors"
	"time"

	"banyan/codec"
)

// A Key is what history is configured for: one topic, or the topics that a pattern matches.
type Key struct {
	Realm string
	URI   string
	Match codec.Match
}

// Bounds say how much of a log is kept. Beyond any of them the oldest go.
type Bounds struct {
	Events int           // records; default 1000
	Bytes  int64         // octets, with RecordOverhead each; default 64 MiB
	Age    time.Duration // default none
}

// WithDefaults returns b with the defaults for what is zero.
func (b Bounds) WithDefaults() Bounds {
	if b.Events <= 0 {
		b.Events = DefaultEvents
	}
	if b.Bytes <= 0 {
		b.Bytes = DefaultBytes
	}
	b.Age = max(b.Age, DefaultAge)
	return b
}

// A Log is the history of one key in one store. It stays the same as long as the store is open.
type Log uint32

// A Waiter is told how an event fared that was appended for it.
type Waiter interface {
	// Committed is called once: with nil when the event is as durable as its store makes it, else with what went
	// wrong; then it may or may not be found later. Any goroutine may call it, also the one in Append, before
	// Append returns. It must not wait for anything: hand over to a loop.
	Committed(publication uint64, err error)
}

// A Store keeps logs. Any goroutine may call it, a loop only what says so.
type Store interface {
	// Log returns the log of k, new or kept from before, and sets its bounds. If they have become smaller, queries
	// keep to Events and Age from then on, and what is beyond goes in steps. The caller helps with Trim and Expire.
	Log(k Key, b Bounds) (Log, error)
	// Trim returns when all logs keep to their bounds, or that has failed, or ctx has ended. It takes a while, and
	// waits for a disk; nobody else waits for more than one step of it.
	Trim(ctx context.Context) error
	// Keys returns the keys of all logs, also of those that a store on disk has kept and nobody has asked for.
	Keys() []Key
	// Purge removes all records of the log of k, if there is one.
	Purge(k Key) error

	// Append puts e at the end of each log of to, of all or, on an error, of none. It keeps nothing of e. A loop may
	// call it: it never waits for a disk, and in memory for a reader of the same log as long as a page takes. A
	// large event is copied here, so the caller does that where it transcodes large payloads. w may be nil; on an
	// error it is not called.
	Append(e *Event, to []Log, w Waiter) error
	// Read gets the next page of c and calls done: at once, or from a goroutine. It waits for nothing; a loop may
	// call it. On an error done is not called. One page of a cursor at a time.
	Read(c *Cursor, done func(Page, error)) error
	// Expire drops what is too old at that time. The caller calls it now and then, at least once a minute if some
	// log has an age. Queries do not depend on it.
	Expire(now time.Time)

	Stats() Stats
	// Close makes durable what was appended, and ends; after ctx ended it waits no longer. It may be called twice.
	Close(ctx context.Context) error

	Source
}

// A Source is what a Cursor reads. Its methods may wait for a disk.
type Source interface {
	// Span returns where a log begins and ends now.
	Span(l Log) (Span, error)
	// Scan calls visit for the records from first on before next, or in reverse, until it returns false. Those that
	// are gone or damaged are left out. rec is lent until visit returns.
	Scan(l Log, first, next uint64, reverse bool, visit func(seq uint64, rec []byte) bool) error
}

// A Span is the part of a log that is kept: the records with First <= number < Next.
type Span struct {
	First, Next uint64
	Age         time.Duration // the bound; 0: none
	// Trimmed says that events were dropped from the log's beginning: history is not complete.
	Trimmed bool
}

// Stats count what a store did since it was opened, and what it holds.
type Stats struct {
	Logs    int
	Records int64
	Bytes   int64 // octets of records, with RecordOverhead each

	Appended int64 // records, each log of an event counted
	Trimmed  int64 // records dropped at a bound of their log
	Evicted  int64 // records dropped at the bound of the store
	Expired  int64 // records dropped for their age

	RefusedFull     int64 // events, ErrFull
	RefusedTooLarge int64 // events, ErrTooLarge
	RefusedBroken   int64 // events, ErrBroken
	RefusedReads    int64 // pages, ErrBusy

	// Of a store on disk only.

	QueuedBytes    int64 // octets accepted and not committed
	Commits        int64
	CommitErrors   int64
	Lost           int64 // records accepted and then not committed because of an error
	ReadErrors     int64
	DamagedRecords int64 // found, and not served
	DamagedParcels int64 // groups of records of which not even the number is known
	FileBytes      int64
}

// Errors of a Store.
var (
	// ErrFull: the queue of the disk is full. The event is not in history; the next one may be.
	ErrFull = errors.New("history: the disk is slower than the publishers, the event is not kept")
	// ErrTooLarge: the event alone exceeds a bound of a log.
	ErrTooLarge = errors.New("history: the event is larger than the bytes that its history may hold, " +
		"raise them or publish less at once")
	// ErrSessionLists: the event names session ids in its lists, so history does not keep it (PROTOCOL 7.8). That
	// is no fault.
	ErrSessionLists = errors.New("history: an event with exclude or eligible is not kept")
	// ErrBroken: the file was found damaged while it was in use. Nothing is kept or found until the router is
	// restarted.
	ErrBroken = errors.New("history: the file is damaged and not used any more, restart the router to set it aside")
	// ErrBusy: as many pages are read as the store allows.
	ErrBusy = errors.New("history: too many queries at once, try again later")
	// ErrNoLog: the log is none of this store's.
	ErrNoLog = errors.New("history: no such log")
	// ErrLogs: LogsMax are open.
	ErrLogs = errors.New("history: the store has as many logs as it may have")
	// ErrClosed: after Close.
	ErrClosed = errors.New("history: closed")
	// ErrNoPublication: a query names a publication that the log does not hold, or not for this reader.
	ErrNoPublication = errors.New("history: a publication that the query names is not in this history")
)
