//go:build linux

package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"banyan/engine/port"
)

// A Config tells how an engine listens and what it allows. The zero value of each field means its default. New checks
// it once. The fields of Live may be changed later with Apply, the others are fixed.
type Config struct {
	Live

	// Listen holds the addresses to listen on: "127.0.0.1:8080", "[::1]:0" (any free port), "unix:/run/banyan.sock".
	// Each speaks WebSocket, RawSocket and plain HTTP, told apart by the first octet.
	// Default: 127.0.0.1:8080. At most 64.
	Listen []string
	// UnixFiles holds mode and owner of the files of Unix sockets, by address in Listen. Default: mode 0660, user and
	// group of the process.
	UnixFiles map[string]UnixFile
	// ListenNames holds what log lines call an address in Listen. Default: the address.
	ListenNames map[string]string
	// TLS holds the addresses in Listen that speak TLS. Default: none.
	TLS map[string]ListenTLS
	// Protocols holds what is spoken at an address in Listen: "websocket", "rawsocket". Default: both. A client of
	// the other is refused; plain HTTP is answered all the same.
	Protocols map[string][]string
	// LongPoll holds the path of HTTP long-poll at an address in Listen: "/lp" for most clients. Default: none; it is
	// not spoken.
	LongPoll map[string]string
	// ProxyProtocol holds the addresses in Listen where every connection begins with a PROXY header, version 1 or 2,
	// of one of Live.TrustedProxies; on a Unix socket whoever may connect is trusted. Others are closed:
	// Stats.ProxyRefused.
	ProxyProtocol map[string]bool
	// Loops is the number of event loops; default GOMAXPROCS, at most 64. GOMAXPROCS itself is the caller's business;
	// it should be the same number, one more if Dedicated.
	Loops int
	// StopTimeout is how long Stop takes at most, in all; default 8 s, which is less than the 10 s that service
	// managers and container runtimes give. Connections that have not said goodbye by then are closed.
	StopTimeout time.Duration
	// BudgetBytes is how much memory, in bytes, messages under way, unsent bytes and subscriptions and registrations
	// of all connections together may take. The last two have half of it: more are refused. Above the budget the
	// largest holders are closed, one after the other, until it is kept: Stats.BudgetClosed. Loops may go beyond it
	// by 64 KiB each, and by one read or one message each. Default: a quarter of GOMEMLIMIT, or else of what the
	// control group or the machine has; at least 256 MiB.
	BudgetBytes int64
	// Dedicated says that the process does nothing beside this engine worth a CPU, and that GOMAXPROCS is above
	// Loops. A loop without work then keeps its P for up to 10 ms, which spares the runtime much searching and
	// waking. While the pool of Async has work, loops do not. Without effect where the runtime cannot interrupt
	// threads, which Start finds out.
	Dedicated bool
	// Page answers plain HTTP GETs without an upgrade. nil: a short text. "/healthz" is answered by the engine: 200
	// "ok". It is called on a loop and must not block.
	Page func(path string) Page
	// AuthoritiesChanged is called after the engine has read other authorities from a file that has changed:
	// port.TLS.Trust may say something else now. It is called on a goroutine of its own. nil: nobody is told.
	AuthoritiesChanged func()
	// Log receives what an operator should know; default slog.Default().
	Log *slog.Logger
}

// Live are the settings that Apply may change while the engine runs. Each is read once per message, turn or use.
type Live struct {
	// MessageBytesMax is the longest message accepted from a client, in bytes, without framing; default and most 16
	// MiB, at least 512. RawSocket announces it rounded down to a power of two; such a connection keeps what was
	// announced. Before a session is joined it is 64 KiB at most. A longer message closes the connection:
	// Stats.TooBig.
	MessageBytesMax int
	// PeerMessageBytesMin is the smallest message limit, in bytes, that a RawSocket client may announce; one that
	// takes less is refused with error 2. Default 512, which every client can take; at most 16 MiB.
	PeerMessageBytesMin int
	// HandshakeTimeout bounds the whole opening handshake from accept on, TLS and a PROXY header included, not each
	// octet; default 10 s.
	HandshakeTimeout time.Duration
	// TLSHandshakesMax is how many TLS handshakes may be unfinished, beyond the first message of the client. The
	// others wait; the newest is served first, and the oldest may be closed after 1 s: Stats.TLSCut. Each counts 32
	// KiB of the budget. Default: what an eighth of the budget allows, at most 8192. At least one for each loop.
	TLSHandshakesMax int
	// Listeners are the Origins, TrustedProxies and Deflate of each address in Config.Listen, in that order, instead
	// of those that stand here, which are for all. Default: none; otherwise one for each address.
	Listeners []ListenerRules
	// TrustedProxies are the addresses from which PROXY headers and X-Forwarded-For are believed. If there are any,
	// whoever connects to a Unix socket is believed as well. Default: none. At most 1000.
	TrustedProxies []netip.Prefix
	// MessageTimeout is how long an unfinished message may go without another octet; default 30 s, negative: for
	// ever. Then the connection is closed with 1008: Stats.MessageTimeouts. The time in which the engine does not
	// read does not count.
	MessageTimeout time.Duration
	// PingInterval is how often a WebSocket client is pinged; default 25 s, because proxies cut silent connections
	// after 30, negative: never.
	PingInterval time.Duration
	// PingTimeout is how long a client may give no sign of life at all, counted in whole ping intervals; default two,
	// at least one. Then it is closed with 1008: Stats.PingTimeouts. Any octet from the client is a sign of life.
	// While the engine does not read because of the backlog, any octet that the client takes is one instead.
	PingTimeout time.Duration
	// RawSocketPings says that RawSocket clients are pinged too. Off by default, because some clients cannot answer
	// (PROTOCOL 13.3). Without it TCP closes a connection whose client takes nothing, or whose machine does not
	// answer, for two minutes.
	RawSocketPings bool
	// Origins lists what browsers may connect from besides pages of the same host name: host names
	// ("app.example.org"), full origins ("https://app.example.org:8443"), or "*" for any. A request without Origin is
	// no browser and always allowed.
	Origins []string
	// Deflate says who may have messages compressed.
	Deflate DeflateRule
	// Draining makes the health check answer 503, so that load balancers send nobody any more. Connections are
	// accepted all the same.
	Draining bool
	// Leaving refuses all further connections and long-poll sessions, for good: the router is about to stop. Requests
	// of long-poll sessions that are there still come in.
	Leaving bool
	// Cookie is what WebSocket clients get with their handshake; nil for nothing.
	Cookie *CookieRules
	// BacklogBytesMax is how many unsent bytes a connection may hold; default 64 MiB, at least 64 KiB. The memory
	// that they take may be a quarter more: it is a multiple of them where messages are short. Invocations are
	// refused at the bound, events follow SlowConsumer, replies have a quarter more and then the connection is
	// closed. A client with more than a quarter of it unsent in answers to its own requests is not read from until it
	// has taken half of that.
	BacklogBytesMax int
	// BacklogEventsMax is how many unsent events a connection may hold, and BacklogAgeMax how long one may wait to be
	// sent; 0 is no limit. Age is looked at four times within that time, at most every 10 ms.
	BacklogEventsMax int
	BacklogAgeMax    time.Duration
	// SlowConsumer is what happens to events at one of these bounds; default Disconnect. Sessions may have bounds of
	// their own: port.Conn.SetBacklog.
	SlowConsumer SlowConsumer
	// SlowAfter is how long events of a client that takes nothing have to wait for it to be called slow, in the log
	// and in Stats.Slow; default 1 s.
	SlowAfter time.Duration
	backlog   port.Backlog // what these say; set by check
	// CreditBytes is how many bytes times receivers a connection may have waiting in event lanes before it is no
	// longer read from; default 64 KiB. Clients that are connected keep what they have. What a publisher sends
	// meanwhile waits in its socket and goes out together: with 32 MiB a fan-out to 5 000 cost three times as much.
	CreditBytes int64
	// ConnectionsMax is how many connections may be open; default what the process's limit of open files allows,
	// minus a reserve. Further connections get RawSocket error 4 or HTTP 503 and are closed: Stats.Refused. /healthz
	// is answered all the same. A long-poll session counts, and has no descriptor: so many more connections may be
	// open that each carry one request of a session, if it has less than 2 others: Stats.LongPollsLetIn.
	ConnectionsMax int
	// ConnectionsPerAddressMax is how many connections one address may have; 0 is no limit. Behind a trusted proxy
	// the client's address counts. Unix sockets have none. Connections that are open when it is set do not count. At
	// addresses with LongPoll a session counts, and the first 8 connections that carry its requests do not.
	ConnectionsPerAddressMax int
	// AddressBitsV4 and AddressBitsV6 are how many leading bits of an address count as one; default 32, and 64, which
	// usually is one customer.
	AddressBitsV4, AddressBitsV6 int
	// ConnectionsPerSecondMax is how many new connections are admitted in a second; 0 is no limit. After a silence a
	// second's worth may come at once.
	ConnectionsPerSecondMax int
	// HandshakesMax is how many connections may have their opening handshake under way, that of TLS included; 0 is no
	// limit.
	HandshakesMax int
	// RetryAfter is when a client that was refused for one of these limits may come back, at least; default 5 s. HTTP
	// tells it, and up to twice as much, so that not all come back together.
	RetryAfter time.Duration
	// MessagesPerSecondMax and BytesPerSecondMax bound what a client may send in a second; 0 is no limit. The message
	// that reaches the bound is handled, then nothing is read until the second is over, and as many more as a longer
	// message has used up: Stats.RatePauses. A long-poll receive that takes the place of one that waits is a message.
	MessagesPerSecondMax int
	BytesPerSecondMax    int64
}

// ListenerRules are what Live says about one address to listen on; see there.
type ListenerRules struct {
	Origins        []string
	TrustedProxies []netip.Prefix
	Deflate        DeflateRule
}

// A DeflateRule says which WebSocket clients that offer permessage-deflate (RFC 7692) get it. Events for them are
// compressed, and they may compress what they send. Clients that are connected keep what they have.
type DeflateRule uint8

const (
	// DeflateOff is for nobody.
	DeflateOff DeflateRule = iota
	// DeflateUnencrypted is for clients without TLS, neither up to the router nor up to a trusted proxy. With TLS the
	// length of a compressed message tells about its text (CRIME, BREACH): whoever can have text of his own put
	// beside a secret, and sees how long the records are, finds the secret out.
	DeflateUnencrypted
	// DeflateAlways is for all.
	DeflateAlways

	deflateRules
)

// rules are those of the listener with that index.
func (v *Live) rules(listener int) ListenerRules {
	if listener >= 0 && listener < len(v.Listeners) {
		return v.Listeners[listener]
	}
	return ListenerRules{v.Origins, v.TrustedProxies, v.Deflate}
}

// A Page is the answer to a plain HTTP request.
type Page struct {
	Status      int
	ContentType string
	// Header holds further header lines, "Name: value" each, without line ends. The engine adds its own: pages are
	// not kept, not framed by other pages and not guessed at. A second Content-Security-Policy can only forbid more.
	Header []string
	Body   []byte
}

// check fills in defaults and reports what cannot be.
func (cfg *Config) check() error {
	if len(cfg.Listen) == 0 {
		cfg.Listen = []string{"127.0.0.1:8080"}
	}
	if len(cfg.Listen) > listenMax {
		return fmt.Errorf("engine: %d listen addresses; at most %d", len(cfg.Listen), listenMax)
	}
	if cfg.Loops == 0 {
		cfg.Loops = min(runtime.GOMAXPROCS(0), loopsMax)
	}
	if cfg.Loops < 1 || cfg.Loops > loopsMax {
		return fmt.Errorf("engine: %d loops; 1 to %d are possible", cfg.Loops, loopsMax)
	}
	if cfg.StopTimeout == 0 {
		cfg.StopTimeout = 8 * time.Second
	}
	if cfg.StopTimeout < 0 {
		return errors.New("engine: the time to stop cannot be negative")
	}
	if cfg.BudgetBytes == 0 {
		cfg.BudgetBytes = defaultBudget(memoryLimit)
	}
	if cfg.BudgetBytes < budgetBytesMin {
		return fmt.Errorf("engine: budget of %d bytes; at least %d", cfg.BudgetBytes, budgetBytesMin)
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if err := cfg.checkTLS(); err != nil {
		return err
	}
	if n := len(cfg.Live.Listeners); n > 0 && n != len(cfg.Listen) {
		return fmt.Errorf("engine: rules for %d listeners, but there are %d", n, len(cfg.Listen))
	}
	return cfg.Live.check(cfg.Loops)
}

func (v *Live) check(loops int) error {
	setDefault(&v.MessageBytesMax, messageBytesMax)
	if v.MessageBytesMax < messageBytesMin || v.MessageBytesMax > messageBytesMax {
		return fmt.Errorf("engine: message limit of %d bytes; %d to %d are possible",
			v.MessageBytesMax, messageBytesMin,
			messageBytesMax)
	}
	setDefault(&v.PeerMessageBytesMin, messageBytesMin)
	if v.PeerMessageBytesMin < 0 || v.PeerMessageBytesMin > messageBytesMax {
		return fmt.Errorf("engine: smallest peer limit of %d bytes; up to %d is possible", v.PeerMessageBytesMin,
			messageBytesMax)
	}
	setDefault(&v.HandshakeTimeout, 10*time.Second)
	if v.HandshakeTimeout < 0 {
		return errors.New("engine: the handshake timeout cannot be negative")
	}
	if v.TLSHandshakesMax < 0 {
		return errors.New("engine: the number of TLS handshakes cannot be negative")
	}
	if err := v.checkRules(); err != nil {
		return err
	}
	setDefault(&v.MessageTimeout, 30*time.Second)
	setDefault(&v.PingInterval, 25*time.Second)
	setDefault(&v.PingTimeout, pingsMissed*v.PingInterval)
	if v.PingInterval > 0 && v.PingTimeout < v.PingInterval {
		return fmt.Errorf("engine: a ping timeout of %v is less than the ping interval of %v", v.PingTimeout,
			v.PingInterval)
	}
	setDefault(&v.CreditBytes, 64<<10)
	if v.CreditBytes < 0 {
		return errors.New("engine: the credit cannot be negative")
	}
	if v.ConnectionsMax == 0 {
		most, err := connectionsAllowed(loops)
		if err != nil {
			return err
		}
		v.ConnectionsMax = most
	}
	if v.ConnectionsMax < 0 {
		return errors.New("engine: the connection limit cannot be negative")
	}
	if err := errors.Join(v.checkBacklog(), v.checkAdmission(), v.checkRates(), v.Cookie.check()); err != nil {
		return err
	}
	return nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Apply changes the settings of a running engine. Loops see them from their next message, turn or use on; a
// connection that is being pinged follows at its next ping. Zero fields mean their defaults. Nothing changes if it
// returns an error. Any goroutine.
func (e *Engine) Apply(v Live) error {
	if n := len(v.Listeners); n > 0 && n != len(e.cfg.Listen) {
		return fmt.Errorf("engine: rules for %d listeners, but there are %d", n, len(e.cfg.Listen))
	}
	if err := v.check(len(e.loops)); err != nil {
		return err
	}
	e.live.Store(&v)
	return nil
}

// connectionsAllowed is what the limit of open files leaves for connections.
func connectionsAllowed(loops int) (int, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("engine: limit of open files: %w", err)
	}
	return max(int(min(limit.Cur, 1<<30))-filesReserve-filesPerLoop*loops, 1), nil
}

// pingsMissedMax is how many pings in a row may go without a sign of life.
func (v *Live) pingsMissedMax() int {
	return int((v.PingTimeout + v.PingInterval - 1) / v.PingInterval)
}

// rawSocketExponent is the L of the RawSocket handshake: the largest announcement not above the limit.
func (v *Live) rawSocketExponent() byte {
	l := byte(0)
	for messageBytesMin<<(l+1) <= v.MessageBytesMax {
		l++
	}
	return l
}
