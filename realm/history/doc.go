// Package history keeps what was published: the event history of configured topics and patterns (PROTOCOL 7.8), and
// the retained event of each topic (7.9). It has no loop, no socket and no clock: the caller passes in the time. Only
// the store on disk, in package disk, has goroutines of its own.
//
// # Event history
//
// A Store keeps one Log for each Key, which is what history is configured for. Memory ends with the process;
// disk.Store is a file. The flow of a publication:
//
//  1. The publisher's loop finds the logs whose keys match the topic, fills in an Event whose octets are still those
//     of the message, and calls Append with all of these logs at once.
//  2. Memory copies it into each log and calls Committed before Append returns.
//  3. disk.Store copies it into a bounded queue. Its writer takes all that the queue holds, at the latest 2 ms after
//     the first came or as soon as there is 1 MiB, and writes it in one transaction, with what the bounds drop.
//     While that is under way the next batch gathers.
//  4. After the transaction is on disk the writer calls Committed for each event, in order. If PUBLISHED has to wait
//     for that, the Waiter hands it to the publisher's loop. An error in Append or Committed becomes an ERROR.
//  5. A query is a Cursor. Store.Read gets a page of it, from memory at once, from disk in a goroutine, and a page
//     has at most 1 024 records looked at and 256 KiB found. So the caller can do other things between two pages.
//     The caller bounds the query: it reads no more pages.
//  6. The events of a page have the octets that the publisher sent. The caller transcodes them for who asks.
//
// Events of one log are in the order of the calls of Append. An event is in all logs of its Append or in none: on
// disk these are one transaction. Events with session ids in their lists are not kept (ErrSessionLists); other lists
// are kept, and a query leaves out what its reader may not have, as if it did not exist.
//
// # What is durable when
//
//   - Append returned nil: the event is accepted. In memory it can be found; on disk it can be found and is durable
//     when Committed is called with nil: the data was written and fdatasync returned, then the page that makes it
//     valid was written and fdatasync returned.
//   - The process is killed: what was committed is there, in order, once. Of the rest there is a beginning, perhaps
//     nothing: commits are whole or absent.
//   - Committed with an error: the event is not known to be durable, and may yet be found.
//   - What was dropped at a bound stays dropped.
//
// # Bounds
//
//	what                                  bound                       at the bound
//	events, bytes, age of a log           Bounds                      the oldest of the log go
//	bytes of a store                      NewMemory, Config.BytesMax  the oldest of all logs go
//	logs of a store                       LogsMax                     ErrLogs
//	one record                            32 MiB, and the bytes of    ErrTooLarge
//	                                      each of its logs
//	what is accepted and not on disk      16 MiB, 65 536 records      ErrFull
//	pages under way                       256 read on disk            ErrBusy
//	one page                              1 024 records looked at,    the rest is on the next page
//	                                      256 KiB found
//	retained events of a realm            NewRetained                 ErrRetainedFull
//	retained events of a topic with lists 8                           the oldest of them goes
//
// Topics cost nothing but their octets in the records: a log has no table of them, so that a stranger who publishes
// to ever new topics under a pattern fills the log and nothing else. The file does not shrink, but what is dropped is
// used again: it has about 20 MiB more than the octets of its records. Ages are kept by Expire, and exactly by
// queries.
//
// Bounds that become smaller can be far exceeded. Queries keep to the new number and age of events from then on; what
// is beyond goes in steps: in memory with Trim, or with what is appended, and on disk in commits of 16 384 records,
// one after the other. Trim waits for those. Retained.Trim does the same with retained events, the oldest topics
// first.
//
// # When the disk fails
//
// The router goes on, and history is what suffers. A commit that fails is not tried again: its events are told the
// error, and counted as Lost; what it should have dropped goes with the next Expire. The next commit tries the disk
// anew, so that storing goes on when the reason is gone. Both are reported once, in words. If the disk hangs, the
// queue becomes full and Append returns ErrFull. If the file is found damaged while it is in use, nothing is kept or
// found until a restart (ErrBroken); a query that is reading just then may get no answer. On opening, each record is
// checked; a damaged one is reported, counted and never served, and a file that is damaged as a whole is renamed.
//
// # Retained events
//
// Retained is in memory only: see there why.
package history
