package main

import (
	"math"

	"github.com/spf13/pflag"
)

// conflict returns a usage error if two flags contradict each other: if a limit, or a time, that was asked for can
// never be reached because another one comes first, or if a flag has no effect beside another. A default that another
// flag makes unreachable is no contradiction.
func (c *serveConfig) conflict() error {
	e, r := &c.engine, &c.limits
	messageBytesMax := c.messageBytesMax()
	for _, p := range []struct {
		part  string
		n     int64
		whole string
		most  int64 // 0: not known yet
	}{
		{"peer-message-bytes-min", int64(e.PeerMessageBytesMin), "message-bytes-max", int64(messageBytesMax)},
		{"uri-bytes-max", int64(r.URIBytesMax), "message-bytes-max", int64(messageBytesMax)},
		{"patterns-max", int64(r.PatternsMax), "subscriptions-max", int64(r.SubscriptionsMax)},
		{"backlog-bytes-max", int64(e.BacklogBytesMax), "budget-bytes", int64(c.budgetBytes)},
		{"credit-bytes", int64(c.creditBytes), "budget-bytes", int64(c.budgetBytes)},
		{"goodbye-timeout", int64(r.GoodbyeTimeout), "shutdown-timeout", int64(c.shutdownTimeout)},
	} {
		if part := c.flag(p.part); part.Changed && p.most > 0 && p.n > p.most {
			return usagef("--%s %s is more than --%s", p.part, part.Value, c.told(p.whole))
		}
	}
	if rate := c.flag("cpu-profile-rate"); rate.Changed && c.cpuProfile == "" {
		return usagef("--cpu-profile-rate %s has no effect without --cpu-profile", rate.Value)
	}
	if long := c.flag("message-bytes-max"); long.Changed && c.messageBytesFit() < e.MessageBytesMax {
		fits := byteSize(c.messageBytesFit())
		return usagef("--message-bytes-max %s is too much for --%s: a long message needs its bytes twice and 2MiB, "+
			"so at most %v is possible", long.Value, c.told("budget-bytes"), &fits)
	}
	switch interval := c.told("ping-interval"); {
	case c.pingTimeout > 0 && c.pingInterval == 0:
		return usagef("--ping-timeout %v has no effect with --%s: nobody is pinged", c.pingTimeout, interval)
	case c.pingTimeout > 0 && c.pingTimeout < c.pingInterval:
		return usagef("--ping-timeout %v is shorter than --%s", c.pingTimeout, interval)
	case e.RawSocketPings && c.pingInterval == 0:
		return usagef("--rawsocket-pings has no effect with --%s: nobody is pinged", interval)
	}
	for _, uri := range c.realms {
		if len(uri) > r.URIBytesMax {
			return usagef("--realm %s is longer than --%s", uri, c.told("uri-bytes-max"))
		}
	}
	switch most := c.told("realms-max"); {
	case c.flag("realms-max").Changed && !c.autoCreate:
		return usagef("--%s has no effect without --auto-create-realms: only those of --realm are made", most)
	case len(c.realms) > r.RealmsMax:
		return usagef("--%s: there are %d realms already", most, len(c.realms))
	case c.autoCreate && len(c.realms) == r.RealmsMax:
		return usagef("--auto-create-realms has no effect with --%s: there are as many realms already", most)
	}
	return nil
}

// messageBytesFit is the longest message, in bytes, that the budget has room for. While a long message is joined it
// needs its bytes twice, and up to 1 MiB of its last chunk and 64 KiB of a read besides; see engine/join.go. A budget
// that follows from the memory has room for any.
func (c *serveConfig) messageBytesFit() int {
	if c.budgetBytes == 0 {
		return math.MaxInt
	}
	return c.budgetBytes/2 - 1<<20
}

// messageBytesMax is the longest message accepted. By default the budget has room for four: one that is received, its
// bytes joined, its bytes as a receiver wants them, and the one before it that the receiver has not taken yet.
func (c *serveConfig) messageBytesMax() int {
	if c.flag("message-bytes-max").Changed {
		return c.engine.MessageBytesMax
	}
	if c.budgetBytes == 0 {
		return c.engine.MessageBytesMax
	}
	return min(c.engine.MessageBytesMax, c.budgetBytes/4)
}

// flag returns a flag by its name.
func (c *serveConfig) flag(name string) *pflag.Flag {
	for _, g := range c.groups {
		if f := g.Lookup(name); f != nil {
			return f
		}
	}
	panic("no flag " + name)
}

// told is a flag with its value, for messages.
func (c *serveConfig) told(name string) string {
	if f := c.flag(name); !f.Changed {
		value := f.Value.String()
		if most := c.messageBytesMax(); name == "message-bytes-max" && most < c.engine.MessageBytesMax {
			fits := byteSize(most)
			value = fits.String() + " with --" + c.told("budget-bytes")
		}
		return name + ", which is " + value + " by default"
	}
	return name + " " + c.flag(name).Value.String()
}
