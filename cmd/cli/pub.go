package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

func newPub() *cobra.Command {
	var c connection
	var p payload
	var ack, asJSON bool
	var count int
	var every time.Duration
	cmd := &cobra.Command{
		Use:   "pub TOPIC [ARG…]",
		Short: "Publish an event",
		Long: "Publish an event. An argument that is valid JSON is sent as that value, any other as a string;\n" +
			"'text' in single quotes is always a string. --ack waits for the router's answer. Without it the\n" +
			"router answers nothing, a refusal neither: WAMP has it so.",
		Example: "  banyan pub com.example.hello hi 2 '{\"k\": [1, 2]}' --ack\n" +
			"  banyan pub com.example.tick --count 10 --every 1s",
		RunE: func(cmd *cobra.Command, words []string) error {
			if count < 1 {
				return usagef("--count %d: must be at least 1", count)
			}
			v, opts, err := p.read(words[1:])
			if err != nil {
				return err
			}
			if ack {
				opts["acknowledge"] = true
			}
			ctx := cmd.Context()
			s, err := c.dial(ctx)
			if err != nil {
				return err
			}
			defer s.Close()
			for i := range count {
				if i > 0 && every > 0 {
					select {
					case <-time.After(every):
					case <-ctx.Done():
						return nil
					case <-s.Done():
						return s.Err()
					}
				}
				id, err := s.Publish(ctx, words[0], opts, v)
				if err != nil && i > 0 && ctx.Err() != nil {
					return nil // stopped while it waited for an answer, as good as between two publications
				}
				if err != nil {
					return err
				}
				if !ack {
					continue
				}
				if asJSON {
					fmt.Fprintln(cmd.OutOrStdout(), record{"publication": id})
				} else {
					fmt.Fprintf(cmd.OutOrStdout(), "published as %d\n", id)
				}
			}
			return nil
		},
	}
	c.flags(cmd, "json")
	p.flags(cmd, "PUBLISH")
	f := cmd.Flags()
	f.BoolVar(&ack, "ack", false, "wait for the router's acknowledgement and print the publication id")
	f.BoolVar(&asJSON, "json", false, "print JSON lines")
	f.IntVar(&count, "count", 1, "publish this many times")
	f.DurationVar(&every, "every", 0, "wait so long between publications")
	return cmd
}
