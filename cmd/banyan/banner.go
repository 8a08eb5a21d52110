package main

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"

	"golang.org/x/sys/unix"
)

// announce tells where to connect, who may, and what to try next.
func (c *serveConfig) announce(w io.Writer, addrs []net.Addr, connectionsMax int) {
	fmt.Fprintf(w, "banyan %s\n", buildName())
	flags := ""
	for i, a := range addrs {
		if a.Network() == "unix" {
			fmt.Fprintf(w, "  RawSocket  unix:%s\n  WebSocket  ws+unix:%s\n", a, a)
			if i == 0 {
				flags = " --url unix:" + a.String()
			}
			continue
		}
		host := reachable(a)
		fmt.Fprintf(w, "  WebSocket  ws://%s/ws\n  RawSocket  rs://%s\n  page       http://%s/\n", host, host, host)
		if i == 0 && "ws://"+host+"/ws" != defaultURL {
			flags = " --url ws://" + host + "/ws"
		}
	}
	fmt.Fprintf(w, "  realms     %s\n  anonymous  %s\n", strings.Join(c.realms, ", "), whoMayJoin[c.anonymous])
	for _, text := range c.listen {
		if l, _ := parseListen(text); l.anonymous != "" {
			fmt.Fprintf(w, "             but at %s: %s\n", l.address, whoMayJoin[l.anonymous])
		}
	}
	fmt.Fprintf(w, "  at once    %d connections\n", connectionsMax)
	if c.realms[0] != defaultRealm {
		flags += " --realm " + c.realms[0]
	}
	fmt.Fprintf(w, "\n  next, in another terminal:\n    banyan sub com.example.hello%s\n    banyan pub com.example.hello hi%s\n\n", flags, flags)
}

// whoMayJoin says in words what the values of --anonymous mean.
var whoMayJoin = map[string]string{
	"local":    "clients of this machine may do everything, and so may whoever a proxy here forwards without saying so in a header",
	"anywhere": "ANYBODY who reaches the port may do everything",
	"none":     "nobody may join without authentication",
}

// connectionsFew is how many connections are fewer than anybody expects of a router.
const connectionsFew = 1000

// warnOfFiles warns when the limit of open files allows few connections, or fewer than the flag.
func (c *serveConfig) warnOfFiles(log *slog.Logger, connectionsMax int) {
	const try = "raise the limit of open files: ulimit -n, or LimitNOFILE= of systemd"
	asked := c.engine.ConnectionsMax
	if asked == 0 && connectionsMax < connectionsFew {
		log.Warn("few connections are possible", "connections", connectionsMax, "try", try)
	}
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err == nil && uint64(asked) > files.Cur {
		log.Warn("--connections-max is more than the limit of open files allows", "connections-max", asked, "files", files.Cur, "try", try)
	}
}

// reachable is the address to type: an unspecified one is reached by loopback.
func reachable(a net.Addr) string {
	t, ok := a.(*net.TCPAddr)
	if !ok || !t.IP.IsUnspecified() {
		return a.String()
	}
	return net.JoinHostPort("127.0.0.1", fmt.Sprint(t.Port))
}
