// Command banyan is the Banyan WAMP router, a WAMP client for the command line, and the benchmarks.
//
// All of it is in package cli. Here are main and default.pgo, the profile that the compiler reads for the program.
// With it everything that the program imports is compiled once more, so go.mod has ./... pass by this folder.
package main

import (
	"os"

	"banyan/cmd/cli"
)

func main() {
	os.Exit(cli.Run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
