package main

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// announce tells where to connect, who may, and what to try next: the commands lead to the first listener that lets
// anonymous clients in.
func (c *serveConfig) announce(w io.Writer, addrs []net.Addr, connectionsMax int) {
	fmt.Fprintf(w, "banyan %s\n", buildName())
	urls := make([]string, len(addrs))
	for i, a := range addrs {
		where := reachable(a)
		if a.Network() == "unix" {
			urls[i] = "unix:" + where
			fmt.Fprintf(w, "  RawSocket  unix:%s\n  WebSocket  ws+unix:%s\n", where, where)
			continue
		}
		urls[i] = "ws://" + where + "/ws"
		fmt.Fprintf(w, "  WebSocket  %s\n  RawSocket  rs://%s\n  page       http://%s/\n", urls[i], where, where)
	}
	fmt.Fprintf(w, "  realms     %s\n  anonymous  %s\n", strings.Join(c.realms, ", "), whoMayJoin[c.anonymous])
	open := slices.IndexFunc(c.listen, func(text string) bool {
		l, _ := parseListen(text)
		return cmp.Or(l.anonymous, c.anonymous) != "none"
	})
	for _, text := range c.listen {
		if l, _ := parseListen(text); l.anonymous != "" {
			fmt.Fprintf(w, "             but at %s: %s\n", l.address, whoMayJoin[l.anonymous])
		}
	}
	fmt.Fprintf(w, "  at once    %d connections\n", connectionsMax)
	if most := byteSize(c.messageBytesMax()); int(most) < c.engine.MessageBytesMax {
		fmt.Fprintf(w, "  a message  at most %v, a quarter of --budget-bytes\n", &most)
	}
	flags := ""
	if url := urls[max(open, 0)]; url != defaultURL {
		flags = " --url " + shellWord(url)
	}
	if c.realms[0] != defaultRealm {
		flags += " --realm " + shellWord(c.realms[0])
	}
	fmt.Fprintf(w, "\n  next, in another terminal:\n"+
		"    banyan sub com.example.hello%s\n    banyan pub com.example.hello hi%s\n\n", flags, flags)
}

// whoMayJoin says in words what the values of --anonymous mean.
var whoMayJoin = map[string]string{
	"local": "clients of this machine may do everything, " +
		"and so may whoever a proxy here forwards without saying so in a header",
	"anywhere": "ANYBODY who reaches the port may do everything",
	"none":     "nobody may join without authentication",
}

// connectionsFew is how many connections are fewer than anybody expects of a router.
const connectionsFew = 1000

// warnOfFiles warns when the limit of open files allows few connections, or fewer than the flag.
func (c *serveConfig) warnOfFiles(log *slog.Logger, connectionsMax int) {
	const try = "raise the limit of open files: ulimit -n, or LimitNOFILE= of systemd"
	switch asked := c.engine.ConnectionsMax; {
	case asked == 0 && connectionsMax < connectionsFew:
		log.Warn("few connections are possible", "connections", connectionsMax, "try", try)
	case asked > connectionsMax:
		log.Warn("--connections-max is more than the limit of open files allows",
			"connections-max", asked, "connections", connectionsMax, "try", try)
	}
}

// reachable is what a client of this machine types to reach a: loopback of a family that the socket listens on if a
// is unspecified, and a path that is right in every directory. An address without IP stands for both families.
func reachable(a net.Addr) string {
	t, tcp := a.(*net.TCPAddr)
	if !tcp {
		path := a.String()
		if whole, err := filepath.Abs(path); err == nil && !strings.HasPrefix(path, "@") {
			return whole
		}
		return path
	}
	host := t.IP.String()
	switch {
	case len(t.IP) == 0, t.IP.Equal(net.IPv4zero):
		host = "127.0.0.1"
	case t.IP.Equal(net.IPv6unspecified):
		host = "::1"
	case t.Zone != "":
		host += "%25" + t.Zone // RFC 6874
	}
	return net.JoinHostPort(host, strconv.Itoa(t.Port))
}

// shellWord is text as a shell takes it for one word.
func shellWord(text string) string {
	special := func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_-+=:,./@%", r)
	}
	if text != "" && !strings.ContainsFunc(text, special) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
