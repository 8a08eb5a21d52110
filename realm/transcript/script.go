// Package transcript reads and runs exchanges of WAMP messages written so that a reader of the protocol checks them
// by eye.
//
// A file is a txtar archive; each member is one script named after the checklist id it shows. Lines:
//
//	# text                      a comment
//	options strict_uris …       what the router under test needs (Script.Options)
//	A opens                     A connects and sends nothing; otherwise its first line joins realm1, all features
//	A > SUBSCRIBE 1 {} com.x    A sends; a number may stand for the message name
//	A < SUBSCRIBED 1 $sub       the next message to A; $sub binds once and must match from then on
//	A raw json [1,              bytes as they are, for peers of that serializer (msgpack, cbor: hex)
//	A silent                    nothing comes to A
//	A closed                    the router has closed A's connection, and sent nothing more
//	A closes                    A drops its connection
//
// Values are JSON, and besides: a bare word is a string, x"00ff" is binary, _ matches anything, "..." as the last
// entry of a dictionary allows more entries, and $A, $A.authid, $A.authrole are what WELCOME told A.
package transcript

import (
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/txtar"
)

// A Script is one exchange. Immutable after Load.
type Script struct {
	File    string   // the archive
	Name    string   // the member: a checklist id, perhaps with a suffix
	Options []string // alone, auto_create, named, strict_uris, strict_request_ids, enforce_roles, uri_bytes_max=N,
	// retain_some, retain_off, trust, history_events=N, sharding
	lines []line
}

type verb uint8

const (
	send verb = iota
	receive
	raw
	opens
	silent
	closed
	closes
)

type line struct {
	number     int
	text       string
	peer       string
	verb       verb
	message    []any  // send, receive: a template
	serializer string // raw
	bytes      []byte // raw
}

// Load reads every *.txtar file below fsys.
func Load(fsys fs.FS) ([]Script, error) {
	var scripts []Script
	err := fs.WalkDir(fsys, ".", func(name string, _ fs.DirEntry, err error) error {
		if err != nil || path.Ext(name) != ".txtar" {
			return err
		}
		b, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		for _, f := range txtar.Parse(b).Files {
			s, err := parse(f.Name, string(f.Data))
			if err != nil {
				return fmt.Errorf("%s: %s: %w", name, f.Name, err)
			}
			s.File = name
			scripts = append(scripts, s)
		}
		return nil
	})
	return scripts, err
}

// Needs reports whether the router under test must have option.
func (s *Script) Needs(option string) bool {
	for _, o := range s.Options {
		if o == option {
			return true
		}
	}
	return false
}

// Value returns N of an option written option=N, or 0.
func (s *Script) Value(option string) int {
	for _, o := range s.Options {
		if name, value, ok := strings.Cut(o, "="); ok && name == option {
			n, _ := strconv.Atoi(value) // checked by parse
			return n
		}
	}
	return 0
}

func parse(name, text string) (Script, error) {
	s := Script{Name: name}
	for i, full := range strings.Split(text, "\n") {
		t := strings.TrimSpace(full)
		if t == "" || strings.HasPrefix(t, "#") {
			continue
		}
		if rest, ok := strings.CutPrefix(t, "options "); ok {
			s.Options = append(s.Options, strings.Fields(rest)...)
			for _, o := range s.Options {
				if _, value, ok := strings.Cut(o, "="); ok {
					if _, err := strconv.Atoi(value); err != nil {
						return s, fmt.Errorf("line %d: option %q wants a number", i+1, o)
					}
				}
			}
			continue
		}
		l, err := parseLine(t)
		if err != nil {
			return s, fmt.Errorf("line %d: %w: %s", i+1, err, t)
		}
		l.number, l.text = i+1, t
		s.lines = append(s.lines, l)
	}
	if len(s.lines) == 0 {
		return s, fmt.Errorf("no lines")
	}
	return s, nil
}

var bareVerbs = map[string]verb{"opens": opens, "silent": silent, "closed": closed, "closes": closes}

func parseLine(t string) (l line, err error) {
	var word string
	l.peer, word, _ = strings.Cut(t, " ")
	word, rest, _ := strings.Cut(strings.TrimSpace(word), " ")
	switch word {
	case ">", "<":
		if word == "<" {
			l.verb = receive
		}
		l.message, err = parseMessage(rest)
		return l, err
	case "raw":
		l.verb = raw
		var text string
		l.serializer, text, _ = strings.Cut(strings.TrimSpace(rest), " ")
		switch l.serializer {
		case "json":
			l.bytes = []byte(text)
		case "msgpack", "cbor":
			l.bytes, err = parseHex(text)
		default:
			err = fmt.Errorf("unknown serializer %q", l.serializer)
		}
		return l, err
	}
	v, ok := bareVerbs[word]
	if !ok || rest != "" {
		return l, fmt.Errorf("unknown line")
	}
	l.verb = v
	return l, nil
}
