package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/google/pprof/driver"
	"github.com/google/pprof/profile"
	"github.com/spf13/cobra"
)

func newProfOpen() *cobra.Command {
	var listen string
	cmd := &cobra.Command{
		Use:   "open FILE",
		Short: "Browse a profile: flame graph, top, callers, source",
		Long: "Serve pprof's own web page for a profile on this machine until Ctrl-C. Flame graph, top, peek and\n" +
			"source need nothing else; the page \"graph\" needs graphviz. Nothing is saved.",
		Example: "  banyan prof open cpu.pb.gz\n  banyan prof open cpu.pb.gz --listen 127.0.0.1:8081",
		RunE: func(cmd *cobra.Command, args []string) error {
			host, _, err := net.SplitHostPort(listen)
			if err != nil || !loopbackHost(host) {
				return usagef("--listen %q: must be HOST:PORT with a loopback address", listen)
			}
			p, err := readProfile(args[0])
			if err != nil {
				return err
			}
			l, err := net.Listen("tcp", listen)
			if err != nil {
				return fmt.Errorf("cannot listen: %w", err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s on http://%s/flamegraph   stop: Ctrl-C\n", args[0], l.Addr())
			defer l.Close() // closed already by a server that ran
			return serveProfile(cmd.Context(), l, p, args[0])
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "loopback address to serve on; port 0 takes a free one")
	return cmd
}

// serveProfile serves pprof's pages for p on l until ctx ends.
func serveProfile(ctx context.Context, l net.Listener, p *profile.Profile, name string) error {
	// pprof keeps settings and fetched profiles in the home folder. Nothing is worth keeping here: both go to a
	// folder that is deleted.
	folder, err := os.MkdirTemp("", "banyan-prof-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	for _, variable := range []string{"PPROF_TMPDIR", "XDG_CONFIG_HOME"} {
		if err := os.Setenv(variable, folder); err != nil {
			return err
		}
	}
	host, _, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return err
	}
	quiet := &quietPprof{}
	err = driver.PProf(&driver.Options{
		Flagset: pprofFlags{"http": net.JoinHostPort(host, "0"), "no_browser": true, "": name},
		Fetch:   loadedProfile{p},
		Sym:     symbolized{},
		UI:      quiet,
		HTTPServer: func(a *driver.HTTPServerArgs) error {
			return servePages(ctx, l, a.Handlers)
		},
	})
	if err != nil {
		return fmt.Errorf("pprof: %w%s", err, quiet.said())
	}
	return nil
}

func servePages(ctx context.Context, l net.Listener, pages map[string]http.Handler) error {
	mux := http.NewServeMux()
	for path, page := range pages {
		switch path {
		case "/saveconfig", "/deleteconfig": // nothing is saved
		default:
			mux.Handle(path, page)
		}
	}
	s := &http.Server{Handler: loopbackOnly(mux), ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// loopbackOnly refuses requests whose Host is a name that merely resolves to this machine, so that no foreign web
// page can read the profile.
func loopbackOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if !loopbackHost(host) {
			http.Error(w, "open this page by its loopback address", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func loopbackHost(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}

// loadedProfile gives pprof the profile that has been read already.
type loadedProfile struct{ p *profile.Profile }

func (l loadedProfile) Fetch(string, time.Duration, time.Duration) (*profile.Profile, string, error) {
	return l.p.Copy(), "", nil
}

// symbolized leaves a profile as it is: Go's profiles have their names in them.
type symbolized struct{}

func (symbolized) Symbolize(string, driver.MappingSources, *profile.Profile) error { return nil }

// pprofFlags is a driver.FlagSet without a command line: values that differ from pprof's defaults, and under "" the
// argument.
type pprofFlags map[string]any

func (f pprofFlags) Bool(name string, def bool, _ string) *bool { return flagValue(f, name, def) }
func (f pprofFlags) Int(name string, def int, _ string) *int    { return flagValue(f, name, def) }
func (f pprofFlags) Float64(name string, def float64, _ string) *float64 {
	return flagValue(f, name, def)
}

func (f pprofFlags) String(name, def, _ string) *string                 { return flagValue(f, name, def) }
func (f pprofFlags) StringList(_ string, _ string, _ string) *[]*string { return new([]*string) }
func (f pprofFlags) ExtraUsage() string                                 { return "" }
func (f pprofFlags) AddExtraUsage(string)                               {}
func (f pprofFlags) Parse(func()) []string                              { return []string{f[""].(string)} }

func flagValue[T any](f pprofFlags, name string, def T) *T {
	if v, ok := f[name].(T); ok {
		def = v
	}
	return &def
}

// quietPprof is a driver.UI without a terminal. It keeps pprof's last error message, in case pprof fails. Any
// goroutine.
type quietPprof struct {
	mu   sync.Mutex
	last string
}

func (q *quietPprof) ReadLine(string) (string, error) {
	return "", errors.New("there is no command line")
}
func (q *quietPprof) Print(...any)                        {}
func (q *quietPprof) IsTerminal() bool                    { return false }
func (q *quietPprof) WantBrowser() bool                   { return false }
func (q *quietPprof) SetAutoComplete(func(string) string) {}

func (q *quietPprof) PrintErr(a ...any) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.last = strings.TrimSpace(fmt.Sprint(a...))
}

func (q *quietPprof) said() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.last == "" {
		return ""
	}
	return " (" + q.last + ")"
}
