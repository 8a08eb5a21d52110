package cli

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"banyan/cmd/config"
)

// announce tells where to connect, who may, and what to try next: the commands lead to the first listener that lets
// anonymous clients in.
func announce(w io.Writer, f *config.File, addrs []net.Addr, connectionsMax int) {
	fmt.Fprintf(w, "banyan %s\n", buildName())
	urls := make([]string, len(addrs))
	for i, a := range addrs {
		if name := f.Listeners[i].Name; name != "" {
			fmt.Fprintf(w, "  %s:\n", name)
		}
		urls[i] = announceListener(w, &f.Listeners[i], a.Network(), reachable(a))
	}
	fmt.Fprintf(w, "  realms     %s\n", realmNames(f))
	open := announceAnonymous(w, f, addrs)
	fmt.Fprintf(w, "  at once    %d connections\n", connectionsMax)
	if most := f.Limits.MessageBytesMax; most < messageBytesMost && !f.Given("limits.message_bytes_max") {
		fmt.Fprintf(w, "  a message  at most %v, a quarter of --budget-bytes\n", most)
	}
	if f.Path != "" {
		fmt.Fprintf(w, "  config     %s\n", absolute(f.Path))
	}
	if s := f.Process.Socket(); s != "" {
		fmt.Fprintf(w, "  control    %s\n", absolute(s))
	}
	flags := ""
	if url := urls[max(open, 0)]; url != defaultURL {
		flags = " --url " + shellWord(url)
	}
	if len(f.Realms) > 0 && f.Realms[0].URI != defaultRealm {
		flags += " --realm " + shellWord(f.Realms[0].URI)
	}
	fmt.Fprintf(w, "\n  next, in another terminal:\n"+
		"    banyan sub com.example.hello%s\n    banyan pub com.example.hello hi%s\n\n", flags, flags)
}

// announceListener tells what is spoken at one address, and returns the URL for clients.
func announceListener(w io.Writer, l *config.Listener, network, where string) (url string) {
	webSocket, rawSocket, page := "ws://"+where+"/ws", "rs://"+where, "http://"+where+"/"
	switch {
	case network == "unix":
		webSocket, rawSocket, page = "ws+unix:"+where, "unix:"+where, ""
	case l.TLS != nil:
		webSocket, rawSocket, page = "wss://"+where+"/ws", "rss://"+where, "https://"+where+"/"
	}
	for _, line := range [][3]string{{"websocket", "WebSocket", webSocket}, {"rawsocket", "RawSocket", rawSocket}} {
		if !slices.Contains(l.Protocols, line[0]) {
			continue
		}
		fmt.Fprintf(w, "  %s  %s\n", line[1], line[2])
		if url == "" || network == "unix" {
			url = line[2]
		}
	}
	if page != "" {
		fmt.Fprintf(w, "  page       %s\n", page)
	}
	if page != "" && l.LongPoll != "" {
		fmt.Fprintf(w, "  long-poll  %s\n", strings.TrimSuffix(page, "/")+l.LongPoll)
	}
	if l.TLS != nil && l.TLS.Plain == "allow" {
		fmt.Fprint(w, "             and the same without TLS\n")
	}
	return url
}

// messageBytesMost is the longest message that any configuration accepts.
const messageBytesMost = 16 << 20

// realmNames are the realms as the start names them.
func realmNames(f *config.File) string {
	const most = 10 // more are no help
	var names []string
	for i := range f.Realms {
		names = append(names, f.Realms[i].URI)
	}
	for i := range f.Templates {
		names = append(names, fmt.Sprintf("any %s %q", f.Templates[i].Match, f.Templates[i].URI))
	}
	if more := len(names) - most; more > 0 {
		names = append(names[:most], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

// announceAnonymous tells who may join without authentication, and returns the first listener through which somebody
// may; -1 is none.
func announceAnonymous(w io.Writer, f *config.File, addrs []net.Addr) (open int) {
	rules := make([]string, len(f.Listeners))
	for i := range f.Listeners {
		rules[i] = anonymousRule(f, &f.Listeners[i])
	}
	fmt.Fprintf(w, "  anonymous  %s\n", whoMayJoin[rules[0]])
	for i, rule := range rules {
		if rule != rules[0] {
			at := f.Listeners[i].Name
			if at == "" {
				at = reachable(addrs[i])
			}
			fmt.Fprintf(w, "             but at %s: %s\n", at, whoMayJoin[rule])
		}
	}
	return slices.IndexFunc(rules, func(rule string) bool { return rule != "none" })
}

// anonymousRule is who may join through a listener without authentication: a word of whoMayJoin.
func anonymousRule(f *config.File, l *config.Listener) string {
	rule := ""
	of := func(rm *config.Realm) {
		one := l.Anonymous
		switch {
		case rm.Auth.Anonymous == nil || !l.Accepts("anonymous"):
			one = "none"
		case one == "realm" && slices.Contains(rm.Auth.Anonymous.From, "anywhere"):
			one = "anywhere"
		case one == "realm" && slices.Equal(rm.Auth.Anonymous.From, []string{"local"}):
			one = "local"
		}
		if one != "none" && !rm.Everything(rm.Auth.Anonymous.Role) {
			one = "roles"
		}
		if rule != "" && rule != one {
			one = "realm"
		}
		rule = one
	}
	for i := range f.Realms {
		of(&f.Realms[i])
	}
	for i := range f.Templates {
		of(&f.Templates[i].Realm)
	}
	return rule
}

// whoMayJoin says in words who may join without authentication.
var whoMayJoin = map[string]string{
	"local": "clients of this machine may do everything, " +
		"and so may whoever a proxy here forwards without saying so in a header",
	"anywhere": "ANYBODY who reaches the port may do everything",
	"none":     "nobody may join without authentication",
	"roles":    "some clients may join without authentication, with the rights of their role",
	"realm":    "some clients may join without authentication, as each realm says",
}

// connectionsFew is how many connections are fewer than anybody expects of a router.
const connectionsFew = 1000

// warnOfFiles warns when the limit of open files allows few connections, or fewer than were asked for.
func warnOfFiles(log *slog.Logger, f *config.File, connectionsMax int) {
	const try = "raise the limit of open files: ulimit -n, or LimitNOFILE= of systemd"
	switch asked := f.Limits.ConnectionsMax; {
	case asked == 0 && connectionsMax < connectionsFew:
		log.Warn("few connections are possible", "connections", connectionsMax, "try", try)
	case asked > connectionsMax:
		log.Warn("connections-max is more than the limit of open files allows",
			"connections-max", asked, "connections", connectionsMax, "try", try)
	}
}

// absolute is a path that is right in every folder.
func absolute(path string) string {
	if whole, err := filepath.Abs(path); err == nil && !strings.HasPrefix(path, "@") {
		return whole
	}
	return path
}

// reachable is what a client of this machine types to reach a: loopback of a family that the socket listens on if a
// is unspecified, and a path that is right in every directory. An address without IP stands for both families.
func reachable(a net.Addr) string {
	t, tcp := a.(*net.TCPAddr)
	if !tcp {
		return absolute(a.String())
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
