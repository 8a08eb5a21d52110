package cli

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestPage: the page is served on the router's own port, whole and without anything from elsewhere.
func TestPage(t *testing.T) {
	r := startRouter(t, nil)
	for path, want := range map[string]int{
		"/": http.StatusOK, "/ws": http.StatusOK, "/nothing": http.StatusNotFound, "/healthz": http.StatusOK,
	} {
		resp, err := http.Get("http://" + r.tcp + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != want {
			t.Errorf("%s: status %d, want %d", path, resp.StatusCode, want)
		}
		if got := resp.Header.Get("Content-Security-Policy"); got != "frame-ancestors 'none'" {
			t.Errorf("%s may be put into frames: %q", path, got)
		}
		if path != "/" {
			continue
		}
		text := string(body)
		if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") || !strings.Contains(text, "</html>") {
			t.Errorf("the page is %s, %d bytes", resp.Header.Get("Content-Type"), len(body))
		}
		if !strings.Contains(text, "location.pathname") {
			t.Error("the page takes the WebSocket to be at /ws, whatever its own path is")
		}
		if strings.Contains(text, "\njoin(") {
			t.Error("the page joins without being asked")
		}
		for _, foreign := range []string{
			"src=", "@import", "<link rel=\"stylesheet", "fetch(", "https://", "url(http",
		} {
			if strings.Contains(text, foreign) {
				t.Errorf("the page contains %q", foreign)
			}
		}
	}
	http.DefaultClient.CloseIdleConnections()
}
