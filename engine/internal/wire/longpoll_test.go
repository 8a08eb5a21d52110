package wire

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
)

func TestReadPollPath(t *testing.T) {
	const id = "00112233445566778899aabbccddeeff"
	want := PollID{0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF}
	for _, c := range []struct {
		path, base string
		verb       PollVerb
		id         PollID
		below      bool
	}{
		{"/lp/open", "/lp", PollOpen, PollID{}, true},
		{"/a/b/open", "/a/b", PollOpen, PollID{}, true},
		{"/lp/" + id + "/receive", "/lp", PollReceive, want, true},
		{"/lp/" + id + "/send", "/lp", PollSend, want, true},
		{"/lp/" + id + "/close", "/lp", PollClose, want, true},
		{"/lp/" + id, "/lp", PollNothing, want, true},
		{"/lp/" + id + "/", "/lp", PollNothing, want, true},
		{"/lp/" + id + "/send/", "/lp", PollNothing, want, true},
		{"/lp/" + id + "0/send", "/lp", PollNothing, want, true},
		{"/lp/" + id[1:] + "/send", "/lp", PollNothing, PollID{}, true},
		{"/lp/" + "g" + id[1:] + "/send", "/lp", PollNothing, PollID{}, true},
		{"/lp", "/lp", PollNothing, PollID{}, true},
		{"/lp/", "/lp", PollNothing, PollID{}, true},
		{"/lp/open/", "/lp", PollNothing, PollID{}, true},
		{"/lpx/open", "/lp", PollNothing, PollID{}, false},
		{"/open", "/lp", PollNothing, PollID{}, false},
		{"", "/lp", PollNothing, PollID{}, false},
		{"/open", "", PollNothing, PollID{}, false},
	} {
		verb, id, below := ReadPollPath(c.path, c.base)
		if verb != c.verb || id != c.id || below != c.below {
			t.Errorf("%q below %q: %d %x %v", c.path, c.base, verb, id, below)
		}
	}
}

// What opened a transport leads back to it, and offers are read as JSON is.
func FuzzLongPoll(f *testing.F) {
	f.Add("/lp/open", []byte(`{"protocols":["wamp.2.json","wamp.2.cbor.batched"]}`))
	f.Add("/lp/00112233445566778899AABBCCDDEEFF/send", []byte(`{"Protocols":["\u0000",""],"x":{}}`))
	f.Add("/lp", []byte("null"))
	f.Fuzz(func(t *testing.T, path string, body []byte) {
		verb, id, below := ReadPollPath(path, "/lp")
		if below != (path == "/lp" || strings.HasPrefix(path, "/lp/")) || !below && verb != PollNothing {
			t.Errorf("%q: %d, below %v", path, verb, below)
		}
		if verb > PollOpen {
			words := []string{PollReceive: "receive", PollSend: "send", PollClose: "close"}
			if !strings.EqualFold(path[:36], "/lp/"+hexOf(id)) || path[36:] != "/"+words[verb] {
				t.Errorf("%q: %d of %x", path, verb, id)
			}
		}
		protocols, ok := ReadPollOpen(body)
		if ok != (len(protocols) > 0) || ok && !json.Valid(body) {
			t.Errorf("%q: %q %v", body, protocols, ok)
		}
		var again struct{ Protocols []string }
		if ok && (json.Unmarshal(body, &again) != nil || !slices.Equal(again.Protocols, protocols)) {
			t.Errorf("%q: %q", body, protocols)
		}
		var opened map[string]string
		answer := AppendPollOpened([]byte("x"), "wamp.2.json", id)
		if json.Unmarshal(answer[1:], &opened) != nil || opened["protocol"] != "wamp.2.json" || len(opened) != 2 {
			t.Errorf("%q", answer)
		}
		if _, back, _ := ReadPollPath("/lp/"+opened["transport"]+"/send", "/lp"); back != id {
			t.Errorf("%q leads to %x", answer, back)
		}
	})
}

func hexOf(id PollID) string {
	const digits = "0123456789abcdef"
	var b bytes.Buffer
	for _, c := range id {
		b.WriteByte(digits[c>>4])
		b.WriteByte(digits[c&15])
	}
	return b.String()
}

func TestBodyBytes(t *testing.T) {
	for _, c := range []struct {
		lines    string
		n        int
		known    bool
		persists bool
		proceeds bool
	}{
		{"", 0, true, true, false},
		{"Content-Length: 007\r\nConnection: x, CLOSE\r\n", 7, true, false, false},
		{"Content-Length: 12, 12\r\nExpect: 100-Continue\r\n", 12, true, true, true},
		{"Content-Length: 9223372036854775807\r\nExpect: 200-ok\r\n", math.MaxInt, true, true, false},
		{"Content-Length: 9223372036854775808\r\n", math.MaxInt, true, true, false},
		{"Transfer-Encoding: chunked\r\nConnection: keep-alive, upgrade\r\n", 0, false, true, false},
	} {
		for _, minor := range []string{"0", "1"} {
			h, length, refused := ReadHead([]byte("POST / HTTP/1." + minor + "\r\nHost: h\r\n" + c.lines + "\r\n"))
			n, known := h.BodyBytes()
			if length == 0 || refused != nil || n != c.n || known != c.known || h.Continue != c.proceeds ||
				h.Persists() != (c.persists && minor == "1") {
				t.Errorf("%q: %d %v, persists %v, continue %v; %v", c.lines, n, known, h.Persists(), h.Continue,
					refused)
			}
		}
	}
}
