package main

import (
	"context"
	"crypto/tls"
	"os"
	"time"

	"github.com/spf13/cobra"

	"banyan/bench/client"
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
}

func (c *connection) flags(cmd *cobra.Command, serializer string) {
	f := cmd.Flags()
	f.StringVar(&c.url, "url", fromEnv("BANYAN_URL", defaultURL),
		"router to connect to ($BANYAN_URL): ws, wss, rs, rss, unix:PATH, ws+unix:PATH")
	f.StringVar(&c.realm, "realm", fromEnv("BANYAN_REALM", defaultRealm), "realm to join ($BANYAN_REALM)")
	f.StringVar(&c.serializer, "serializer", serializer, "json, msgpack or cbor")
	f.BoolVar(&c.batched, "batched", false, "several messages per WebSocket message (the .batched subprotocol)")
	f.BoolVar(&c.insecure, "insecure", false, "do not verify the router's certificate")
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
	return client.Options{
		Serializer: s, Batched: c.batched, Realm: c.realm, TLS: c.tls(),
		Agent: "banyan " + version,
	}, nil
}

func (c *connection) tls() *tls.Config {
	if !c.insecure {
		return nil
	}
	return &tls.Config{InsecureSkipVerify: true} // asked for by flag
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
