package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"banyan/bench/client"
)

// A payload is what the arguments and flags of pub and call say about the message to send.
type payload struct{ kwargs, options string }

func (p *payload) flags(cmd *cobra.Command, message string) {
	cmd.Flags().StringVar(&p.kwargs, "kwargs", "", "keyword arguments, a JSON object")
	cmd.Flags().StringVar(&p.options, "options", "", fmt.Sprintf("further %s options, a JSON object", message))
}

// read returns the values and the options, which are never nil.
func (p *payload) read(words []string) (v client.Values, options map[string]any, err error) {
	if options, err = parseDict("options", p.options); err != nil {
		return v, nil, err
	}
	if options == nil {
		options = map[string]any{}
	}
	v.Args = parseArguments(words)
	v.Kwargs, err = parseDict("kwargs", p.kwargs)
	return v, options, err
}
