package cli

import (
	"context"
	"errors"
	"flag"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"banyan/bench/client"
	"banyan/codec"
)

// parallelTests is how many tests run at a time; with the race detector fewer (race_test.go).
var parallelTests = "6"

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) != "banyan" {
		os.Setenv("BANYAN_CONFIG", "") // what stands in /etc is no part of the tests
		// Most of the tests that run beside each other wait. The command line comes later and is stronger.
		if err := flag.Set("test.parallel", parallelTests); err != nil {
			panic(err)
		}
	}
	testscript.Main(m, map[string]func(){
		"banyan": banyan, "bare-tls": bareTLS, "tls-storm": tlsStorm, "tickers": callEveryMillisecond,
		"burn": burn,
	})
}

// banyan is the whole program.
func banyan() { os.Exit(Run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// TestScripts runs testdata/script: the commands as a user types them. Besides testscript's own commands there are
//
//	exits CODE COMMAND…       the command ends with that exit code
//	listening ADDRESS         wait until something accepts connections there (HOST:PORT or a socket's path)
//	freeport NAME             set $NAME to a port that is free
//	joinable REALM URL        wait until the router lets anonymous clients into the realm
//	served PROCEDURE          call it with the argument "probe" until the router at $BANYAN_URL knows it
//	subscribed TOPIC [MATCH]  wait until somebody subscribes to it at $BANYAN_URL
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(e *testscript.Env) error {
			e.Setenv("BANYAN_URL", "")
			e.Setenv("BANYAN_REALM", "")
			e.Setenv("BANYAN_CONFIG", "")
			e.Setenv("GORACE", raceOptions)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":      scriptExits,
			"listening":  scriptListening,
			"freeport":   scriptFreePort,
			"joinable":   scriptJoinable,
			"served":     scriptServed,
			"subscribed": scriptSubscribed,
		},
	})
}

// raceOptions keep the race detector's runtime from sleeping a second at the end of every process.
const raceOptions = "atexit_sleep_ms=0"

func scriptExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func scriptListening(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: listening ADDRESS")
	}
	network := "tcp"
	if _, _, err := net.SplitHostPort(args[0]); err != nil {
		network = "unix"
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		c, err := net.Dial(network, args[0])
		if err == nil {
			ts.Check(c.Close())
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("nothing listens: %v", err)
		}
	}
}

func scriptFreePort(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: freeport NAME")
	}
	// Below the ports from which the kernel serves clients: one of them could take it before the router does.
	for range 100 {
		port := strconv.Itoa(10_000 + rand.IntN(20_000))
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			ts.Check(l.Close())
			ts.Setenv(args[0], port)
			return
		}
	}
	ts.Fatalf("no port is free")
}

func scriptJoinable(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: joinable REALM URL")
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		s, err := client.Dial(context.Background(), args[1], client.Options{Realm: args[0]})
		if err == nil {
			s.Close()
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("nobody may join %s: %v", args[0], err)
		}
	}
}

// TestScriptsExist: a folder that was not found would be a test that asserts nothing.
func TestScriptsExist(t *testing.T) {
	files, err := os.ReadDir(filepath.Join("testdata", "script"))
	if err != nil || len(files) < 5 {
		t.Errorf("%d scripts, %v", len(files), err)
	}
}

// scriptServed waits until a procedure is served.
func scriptServed(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: served PROCEDURE")
	}
	url := ts.Getenv("BANYAN_URL")
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		served, err := isServed(url, args[0])
		if err == nil && served {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s is not served: %v", args[0], err)
		}
	}
}

// isServed asks by calling, with the argument "probe"; every answer but no_such_procedure is one of a callee.
func isServed(url, procedure string) (bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := client.Dial(ctx, url, client.Options{Realm: defaultRealm})
	if err != nil {
		return false, err
	}
	defer s.Close()
	_, err = s.Call(ctx, procedure, nil, client.Values{Args: []any{"probe"}}, nil)
	var answer *client.Error
	if errors.As(err, &answer) {
		return answer.URI != codec.ErrNoSuchProcedure, nil
	}
	return err == nil, err
}

// scriptSubscribed waits until there is a subscription.
func scriptSubscribed(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: subscribed TOPIC [MATCH]")
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := client.Dial(ctx, ts.Getenv("BANYAN_URL"), client.Options{Realm: defaultRealm})
	ts.Check(err)
	defer s.Close()
	options := map[string]any{"match": "exact"}
	if len(args) == 2 {
		options["match"] = args[1]
	}
	for ; ; time.Sleep(5 * time.Millisecond) {
		got, err := s.Call(ctx, "wamp.subscription.lookup", nil, client.Values{Args: []any{args[0], options}}, nil)
		if err != nil {
			ts.Fatalf("nobody subscribes to %s: %v", args[0], err)
		}
		if len(got.Args) == 1 && got.Args[0] != nil {
			return
		}
	}
}
