package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"banyan/bench/client"
)

func newCall() *cobra.Command {
	var c connection
	var p payload
	var progress, asJSON bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "call PROCEDURE [ARG…]",
		Short: "Call a procedure and print its result",
		Long: "Call a procedure and print its result: each argument on a line of its own as JSON, then keyword\n" +
			"arguments as one object. An argument that is valid JSON is sent as that value, any other as a\n" +
			"string; 'text' in single quotes is always a string.",
		Example: "  banyan call com.example.add 2 3\n  banyan call com.example.slow --progress --timeout 5s --json",
		RunE: func(cmd *cobra.Command, words []string) error {
			v, opts, err := p.read(words[1:])
			if err != nil {
				return err
			}
			s, err := c.dial(cmd.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			ctx := cmd.Context()
			if timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, timeout)
				defer cancel()
			}
			out := cmd.OutOrStdout()
			var onProgress func(*client.Result)
			if progress {
				onProgress = func(r *client.Result) { printResult(out, r, true, asJSON) }
			}
			r, err := s.Call(ctx, words[0], opts, v, onProgress)
			if errors.Is(err, context.DeadlineExceeded) {
				what := fmt.Sprintf("no result within %v; the call was canceled", timeout)
				return &hintedError{code: exitFailed, what: what, try: "a longer --timeout"}
			}
			var answer *client.Error
			if asJSON && errors.As(err, &answer) {
				fmt.Fprintln(out, record{"error": answer.URI, "details": answer.Details}.withPayload(&answer.Values))
			}
			if err != nil {
				return err
			}
			printResult(out, r, false, asJSON)
			return nil
		},
	}
	c.flags(cmd, "json")
	p.flags(cmd, "CALL")
	f := cmd.Flags()
	f.BoolVar(&progress, "progress", false, "ask for progressive results and print them as they come")
	f.DurationVar(&timeout, "timeout", 0, "cancel the call after this time; 0 never")
	f.BoolVar(&asJSON, "json", false, "print JSON lines")
	return cmd
}

func printResult(w io.Writer, r *client.Result, progress, asJSON bool) {
	if asJSON {
		fmt.Fprintln(w, record{"progress": progress, "details": r.Details}.withPayload(&r.Values))
		return
	}
	for _, a := range r.Args {
		fmt.Fprintln(w, toJSON(a))
	}
	if len(r.Kwargs) > 0 {
		fmt.Fprintln(w, toJSON(r.Kwargs))
	}
}
