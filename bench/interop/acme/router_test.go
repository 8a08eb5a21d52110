package acme

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a case waits for something that should happen soon.
const patience = 20 * time.Second

// eventually waits until something is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// A router is a banyan process with its file and its log.
type router struct {
	t    *testing.T
	dir  string
	port int // of the listener with TLS

	cmd   *exec.Cmd
	ended chan struct{}

	mu  sync.Mutex
	log []map[string]any // guarded by mu; of the process that runs
	raw strings.Builder  // guarded by mu
}

// newRouter has a folder and a port, and does not run yet.
func newRouter(t *testing.T) *router {
	return &router{t: t, dir: t.TempDir(), port: freePort(t)}
}

func (r *router) path(name string) string { return filepath.Join(r.dir, name) }

func (r *router) write(name string, text []byte) {
	r.t.Helper()
	if err := os.WriteFile(r.path(name), text, 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// configure writes the file. section is what the listener's section tls says; listeners are further ones.
func (r *router) configure(section string, listeners ...string) {
	r.t.Helper()
	text := "process: { data_dir: data }\nlog: { format: json }\nlisteners:\n" +
		"  - { name: public, address: '127.0.0.1:" + strconv.Itoa(r.port) + "', tls: { " + section + " } }\n"
	for _, l := range listeners {
		text += "  - { " + l + " }\n"
	}
	text += "realms:\n  - uri: realm1\n    auth: { anonymous: {} }\n    roles: [{ name: anonymous, " +
		"permissions: [{ uri: '', match: prefix, allow: [call, register, publish, subscribe] }] }]\n"
	r.write("banyan.yaml", []byte(text))
}

// acme is a section tls.acme for an authority, whose own certificate is put into the folder.
func (r *router) acme(a *authority, domains, more string) string {
	r.t.Helper()
	r.write("ca.pem", a.trust)
	return fmt.Sprintf("acme: { domains: [%s], agree_to_terms: true, directory: '%s', directory_ca: ca.pem, %s }",
		domains, a.directory, more)
}

func (r *router) start() {
	r.t.Helper()
	r.cmd = exec.Command(os.Getenv("INTEROP_ACME_ROUTER"), "serve", "--config", r.path("banyan.yaml"))
	r.ended = make(chan struct{})
	r.mu.Lock()
	r.log = nil // of a process before this one
	r.mu.Unlock()
	errs, err := r.cmd.StderrPipe()
	if err == nil {
		err = r.cmd.Start()
	}
	if err != nil {
		r.t.Fatal(err)
	}
	go func() {
		lines := bufio.NewScanner(errs)
		for lines.Scan() {
			var line map[string]any
			r.mu.Lock()
			r.raw.WriteString(lines.Text() + "\n")
			if json.Unmarshal(lines.Bytes(), &line) == nil {
				r.log = append(r.log, line)
			}
			r.mu.Unlock()
		}
		_ = r.cmd.Wait()
		close(r.ended)
	}()
	cmd, ended := r.cmd, r.ended
	r.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		if r.t.Failed() {
			r.mu.Lock()
			r.t.Log(r.raw.String())
			r.mu.Unlock()
		}
	})
	r.says("started")
}

func (r *router) stop() {
	r.t.Helper()
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-r.ended:
	case <-time.After(patience):
		r.t.Fatal("the router does not end")
	}
	if code := r.cmd.ProcessState.ExitCode(); code != 0 {
		r.t.Errorf("exit code %d", code)
	}
}

// reload returns the report.
func (r *router) reload() string {
	r.t.Helper()
	out, err := exec.Command(os.Getenv("INTEROP_ACME_ROUTER"), "reload", "--config", r.path("banyan.yaml")).
		CombinedOutput()
	if err != nil {
		r.t.Fatalf("reload: %v\n%s", err, out)
	}
	return string(out)
}

// said are the lines of the log with a message, and with values that contain others.
func (r *router) said(message string, with ...string) (lines []map[string]any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.log {
		good := strings.HasPrefix(fmt.Sprint(l["msg"]), message)
		for i := 0; i < len(with); i += 2 {
			good = good && strings.Contains(fmt.Sprint(l[with[i]]), with[i+1])
		}
		if good {
			lines = append(lines, l)
		}
	}
	return lines
}

func (r *router) says(message string, with ...string) {
	r.t.Helper()
	eventually(r.t, fmt.Sprintf("the log says %q %q", message, with), func() bool {
		select {
		case <-r.ended:
			r.t.Fatal("the router has ended")
		default:
		}
		return len(r.said(message, with...)) > 0
	})
}

// shows is the certificate that a new client sees which asks for a name, verified if there is somebody to verify it.
func (r *router) shows(name string, roots *x509.CertPool) (*x509.Certificate, error) {
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", r.address(), &tls.Config{
		ServerName: name, RootCAs: roots, InsecureSkipVerify: roots == nil,
	})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0], nil
}

func (r *router) address() string { return "127.0.0.1:" + strconv.Itoa(r.port) }

// gets waits for a good certificate for a name.
func (r *router) gets(name string, roots *x509.CertPool) *x509.Certificate {
	r.t.Helper()
	var crt *x509.Certificate
	eventually(r.t, "a certificate for "+name, func() (good bool) {
		c, err := r.shows(name, roots)
		crt = c
		return err == nil
	})
	return crt
}

// A session is one over RawSocket and JSON.
type session struct {
	t *testing.T
	net.Conn
	calls int
}

// join joins as an anonymous client over TLS.
func (r *router) join(name string, roots *x509.CertPool) *session {
	r.t.Helper()
	c, err := tls.Dial("tcp", r.address(), &tls.Config{ServerName: name, RootCAs: roots})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	s := &session{t: r.t, Conn: c}
	_ = c.SetDeadline(time.Now().Add(2 * patience))
	if _, err := c.Write([]byte{0x7F, 0xF1, 0, 0}); err != nil {
		r.t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
		r.t.Fatal(err)
	}
	s.asks(`[1,"realm1",{"roles":{"subscriber":{},"publisher":{}}}]`, "[2,")
	return s
}

// asks sends a message and compares the start of the answer.
func (s *session) asks(message, want string) {
	s.t.Helper()
	frame := append(binary.BigEndian.AppendUint32(nil, uint32(len(message))), message...)
	_, err := s.Write(frame)
	head := make([]byte, 4)
	if err == nil {
		_, err = io.ReadFull(s, head)
	}
	body := make([]byte, binary.BigEndian.Uint32(head))
	if err == nil {
		_, err = io.ReadFull(s, body)
	}
	if err != nil || !strings.HasPrefix(string(body), want) {
		s.t.Fatalf("%s: %s, %v; want %s", message, body, err, want)
	}
}

// lives shows that the session is served.
func (s *session) lives() {
	s.t.Helper()
	s.calls++
	s.asks(fmt.Sprintf(`[32,%d,{},"com.example.t%d"]`, s.calls, s.calls), "[33,")
}
