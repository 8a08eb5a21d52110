package wire

import (
	"bytes"
	"strings"
)

// LooksLike guesses, for a log line, which protocol the first octets of a refused connection belong to.
func LooksLike(b []byte) string {
	for _, p := range protocols {
		if bytes.HasPrefix(b, []byte(p.start)) {
			return p.name
		}
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	if strings.Contains(string(line), " HTTP/") {
		return "HTTP"
	}
	return "unknown"
}

var protocols = []struct{ start, name string }{
	{"\x16", "TLS"},
	{"\x10", "MQTT"},
	{"SSH-", "SSH"},
	{"EHLO ", "SMTP"},
	{"HELO ", "SMTP"},
	{"PROXY ", "PROXY protocol version 1"},
	{"\r\n\r\n\x00\r\nQUIT\n", "PROXY protocol version 2"},
	{"PRI * HTTP/2", "HTTP/2 without TLS"},
	{"CONNECT {", "NATS"},
	{"AMQP", "AMQP"},
	{"STOMP\n", "STOMP"},
	{"*1\r\n", "Redis"},
}
