package main

import (
	"fmt"
	"io"
	"net"
	"strings"
)

// announce tells where to connect and what to try next.
func (c *serveConfig) announce(w io.Writer, addrs []net.Addr) {
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
	who := "anonymous clients of this machine may do everything"
	if c.anonymous == "anywhere" {
		who = "ANYBODY who reaches the port may do everything"
	}
	fmt.Fprintf(w, "  realms     %s   (%s)\n", strings.Join(c.realms, ", "), who)
	if c.realms[0] != defaultRealm {
		flags += " --realm " + c.realms[0]
	}
	fmt.Fprintf(w, "\n  next, in another terminal:\n    banyan sub com.example.hello%s\n    banyan pub com.example.hello hi%s\n\n", flags, flags)
}

// reachable is the address to type: an unspecified one is reached by loopback.
func reachable(a net.Addr) string {
	t, ok := a.(*net.TCPAddr)
	if !ok || !t.IP.IsUnspecified() {
		return a.String()
	}
	return net.JoinHostPort("127.0.0.1", fmt.Sprint(t.Port))
}
