//go:build linux && acme

package config

// HasACME reports whether this program can fetch certificates by itself.
const HasACME = true
