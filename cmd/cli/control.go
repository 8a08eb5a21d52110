package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"banyan/cmd/config"
	"banyan/engine"
	"banyan/realm"
	"banyan/realm/history"
)

// The control socket is a Unix socket with mode 0600 on which the router answers HTTP with JSON:
//
//	GET  /status  what runs, and with which configuration
//	GET  /stats   engine.Stats, realm.Stats and history.Stats as they are now; names change with the program
//	POST /reload  read the configuration again: the reloadReport; 422 if it was refused
//	POST /drain   stop in good order: the time that it takes at most
//
// Whoever may connect may do all of it: the user of the router, and root.
const (
	// controlConnectionsMax is how many clients are served at once. More wait to be accepted.
	controlConnectionsMax = 16
	// controlHeadTimeout is how long a client may take for the head of its request: those that say nothing would keep
	// others out. controlTimeout is how long it may take for the rest, and to read the answer.
	controlHeadTimeout = 2 * time.Second
	controlTimeout     = 10 * time.Second
	// controlHeaderBytesMax is the longest head of a request, in bytes; more: 431. No request has a body.
	controlHeaderBytesMax = 8 << 10
	// controlDialTimeout is how long a router may take to accept a connection before its socket counts as stale.
	controlDialTimeout = time.Second
)

// A control is the listening side of the control socket. A nil one is none.
type control struct {
	path     string
	listener net.Listener
	server   *http.Server  // nil until serve
	done     chan struct{} // closed when the server has ended
}

// listenControl listens on the control socket, if there is to be one. A socket that nobody serves any more is
// replaced; one that is served is an error, so that no second router starts with the same folder.
func listenControl(f *config.File) (*control, error) {
	path := f.Process.Socket()
	if path == "" {
		return nil, nil
	}
	if dir := f.Process.DataDir; dir != "" {
		if err := makeDataDir(dir); err != nil {
			return nil, err
		}
	}
	l, err := listenPrivate(path)
	if err != nil {
		return nil, err
	}
	return &control{path: path, listener: l, done: make(chan struct{})}, nil
}

// serve answers requests on goroutines of its own.
func (c *control) serve(s *service) {
	if c == nil {
		return
	}
	c.server = &http.Server{
		Handler:           s.controlHandler(),
		ReadHeaderTimeout: controlHeadTimeout, ReadTimeout: controlTimeout, IdleTimeout: controlHeadTimeout,
		MaxHeaderBytes: controlHeaderBytesMax,
	}
	go func() {
		defer close(c.done)
		err := c.server.Serve(&fewConnections{Listener: c.listener, room: make(chan struct{}, controlConnectionsMax)})
		if !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("the control socket has failed", "error", err)
		}
	}()
}

// listenPrivate listens on a Unix socket that only this user may connect to, from the first moment on.
func listenPrivate(path string) (net.Listener, error) {
	failed := func(err error, try string) error {
		return &hintedError{
			code: exitFailed, what: "cannot listen on the control socket " + path, why: cause(err), try: try,
		}
	}
	switch c, err := net.DialTimeout("unix", path, controlDialTimeout); {
	case err == nil:
		c.Close()
		return nil, failed(errors.New("another router is served by it"),
			"stop that router, or give this one another process.data_dir or process.control_socket")
	case errors.Is(err, fs.ErrNotExist):
	case errors.Is(err, syscall.ECONNREFUSED): // a router that was killed has left it
		info, err := os.Lstat(path)
		if err == nil && info.Mode().Type() != fs.ModeSocket {
			return nil, failed(errors.New("a file that is no socket is in its place"), "move it away")
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, failed(err, "remove it")
		}
	default:
		return nil, failed(err, "remove it, or let the user of the router own it")
	}
	// Its name comes last, so that nobody finds it with another mode.
	temporary := fmt.Sprintf("%s.%d", path, os.Getpid())
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: temporary, Net: "unix"})
	if err != nil {
		return nil, failed(err, "a folder that is there, for the user of the router")
	}
	l.SetUnlinkOnClose(false)
	err = os.Chmod(temporary, 0o600)
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		os.Remove(temporary)
		l.Close()
		return nil, failed(err, "a folder that the user of the router owns")
	}
	return l, nil
}

// close ends the control socket and removes its file. Requests under way are answered first, for a moment.
func (c *control) close() {
	if c == nil {
		return
	}
	os.Remove(c.path)
	if c.server == nil {
		c.listener.Close()
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), linesTimeout)
	defer cancel()
	if c.server.Shutdown(ctx) != nil {
		c.server.Close()
	}
	<-c.done
}

// fewConnections accepts when there is room. Its room holds a token for each connection that is open.
type fewConnections struct {
	net.Listener
	room chan struct{}
}

// Accept implements net.Listener.
func (l *fewConnections) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.room <- struct{}{}
	return &roomConn{Conn: c, room: l.room}, nil
}

// A roomConn gives its place back when it is closed.
type roomConn struct {
	net.Conn
	room chan struct{}
}

// Close implements net.Conn. Only the first one succeeds.
func (c *roomConn) Close() error {
	err := c.Conn.Close()
	if err == nil {
		<-c.room
	}
	return err
}

// controlHandler answers requests on the control socket.
func (s *service) controlHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, s.status())
	})
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) {
		now := stats{Engine: s.router.engine.Stats(), Realm: s.router.realms.Stats()}
		now.History.Memory, now.History.Disk = s.router.realms.HistoryStats()
		answer(w, http.StatusOK, &now)
	})
	mux.HandleFunc("POST /reload", func(w http.ResponseWriter, _ *http.Request) {
		if s.source.file == "" {
			answer(w, http.StatusConflict, problem{"the router runs without a configuration file"})
			return
		}
		r := s.reload("banyan reload")
		code := http.StatusOK
		if !r.Applied {
			code = http.StatusUnprocessableEntity
		}
		answer(w, code, r)
	})
	mux.HandleFunc("POST /drain", func(w http.ResponseWriter, _ *http.Request) {
		d := s.drainSettings()
		s.log.Info("a stop was asked for", "by", "banyan drain")
		answer(w, http.StatusAccepted, drainAnswer{d.Timeout.Seconds(), os.Getpid()})
		s.drain()
	})
	return mux
}

// stats are the counters of a router.
type stats struct {
	Engine  engine.Stats
	Realm   realm.Stats
	History struct{ Memory, Disk history.Stats }
}

// A problem is the answer to a request that cannot be done.
type problem struct {
	Error string `json:"error"`
}

// A drainAnswer is the answer to a drain.
type drainAnswer struct {
	Seconds float64 `json:"seconds"` // that it takes at most
	PID     int     `json:"pid"`     // of the process that ends then
}

func answer(w http.ResponseWriter, code int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(value) // the client may have gone
}

// A status is what a router tells about itself. The names of its JSON form do not change.
type status struct {
	Version        string           `json:"version"`
	PID            int              `json:"pid"`
	Started        time.Time        `json:"started"`
	Config         string           `json:"config"` // path; empty: built in
	Hash           string           `json:"hash"`   // of the configuration in force
	Applied        time.Time        `json:"applied"`
	Refused        string           `json:"refused,omitempty"` // why the last reload was
	Restart        []string         `json:"restart"`           // options whose value needs a restart
	Listeners      []listenerStatus `json:"listeners"`
	Realms         int              `json:"realms"`
	Connections    int64            `json:"connections"`
	ConnectionsMax int              `json:"connections_max"`
	Draining       bool             `json:"draining"`
}

type listenerStatus struct {
	Name    string `json:"name"`
	Address string `json:"address"`
}

func (s *service) status() status {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.router.engine
	t := status{
		Version: version, PID: os.Getpid(), Started: s.since, Config: s.current.Path, Hash: s.current.Hash,
		Applied: s.applied, Restart: append([]string{}, s.restart...), Connections: e.Stats().Connections,
		ConnectionsMax: e.ConnectionsMax(), Realms: len(s.router.realms.Realms()), Draining: s.isDraining(),
		Refused: s.refused,
	}
	for i, a := range e.Addrs() {
		t.Listeners = append(t.Listeners, listenerStatus{listenerName(&s.router.listeners[i]), reachable(a)})
	}
	return t
}

func (s *service) isDraining() bool {
	select {
	case <-s.drained:
		return true
	default:
		return false
	}
}
