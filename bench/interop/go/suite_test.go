// Package interop drives a running router with the Go clients of nexus and xconn-go. bench/interop/run starts it.
package interop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"banyan/bench/interop/peer"
)

const (
	// patience is how long a case waits for something that should happen at once.
	patience = 10 * time.Second
	// caseMax is how long a case may take with all that it waits for. Some of what the libraries do has no limit, so
	// the suite ends then, and shows where every goroutine is.
	caseMax = 60 * time.Second
)

// A testCase runs on every link of every library unless only says no.
type testCase struct {
	name string
	only func(library *peer.Library, link peer.Link) bool
	run  func(t *testing.T, s *stage)
}

var passed, failed atomic.Int32

func TestMain(m *testing.M) {
	if os.Getenv("INTEROP_TCP") == "" {
		fmt.Fprintln(os.Stderr, "INTEROP_TCP is not set; start the suite with bench/interop/run")
		os.Exit(2)
	}
	code := m.Run()
	fmt.Printf("go: %d passed, %d failed\n", passed.Load(), failed.Load())
	os.Exit(code)
}

func TestNexus(t *testing.T) { runTable(t, &peer.Nexus) }
func TestXconn(t *testing.T) { runTable(t, &peer.Xconn) }

func runTable(t *testing.T, library *peer.Library) {
	cases := make([]testCase, 0, 64)
	for _, some := range [][]testCase{
		sessionCases, pubsubCases, rpcCases, progressCases, streamCases, calleeCases, disclosureCases, payloadCases,
		passthruCases, metaCases, testamentCases, historyCases, trustCases,
	} {
		cases = append(cases, some...)
	}
	for _, link := range library.Links {
		t.Run(link.String(), func(t *testing.T) {
			start, good, bad := time.Now(), 0, 0
			for _, c := range cases {
				if c.only != nil && !c.only(library, link) {
					continue
				}
				ran := false // -run may leave it out
				ok := t.Run(c.name, func(t *testing.T) {
					ran = true
					runCase(t, c, library, link)
				})
				switch {
				case !ran:
				case ok:
					good++
				default:
					bad++
				}
			}
			passed.Add(int32(good))
			failed.Add(int32(bad))
			fmt.Printf("%s %s: %d passed, %d failed, %d ms\n",
				library.Name, link, good, bad, time.Since(start).Milliseconds())
		})
	}
}

// A stage gives a case its sessions and URIs, and cleans up after it.
type stage struct {
	t       *testing.T
	ctx     context.Context
	library *peer.Library
	link    peer.Link
	base    string
	at      peer.Address
}

var serial atomic.Int64

func runCase(t *testing.T, c testCase, library *peer.Library, link peer.Link) {
	stuck := time.AfterFunc(caseMax, func() {
		debug.SetTraceback("all")
		panic(fmt.Sprintf("%s has not ended within %v", t.Name(), caseMax))
	})
	t.Cleanup(func() { stuck.Stop() }) // the last of all: leaving is a part of the case
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c.run(t, &stage{
		t: t, ctx: ctx, library: library, link: link, at: peer.Given(),
		base: fmt.Sprintf("interop.go.p%d.n%d", os.Getpid(), serial.Add(1)),
	})
}

func (s *stage) uri(name string) string { return s.base + "." + name }

func (s *stage) join() peer.Session { return s.joinRealm(s.at, "realm1") }

func (s *stage) joinRealm(at peer.Address, realm string) peer.Session {
	s.t.Helper()
	return s.joinAs(at, realm, peer.Login{})
}

func (s *stage) joinAs(at peer.Address, realm string, login peer.Login) peer.Session {
	s.t.Helper()
	session, err := s.library.Join(s.ctx, s.link, at, realm, login)
	if err != nil {
		s.t.Fatalf("join %s: %v", realm, err)
	}
	s.t.Cleanup(func() { _ = session.Leave() }) // the case may have ended it
	return session
}

func (s *stage) subscribe(who peer.Session, topic, match string, on func(peer.Event)) (unsubscribe func() error) {
	s.t.Helper()
	unsubscribe, err := who.Subscribe(topic, match, on)
	s.must(err)
	return unsubscribe
}

func (s *stage) register(who peer.Session, procedure string, options map[string]any,
	on func(context.Context, peer.Call) peer.Reply,
) (unregister func() error) {
	s.t.Helper()
	unregister, err := who.Register(procedure, options, on)
	s.must(err)
	return unregister
}

var acknowledge = map[string]any{"acknowledge": true}

// publish waits for PUBLISHED.
func (s *stage) publish(who peer.Session, topic string, args ...any) {
	s.t.Helper()
	s.must(who.Publish(topic, args, nil, map[string]any{"acknowledge": true}))
}

// who calls procedure and returns its first result as text.
func (s *stage) who(caller peer.Session, procedure string) string {
	s.t.Helper()
	reply, err := caller.Call(s.ctx, procedure, nil, nil, nil, nil)
	s.must(err)
	return fmt.Sprint(reply.Args[0])
}

func (s *stage) call(caller peer.Session, procedure string) error {
	_, err := caller.Call(s.ctx, procedure, nil, nil, nil, nil)
	return err
}

// abandon starts a call of a session that the case is about to drop. Its context does not end with the case: nexus
// panics when a context ends just after the connection did.
func (s *stage) abandon(who peer.Session, procedure string) {
	ended := make(chan struct{})
	go func() {
		_, _ = who.Call(context.Background(), procedure, nil, nil, nil, nil) // fails one way or another
		close(ended)
	}()
	s.t.Cleanup(func() { s.wait(ended) })
}

func (s *stage) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// fails expects a WAMP error of that URI. nexus reports some of them as text only.
func (s *stage) fails(err error, uri string) *peer.Failure {
	s.t.Helper()
	failure, ok := errors.AsType[*peer.Failure](err)
	switch {
	case ok && failure.URI == uri:
		return failure
	case !ok && err != nil && strings.Contains(err.Error(), uri):
		return &peer.Failure{URI: uri}
	}
	s.t.Fatalf("got error %v, want %s", err, uri)
	return nil
}

// until polls check until it is true.
func (s *stage) until(what string, check func() bool) {
	s.t.Helper()
	for end := time.Now().Add(patience); !check(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// wait waits for a signal, usually from a handler.
func (s *stage) wait(signal <-chan struct{}) {
	s.t.Helper()
	select {
	case <-signal:
	case <-time.After(patience):
		s.t.Fatal("no signal: a handler was not reached, or not interrupted, or a call did not end")
	}
}

// receive waits for a value.
func receive[T any](s *stage, from <-chan T) (v T) {
	s.t.Helper()
	select {
	case v = <-from:
	case <-time.After(patience):
		s.t.Fatal("nothing came: a handler was not reached, or a call did not end")
	}
	return v
}

// pause waits for a signal in a handler, or in what a library calls: these cannot end the case. After patience they
// go on all the same, so that nothing hangs, and the case fails for want of what should have happened.
func pause(signal <-chan struct{}) {
	select {
	case <-signal:
	case <-time.After(patience):
	}
}

// An inbox collects what handlers receive.
type inbox[T any] struct {
	mu    sync.Mutex
	items []T
}

func (in *inbox[T]) put(item T) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.items = append(in.items, item)
}

func (in *inbox[T]) all() []T {
	in.mu.Lock()
	defer in.mu.Unlock()
	return append([]T(nil), in.items...)
}

// take waits for n items in all and returns them.
func take[T any](s *stage, in *inbox[T], n int) []T {
	s.t.Helper()
	s.until(fmt.Sprintf("%d items", n), func() bool { return len(in.all()) >= n })
	return in.all()
}

// startRouter runs a router for one case and returns its address, and a function that stops it.
func (s *stage) startRouter() (at peer.Address, stop func(os.Signal)) {
	s.t.Helper()
	at.TCP = freePort(s.t)
	command := exec.Command(os.Getenv("INTEROP_ROUTER"), "serve", "--listen", at.TCP,
		"--realm", "realm1", "--realm", "realm2")
	s.must(command.Start())
	exited := make(chan struct{})
	go func() {
		_ = command.Wait() // the exit code of a killed router does not matter
		close(exited)
	}()
	stop = func(how os.Signal) {
		_ = command.Process.Signal(how)
		<-exited
	}
	s.t.Cleanup(func() { stop(syscall.SIGKILL) })
	s.until("the router accepts", func() bool { return accepts(at.TCP) })
	return at, stop
}
