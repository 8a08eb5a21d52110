package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"time"

	"github.com/spf13/cobra"

	"banyan/bench/client"
	"banyan/realm/auth"
)

const (
	defaultURL     = "ws://127.0.0.1:8080/ws"
	defaultRealm   = "realm1"
	connectTimeout = 10 * time.Second
)

// connection holds the flags of every command that connects to a router.
type connection struct {
	url, realm, serializer string
	batched, insecure      bool

	authid                              string
	ticketFile, passwordFile, keyFile   string
	authorityFile, certificate, certKey string
}

func (c *connection) flags(cmd *cobra.Command, serializer string) {
	f := cmd.Flags()
	f.StringVar(&c.url, "url", fromEnv("BANYAN_URL", defaultURL),
		"router to connect to ($BANYAN_URL): ws, wss, rs, rss, unix:PATH, ws+unix:PATH")
	f.StringVar(&c.realm, "realm", fromEnv("BANYAN_REALM", defaultRealm), "realm to join ($BANYAN_REALM)")
	f.StringVar(&c.serializer, "serializer", serializer, "json, msgpack or cbor")
	f.BoolVar(&c.batched, "batched", false, "several messages per WebSocket message (the .batched subprotocol)")
	f.BoolVar(&c.insecure, "insecure", false, "do not verify the router's certificate")
	f.StringVar(&c.authid, "authid", fromEnv("BANYAN_AUTHID", ""), "who logs in ($BANYAN_AUTHID)")
	f.StringVar(&c.ticketFile, "ticket", "", "`file` with a ticket, - is standard input")
	f.StringVar(&c.passwordFile, "password", "",
		"`file` with a password for wamp-scram and wampcra, - is standard input")
	f.StringVar(&c.keyFile, "key", "", "`file` with a private key for cryptosign, as banyan keygen writes it")
	f.StringVar(&c.authorityFile, "ca", "",
		"`file` with the certificates of the authorities to trust instead of the system's")
	f.StringVar(&c.certificate, "cert", "", "`file` with a client certificate to show, in PEM")
	f.StringVar(&c.certKey, "cert-key", "", "`file` with its private key")
	cmd.RegisterFlagCompletionFunc("serializer",
		cobra.FixedCompletions([]string{"json", "msgpack", "cbor"}, cobra.ShellCompDirectiveNoFileComp))
}

func fromEnv(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

func (c *connection) options() (client.Options, error) {
	s, err := client.ParseSerializer(c.serializer)
	if err != nil {
		return client.Options{}, usagef("--serializer: %v", err)
	}
	if _, _, err := client.Socket(c.url); err != nil {
		return client.Options{}, usagef("--url: %v", err)
	}
	o := client.Options{Serializer: s, Batched: c.batched, Realm: c.realm, Agent: "banyan " + version}
	if o.TLS, err = c.tls(); err != nil {
		return client.Options{}, err
	}
	o.Login, err = c.login()
	return o, err
}

// tls is what the flags say about certificates; nil if nothing.
func (c *connection) tls() (*tls.Config, error) {
	if !c.insecure && c.authorityFile == "" && c.certificate == "" && c.certKey == "" {
		return nil, nil
	}
	t := &tls.Config{InsecureSkipVerify: c.insecure} // asked for by flag
	if c.authorityFile != "" {
		text, err := os.ReadFile(c.authorityFile)
		if err != nil {
			return nil, usagef("--ca: %v", err)
		}
		if t.RootCAs = x509.NewCertPool(); !t.RootCAs.AppendCertsFromPEM(text) {
			return nil, usagef("--ca: there is no certificate in %s", c.authorityFile)
		}
	}
	if (c.certificate == "") != (c.certKey == "") {
		return nil, usagef("--cert and --cert-key belong together")
	}
	if c.certificate != "" {
		pair, err := tls.LoadX509KeyPair(c.certificate, c.certKey)
		if err != nil {
			return nil, usagef("--cert: %v", err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

// login is what the flags say about who joins; nil if nothing.
func (c *connection) login() (*client.Login, error) {
	l := &client.Login{AuthID: c.authid}
	for _, f := range []struct {
		flag, file string
		take       func(secret string) error
	}{
		{"ticket", c.ticketFile, func(secret string) error { l.Ticket = secret; return nil }},
		{"password", c.passwordFile, func(secret string) error { l.Password = secret; return nil }},
		{"key", c.keyFile, func(secret string) (err error) { l.Key, err = auth.ParsePrivateKey(secret); return err }},
	} {
		if f.file == "" {
			continue
		}
		if f.file == "-" {
			f.file = "/dev/stdin"
		}
		secret, err := readSecret(f.file)
		if err == nil {
			err = f.take(secret)
		}
		if err != nil {
			return nil, usagef("--%s: %v", f.flag, err)
		}
		if c.authid == "" && f.flag != "key" {
			return nil, usagef("--%s needs --authid: whose is it?", f.flag)
		}
	}
	if l.AuthID == "" && l.Key == nil && c.certificate == "" {
		return nil, nil
	}
	return l, nil
}

// dial joins the realm.
func (c *connection) dial(ctx context.Context) (*client.Session, error) {
	o, err := c.options()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	return client.Dial(ctx, c.url, o)
}
