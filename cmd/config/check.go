//go:build linux

package config

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A checker looks for what is wrong between values that are each fine. Every rule is a method; each says what it
// refuses and what it warns of.
type checker struct {
	*loading
	cfg *Config
}

func (c *checker) check() {
	c.listeners()
	c.certificates()
	c.limits()
	c.realms()
	c.hashes()
	c.methods()
	c.process()
}

func (c *checker) bad(path, message, hint string)  { c.at(Error, path, message, hint) }
func (c *checker) warn(path, message, hint string) { c.at(Warning, path, message, hint) }

// idle reports a value without effect. In a file it is a warning, because a file may list everything. On the command
// line it was meant to do something.
func (c *checker) idle(path, message, hint string) {
	s := Warning
	if _, n := c.find(path, true); strings.HasPrefix(c.given[n], "--") {
		s = Error
	}
	c.at(s, path, message, hint)
}

// now is the time against which certificates are held.
func (c *checker) now() time.Time {
	if c.Now.IsZero() {
		return time.Now()
	}
	return c.Now
}

// more reports a value that was given and that another one makes unreachable. A default that another value makes
// unreachable is no contradiction.
func (c *checker) more(path string, value int64, whole string, most int64) {
	if most <= 0 || value <= most || !c.has(path) {
		return
	}
	limit := whole + ", which is " + c.shown(whole)
	if !c.has(whole) {
		limit += " by default"
	}
	c.bad(path, c.shown(path)+" is more than "+limit, "")
}

// shown is the text of the value at path.
func (c *checker) shown(path string) string {
	v, o := lookUp(c.cfg, path)
	return o.show(v)
}

// limits refuses limits, and times, that can never be reached because another one comes first.
func (c *checker) limits() {
	l, s := &c.cfg.Limits, &c.cfg.SlowConsumers
	budget := int64(c.cfg.Budget.Bytes)
	c.more("limits.patterns_max", int64(l.PatternsMax), "limits.subscriptions_max", int64(l.SubscriptionsMax))
	c.more("limits.connections_per_address_max", int64(l.ConnectionsPerAddressMax), "limits.connections_max",
		int64(l.ConnectionsMax))
	c.more("limits.handshakes_max", int64(l.HandshakesMax), "limits.connections_max", int64(l.ConnectionsMax))
	c.more("limits.goodbye_timeout", int64(l.GoodbyeTimeout), "drain.timeout", int64(c.cfg.Drain.Timeout))
	c.more("slow_consumers.backlog_bytes_max", int64(s.BacklogBytesMax), "budget.bytes", budget)
	c.more("slow_consumers.credit_bytes", int64(s.CreditBytes), "budget.bytes", budget)
	c.more("slow_consumers.slow_after", int64(s.SlowAfter), "slow_consumers.backlog_age_max", int64(s.BacklogAgeMax))
	if !c.has("limits.message_bytes_max") {
		l.MessageBytesMax = c.cfg.messageBytesUsual()
	} else if fits := c.cfg.MessageBytesFit(); l.MessageBytesMax > fits {
		c.bad("limits.message_bytes_max", fmt.Sprintf("%s is too much for budget.bytes %s: a long message needs "+
			"its bytes twice and 2MiB, so at most %s is possible", l.MessageBytesMax, c.cfg.Budget.Bytes, fits),
			"make budget.bytes larger, or this smaller")
	}
	c.more("limits.peer_message_bytes_min", int64(l.PeerMessageBytesMin), "limits.message_bytes_max",
		int64(l.MessageBytesMax))
	c.more("limits.uri_bytes_max", int64(l.URIBytesMax), "limits.message_bytes_max", int64(l.MessageBytesMax))
	c.drain()
	k := c.cfg.Keepalive
	if k.RawsocketPings && k.PingInterval == 0 {
		c.bad("keepalive.rawsocket_pings", "it has no effect with keepalive.ping_interval 0: nobody is pinged",
			"remove one of them")
	}
	switch {
	case k.PingTimeout > 0 && k.PingInterval == 0:
		c.bad("keepalive.ping_timeout", "it has no effect with keepalive.ping_interval 0: nobody is pinged",
			"remove one of them")
	case k.PingTimeout > 0 && k.PingTimeout < k.PingInterval:
		c.bad("keepalive.ping_timeout", fmt.Sprintf("%s is shorter than keepalive.ping_interval, which is %s",
			showDuration(k.PingTimeout), showDuration(k.PingInterval)), "")
	}
	if n := len(c.cfg.Realms); n > l.RealmsMax {
		c.bad("limits.realms_max", fmt.Sprintf("%d is less than the %d realms that there are", l.RealmsMax, n), "")
	} else if n == l.RealmsMax && len(c.cfg.Templates) > 0 {
		c.bad("limits.realms_max", fmt.Sprintf("%d leaves no room for realms of templates: there are as many realms "+
			"already", n), "")
	} else if c.has("limits.realms_max") && len(c.cfg.Templates) == 0 {
		c.idle("limits.realms_max", "it has no effect without templates", "remove it, or add a template")
	}
	c.kept()
	c.slowOverrides()
	c.files()
}

// The parts of the budget, one in so many, that histories in memory and retained events may have together, and that
// retained events may have: keptShare and retainedShare in engine/limits.go and realm/limits.go.
const (
	keptShare     = 4
	retainedShare = 8
)

// kept warns if histories in memory or retained events may take more than their part of the budget, so that another
// bound than the one that is given comes first. A budget that follows from the memory is not known here.
func (c *checker) kept() {
	budget := c.cfg.Budget.Bytes
	look := func(path, who string, value, most Bytes) {
		if budget > 0 && value > most && c.has(path) {
			c.warn(path, fmt.Sprintf("%s is never reached: %s may have %s of budget.bytes %s", value, who, most,
				budget), "make budget.bytes larger, or this smaller")
		}
	}
	look("history.memory_bytes_max", "histories and retained events together", c.cfg.History.MemoryBytesMax,
		budget/keptShare)
	each(c.cfg, func(path string, rm *Realm, _ string) {
		look(path+".retention.bytes_max", "the retained events of all realms", rm.Retention.BytesMax,
			budget/retainedShare)
	})
}

// MessageBytesFit is the longest message that the budget has room for. While a long message is joined it needs its
// bytes twice, and up to 1 MiB of its last chunk and 64 KiB of a read besides; see engine/join.go. A budget that
// follows from the memory has room for any.
func (c *Config) MessageBytesFit() Bytes {
	if c.Budget.Bytes == 0 {
		return math.MaxInt64
	}
	return c.Budget.Bytes/2 - 1<<20
}

// messageBytesUsual is the longest message that is accepted if nothing else is said. The budget has room for four:
// one that is received, its bytes joined, its bytes as a receiver wants them, and the one before it that the receiver
// has not taken yet.
func (c *Config) messageBytesUsual() Bytes {
	if c.Budget.Bytes == 0 {
		return c.Limits.MessageBytesMax
	}
	return min(c.Limits.MessageBytesMax, c.Budget.Bytes/4)
}

// drain refuses times that do not fit into the longest time of a stop. A default that does not is cut.
func (c *checker) drain() {
	d := &c.cfg.Drain
	over := d.Grace + d.Spread - d.Timeout
	switch {
	case over <= 0:
	case !c.has("drain.spread") && over <= d.Spread:
		d.Spread -= over
	default:
		at := "drain.timeout"
		for _, p := range []string{"drain.grace", "drain.spread"} {
			if c.has(p) {
				at = p
			}
		}
		c.bad(at, fmt.Sprintf("grace %s and spread %s are together more than timeout %s", showDuration(d.Grace),
			showDuration(d.Spread), showDuration(d.Timeout)), "make timeout longer")
	}
}

// files warns if there may be more connections than the process may open files.
func (c *checker) files() {
	most := c.FilesMax
	if most == 0 {
		var limit unix.Rlimit
		if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
			return
		}
		most = int(min(limit.Cur, 1<<30))
	}
	if n := c.cfg.Limits.ConnectionsMax; n >= most {
		c.warn("limits.connections_max",
			fmt.Sprintf("%d needs more open files than the %d that this process may have",
				n, most), "raise the limit (ulimit -n, LimitNOFILE=), or say less")
	}
}

// slowOverrides refuses bounds of realms and roles that the budget makes unreachable.
func (c *checker) slowOverrides() {
	one := func(path string, s *SlowOverride) {
		if s == nil {
			return
		}
		c.more(path+".backlog_bytes_max", int64(s.BacklogBytesMax), "budget.bytes", int64(c.cfg.Budget.Bytes))
		if *s == (SlowOverride{Policy: "inherit"}) {
			c.warn(path, "nothing in it differs", "say how it differs, or remove it")
		}
	}
	each(c.cfg, func(path string, rm *Realm, _ string) {
		one(path+".slow_consumers", rm.SlowConsumers)
		for i := range rm.Roles {
			one(fmt.Sprintf("%s.roles.%d.slow_consumers", path, i), rm.Roles[i].SlowConsumers)
		}
	})
}

// process checks the section process.
func (c *checker) process() {
	p := &c.cfg.Process
	for i, l := range c.cfg.Listeners {
		t, ok := target(l.Address)
		if ok && t.network == "unix" && p.Socket() != "" && samePath(t.address, p.Socket()) {
			c.bad(fmt.Sprintf("listeners.%d.address", i), "the control socket has this path", "choose another one")
		}
	}
	if strings.ContainsFunc(p.Agent, func(r rune) bool { return r < ' ' }) {
		c.bad("process.agent", "there is a control character in it", "")
	}
	if s := p.Socket(); s != "" {
		if err := checkAddress("unix:" + s); err != nil {
			c.bad("process.data_dir", "the control socket in it has a path that is too long: "+quote(s),
				"say a shorter one in process.control_socket")
		}
	}
}

// Socket is the path of the control socket; empty if there is none.
func (p *Process) Socket() string {
	if p.ControlSocket == "" && p.DataDir != "" {
		return strings.TrimSuffix(p.DataDir, "/") + "/control.sock"
	}
	return p.ControlSocket
}

// offered are the methods that a realm offers.
func (a *Auth) offered() []string {
	var all []string
	add := func(is bool, method string) {
		if is {
			all = append(all, method)
		}
	}
	add(a.Anonymous != nil, "anonymous")
	add(a.Ticket != nil, "ticket")
	add(a.WAMPCRA != nil, "wampcra")
	add(a.WAMPSCRAM != nil, "wamp-scram")
	add(a.SCRAM != nil, "scram")
	add(a.Cryptosign != nil, "cryptosign")
	add(a.TLS != nil, "tls")
	add(a.Cookie != nil, "cookie")
	return all
}

// Accepts reports whether a method may be used through a listener.
func (l *Listener) Accepts(method string) bool {
	return len(l.AuthMethods) == 0 || slices.Contains(l.AuthMethods, method)
}
