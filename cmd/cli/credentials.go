package cli

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"
	"golang.org/x/term"

	"banyan/realm/auth"
)

// A newUser is what passwd, keygen and hash-ticket make: an entry of users.
type newUser struct {
	role string
	file string // the users file that it is written into; empty: standard output
}

func (u *newUser) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&u.role, "role", "",
		"role that the user gets; a user who is in --users already keeps theirs")
	cmd.Flags().StringVar(&u.file, "users", "",
		"users `file` to write the entry into, as users_file names it; without it the entry is printed")
}

// put writes the entry of a user, or prints it.
func (u *newUser) put(cmd *cobra.Command, authid string, entry yamlEntry) error {
	whole := newEntry()
	if u.role != "" {
		whole.text("role", u.role)
	}
	whole.Content = append(whole.Content, entry.Content...)
	if u.file == "" {
		text, err := yaml.Dump(newEntry().put(authid, whole.Node).Node, yaml.WithIndent(2))
		if err != nil {
			return err
		}
		return printOut(cmd, string(text))
	}
	users, err := openUsers(u.file)
	if err != nil {
		return err
	}
	if err := users.change(authid, whole.Node); err != nil {
		return err
	}
	if err := users.write(); err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "wrote      %s: %s\n", u.file, authid)
	return nil
}

// check refuses a user whom the router would not take, before somebody is asked for a password.
func (u *newUser) check(authid string) error {
	switch {
	case authid == "", len(authid) > authidBytesMax, strings.ContainsFunc(authid, unicode.IsControl):
		return usagef("an authid has 1 to %d bytes and no control characters", authidBytesMax)
	case u.role != "":
		return nil
	case u.file == "":
		return usagef("--role is missing: which role does %s get?", authid)
	}
	users, err := openUsers(u.file)
	if err != nil {
		return err
	}
	if !users.has(authid) {
		return usagef("--role is missing: %s is not in %s yet", authid, u.file)
	}
	return nil
}

// authidBytesMax is the longest authid, as for realm/auth.
const authidBytesMax = 256

func newPasswd() *cobra.Command {
	var user newUser
	var cra, crossbar, ticket, noScram bool
	kdf := auth.KDFArgon2id
	cmd := &cobra.Command{
		Use:   "passwd AUTHID",
		Short: "Make a user with a password, or give one a new password",
		Long: "Ask for a password, twice on a terminal, once otherwise (one line of standard input), and write\n" +
			"what verifies it: for wamp-scram, and for other methods if asked. The password is kept nowhere.\n" +
			"What --cra writes lets whoever reads it log in: keep that file to the router alone.\n" +
			"\n" +
			"The realm must offer the method, under auth in its configuration; a reload makes the user known.",
		Example: "  banyan passwd alice --role service --users users.yaml\n" +
			"  banyan passwd bob --role service --cra --users users.yaml\n" +
			"  pwgen 20 1 | banyan passwd robot --role service",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := user.check(args[0]); err != nil {
				return err
			}
			password, err := readPassword(cmd, "password for "+args[0], true)
			if err != nil {
				return err
			}
			entry := newEntry()
			iterations, memory := auth.Argon2Iterations, auth.Argon2KiB
			if kdf == auth.KDFPBKDF2 {
				iterations, memory = auth.PBKDF2Iterations, 0
			}
			if !noScram {
				c, err := auth.NewSCRAM(password, kdf, iterations, memory)
				if err != nil {
					return plainly(err)
				}
				entry.put("scram", scramEntry(c))
			}
			if crossbar {
				c, err := auth.NewCrossbarSCRAM(password, kdf, iterations, memory)
				if err != nil {
					return plainly(err)
				}
				entry.put("crossbar", scramEntry(c))
			}
			if cra {
				c, err := auth.NewCRA(password, auth.CRAIterations)
				if err != nil {
					return plainly(err)
				}
				entry.put("wampcra", newEntry().text("salt", c.Salt).number("iterations", c.Iterations).
					number("keylen", c.KeyLen).text("key", c.Key).Node)
			}
			if ticket {
				hash, err := auth.HashPassword(password, auth.Argon2Iterations, auth.Argon2KiB)
				if err != nil {
					return plainly(err)
				}
				entry.put("ticket", newEntry().text("argon2id", hash).Node)
			}
			if len(entry.Content) == 0 {
				return usagef("--no-scram leaves nothing to log in with; add --cra, --crossbar or --ticket")
			}
			return user.put(cmd, args[0], entry)
		},
	}
	user.flags(cmd)
	f := cmd.Flags()
	f.BoolVar(&cra, "cra", false, "also for the method wampcra")
	f.BoolVar(&crossbar, "crossbar", false, "also for the method scram, the dialect of Crossbar.io and Autobahn")
	f.BoolVar(&ticket, "ticket", false, "also for the method ticket")
	f.BoolVar(&noScram, "no-scram", false, "not for the method wamp-scram")
	flagGroup{"", f}.choice(&kdf, "kdf", auth.KDFArgon2id, "argon2id13, or pbkdf2 for clients that know only that",
		auth.KDFArgon2id, auth.KDFPBKDF2)
	return cmd
}

func scramEntry(c *auth.SCRAMCredential) *yaml.Node {
	b64 := base64.StdEncoding.EncodeToString
	e := newEntry().text("kdf", c.KDF).text("salt", b64(c.Salt)).number("iterations", c.Iterations)
	if c.Memory > 0 {
		e.number("memory", c.Memory)
	}
	return e.text("stored_key", b64(c.StoredKey[:])).text("server_key", b64(c.ServerKey[:])).Node
}

func newKeygen() *cobra.Command {
	var user newUser
	var keyFile string
	cmd := &cobra.Command{
		Use:   "keygen [AUTHID]",
		Short: "Make a key for cryptosign, and a user with it",
		Long: "Make an Ed25519 key. The private half goes into a new file with mode 0600, as 64 hex digits, which\n" +
			"clients read; the public half into the entry of the user. Without AUTHID only the key is made and\n" +
			"its public half printed, such as for auth.cryptosign.router_key_file.\n" +
			"\n" +
			"The realm must offer cryptosign, under auth in its configuration; a reload makes the user known.",
		Example: "  banyan keygen sensor7 --role device --key sensor7.key --users users.yaml\n" +
			"  banyan keygen --key router.key",
		RunE: func(cmd *cobra.Command, args []string) error {
			if keyFile == "" {
				return usagef("--key is missing: into which file does the private key go?")
			}
			if len(args) == 0 && (user.role != "" || user.file != "") {
				return usagef("--role and --users are for a user: which AUTHID?")
			}
			if len(args) > 0 {
				if err := user.check(args[0]); err != nil {
					return err
				}
			}
			private, public := auth.NewKey()
			if err := writeNewSecret(keyFile, private); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "wrote      %s: the private key, for the client alone\n", keyFile)
			if len(args) == 0 {
				return printOut(cmd, hex.EncodeToString(public[:])+"\n")
			}
			keys := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Content: []*yaml.Node{
				textNode(hex.EncodeToString(public[:])),
			}}
			return user.put(cmd, args[0], newEntry().put("cryptosign", keys))
		},
	}
	user.flags(cmd)
	cmd.Flags().StringVar(&keyFile, "key", "", "new `file` for the private key")
	return cmd
}

// writeNewSecret writes a secret into a file that is not there yet, with mode 0600.
func writeNewSecret(path, secret string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return &hintedError{
			code: exitFailed, what: path + " is there already", try: "another name, or remove it first",
		}
	}
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, secret+"\n")
	return errors.Join(err, f.Sync(), f.Close())
}

func newHashTicket() *cobra.Command {
	var user newUser
	var fresh, random bool
	cmd := &cobra.Command{
		Use:   "hash-ticket AUTHID",
		Short: "Make a user with a ticket",
		Long: "Write what verifies a ticket: with --new of a random one, which is printed once and kept nowhere;\n" +
			"otherwise of one that is asked for, on a terminal or in one line of standard input. One that\n" +
			"somebody has thought of is hashed slowly; --random says that it is a long random text.\n" +
			"\n" +
			"The realm must offer ticket, under auth in its configuration; a reload makes the user known.",
		Example: "  banyan hash-ticket alice --role service --new --users users.yaml\n" +
			"  banyan hash-ticket alice --role service <ticket.txt",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := user.check(args[0]); err != nil {
				return err
			}
			ticket := auth.NewTicket()
			if !fresh {
				var err error
				if ticket, err = readPassword(cmd, "ticket for "+args[0], true); err != nil {
					return err
				}
			}
			if random && !fresh && len(ticket) < randomTicketMin {
				return usagef("a random ticket has at least %d characters; hash this one slowly, without --random",
					randomTicketMin)
			}
			entry, err := ticketEntry(ticket, fresh || random)
			if err != nil {
				return plainly(err)
			}
			if err := user.put(cmd, args[0], newEntry().put("ticket", entry)); err != nil {
				return err
			}
			if fresh {
				return tellTicket(cmd, args[0], ticket)
			}
			return nil
		},
	}
	user.flags(cmd)
	cmd.Flags().BoolVar(&fresh, "new", false, "make a random ticket and print it")
	cmd.Flags().BoolVar(&random, "random", false, "the ticket is random, so that a fast hash is enough")
	return cmd
}

// randomTicketMin is how many characters a ticket of 128 random bits has at least, in base64.
const randomTicketMin = 22

func ticketEntry(ticket string, random bool) (*yaml.Node, error) {
	if random {
		sum := sha256.Sum256([]byte(ticket))
		return newEntry().text("sha256", hex.EncodeToString(sum[:])).Node, nil
	}
	hash, err := auth.HashPassword(ticket, auth.Argon2Iterations, auth.Argon2KiB)
	if err != nil {
		return nil, err
	}
	return newEntry().text("argon2id", hash).Node, nil
}

// tellTicket prints a new ticket: on standard output by itself if that is no terminal, so that a script can take it.
func tellTicket(cmd *cobra.Command, authid, ticket string) error {
	fmt.Fprintf(cmd.ErrOrStderr(), "the ticket of %s, which is shown only now:\n", authid)
	err := printOut(cmd, ticket+"\n")
	var hinted *hintedError
	if errors.As(err, &hinted) {
		hinted.try = "this ticket is lost; banyan hash-ticket --new makes another one"
	}
	return err
}

// passwordBytesMax is the longest password or ticket that is read, in bytes. Longer: an error.
const passwordBytesMax = 4096

// readPassword asks for a secret on a terminal, without showing it, or reads one line of standard input.
func readPassword(cmd *cobra.Command, what string, twice bool) (string, error) {
	in := cmd.InOrStdin()
	if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return askPassword(cmd, int(f.Fd()), what, twice)
	}
	line, err := bufio.NewReader(io.LimitReader(in, passwordBytesMax+2)).ReadBytes('\n')
	if err != nil && err != io.EOF {
		return "", err
	}
	return judgePassword(bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r")))
}

func askPassword(cmd *cobra.Command, fd int, what string, twice bool) (string, error) {
	ask := func(prompt string) ([]byte, error) {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: ", prompt)
		defer fmt.Fprintln(cmd.ErrOrStderr())
		return term.ReadPassword(fd)
	}
	first, err := ask(what)
	if err != nil {
		return "", err
	}
	password, err := judgePassword(first)
	if err != nil || !twice {
		return password, err
	}
	again, err := ask("once more")
	if err != nil {
		return "", err
	}
	if !bytes.Equal(first, again) {
		return "", &hintedError{code: exitFailed, what: "the two are not the same", try: "once more"}
	}
	return password, nil
}

// judgePassword refuses what was certainly not meant.
func judgePassword(b []byte) (string, error) {
	switch {
	case len(b) == 0:
		return "", usagef("nothing was entered; a password is read from the terminal or from standard input")
	case len(b) > passwordBytesMax:
		return "", usagef("more than %d bytes are no password", passwordBytesMax)
	case !utf8.Valid(b):
		return "", usagef("this is no text in UTF-8")
	}
	return string(b), nil
}

// plainly is an error of package auth for a command line.
func plainly(err error) error { return usagef("%s", strings.TrimPrefix(err.Error(), "auth: ")) }
