package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"banyan/bench/client"
	"banyan/bench/load"
	"banyan/codec"
	"banyan/engine"
)

// Exit codes; promised to scripts.
const (
	exitOK      = 0
	exitFailed  = 1 // the other side answered with an error, a verification failed, or work broke off
	exitUsage   = 2 // wrong flags or arguments, or a configuration with errors
	exitConnect = 3 // no connection to the router
	exitWorse   = 7 // a benchmark got worse than its baseline
	exitDoubt   = 8 // everything arrived, but the figures of a benchmark are not trustworthy
)

// A hintedError is an error with something to try. Messages have three parts: what failed, why, what to try.
type hintedError struct {
	code int
	what string
	why  error // may be nil
	try  string
}

func (e *hintedError) Error() string {
	if e.why == nil {
		return e.what
	}
	return e.what + ": " + e.why.Error()
}

func (e *hintedError) Unwrap() error { return e.why }

// errSaid ends the program with exitFailed and prints nothing: the log has said why.
var errSaid = &hintedError{code: exitFailed}

func usagef(format string, args ...any) error {
	return &hintedError{code: exitUsage, what: fmt.Sprintf(format, args...)}
}

// A runningError is an error of a command's work, as opposed to one of its flags.
type runningError struct{ error }

func (e runningError) Unwrap() error { return e.error }

// markRunning wraps every RunE, so that explain can tell the errors of a command's work from those that cobra finds
// in its flags.
func markRunning(cmd *cobra.Command) {
	if work := cmd.RunE; work != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if err := work(cmd, args); err != nil {
				return runningError{err}
			}
			return nil
		}
	}
	for _, c := range cmd.Commands() {
		markRunning(c)
	}
}

// explain prints err and returns the exit code.
func explain(w io.Writer, cmd *cobra.Command, err error) int {
	var (
		running runningError
		hinted  *hintedError
		usage   *load.UsageError
		connect *client.ConnectError
		abort   *client.AbortError
		answer  *client.Error
		listen  *engine.ListenError
		refused *refusedError
	)
	if !errors.As(err, &running) {
		if !errors.As(err, &hinted) {
			hinted = &hintedError{code: exitUsage, what: err.Error()}
		}
		if hinted.try == "" {
			hinted.try = cmd.CommandPath() + " --help"
		}
		return printError(w, hinted)
	}
	err = running.error
	switch {
	case errors.As(err, &hinted):
		if hinted.code == exitUsage && hinted.try == "" {
			hinted.try = cmd.CommandPath() + " --help"
		}
		return printError(w, hinted)
	case errors.As(err, &usage):
		return printError(w, &hintedError{code: exitUsage, what: usage.Error(), try: cmd.CommandPath() + " --help"})
	case errors.As(err, &refused):
		fmt.Fprint(w, refused.report)
		return printError(w, &hintedError{
			code: exitUsage, what: refused.Error(), try: "banyan check " + shellWord(refused.file),
		})
	case errors.As(err, &connect):
		return printError(w, explainConnect(connect))
	case errors.As(err, &listen):
		h := &hintedError{
			code: exitFailed, what: "cannot listen on " + listen.Address,
			why: errors.New(listen.Reason), try: listen.Try,
		}
		if listen.Err == nil { // this can never be an address
			h.code = exitUsage
		}
		return printError(w, h)
	case errors.As(err, &abort):
		return printError(w,
			&hintedError{code: exitFailed, what: "cannot join the realm", why: abort, try: abortHint(abort)})
	case errors.As(err, &answer):
		return printError(w,
			&hintedError{code: exitFailed, what: "the answer is an error", why: answer, try: answerHint(answer)})
	case errors.Is(err, context.Canceled):
		return printError(w, &hintedError{code: exitFailed, what: "interrupted"})
	case errors.Is(err, context.DeadlineExceeded):
		return printError(w, &hintedError{code: exitFailed, what: "timed out"})
	}
	return printError(w, &hintedError{code: exitFailed, what: err.Error()})
}

// printOut prints what a command was asked for. If that finds no room, the command has failed.
func printOut(cmd *cobra.Command, text string) error {
	if _, err := io.WriteString(cmd.OutOrStdout(), text); err != nil {
		return &hintedError{
			code: exitFailed, what: "cannot write to standard output", why: cause(err),
			try: "make room where it leads to",
		}
	}
	return nil
}

func printError(w io.Writer, e *hintedError) int {
	if e.what == "" {
		return e.code
	}
	fmt.Fprintf(w, "banyan: %s\n", e.what)
	if e.why != nil {
		fmt.Fprintf(w, "  %v\n", e.why)
	}
	if e.try != "" {
		fmt.Fprintf(w, "  try: %s\n", e.try)
	}
	return e.code
}

func explainConnect(e *client.ConnectError) *hintedError {
	h := &hintedError{code: exitConnect, what: "cannot connect to " + e.URL, why: e.Err}
	switch {
	case errors.Is(e.Err, syscall.ECONNREFUSED), errors.Is(e.Err, fs.ErrNotExist):
		h.try = "is the router running? start one with: banyan serve"
	case errors.Is(e.Err, context.DeadlineExceeded), errors.Is(e.Err, os.ErrDeadlineExceeded):
		h.try = "does a WAMP router listen there? --url takes " + client.Schemes
	case strings.Contains(e.Err.Error(), "certificate"):
		h.try = "--ca FILE trusts the certificates in it; --insecure verifies nothing"
	case strings.Contains(e.Err.Error(), "HTTP 4"):
		h.try = "another path (most routers use /ws), another --serializer, or the Origin rules of the router"
	}
	return h
}

func abortHint(e *client.AbortError) string {
	switch e.Reason {
	case codec.ErrNoSuchRealm:
		return "another --realm, or start the router with --realm for this one"
	case codec.ErrAuthenticationRequired:
		return "log in: --authid with --ticket, --password or --key; or start the router with --anonymous anywhere"
	}
	return ""
}

func answerHint(e *client.Error) string {
	switch e.URI {
	case codec.ErrNoSuchProcedure:
		return "nobody serves it yet; banyan register PROCEDURE --echo does"
	case codec.ErrProcedureAlreadyExists:
		return "somebody serves it already; --invoke roundrobin on both sides shares it"
	}
	return ""
}
