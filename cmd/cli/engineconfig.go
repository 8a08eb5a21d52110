package cli

import (
	"io/fs"
	"log/slog"
	"math"
	"net/netip"
	"os/user"
	"runtime"
	"strconv"
	"strings"
	"time"

	"banyan/cmd/config"
	"banyan/engine"
	"banyan/engine/port"
	"banyan/realm/auth"
)

// engineConfig is what a configuration says to the engine. It reads certificates; a has those from ACME. The error
// joins all problems.
func engineConfig(f *config.File, a *acme, log *slog.Logger) (engine.Config, error) {
	e := engine.Config{
		Live:          liveConfig(f, f.Listeners),
		Loops:         f.Process.Loops,
		StopTimeout:   f.Drain.Timeout,
		BudgetBytes:   int64(f.Budget.Bytes),
		ListenNames:   map[string]string{},
		UnixFiles:     map[string]engine.UnixFile{},
		Protocols:     map[string][]string{},
		LongPoll:      map[string]string{},
		ProxyProtocol: map[string]bool{},
		Page:          a.page,
		Log:           log,
	}
	if e.Loops == 0 {
		e.Loops = min(runtime.GOMAXPROCS(0), loopsMax)
	}
	for i := range f.Listeners {
		l := &f.Listeners[i]
		e.Listen = append(e.Listen, l.Address)
		e.ListenNames[l.Address] = listenerName(l)
		e.Protocols[l.Address] = l.Protocols
		if l.File != nil {
			e.UnixFiles[l.Address] = unixFile(l.File)
		}
		if l.LongPoll != "" {
			e.LongPoll[l.Address] = l.LongPoll
		}
		if l.ProxyProtocol == "required" {
			e.ProxyProtocol[l.Address] = true
		}
	}
	var err error
	e.TLS, err = listenTLS(f.Listeners, a)
	return e, err
}

// loopsMax is how many loops an engine may have.
const loopsMax = 64

// liveConfig is that part of it which a reload changes. listeners are those that run.
func liveConfig(f *config.File, listeners []config.Listener) engine.Live {
	l, s, k := &f.Limits, &f.SlowConsumers, &f.Keepalive
	live := engine.Live{
		MessageBytesMax:     int(l.MessageBytesMax),
		PeerMessageBytesMin: int(l.PeerMessageBytesMin),
		HandshakeTimeout:    l.HandshakeTimeout,
		MessageTimeout:      orNever(l.MessageTimeout),
		PingInterval:        orNever(k.PingInterval),
		PingTimeout:         k.PingTimeout,
		RawSocketPings:      k.RawsocketPings,
		TLSHandshakesMax:    l.TLSHandshakesMax,
		BacklogBytesMax:     int(min(s.BacklogBytesMax, math.MaxInt)),
		CreditBytes:         int64(s.CreditBytes),
		BacklogEventsMax:    s.BacklogEventsMax,
		BacklogAgeMax:       s.BacklogAgeMax,
		SlowConsumer:        slowPolicies[s.Policy],
		SlowAfter:           s.SlowAfter,
		ConnectionsMax:      l.ConnectionsMax,

		ConnectionsPerAddressMax: l.ConnectionsPerAddressMax,
		AddressBitsV4:            l.AddressBitsV4,
		AddressBitsV6:            l.AddressBitsV6,
		ConnectionsPerSecondMax:  l.ConnectionsPerSecondMax,
		HandshakesMax:            l.HandshakesMax,
		RetryAfter:               l.RetryAfter,
		MessagesPerSecondMax:     l.MessagesPerSecondMax,
		BytesPerSecondMax:        int64(l.BytesPerSecondMax),
	}
	for i := range listeners {
		live.Listeners = append(live.Listeners, engine.ListenerRules{
			Origins: engineOrigins(listeners[i].Origins), TrustedProxies: prefixes(listeners[i].TrustedProxies),
			Deflate: deflateRules[listeners[i].Deflate],
		})
	}
	return live
}

// deflateRules are the engine's words for those of a listener.
var deflateRules = map[string]engine.DeflateRule{
	"off": engine.DeflateOff, "unencrypted": engine.DeflateUnencrypted, "always": engine.DeflateAlways,
}

// prefixes are addresses and prefixes that were checked when the file was read.
func prefixes(texts []string) (all []netip.Prefix) {
	for _, t := range texts {
		if p, err := config.ParsePrefix(t); err == nil {
			all = append(all, p)
		}
	}
	return all
}

// slowPolicies are the engine's words for those of slow_consumers.
var slowPolicies = map[string]port.SlowConsumer{
	"disconnect": port.Disconnect, "drop_newest": port.DropNewest, "drop_oldest": port.DropOldest,
	"keep_latest": port.KeepLatest,
}

// cookieRules are those of the cookie by which browsers come back; nil if no realm of f offers the method.
func cookieRules(f *config.File, c *config.Cookies, store *auth.Cookies) *engine.CookieRules {
	offered := false
	for i := range f.Realms {
		offered = offered || f.Realms[i].Auth.Cookie != nil
	}
	for i := range f.Templates {
		offered = offered || f.Templates[i].Auth.Cookie != nil
	}
	if !offered {
		return nil
	}
	return &engine.CookieRules{
		Name: c.Name, MaxAge: c.MaxAge, Issue: store.Issue, Valid: store.Valid,
		Bound: func(value string) bool { return store.Bound(value, time.Now()) },
	}
}

// orNever is a time of the engine's configuration, where 0 stands for the default.
func orNever(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// engineOrigins are origins in the engine's form, where a host alone, which is any port of it, has no brackets.
func engineOrigins(origins []string) []string {
	all := make([]string, len(origins))
	for i, o := range origins {
		all[i] = o
		if literal, ok := strings.CutPrefix(o, "["); ok && strings.HasSuffix(literal, "]") {
			all[i] = strings.TrimSuffix(literal, "]")
		}
	}
	return all
}

// unixFile is a section file in the engine's form. Names have been checked when the file was read.
func unixFile(s *config.SocketFile) engine.UnixFile {
	mode, _ := strconv.ParseUint(s.Mode, 8, 32)
	return engine.UnixFile{
		Mode: fs.FileMode(mode),
		User: idOf(s.Owner, func(name string) (string, error) {
			u, err := user.Lookup(name)
			if err != nil {
				return "", err
			}
			return u.Uid, nil
		}),
		Group: idOf(s.Group, func(name string) (string, error) {
			g, err := user.LookupGroup(name)
			if err != nil {
				return "", err
			}
			return g.Gid, nil
		}),
	}
}

// idOf is the number of a user or group, 0 if nothing is said: that leaves it as it is.
func idOf(name string, lookUp func(string) (string, error)) int {
	id, err := strconv.Atoi(name)
	if err != nil && name != "" {
		if number, err := lookUp(name); err == nil {
			id, _ = strconv.Atoi(number)
		}
	}
	return id
}
