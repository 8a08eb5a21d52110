package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"banyan/bench/load"
	"banyan/cmd/config"
	"banyan/codec"
	"banyan/realm/history/disk"
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

// historyRealm is a realm with history of com.disk on disk, in a folder, and of com.memory.
func historyRealm(dataDir string) string {
	return fmt.Sprintf("process: { data_dir: %q }\n", dataDir) + openRealms("realm1") +
		"    history: [{ uri: com.disk, store: disk, acknowledge: stored }, { uri: com.memory }]\n"
}

// historyID is the id of the subscription of a topic with history.
func (k *talk) historyID(request int, topic string) int64 {
	k.t.Helper()
	answer := k.ask(fmt.Sprintf(`[48,%d,{},"wamp.subscription.lookup",[%q]]`, request, topic))
	_, rest, _ := strings.Cut(answer, "[50,")
	var id int64
	if _, err := fmt.Sscanf(rest, fmt.Sprintf("%d,{},[%%d]]", request), &id); err != nil {
		k.t.Fatalf("%s: %v", answer, err)
	}
	return id
}

// TestHistoryDiskRefused: a folder or a file that cannot be used ends a start, and refuses a reload, with words that
// name it; the configuration before stays in force. A file that is damaged is set aside, once, and history begins
// anew.
func TestHistoryDiskRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, text []byte) {
		t.Helper()
		if err := os.WriteFile(path(name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("file", nil)
	for _, folder := range []string{"folder/history.db/x", "used", "damaged", "twice"} {
		if err := os.MkdirAll(path(folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	noise := bytes.Repeat([]byte("no history "), 10_000)
	write("damaged/history.db", noise)
	write("twice/history.db", noise)
	write("twice/history.db.damaged", noise)
	other, err := disk.Open(disk.Config{Path: path("used/history.db")})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ folder, words string }{
		{"file", "not a directory"},
		{"folder", "history.db"},
		{"used", "another process uses"},
		{"twice", "move one of them away"},
	} {
		write("banyan.yaml", []byte("version: 1\nlisteners: [ { address: \"127.0.0.1:0\" } ]\n"+
			historyRealm(path(c.folder))))
		f, report := config.Load(path("banyan.yaml"), nil, nil)
		if f == nil || report.Errors > 0 {
			t.Fatalf("%+v", report)
		}
		r, err := newRouter(f, slog.New(slog.DiscardHandler), false)
		if err == nil {
			if err := r.stop(); err != nil {
				t.Error(err)
			}
		}
		if err == nil || !strings.Contains(err.Error(), c.words) || !strings.Contains(err.Error(), path(c.folder)) {
			t.Errorf("%s: %v", c.folder, err)
		}
		if c.folder == "file" {
			continue // it is needed from the start
		}
		// A router that runs, whose realms want a disk only now.
		s := startService(t, fmt.Sprintf("process: { data_dir: %q }\n", path(c.folder))+openRealms("realm1"))
		s.write(historyRealm(path(c.folder)))
		if got := s.reload("the test"); got.Applied || !strings.Contains(got.Error, c.words) {
			t.Errorf("%s: %+v", c.folder, got)
		}
		s.talk(t).hello().says(`[16,1,{"acknowledge":true},"com.disk"]`, "[17,1,")
	}
	if err := other.Close(t.Context()); err != nil {
		t.Error(err)
	}

	for start := range 2 {
		t.Run(fmt.Sprint("damaged ", start), func(t *testing.T) {
			s := startService(t, historyRealm(path("damaged")))
			if got := strings.Contains(s.log.String(), "history.db.damaged"); got != (start == 0) {
				t.Errorf("the log says:\n%s", s.log)
			}
			aside, err := os.ReadFile(path("damaged/history.db.damaged"))
			if err != nil || !bytes.Equal(aside, noise) {
				t.Errorf("%d octets are set aside, %v", len(aside), err)
			}
			k := s.talk(t).hello()
			id := k.historyID(1, "com.disk")
			found := k.ask(fmt.Sprintf(`[48,2,{},"wamp.subscription.get_events",[%d]]`, id))
			if n := strings.Count(found, `"kept"`); n != start {
				t.Errorf("found %s", found)
			}
			k.says(`[16,3,{"acknowledge":true},"com.disk",["kept"]]`, "[17,3,")
		})
	}
}

// TestHistoryStats: LIM-01. GET /stats tells what the histories in memory and on disk hold, and what went at a bound.
func TestHistoryStats(t *testing.T) {
	t.Parallel()
	s := startService(t, fmt.Sprintf("process: { data_dir: %q }\n", t.TempDir())+openRealms("realm1")+
		"    history: [{ uri: com.disk, store: disk, acknowledge: stored, events_max: 2 }, "+
		"{ uri: com.memory, events_max: 3 }]\n")
	k := s.talk(t).hello()
	for i := range 5 {
		for j, topic := range []string{"com.disk", "com.memory"} {
			k.says(fmt.Sprintf(`[16,%d,{"acknowledge":true},%q]`, 1+2*i+j, topic), "[17,")
		}
	}
	w := httptest.NewRecorder()
	s.controlHandler().ServeHTTP(w, httptest.NewRequest("GET", "/stats", nil))
	var now stats
	if err := json.Unmarshal(w.Body.Bytes(), &now); err != nil {
		t.Fatal(err)
	}
	m, d := now.History.Memory, now.History.Disk
	if m.Records != 3 || m.Appended != 5 || m.Trimmed != 2 || d.Records != 2 || d.Appended != 5 || d.Trimmed != 3 ||
		d.Commits == 0 || d.FileBytes == 0 {
		t.Errorf("in memory %+v, on disk %+v", m, d)
	}
}

// TestHistoryMovesUnderLoad: while reloads move a history between memory and disk and change which there are, no
// event is lost on its way to subscribers, none comes twice or out of order, and nobody is refused.
func TestHistoryMovesUnderLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	text := func(history string) string {
		return fmt.Sprintf("process: { data_dir: %q }\n", dir) + openRealms("realm1") + "    history: " + history +
			"\n"
	}
	texts := []string{
		text(`[{ uri: "", match: prefix, events_max: 100 }, { uri: com.stays }]`),
		text(`[{ uri: "", match: prefix, store: disk }, { uri: com.stays }]`),
		text(`[{ uri: com.stays }]`),
		text(`[{ uri: "", match: prefix, store: disk, acknowledge: stored }, { uri: com.stays }]`),
	}
	s := startService(t, texts[0])
	var loads sync.WaitGroup
	done := make(chan struct{})
	loads.Go(func() {
		r, err := load.Fanout(t.Context(), load.FanoutPlan{Options: load.Options{
			URL: "unix:" + s.unix, Realm: "realm1", Serializer: codec.MessagePack, InFlight: 16, PID: -1,
			Duration: 500 * time.Millisecond,
		}, Publishers: 2, Subscribers: 4})
		if err != nil {
			t.Error(err)
		} else if !r.Verified.OK || r.Verified.Received < 100 {
			t.Errorf("%+v", r.Verified)
		}
	})
	go func() {
		loads.Wait()
		close(done)
	}()
	k := s.talk(t).hello()
	id := k.historyID(1, "com.stays")
	sent := 0
	for under := true; under || sent < len(texts); sent++ {
		s.write(texts[(sent+1)%len(texts)])
		if r := s.reload("the test"); !r.Applied {
			t.Fatalf("%+v", r)
		}
		k.says(fmt.Sprintf(`[16,%d,{"acknowledge":true},"com.stays",["n%d"]]`, 2*sent+2, sent), "[17,")
		last := k.ask(fmt.Sprintf(`[48,%d,{},"wamp.subscription.get_events",[%d],{"reverse":true,"limit":1}]`,
			2*sent+3, id))
		if !strings.Contains(last, fmt.Sprintf(`"n%d"`, sent)) {
			t.Errorf("the last event is %s, want n%d", last, sent)
		}
		select {
		case <-done:
			under = false
		default:
		}
	}
	all := k.ask(fmt.Sprintf(`[48,%d,{},"wamp.subscription.get_events",[%d]]`, 2*sent+3, id))
	if n := strings.Count(all, `"n`); n != min(sent, 1000) {
		t.Errorf("%d of %d events are kept", n, sent)
	}
}
