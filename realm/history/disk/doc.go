// Package disk is the history store in a file, a bbolt database. Package history says what it promises.
//
// It is apart from history because the realm imports that and must not reach system calls: the store is made in cmd
// and handed to the realm as a history.Store.
//
// The file has one bucket for each log. Its values are parcels: records of one log that were committed together, at
// most 256 and 64 KiB, each with a checksum. One value for each event would cost 20 times the CPU. Reading copies
// from the mapped file; damaged pages make the database panic and unreadable ones fault: guard turns both into
// errors.
package disk
