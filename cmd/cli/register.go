package cli

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"banyan/bench/client"
)

func newRegister() *cobra.Command {
	var c connection
	var match, invoke, options, value, command string
	var echo, asJSON bool
	var count int
	var duration time.Duration
	cmd := &cobra.Command{
		Use:   "register PROCEDURE",
		Short: "Serve a procedure: echo, a fixed value, or a command",
		Long: "Register a procedure and answer its calls until Ctrl-C, --count or --for.\n" +
			"--exec runs a command with the shell for every call: the command reads {\"procedure\": …, \"args\":\n" +
			"[…], \"kwargs\": {…}} from its standard input, and its standard output is the result (JSON, or else\n" +
			"one string). A non-zero exit code is an error for the caller, with the standard error as its text.",
		Example: "  banyan register com.example.echo --echo\n  banyan register com.example.answer --value 42\n" +
			"  banyan register com.example.now --exec date",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkMatch(match); err != nil {
				return err
			}
			opts, err := parseDict("options", options)
			if err != nil {
				return err
			}
			if invoke != "" {
				if opts == nil {
					opts = map[string]any{}
				}
				opts["invoke"] = invoke
			}
			work, err := chooseWork(cmd, args[0], echo, value, command)
			if err != nil {
				return err
			}
			s, err := c.dial(cmd.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			served := &serving{cmd: cmd, asJSON: asJSON, count: count, enough: make(chan struct{})}
			_, err = s.Register(cmd.Context(), client.Topic{URI: args[0], Match: match}, opts,
				func(ctx context.Context, call *client.Invocation) (client.Values, error) {
					served.note(args[0], call)
					return work(ctx, call)
				})
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "registered %s\n", args[0])
			err = waitFor(cmd.Context(), s, duration, served.enough)
			if err == nil && isClosed(served.enough) {
				s.Drain()
			}
			return err
		},
	}
	c.flags(cmd, "json")
	f := cmd.Flags()
	f.BoolVar(&echo, "echo", false, "return the arguments")
	f.StringVar(&value, "value", "", "return this value (JSON, or else a string)")
	f.StringVar(&command, "exec", "", "run this command for every call")
	f.StringVar(&match, "match", "exact", "exact, prefix or wildcard")
	f.StringVar(&invoke, "invoke", "", "share the procedure: single, roundrobin, random, first, last or "+
		"x_least_outstanding (who has the fewest open calls)")
	f.StringVar(&options, "options", "", "further REGISTER options, a JSON object")
	f.IntVar(&count, "count", 0, "end after this many calls; 0 never")
	f.DurationVar(&duration, "for", 0, "end after this time; 0 never")
	f.BoolVar(&asJSON, "json", false, "print JSON lines")
	cmd.MarkFlagsMutuallyExclusive("echo", "value", "exec")
	cmd.MarkFlagsOneRequired("echo", "value", "exec")
	cmd.RegisterFlagCompletionFunc("invoke", cobra.FixedCompletions([]string{
		"single", "roundrobin", "random", "first", "last", "x_least_outstanding",
	}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// serving prints and counts calls. Any goroutine.
type serving struct {
	cmd    *cobra.Command
	asJSON bool
	count  int
	enough chan struct{}

	mu sync.Mutex
	n  int
}

func (s *serving) note(procedure string, call *client.Invocation) {
	if p, ok := call.Details["procedure"].(string); ok {
		procedure = p
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asJSON {
		fmt.Fprintln(s.cmd.OutOrStdout(),
			record{"procedure": procedure, "details": call.Details}.withPayload(&call.Values))
	} else {
		fmt.Fprintf(s.cmd.OutOrStdout(), "%s %s\n", procedure, payloadLine(&call.Values))
	}
	if s.n++; s.n == s.count {
		close(s.enough)
	}
}

// chooseWork makes the handler that the flags ask for.
func chooseWork(cmd *cobra.Command, procedure string, echo bool, value, command string) (client.Handler, error) {
	switch {
	case echo:
		return func(_ context.Context, call *client.Invocation) (client.Values, error) {
			return call.Values, nil
		}, nil
	case cmd.Flags().Changed("value"):
		v := client.Values{Args: parseArguments([]string{value})}
		return func(context.Context, *client.Invocation) (client.Values, error) { return v, nil }, nil
	case command != "":
		return func(ctx context.Context, call *client.Invocation) (client.Values, error) {
			return execute(ctx, command, procedure, call)
		}, nil
	}
	return nil, usagef("--exec needs a command")
}

// execute answers one call with a command's output.
func execute(ctx context.Context, command, procedure string, call *client.Invocation) (client.Values, error) {
	if p, ok := call.Details["procedure"].(string); ok {
		procedure = p
	}
	var out, errs bytes.Buffer
	c := exec.CommandContext(ctx, "sh", "-c", command)
	// A canceled call ends the shell and what it started.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = time.Second
	c.Stdin = strings.NewReader(record{"procedure": procedure}.withPayload(&call.Values).String() + "\n")
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		text := strings.TrimSpace(errs.String())
		if text == "" {
			text = err.Error()
		}
		return client.Values{}, fmt.Errorf("%s", text)
	}
	text := strings.TrimSpace(out.String())
	if text == "" {
		return client.Values{}, nil
	}
	return client.Values{Args: parseArguments([]string{text})}, nil
}
