package disk

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"banyan/realm/history"
)

// The program that TestKill kills is this test binary with killPath in its environment.
const (
	killPath   = "BANYAN_HISTORY_KILL_PATH"
	killFrom   = "BANYAN_HISTORY_KILL_FROM"
	killRounds = "BANYAN_HISTORY_KILLS"
)

// killBounds keep the second of the logs short, so that the program is killed in the middle of trimming too.
var killBounds = []history.Bounds{{Events: 1 << 30}, {Events: 50}, {Events: 1 << 30}}

func killKey(i int) history.Key { return history.Key{Realm: "kill", URI: fmt.Sprintf("log%d", i)} }

// killLogs says to which logs the event with that number goes.
func killLogs(id uint64) (in [3]bool) { return [...]bool{true, true, id%3 == 0} }

// A printer says on standard output what was acknowledged.
type printer struct{}

func (printer) Committed(publication uint64, err error) {
	if err != nil {
		fmt.Println("error", err)
		return
	}
	// One write each: what the program said before it was killed is in the pipe.
	_, _ = os.Stdout.WriteString(strconv.FormatUint(publication, 10) + "\n")
}

// writeUntilKilled is the program.
func writeUntilKilled(path string) {
	s, err := Open(Config{Path: path, Gather: 200 * time.Microsecond, QueueRecordsMax: 300})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	var logs []history.Log
	for i, b := range killBounds {
		l, err := s.Log(killKey(i), b)
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		logs = append(logs, l)
	}
	from, _ := strconv.ParseUint(os.Getenv(killFrom), 10, 64)
	for id := from; ; {
		var to []history.Log
		for i, in := range killLogs(id) {
			if in {
				to = append(to, logs[i])
			}
		}
		e := event(id, strconv.FormatUint(id*id, 10))
		if s.Append(e, to, printer{}) == nil {
			id++
		} else {
			time.Sleep(100 * time.Microsecond) // the queue is full
		}
	}
}

// TestKill kills a program in the middle of writing, again and again, twenty times on the same file. After each
// restart what it said was committed is there, in order, once; what it had not said may be there.
// BANYAN_HISTORY_KILLS says how often.
func TestKill(t *testing.T) {
	rounds := 10
	if n, err := strconv.Atoi(os.Getenv(killRounds)); err == nil {
		rounds = n
	}
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	events, from, unsaid := uint64(0), uint64(1), 0
	for round := range rounds {
		path := filepath.Join(dir, fmt.Sprintf("history%d.db", round/20))
		if round%20 == 0 {
			events, from = events+from-1, 1
		}
		acknowledged := killed(t, path, from, 1+rng.IntN(400), time.Duration(rng.IntN(3000))*time.Microsecond)
		var damage texts
		s, err := Open(Config{Path: path, Report: damage.report})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if d := damage.take(); len(d) > 0 {
			t.Fatalf("round %d: %q", round, d)
		}
		var last uint64
		for i, b := range killBounds {
			var ids []uint64 // there may be more than a query returns
			err := s.Scan(openLog(t, s, killKey(i), b), 0, math.MaxUint64, false, func(_ uint64, rec []byte) bool {
				e, err := history.ReadRecord(rec)
				if want := strconv.FormatUint(e.Publication*e.Publication, 10); string(e.Payload.Args) != want {
					t.Fatalf("round %d: event %d is %q: %v", round, e.Publication, e.Payload.Args, err)
				}
				ids = append(ids, e.Publication)
				return true
			})
			if err != nil {
				t.Fatal(err)
			}
			want := uint64(1)
			if i == 1 && len(ids) > 0 {
				want = ids[0] // it is trimmed
			}
			for n, id := range ids {
				for !killLogs(want)[i] {
					want++
				}
				if id != want {
					t.Fatalf("round %d: number %d of log %d is event %d, want %d", round, n, i, id, want)
				}
				want++
			}
			for !killLogs(want)[i] {
				want++
			}
			if want <= acknowledged {
				t.Fatalf("round %d: log %d ends before event %d, and %d was acknowledged", round, i, want,
					acknowledged)
			}
			if i == 1 && len(ids) != 50 && acknowledged >= 50 {
				t.Fatalf("round %d: the trimmed log has %d events", round, len(ids))
			}
			if len(ids) > 0 {
				last = max(last, ids[len(ids)-1])
			}
		}
		if last > acknowledged {
			unsaid++
		}
		from = last + 1
		closeStore(t, s)
	}
	t.Logf("%d kills, %d events; %d times the last commit was not announced any more", rounds, events+from-1, unsaid)
}

// killed starts the program, kills it a while after so many acknowledgements, and returns the last of them.
func killed(t *testing.T, path string, from uint64, after int, while time.Duration) (last uint64) {
	t.Helper()
	program := exec.Command(os.Args[0])
	program.Env = append(os.Environ(), killPath+"="+path, killFrom+"="+strconv.FormatUint(from, 10))
	out, err := program.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	last = from - 1
	lines := bufio.NewReader(out)
	for n := 0; ; n++ {
		if n == after {
			time.Sleep(while) // any moment of the next commits
			if err := program.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		line, err := lines.ReadString('\n')
		if err == io.EOF {
			break
		}
		id, parseErr := strconv.ParseUint(line[:max(len(line)-1, 0)], 10, 64)
		if err != nil || parseErr != nil || id != last+1 {
			t.Errorf("the program says %q after %d: %v", line, last, err)
			_ = program.Process.Kill()
			break
		}
		last = id
	}
	_ = program.Wait() // it was killed
	if last < from-1+uint64(after) {
		t.Fatalf("the program ended after event %d", last)
	}
	return last
}
