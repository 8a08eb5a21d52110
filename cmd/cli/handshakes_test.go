package cli

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"banyan/bench/client"
	"banyan/codec"
)

// What TLS handshakes cost the router, and the others on it. Nine rounds take a minute and a half, and need a quiet
// machine:
//
//	BANYAN_HANDSHAKES=9 go test -count=1 -v -run TestHandshakes ./cmd/cli
//
// A process of its own makes full handshakes of TLS 1.3 at a fixed rate, and closes each connection in good order. It
// runs only where nobody else needs the CPU (SCHED_IDLE), as if it were on other machines. So are the others: the
// process of the clients that call each other runs before everybody else (SCHED_RR), so that what they wait for is
// the router. What a storm costs them is measured three times: the router is the server; or a server with crypto/tls
// alone is, and the router has nothing to do with it; or such a server that gives way to everybody, as the storm
// does. A fourth figure is what it costs them that the CPUs are not idle, though whoever uses them gives way, and
// there is no storm at all. On a machine with few CPUs nobody can do much better than that.
//
// The test fails only if something went wrong: the figures are for a reader.

const (
	handshakesPerSecond = 1000
	handshakesTime      = 2 * time.Second // of one measurement
)

func TestHandshakes(t *testing.T) {
	rounds, err := strconv.Atoi(os.Getenv("BANYAN_HANDSHAKES"))
	if err != nil {
		t.Skip("BANYAN_HANDSHAKES, a number of rounds, runs it")
	}
	dir, server := t.TempDir(), newPair(t, 1)
	for name, text := range map[string]string{
		"server.pem": server.certificate, "server.key": server.key,
		"banyan.yaml": "process: { control_socket: control.sock }\nlisteners:\n  - { name: plain, address: " +
			"'127.0.0.1:0' }\n  - { name: tls, address: '127.0.0.2:0', tls: { certificates: [{ certificate: " +
			"server.pem, key: server.key }] } }\n" + openRealms("a"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	start := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		cmd.Env = withoutOptions()
		t.Cleanup(func() {
			cmd.Process.Kill()
			cmd.Wait()
		})
		return cmd
	}
	router := start("banyan", "serve", "--config", "banyan.yaml")
	if err := router.Start(); err != nil {
		t.Fatal(err)
	}
	control := controlClient{socket: filepath.Join(dir, "control.sock")}
	at := map[string]string{}
	eventually(t, "the router answers", func() bool {
		var now status
		_, err := control.ask(t.Context(), "GET", "/status", &now)
		for _, l := range now.Listeners {
			at[l.Name] = strings.TrimPrefix(l.Address, "tcp://")
		}
		return err == nil
	})
	startBare := func(args ...string) *exec.Cmd {
		cmd := start("bare-tls", args...)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		address, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		at[strings.Join(append([]string{"bare"}, args...), " ")] = strings.TrimSpace(address)
		return cmd
	}
	bare := startBare()
	startBare("idle")
	burn := func() { // one process for each CPU
		var all []*exec.Cmd
		for range runtime.NumCPU() {
			cmd := start("burn")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			all = append(all, cmd)
		}
		time.Sleep(handshakesTime)
		for _, cmd := range all {
			cmd.Process.Kill()
			cmd.Wait()
		}
	}

	// storm runs one against a listener for a while, and returns how many handshakes it made.
	storm := func(listener string) (made int) {
		cmd := start("tls-storm", at[listener], strconv.Itoa(handshakesPerSecond), handshakesTime.String())
		b, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %s", err, b)
		}
		fmt.Sscan(string(b), &made)
		return made
	}
	handshakes := func() int64 {
		var now stats
		if _, err := control.ask(t.Context(), "GET", "/stats", &now); err != nil {
			t.Fatal(err)
		}
		return now.Engine.TLSHandshakes
	}

	t.Run("cost", func(t *testing.T) {
		cost := func(cmd *exec.Cmd, listener string) float64 {
			before, began := cpuTime(t, cmd.Process.Pid), handshakes()
			made := storm(listener)
			if got := handshakes() - began; listener == "tls" && got != int64(made) {
				t.Errorf("%d handshakes, and the router counts %d", made, got)
			}
			return float64((cpuTime(t, cmd.Process.Pid) - before).Microseconds()) / float64(made)
		}
		storm("tls")
		storm("bare")
		var ours, theirs, ratios []float64
		for range rounds {
			a, b := cost(router, "tls"), cost(bare, "bare")
			ours, theirs, ratios = append(ours, a), append(theirs, b), append(ratios, a/b)
		}
		t.Logf("CPU of the server per full handshake at %d/s: router %.0f us, crypto/tls %.0f us: %.2f x (%.2f)",
			handshakesPerSecond, median(ours), median(theirs), median(ratios), ratios)
	})
	t.Run("others", func(t *testing.T) {
		stormAt := func(listener string) func() {
			return func() {
				if rate := float64(storm(listener)) / handshakesTime.Seconds(); rate < 0.98*handshakesPerSecond {
					t.Logf("only %.0f handshakes per second were made", rate)
				}
			}
		}
		kinds := []struct {
			name string
			do   func()
			p99  []float64
		}{
			{name: "alone", do: func() { time.Sleep(handshakesTime) }},
			{name: "idle loops, no storm", do: burn},
			{name: "storm at a stock server", do: stormAt("bare")},
			{name: "storm at an idle one", do: stormAt("bare idle")},
			{name: "storm at us", do: stormAt("tls")},
		}
		for range rounds {
			for i := range kinds {
				k := &kinds[i]
				k.p99 = append(k.p99, tickers(t, start("tickers", at["plain"]), k.do))
			}
		}
		alone := median(kinds[0].p99)
		for _, k := range kinds {
			t.Logf("p99 of a call of others, %-23s %4.0f us, %.2f x of alone (%.0f)", k.name, median(k.p99),
				median(k.p99)/alone, k.p99)
		}
	})
}

// tickers runs cmd, the process of clients that call each other, while f runs. It returns the 99th percentile of
// their calls, in us.
func tickers(t *testing.T, cmd *exec.Cmd, f func()) (p99 float64) {
	t.Helper()
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	cmd.Stderr = os.Stderr
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	if _, err := lines.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	f()
	in.Close()
	if _, err := fmt.Fscan(lines, &p99); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return p99
}

// callEveryMillisecond is that process: established clients of the router at ARG 1, four of which call the four
// others. It says when it begins, and at the end of its input the 99th percentile of all calls in us.
func callEveryMillisecond() {
	must := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	must(schedule(&unix.SchedAttr{Policy: unix.SCHED_RR, Priority: 1}))
	ctx, stop := context.WithCancel(context.Background())
	join := func() *client.Session {
		s, err := client.Dial(context.Background(), "ws://"+os.Args[1]+"/ws",
			client.Options{Realm: "a", Serializer: codec.MessagePack})
		must(err)
		return s
	}
	var all []float64
	var mu sync.Mutex
	var done sync.WaitGroup
	var callers []*client.Session
	for i := range 4 {
		topic := client.Topic{URI: fmt.Sprintf("com.tick.p%d.p%d", os.Getpid(), i)}
		_, err := join().Register(ctx, topic, nil,
			func(_ context.Context, call *client.Invocation) (client.Values, error) { return call.Values, nil })
		must(err)
		callers = append(callers, join())
	}
	fmt.Println("begins")
	for i, c := range callers {
		done.Go(func() {
			uri := fmt.Sprintf("com.tick.p%d.p%d", os.Getpid(), i)
			var own []float64
			for ctx.Err() == nil {
				begin := time.Now()
				_, err := c.Call(context.Background(), uri, nil, client.Values{}, nil)
				must(err)
				took := time.Since(begin)
				own = append(own, float64(took.Nanoseconds())/1000)
				time.Sleep(time.Millisecond - took)
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, own...)
		})
	}
	_, err := io.Copy(io.Discard, os.Stdin)
	must(err)
	stop()
	done.Wait()
	slices.Sort(all)
	fmt.Println(all[len(all)*99/100])
}

// cpuTime is how much of the CPUs a process has used.
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ") // proc(5): utime and stime are fields 14 and 15, in 1/100 s
	fields := strings.Fields(rest)
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

// bareTLS serves TLS as plainly as crypto/tls lets one, with the certificate of the folder it runs in. It says where.
// With ARG 1 "idle" it runs only where nobody else needs the CPU.
func bareTLS() {
	if len(os.Args) > 1 && os.Args[1] == "idle" {
		if err := runIdle(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	c, err := tls.LoadX509KeyPair("server.pem", "server.key")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	l, err := net.Listen("tcp", "127.0.0.3:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(l.Addr())
	config := &tls.Config{Certificates: []tls.Certificate{c}, NextProtos: []string{"http/1.1"}}
	for {
		nc, err := l.Accept()
		if err != nil {
			os.Exit(1)
		}
		go func() {
			defer nc.Close()
			s := tls.Server(nc, config)
			if s.Handshake() == nil {
				io.Copy(io.Discard, s)
				s.Close()
			}
		}()
	}
}

// tlsStorm makes full handshakes with ARG 1, so many per second as ARG 2 says, for as long as ARG 3. It writes how
// many it made.
func tlsStorm() {
	rate, err1 := strconv.Atoi(os.Args[2])
	lasts, err2 := time.ParseDuration(os.Args[3])
	if err1 != nil || err2 != nil {
		os.Exit(2)
	}
	if err := runIdle(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	config := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}
	var all sync.WaitGroup
	var mu sync.Mutex
	made, failed := 0, error(nil)
	begin := time.Now()
	for i := range int(lasts.Seconds() * float64(rate)) {
		time.Sleep(time.Until(begin.Add(time.Duration(i) * time.Second / time.Duration(rate))))
		all.Go(func() {
			// One address after the other, so that ports that wait for stray segments are not missed.
			from := net.IPv4(127, 2, byte(i>>8), byte(i))
			err := handshake(os.Args[1], from, config)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				made++
			} else {
				failed = err
			}
		})
	}
	all.Wait()
	if failed != nil {
		fmt.Fprintln(os.Stderr, failed)
		os.Exit(1)
	}
	fmt.Println(made)
}

// runIdle makes this process, with all its threads, run only where nobody else needs the CPU.
func runIdle() error { return schedule(&unix.SchedAttr{Policy: unix.SCHED_IDLE}) }

// burn computes nothing, only where nobody else needs the CPU.
func burn() {
	runtime.GOMAXPROCS(1)
	if err := runIdle(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for n := 0; ; n++ {
		_ = n * n
	}
}

// schedule has the kernel schedule this process, with all its threads, that way.
func schedule(as *unix.SchedAttr) error {
	as.Size = unix.SizeofSchedAttr
	tasks, err := filepath.Glob("/proc/self/task/*")
	for _, t := range tasks {
		id, _ := strconv.Atoi(filepath.Base(t))
		if err := unix.SchedSetAttr(id, as, 0); err != nil && err != unix.ESRCH {
			return fmt.Errorf("sched_setattr of thread %d: %w", id, err)
		}
	}
	return err
}

// handshake makes a connection and ends it so that the server has read everything.
func handshake(to string, from net.IP, config *tls.Config) error {
	nc, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: from}, Timeout: 10 * time.Second}).Dial("tcp", to)
	if err != nil {
		return err
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(10 * time.Second))
	c := tls.Client(nc, config)
	if err := c.Handshake(); err != nil {
		return err
	}
	if err := c.CloseWrite(); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, c)
	return err
}
