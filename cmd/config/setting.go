//go:build linux

package config

import "reflect"

// A Setting is an option that takes a single value, for those who get values from elsewhere, such as a command line.
type Setting struct{ o *option }

// LookUp finds the option at a path such as limits.calls_max or listeners.*.origins. It is false if there is none, or
// if it is a section or a list of sections.
func LookUp(path string) (Setting, bool) {
	options, problem := along(splitPath(path))
	if problem != "" {
		return Setting{}, false
	}
	o := options[len(options)-1]
	switch o.kind {
	case section, list, dict, free:
		return Setting{}, false
	}
	return Setting{o}, true
}

// Kind is bool, count, bytes, duration, word for a text out of a few, text, or texts for a list of them.
func (s Setting) Kind() string {
	switch {
	case s.o.kind == boolean:
		return "bool"
	case s.o.kind == count:
		return "count"
	case s.o.kind == size:
		return "bytes"
	case s.o.kind == duration:
		return "duration"
	case s.o.kind == words:
		return "texts"
	case s.o.enum != nil:
		return "word"
	}
	return "text"
}

// Default is the text of the default.
func (s Setting) Default() string { return s.o.text }

// Auto is the word for a value that follows from others, empty if there is none.
func (s Setting) Auto() string { return s.o.auto }

// Check refuses a text that is wrong by itself; of a list it is one of the texts.
func (s Setting) Check(text string) error {
	if s.o.kind == words {
		return s.o.checkText(text)
	}
	return s.o.set(reflect.New(s.o.typ).Elem(), text)
}
