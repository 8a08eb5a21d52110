package cli

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"

	"banyan/cmd/config"
	"banyan/realm/auth"
)

const (
	initFile   = "banyan.yaml"
	initUsers  = "users.yaml"
	initSchema = "banyan.schema.json"
	initKey    = "device1.key"
)

func newInit() *cobra.Command {
	var device, tls bool
	cmd := &cobra.Command{
		Use:   "init [FOLDER]",
		Short: "Write an annotated configuration that works as it is",
		Long: "Write banyan.yaml and users.yaml into a folder, by default the current one: the router listens on\n" +
			"127.0.0.1:8080, anonymous clients of this machine may do everything in realm1, and the user alice\n" +
			"may log in with a ticket, which is printed once. What else the router can do is there, commented\n" +
			"out. Files that are there already are left alone.",
		Example: "  banyan init /etc/banyan\n" +
			"  banyan serve --config /etc/banyan/banyan.yaml\n" +
			"  banyan init --device --tls    with a device that logs in by cryptosign, and with TLS",
		RunE: func(cmd *cobra.Command, args []string) error {
			folder := "."
			if len(args) > 0 {
				folder = args[0]
			}
			return initialize(cmd, folder, device, tls)
		},
	}
	cmd.Flags().BoolVar(&device, "device", false,
		"also make the user device1 with a key for cryptosign, in device1.key")
	cmd.Flags().BoolVar(&tls, "tls", false,
		"also listen on 0.0.0.0:8443 with TLS; its certificate and key are to be in tls/ of the folder")
	return cmd
}

// initialize writes a configuration with users into a folder.
func initialize(cmd *cobra.Command, folder string, device, tls bool) error {
	files := []string{initFile, initUsers, initSchema}
	if device {
		files = append(files, initKey)
	}
	for _, name := range files {
		if _, err := os.Lstat(filepath.Join(folder, name)); err == nil {
			return &hintedError{
				code: exitFailed, what: filepath.Join(folder, name) + " is there already",
				try: "another folder, or move it away",
			}
		}
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return &hintedError{
			code: exitFailed, what: "cannot make the folder " + strconv.Quote(folder), why: cause(err),
			try: "another folder",
		}
	}
	ticket := auth.NewTicket()
	entry, err := ticketEntry(ticket, true)
	if err != nil {
		return err
	}
	users := newEntry().put("alice", newEntry().text("role", "service").put("ticket", entry).Node)
	methods := []string{"ticket"}
	if device {
		private, public := auth.NewKey()
		if err := writeNewSecret(filepath.Join(folder, initKey), private); err != nil {
			return err
		}
		key := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Content: []*yaml.Node{
			textNode(hex.EncodeToString(public[:])),
		}}
		users.put("device1", newEntry().text("role", "service").put("cryptosign", key).Node)
		methods = append(methods, "cryptosign")
	}
	text, err := yaml.Dump(users.Node, yaml.WithIndent(2))
	if err != nil {
		return err
	}
	path := func(name string) string { return filepath.Join(folder, name) }
	if err := errors.Join(
		os.WriteFile(path(initSchema), config.Schema(), 0o644),
		replaceFile(path(initUsers), text),
		os.WriteFile(path(initFile), []byte(config.ExampleWith(initUsers, "data", methods, tls)), 0o644),
	); err != nil {
		return err
	}
	for _, name := range files {
		fmt.Fprintf(cmd.ErrOrStderr(), "wrote      %s\n", path(name))
	}
	if tls {
		fmt.Fprintf(cmd.ErrOrStderr(), "\nput into    %s: fullchain.pem and privkey.pem\n", path("tls"))
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "\nnext: banyan serve --config %s\n\n", shellWord(path(initFile)))
	return tellTicket(cmd, "alice", ticket)
}
