//go:build linux

package config

import "time"

// The limits of reading a configuration. Each has its unit, its reason, and what happens at it.
const (
	// fileBytesMax is the longest configuration or users file, in bytes: 30 000 users. Longer: an error.
	fileBytesMax = 8 << 20
	// partsMax is how many values, entries and sections a file may have at most, before and after aliases are
	// followed; each costs about 170 bytes while it is read. More: an error, and the rest is not looked at.
	partsMax = 1_000_000
	// secretBytesMax is the longest file with one secret, certBytesMax the longest with certificates, in bytes.
	// Longer: an error.
	secretBytesMax = 64 << 10
	certBytesMax   = 1 << 20
	// usersFilesMax is how many users files all realms may have. More: an error.
	usersFilesMax = 1000
	// secretsWatched is how many files with secrets process.watch looks at. Of more, check warns, and only a reload
	// that somebody asks for reads the rest.
	secretsWatched = 1000
	// textBytesMax is the longest single text, in bytes. Longer: an error.
	textBytesMax = 64 << 10
	// freeDepthMax is how deep authextra of a user may nest. Deeper: an error.
	freeDepthMax = 16
	// mergeDepthMax is how many << of YAML may lead from one to the next. More: an error.
	mergeDepthMax = 8

	// problemsMax is how many problems are kept. The rest is counted.
	problemsMax = 1000
	// problemsShown is how many of them String shows.
	problemsShown = 100
	// quotedMax is how much of a wrong text a message quotes, in bytes; excerptMax how much of a line, in characters.
	quotedMax  = 60
	excerptMax = 100

	// wordBytesMax is the longest word for which a similar one is looked for, wordsMax among how many.
	wordBytesMax = 64
	wordsMax     = 1000
	// beginningMin is how many letters of a word, in bytes, stand for all of it.
	beginningMin = 4

	// overlapsMax is how many permissions of a role are compared with each other. Of more only duplicates are found.
	overlapsMax = 300

	// expirySoon is how long before its end a certificate is warned about.
	expirySoon = 14 * 24 * time.Hour
)
