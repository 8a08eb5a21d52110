package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"banyan/bench/client"
)

func newSub() *cobra.Command {
	var c connection
	var match, options string
	var count int
	var duration time.Duration
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "sub TOPIC…",
		Short: "Subscribe and print events",
		Long: "Subscribe to topics and print their events, one a line, until Ctrl-C, --count or --for.\n" +
			"With --count and --for together, too few events in time are an error (exit code 1).",
		Example: "  banyan sub com.example.hello\n  banyan sub com.example. --match prefix --count 10 --json",
		RunE: func(cmd *cobra.Command, topics []string) error {
			if err := checkMatch(match); err != nil {
				return err
			}
			opts, err := parseDict("options", options)
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			s, err := c.dial(ctx)
			if err != nil {
				return err
			}
			defer s.Close()
			out := cmd.OutOrStdout()
			enough := make(chan struct{})
			n := 0 // owned by the session's receiving goroutine until enough is closed
			for _, topic := range topics {
				_, err := s.Subscribe(ctx, client.Topic{URI: topic, Match: match}, opts, func(e *client.Event) {
					if count > 0 && n >= count {
						return
					}
					at := topic
					if t, ok := e.Details["topic"].(string); ok {
						at = t
					}
					if asJSON {
						fmt.Fprintln(out, record{
							"topic": at, "subscription": e.Subscription, "publication": e.Publication,
							"details": e.Details,
						}.withPayload(&e.Values))
					} else {
						fmt.Fprintf(out, "%s %s\n", at, payloadLine(&e.Values))
					}
					if n++; n == count {
						close(enough)
					}
				})
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "subscribed to %s\n", topic)
			}
			switch err := waitFor(ctx, s, duration, enough); {
			case err != nil:
				return err
			case count > 0 && duration > 0 && !isClosed(enough):
				return fmt.Errorf("fewer than %d events within %v", count, duration)
			}
			return nil
		},
	}
	c.flags(cmd, "json")
	f := cmd.Flags()
	f.StringVar(&match, "match", "exact", "exact, prefix or wildcard")
	f.StringVar(&options, "options", "", "further SUBSCRIBE options, a JSON object")
	f.IntVar(&count, "count", 0, "end after this many events; 0 never")
	f.DurationVar(&duration, "for", 0, "end after this time; 0 never")
	f.BoolVar(&asJSON, "json", false, "print JSON lines")
	cmd.RegisterFlagCompletionFunc("match",
		cobra.FixedCompletions([]string{"exact", "prefix", "wildcard"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func checkMatch(match string) error {
	switch match {
	case "exact", "prefix", "wildcard":
		return nil
	}
	return usagef("--match %q: use exact, prefix or wildcard", match)
}

// waitFor waits for an interrupt, the duration (0 is for ever), enough, or the end of the session; only the end of
// the session is an error.
func waitFor(ctx context.Context, s *client.Session, d time.Duration, enough <-chan struct{}) error {
	var timeout <-chan time.Time
	if d > 0 {
		timeout = time.After(d)
	}
	select {
	case <-ctx.Done():
	case <-timeout:
	case <-enough:
	case <-s.Done():
		return s.Err()
	}
	return nil
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
