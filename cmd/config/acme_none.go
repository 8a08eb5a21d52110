//go:build linux && !acme

package config

// hasACME reports whether this program can fetch certificates by itself. Tests change it.
var hasACME = false
