// Command gen writes the generated files of package codec. It is run by go generate ./codec, in that folder.
package main

import (
	"fmt"
	"os"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run() error {
	all, err := files()
	if err != nil {
		return err
	}
	for name, src := range all {
		if err := os.WriteFile(name, src, 0o644); err != nil {
			return err
		}
	}
	return nil
}
