//go:build acme

package cli

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	// acmeAnswersMost is how long a port for http-01 stays open if nobody tells how an order has ended.
	acmeAnswersMost = 10 * time.Minute
	// acmeConnectionsMax is how many clients an open port serves at once. More wait to be accepted.
	acmeConnectionsMax = 64
	// acmeAnswerTimeout is how long a client of it may take.
	acmeAnswerTimeout = 5 * time.Second
)

// acmeAnswers answer http-01 while certificates are ordered. Any goroutine.
type acmeAnswers struct {
	mu    sync.Mutex
	ports map[string]*acmePort // guarded by mu; by HOST:PORT
}

// An acmePort is one that is open.
type acmePort struct {
	server *http.Server    // nil if somebody else has the port
	orders map[string]bool // domains whose order is under way
	late   *time.Timer
}

// open opens a port for the order of a domain, unless it is open.
func (n *acmeAnswers) open(host string, port int, domain string, answer func(path string) (string, bool),
	log *slog.Logger,
) {
	at := net.JoinHostPort(host, strconv.Itoa(port))
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.ports[at]
	if p == nil {
		p = &acmePort{orders: map[string]bool{}}
		if n.ports == nil {
			n.ports = map[string]*acmePort{}
		}
		n.ports[at] = p
		listener, err := net.Listen("tcp", at)
		if err != nil {
			// Perhaps whoever has the port passes challenges on. If not, the order says so.
			log.Debug("cannot open the port for http-01", "address", at, "error", err)
		} else {
			p.serve(listener, answer)
		}
		p.late = time.AfterFunc(acmeAnswersMost, func() { n.shut(at, p) })
	}
	p.orders[domain] = true
}

func (p *acmePort) serve(l net.Listener, answer func(path string) (string, bool)) {
	p.server = &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			text, ok := answer(q.URL.Path)
			if !ok {
				http.Error(w, "nothing here", http.StatusNotFound)
				return
			}
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			fmt.Fprint(w, text)
		}),
		ReadTimeout: acmeAnswerTimeout, WriteTimeout: acmeAnswerTimeout, IdleTimeout: acmeAnswerTimeout,
		MaxHeaderBytes: controlHeaderBytesMax,
		ErrorLog:       slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), // clients may do what they like
	}
	go p.server.Serve(&fewConnections{Listener: l, room: make(chan struct{}, acmeConnectionsMax)})
}

// done tells that the order of a domain has ended; the last one closes the port.
func (n *acmeAnswers) done(host string, port int, domain string) {
	at := net.JoinHostPort(host, strconv.Itoa(port))
	n.mu.Lock()
	p := n.ports[at]
	if p != nil {
		delete(p.orders, domain)
	}
	last := p != nil && len(p.orders) == 0
	n.mu.Unlock()
	if last {
		n.shut(at, p)
	}
}

// shut closes a port, with its connections, unless it is closed.
func (n *acmeAnswers) shut(at string, p *acmePort) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ports[at] != p {
		return
	}
	delete(n.ports, at)
	p.late.Stop()
	if p.server != nil {
		p.server.Close()
	}
}

// close closes all ports.
func (n *acmeAnswers) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for at, p := range n.ports {
		delete(n.ports, at)
		p.late.Stop()
		if p.server != nil {
			p.server.Close()
		}
	}
}
