package client

import (
	"fmt"
	"net"
	"net/url"
	"strings"

	"banyan/codec"
)

// An address says how to reach a router: which socket, TLS or not, and which framing.
type address struct {
	network   string // "tcp" or "unix"
	target    string // host:port or a path
	host      string // for TLS and the Host header
	tls       bool   // only over tcp
	websocket bool
	nats      bool     // neither: RawSocket
	upgrade   *url.URL // the URL of the WebSocket handshake; nil without
}

// Schemes lists the URL forms that Dial understands, for messages. Connect understands nats://HOST:PORT too, which
// loads can speak.
const Schemes = "ws://HOST[:PORT]/PATH, wss://…, rs://HOST:PORT, rss://HOST:PORT, unix:PATH (RawSocket), ws+unix:PATH"

func parseAddress(raw string) (*address, error) {
	scheme, rest, ok := strings.Cut(raw, ":")
	if !ok || rest == "" {
		return nil, fmt.Errorf("%q is no URL; use one of %s", raw, Schemes)
	}
	switch scheme {
	case "unix", "ws+unix":
		// unix:/run/x.sock, unix:///run/x.sock and unix:x.sock all name a path.
		path := strings.TrimPrefix(rest, "//")
		if path == "" {
			return nil, fmt.Errorf("%q names no socket path", raw)
		}
		a := &address{network: "unix", target: path, host: "localhost"}
		if scheme == "ws+unix" {
			a.websocket = true
			a.upgrade = &url.URL{Scheme: "ws", Host: "localhost", Path: "/ws"}
		}
		return a, nil
	case "ws", "wss", "rs", "rss", "tcp", "nats":
		u, err := url.Parse(raw)
		if err != nil {
			return nil, fmt.Errorf("%q is no URL: %w", raw, err)
		}
		if u.Hostname() == "" {
			return nil, fmt.Errorf("%q names no host", raw)
		}
		a := &address{network: "tcp", host: u.Hostname()}
		a.tls = scheme == "wss" || scheme == "rss"
		a.websocket = scheme == "ws" || scheme == "wss"
		a.nats = scheme == "nats"
		port := u.Port()
		if port == "" {
			switch scheme {
			case "ws":
				port = "80"
			case "wss":
				port = "443"
			default:
				return nil, fmt.Errorf("%q names no port", raw)
			}
		}
		a.target = net.JoinHostPort(a.host, port)
		if a.websocket {
			a.upgrade = u
			if u.Path == "" {
				u.Path = "/"
			}
		}
		return a, nil
	}
	return nil, fmt.Errorf("%q has the unknown scheme %q; use one of %s", raw, scheme, Schemes)
}

// Socket returns the network ("tcp" or "unix") and the address that url leads to, without connecting.
func Socket(url string) (network, target string, err error) {
	a, err := parseAddress(url)
	if err != nil {
		return "", "", err
	}
	return a.network, a.target, nil
}

// ParseSerializer turns json, msgpack or cbor into a Serializer.
func ParseSerializer(name string) (codec.Serializer, error) {
	switch name {
	case "json":
		return codec.JSON, nil
	case "msgpack":
		return codec.MessagePack, nil
	case "cbor":
		return codec.CBOR, nil
	}
	return 0, fmt.Errorf("unknown serializer %q: use json, msgpack or cbor", name)
}

// SerializerName is the inverse of ParseSerializer; it is also the last part of the WebSocket subprotocol.
func SerializerName(s codec.Serializer) string {
	switch s {
	case codec.JSON:
		return "json"
	case codec.MessagePack:
		return "msgpack"
	case codec.CBOR:
		return "cbor"
	}
	return "?"
}
