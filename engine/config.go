//go:build linux

package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// A SlowConsumer is what happens to an event whose receiver holds BacklogBytesMax unsent bytes already.
type SlowConsumer uint8

const (
	// Disconnect closes the receiver. Counted as Stats.SlowConsumersClosed.
	Disconnect SlowConsumer = iota
	// DropNewest drops the event for this receiver. Counted as Stats.EventsDropped.
	DropNewest
)

// A Config tells how an engine listens and what it allows. The zero value of each field means its default. New checks it once.
type Config struct {
	// Listen holds the addresses to listen on: "127.0.0.1:8080", "[::1]:0" (any free port), "unix:/run/banyan.sock". Each
	// speaks WebSocket, RawSocket and plain HTTP, told apart by the first octet. Default: 127.0.0.1:8080. At most 64.
	Listen []string
	// UnixFiles holds mode and owner of the files of Unix sockets, by address in Listen. Default: mode 0660, user and group of the process.
	UnixFiles map[string]UnixFile
	// Loops is the number of event loops; default GOMAXPROCS, at most 64. GOMAXPROCS itself is the caller's business; it should
	// be the same number, one more if Dedicated.
	Loops int
	// MessageBytesMax is the longest message accepted from a client, in bytes, without framing; default and most 16 MiB, at
	// least 512. RawSocket announces it rounded down to a power of two.
	MessageBytesMax int
	// PeerMessageBytesMin is the smallest message limit, in bytes, that a RawSocket client may announce; one that takes less is
	// refused with error 2. Default 512, which every client can take; at most 16 MiB.
	PeerMessageBytesMin int
	// HandshakeTimeout bounds the whole opening handshake from accept on, not each octet; default 10 s.
	HandshakeTimeout time.Duration
	// PingInterval is how often a WebSocket client is pinged; default 30 s, negative: never. A client from which nothing at all
	// came for two pings is closed with 1008. RawSocket clients are not pinged, TCP keep-alive looks after them.
	PingInterval time.Duration
	// Origins lists what browsers may connect from besides pages of the same host name: host names ("app.example.org"), full
	// origins ("https://app.example.org:8443"), or "*" for any. A request without Origin is no browser and always allowed.
	Origins []string
	// BacklogBytesMax is how many unsent bytes a connection may hold; default 64 MiB, at least 64 KiB. Invocations are refused at
	// the bound, events follow SlowConsumer, replies have a quarter more and then the connection is closed. A client
	// with more than a quarter of it unsent in answers to its own requests is not read from until it has taken half of that.
	BacklogBytesMax int
	// SlowConsumer is what happens to events at the bound; default Disconnect.
	SlowConsumer SlowConsumer
	// CreditBytes is how many bytes times receivers a connection may have waiting in event lanes before it is no longer read
	// from; default 64 KiB. What a publisher sends meanwhile waits in its socket and goes out together: with 32 MiB a fan-out to
	// 5 000 cost three times as much.
	CreditBytes int64
	// ConnectionsMax is how many connections may be open; default what the process's limit of open files allows, less a reserve. One
	// more is told so (RawSocket error 4, HTTP 503) and closed. Counted as Stats.Refused.
	ConnectionsMax int
	// Dedicated says that the process does nothing beside this engine worth a CPU, and that GOMAXPROCS is above Loops. A loop without work
	// then keeps its P for up to 10 ms, which spares the runtime much searching and waking, but would slow down goroutines that wait
	// for a P.
	Dedicated bool
	// Page answers plain HTTP GETs without an upgrade. nil: a short text. "/healthz" is answered by the engine: 200 "ok".
	// It is called on a loop and must not block.
	Page func(path string) Page
	// Log receives what an operator should know; default slog.Default().
	Log *slog.Logger
}

// A Page is the answer to a plain HTTP request.
type Page struct {
	Status      int
	ContentType string
	// Header holds further header lines, "Name: value" each, without line ends. The engine adds its own: pages are not kept, not framed by
	// other pages and not guessed at. A second Content-Security-Policy can only forbid more.
	Header []string
	Body   []byte
}

const (
	loopsMax        = 64
	listenMax       = 64
	messageBytesMax = 16 << 20
	messageBytesMin = 512
	// filesReserve is how many descriptors stay free of connections: listeners, loops, log, a database or two of the embedder.
	filesReserve = 64
	filesPerLoop = 4
)

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
	if cfg.MessageBytesMax == 0 {
		cfg.MessageBytesMax = messageBytesMax
	}
	if cfg.MessageBytesMax < messageBytesMin || cfg.MessageBytesMax > messageBytesMax {
		return fmt.Errorf("engine: message limit of %d bytes; %d to %d are possible", cfg.MessageBytesMax, messageBytesMin, messageBytesMax)
	}
	if cfg.PeerMessageBytesMin == 0 {
		cfg.PeerMessageBytesMin = messageBytesMin
	}
	if cfg.PeerMessageBytesMin < 0 || cfg.PeerMessageBytesMin > messageBytesMax {
		return fmt.Errorf("engine: smallest peer limit of %d bytes; up to %d is possible", cfg.PeerMessageBytesMin, messageBytesMax)
	}
	if cfg.HandshakeTimeout == 0 {
		cfg.HandshakeTimeout = 10 * time.Second
	}
	if cfg.HandshakeTimeout < 0 {
		return errors.New("engine: the handshake timeout cannot be negative")
	}
	if cfg.PingInterval == 0 {
		cfg.PingInterval = 30 * time.Second
	}
	if cfg.BacklogBytesMax == 0 {
		cfg.BacklogBytesMax = 64 << 20
	}
	if cfg.BacklogBytesMax < 64<<10 {
		return fmt.Errorf("engine: backlog limit of %d bytes; at least %d", cfg.BacklogBytesMax, 64<<10)
	}
	if cfg.SlowConsumer > DropNewest {
		return fmt.Errorf("engine: unknown slow consumer policy %d", cfg.SlowConsumer)
	}
	if cfg.CreditBytes == 0 {
		cfg.CreditBytes = 64 << 10
	}
	if cfg.CreditBytes < 0 {
		return errors.New("engine: the credit cannot be negative")
	}
	if cfg.ConnectionsMax == 0 {
		most, err := connectionsAllowed(cfg.Loops)
		if err != nil {
			return err
		}
		cfg.ConnectionsMax = most
	}
	if cfg.ConnectionsMax < 0 {
		return errors.New("engine: the connection limit cannot be negative")
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
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

// backlogReserve is how far replies may go beyond BacklogBytesMax.
func (cfg *Config) backlogReserve() int { return cfg.BacklogBytesMax + cfg.BacklogBytesMax/4 }

// highWater is how much of answers may be unsent before a connection is no longer read from, lowWater where reading goes on.
func (cfg *Config) highWater() int { return cfg.BacklogBytesMax / 4 }
func (cfg *Config) lowWater() int  { return cfg.BacklogBytesMax / 8 }

// rawSocketExponent is the L of the RawSocket handshake: the largest announcement not above the limit.
func (cfg *Config) rawSocketExponent() byte {
	l := byte(0)
	for 512<<(l+1) <= cfg.MessageBytesMax {
		l++
	}
	return l
}
