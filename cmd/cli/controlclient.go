package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"banyan/cmd/config"
)

// A controlClient is a command that speaks to a running router over its control socket.
type controlClient struct {
	source configSource
	socket string
	asJSON bool
}

func (c *controlClient) flags(cmd *cobra.Command) {
	c.source.flags(cmd)
	cmd.Flags().StringVar(&c.socket, "control", "",
		"`path` of the control socket; by default what the configuration says")
	cmd.Flags().BoolVar(&c.asJSON, "json", false, "write the answer as JSON")
}

const (
	// controlAnswerTimeout is how long a router may take to answer: a reload reads files and may fetch keys.
	controlAnswerTimeout = time.Minute
	// controlAnswerBytesMax is the longest answer that is read, in bytes. Longer: an error.
	controlAnswerBytesMax = 64 << 20
)

// path is that of the control socket, empty if nothing says it.
func (c *controlClient) path() string {
	if c.socket != "" {
		return c.socket
	}
	s := serveConfig{file: c.source.file, set: c.source.set}
	return s.socket(os.Environ())
}

// ask sends a request to the router and reads the answer into value. It returns the status code.
func (c *controlClient) ask(ctx context.Context, method, path string, value any) (int, error) {
	socket := c.path()
	if socket == "" {
		if _, err := os.Stat(c.source.file); c.source.file != "" && err != nil {
			return 0, &hintedError{
				code: exitUsage, what: "cannot read the configuration " + c.source.file, why: cause(err),
				try: "give another file with --config, or the path of the socket with --control",
			}
		}
		return 0, usagef("the configuration names no control socket: give --config, with process.data_dir in that " +
			"file, or --control")
	}
	ctx, cancel := context.WithTimeout(ctx, controlAnswerTimeout)
	defer cancel()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	defer transport.CloseIdleConnections()
	q, err := http.NewRequestWithContext(ctx, method, "http://router"+path, nil)
	if err != nil {
		return 0, err
	}
	a, err := (&http.Client{Transport: transport}).Do(q)
	if err != nil {
		return 0, unreachable(socket, err)
	}
	defer a.Body.Close()
	text, err := io.ReadAll(io.LimitReader(a.Body, controlAnswerBytesMax+1))
	switch {
	case err != nil:
		return 0, unreachable(socket, err)
	case len(text) > controlAnswerBytesMax:
		return 0, errLongAnswer
	case a.StatusCode == http.StatusConflict:
		var p problem
		_ = json.Unmarshal(text, &p)
		return 0, &hintedError{code: exitFailed, what: p.Error}
	}
	if err := json.Unmarshal(text, value); err != nil {
		return 0, fmt.Errorf("what answers on %s is no router: %w", socket, err)
	}
	return a.StatusCode, nil
}

// unreachable tells that no router answers.
func unreachable(socket string, err error) error {
	h := &hintedError{code: exitConnect, what: "no router answers on the control socket " + socket, why: err}
	var e *net.OpError
	if errors.As(err, &e) {
		h.why = e.Err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		h.try = "is the router running, and with this configuration? its start names the socket"
	case errors.Is(err, fs.ErrPermission):
		h.try = "run this as the user of the router"
	}
	return h
}

// write writes a value as JSON if that was asked for, and reports whether it did.
func (c *controlClient) write(w io.Writer, value any) bool {
	if !c.asJSON {
		return false
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	_ = e.Encode(value) // standard output is not there any more
	return true
}

func newReload() *cobra.Command {
	var c controlClient
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Make the running router read its configuration file again",
		Long: "Make the running router read its configuration file again, and report each change. It is applied\n" +
			"as a whole or not at all: a file with errors leaves the one before in force. Options that need a\n" +
			"restart are named. The router is found by its control socket, in process.data_dir.\n" +
			"\n" +
			"Exit code 2 if the file was refused, 3 if no router answers.",
		Example: "  banyan reload --config /etc/banyan/banyan.yaml\n" +
			"  banyan reload --control /run/banyan/control.sock",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var r reloadReport
			if _, err := c.ask(cmd.Context(), http.MethodPost, "/reload", &r); err != nil {
				return err
			}
			if !c.write(cmd.OutOrStdout(), &r) {
				report := config.Report{Problems: r.Problems}
				if !r.Applied {
					fmt.Fprint(cmd.OutOrStdout(), &report)
				} else {
					fmt.Fprint(cmd.OutOrStdout(), &r)
				}
			}
			if !r.Applied {
				return &hintedError{
					code: exitUsage, what: strings.TrimSpace(r.String()), try: "banyan check " + shellWord(r.File),
				}
			}
			return nil
		},
	}
	c.flags(cmd)
	return cmd
}

func newDrain() *cobra.Command {
	var c controlClient
	cmd := &cobra.Command{
		Use:   "drain",
		Short: "Stop the running router in good order, and wait for its end",
		Long: "Stop the running router as SIGTERM does: it accepts connections a little longer (drain.grace),\n" +
			"tells sessions to leave over a time (drain.spread), and ends within drain.timeout. This command\n" +
			"waits for its end.",
		Example: "  banyan drain --config /etc/banyan/banyan.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var d drainAnswer
			if _, err := c.ask(cmd.Context(), http.MethodPost, "/drain", &d); err != nil {
				return err
			}
			if !c.write(cmd.OutOrStdout(), &d) {
				fmt.Fprintf(cmd.OutOrStdout(), "the router stops within %v\n", seconds(d.Seconds))
			}
			return awaitEnd(cmd.Context(), c.path(), d.PID, seconds(d.Seconds)+drainPatience)
		},
	}
	c.flags(cmd)
	return cmd
}

// drainPatience is how much longer than promised a router may take to end.
const drainPatience = 5 * time.Second

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// awaitEnd waits until a router has ended: the process is gone, or nobody listens on its socket, which is the last
// that it closes. A process whose parent does not ask for its end stays for long.
func awaitEnd(ctx context.Context, socket string, pid int, longest time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	listens := func() bool {
		c, err := net.DialTimeout("unix", socket, controlDialTimeout)
		if err == nil {
			c.Close()
		}
		return err == nil
	}
	for syscall.Kill(pid, 0) != syscall.ESRCH && listens() {
		pause(ctx, 20*time.Millisecond)
		if err := ctx.Err(); errors.Is(err, context.DeadlineExceeded) {
			return &hintedError{code: exitFailed, what: fmt.Sprintf("process %d has not ended in time", pid)}
		} else if err != nil {
			return err
		}
	}
	return nil
}

func newStatus() *cobra.Command {
	var c controlClient
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Tell what the running router does, and with which configuration",
		Long:  "Tell what the running router does: its listeners, connections, realms and configuration.",
		Example: "  banyan status --config /etc/banyan/banyan.yaml\n" +
			"  banyan status --control /run/banyan/control.sock --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var s status
			if _, err := c.ask(cmd.Context(), http.MethodGet, "/status", &s); err != nil {
				return err
			}
			if !c.write(cmd.OutOrStdout(), &s) {
				s.print(cmd.OutOrStdout())
			}
			return nil
		},
	}
	c.flags(cmd)
	return cmd
}

// print is the status for people.
func (s *status) print(w io.Writer) {
	running := "runs"
	if s.Draining {
		running = "is stopping"
	}
	fmt.Fprintf(w, "banyan %s %s as process %d since %s\n", s.Version, running, s.PID,
		s.Started.Format(time.DateTime))
	for _, l := range s.Listeners {
		name := ""
		if l.Name != l.Address && !strings.HasSuffix(l.Name, l.Address) {
			name = "  (" + l.Name + ")"
		}
		fmt.Fprintf(w, "  listens     %s%s\n", l.Address, name)
	}
	fmt.Fprintf(w, "  connections %d of at most %d\n  realms      %d\n", s.Connections, s.ConnectionsMax, s.Realms)
	config := s.Config
	if config == "" {
		config = "built in"
	}
	fmt.Fprintf(w, "  config      %s, in force since %s\n", config, s.Applied.Format(time.DateTime))
	if s.Refused != "" {
		fmt.Fprintf(w, "  refused     the last reload: %s\n", s.Refused)
	}
	if len(s.Restart) > 0 {
		fmt.Fprintf(w, "  restart     needed for %s\n", strings.Join(s.Restart, ", "))
	}
}
