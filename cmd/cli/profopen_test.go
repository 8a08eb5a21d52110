package cli

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/pprof/profile"
)

// oneStack is the smallest profile there is something to see in.
func oneStack() *profile.Profile {
	f := &profile.Function{ID: 1, Name: "banyan/realm.walk", Filename: "banyan/realm/x.go"}
	l := &profile.Location{ID: 1, Line: []profile.Line{{Function: f, Line: 1}}}
	return &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"}, Period: 1,
		Sample:   []*profile.Sample{{Location: []*profile.Location{l}, Value: []int64{1, 1_000_000}}},
		Location: []*profile.Location{l}, Function: []*profile.Function{f},
	}
}

func TestProfilePages(t *testing.T) {
	home := t.TempDir()
	for _, v := range []string{"HOME", "XDG_CONFIG_HOME", "PPROF_TMPDIR"} {
		t.Setenv(v, home)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- serveProfile(ctx, l, oneStack(), "cpu.pb.gz") }()

	for _, c := range []struct {
		path, host string
		code       int
		holds      string
	}{
		{"/flamegraph", "", 200, "banyan/realm.walk"},
		{"/top", "", 200, "banyan/realm.walk"},
		{"/", "localhost", 200, "banyan/realm.walk"}, // redirected
		{"/saveconfig?config=x", "", 200, "flamegraph"},
		{"/flamegraph", "rebound.example", 403, "loopback"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr().String()+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = c.host
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != c.code || !strings.Contains(string(body), c.holds) {
			t.Errorf("%s at %q: %d, %d bytes, %v; want %d with %q in it",
				c.path, c.host, answer.StatusCode, len(body), err, c.code, c.holds)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	left, err := filepath.Glob(filepath.Join(home, "*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left in the home folder: %v, %v", left, err)
	}
	if _, err := os.Stat(os.Getenv("PPROF_TMPDIR")); err == nil && os.Getenv("PPROF_TMPDIR") != home {
		t.Error("pprof's private folder is still there")
	}
}
