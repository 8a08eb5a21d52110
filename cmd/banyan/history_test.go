package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"banyan/cmd/banyan/config"
)

// TestHistoryOnDiskOutlivesTheRouter: PUB-41. What was acknowledged is found after a stop and a new start, by the
// realm and topic it was published to and by no other; a publisher may have waited for the disk.
func TestHistoryOnDiskOutlivesTheRouter(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "banyan.yaml")
	socket := filepath.Join(dir, "b.sock")
	err := os.WriteFile(file, fmt.Appendf(nil, `version: 1
process: { data_dir: %q, loops: 2 }
listeners: [ { address: "127.0.0.1:0" }, { address: "unix:%s" } ]
realms:
  - uri: realm1
    auth: { anonymous: {} }
    roles: [ { name: anonymous, permissions: [ { uri: "", match: prefix, allow: [call, publish, subscribe] } ] } ]
    history:
      - { uri: com.disk, store: disk, acknowledge: stored }
      - { uri: com.memory }
`, filepath.Join(dir, "data"), socket), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	f, report := config.Load(file, nil, nil)
	if f == nil || report.Errors > 0 {
		t.Fatalf("%+v", report)
	}
	for start := range 2 {
		t.Run(fmt.Sprint("start ", start), func(t *testing.T) {
			k := startFile(t, f, socket).talk(t).hello()
			disk := number(t, k.ask(`[32,1,{},"com.disk"]`), 2)
			memory := number(t, k.ask(`[32,2,{},"com.memory"]`), 2)
			found := func(request int, id int64) string {
				return k.ask(fmt.Sprintf(`[48,%d,{},"wamp.subscription.get_events",[%d]]`, request, id))
			}
			before := found(3, disk)
			if got := strings.Count(before, `"on disk"`); got != start {
				t.Errorf("found %s", before)
			}
			if got := found(4, memory); strings.Contains(got, "in memory") {
				t.Errorf("found %s", got)
			}
			k.says(`[16,5,{"acknowledge":true},"com.disk",["on disk"]]`, "[17,5,")
			k.says(`[16,6,{"acknowledge":true},"com.memory",["in memory"]]`, "[17,6,")
			if got := found(7, memory); !strings.Contains(got, "in memory") {
				t.Errorf("found %s", got)
			}
			if got := strings.Count(found(8, disk), `"on disk"`); got != start+1 {
				t.Errorf("found %d", got)
			}
		})
	}
}
