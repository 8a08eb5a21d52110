package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"banyan/engine"
	"banyan/realm"
)

// A listenSpec is one value of --listen: ADDRESS[,KEY=VALUE…].
type listenSpec struct {
	address   string // as written
	network   string // of package net; see engine.ParseAddress
	target    string // the address in it
	anonymous string // who may join without authentication here; "" is as --anonymous says
	file      engine.UnixFile
}

// anonymousChoices are the values of --anonymous and of anonymous= in --listen.
var anonymousChoices = []string{"local", "anywhere", "none"}

// anonymousRules are the realm's words for them, and for a --listen that does not say.
var anonymousRules = map[string]realm.Anonymous{
	"local":    realm.AnonymousLocal,
	"anywhere": realm.AnonymousAnywhere,
	"none":     realm.AnonymousNone,
	"":         realm.AnonymousByRealm,
}

// parseListen reads one value of --listen.
func parseListen(text string) (listenSpec, error) {
	address, rest, some := strings.Cut(text, ",")
	s := listenSpec{address: address}
	if err := judgeURL(address); err != nil {
		return s, err
	}
	var err error
	s.network, s.target, err = engine.ParseAddress(address)
	var refused *engine.ListenError
	if errors.As(err, &refused) {
		return s, fmt.Errorf("%s; %s", refused.Reason, refused.Try)
	}
	hasFile := s.network == "unix" && !strings.HasPrefix(s.target, "@")
	var given []string
	for some {
		var option string
		option, rest, some = strings.Cut(rest, ",")
		key, value, _ := strings.Cut(option, "=")
		if slices.Contains(given, key) {
			return s, fmt.Errorf("%s= is given twice", key)
		}
		given = append(given, key)
		switch key {
		case "anonymous":
			if !slices.Contains(anonymousChoices, value) {
				return s, fmt.Errorf("anonymous=%s: use %s", value, orList(anonymousChoices))
			}
			s.anonymous = value
			continue
		case "mode", "owner", "group":
		default:
			return s, fmt.Errorf("there is no option %q; "+
				"behind the address, separated by commas, are possible: anonymous=, mode=, owner= and group=", key)
		}
		if !hasFile {
			return s, fmt.Errorf("%s= is for the file of a Unix socket", key)
		}
		if err := s.setFile(key, value); err != nil {
			return s, err
		}
	}
	return s, nil
}

// judgeURL refuses a URL where an address should be.
func judgeURL(address string) error {
	scheme, rest, isURL := strings.Cut(address, "://")
	if !isURL || scheme == "unix" { // unix:///run/b.sock is a path with many slashes
		return nil
	}
	where, path, _ := strings.Cut(rest, "/")
	write := "HOST:PORT or unix:PATH"
	switch _, _, err := engine.ParseAddress(where); {
	case strings.HasSuffix(scheme, "unix"):
		write = "unix:/" + path
	case err == nil:
		write = where
	}
	return fmt.Errorf("this is a URL, and the router listens on an address: write %s; "+
		"WebSocket clients connect to ws://HOST:PORT/ws then, RawSocket clients to rs://HOST:PORT", write)
}

// covers reports whether no other socket can listen on t while one listens on s.
func (s *listenSpec) covers(t *listenSpec) bool {
	if s.network == "unix" || t.network == "unix" {
		return s.network == t.network && s.target == t.target
	}
	host, port, _ := net.SplitHostPort(s.target)
	other, otherPort, _ := net.SplitHostPort(t.target)
	if port == "0" || port != otherPort {
		return false
	}
	return host == other || host == "" ||
		host == "0.0.0.0" && t.network == "tcp4" || host == "::" && t.network == "tcp6"
}

func (s *listenSpec) setFile(key, value string) error {
	if key == "mode" {
		mode, err := strconv.ParseUint(value, 8, 32)
		if err != nil || mode < 1 || mode > 0o777 {
			return fmt.Errorf("mode=%s: use permission bits in octal, such as 0660", value)
		}
		s.file.Mode = fs.FileMode(mode)
		return nil
	}
	id, err := strconv.Atoi(value)
	if err != nil {
		if id, err = lookUp(key, value); err != nil {
			return fmt.Errorf("%s=%s: %v", key, value, err)
		}
	}
	if id < 0 {
		return fmt.Errorf("%s=%s: use a name or a number of at least 0", key, value)
	}
	if key == "owner" {
		s.file.User = id
	} else {
		s.file.Group = id
	}
	return nil
}

// lookUp finds the id of a user or a group.
func lookUp(key, name string) (int, error) {
	if key == "owner" {
		u, err := user.Lookup(name)
		if err != nil {
			return 0, errors.New("this machine knows no such user")
		}
		return strconv.Atoi(u.Uid)
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, errors.New("this machine knows no such group")
	}
	return strconv.Atoi(g.Gid)
}
