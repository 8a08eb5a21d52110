package wire

import (
	"strings"
	"testing"
)

// TestTRN50AcceptDeflate: which offers of permessage-deflate are taken (RFC 7692 7.1).
func TestTRN50AcceptDeflate(t *testing.T) {
	const plain = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	const narrow = plain + "; server_max_window_bits=12"
	for offer, want := range map[string]string{
		"":                   "",
		"permessage-deflate": plain,
		"permessage-deflate; client_max_window_bits":                                 plain,
		"permessage-deflate; client_max_window_bits=9":                               plain,
		`permessage-deflate; client_max_window_bits="10"`:                            plain,
		"permessage-deflate; server_no_context_takeover; client_no_context_takeover": plain,
		"permessage-deflate; server_max_window_bits=15":                              narrow,
		"permessage-deflate;server_max_window_bits=12;client_max_window_bits=12":     narrow,
		"permessage-deflate; server_max_window_bits=11":                              "",
		"permessage-deflate; server_max_window_bits=11, permessage-deflate":          plain,
		"permessage-deflate; server_max_window_bits=8, foo; permessage-deflate":      "",
		"foo, bar; baz=2, permessage-deflate; client_max_window_bits":                plain,
		"permessage-deflate; server_max_window_bits":                                 "",
		"permessage-deflate; server_max_window_bits=16":                              "",
		"permessage-deflate; client_max_window_bits=7":                               "",
		"permessage-deflate; client_max_window_bits=x":                               "",
		"permessage-deflate; server_no_context_takeover=1":                           "",
		"permessage-deflate; unknown":                                                "",
		"permessage-deflate; unknown, permessage-deflate; server_max_window_bits=13": narrow,
		"x-webkit-deflate-frame":                                                     "",
		"permessage-bzip2, deflate-frame":                                            "",
		"permessage-deflate; =":                                                      "",
		";":                                                                          "",
		"\"":                                                                         "",
	} {
		head := "GET / HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Extensions: " + offer + "\r\n\r\n"
		h, n, refused := ReadHead([]byte(head))
		if n == 0 || refused != nil {
			t.Fatal(offer)
		}
		if want != "" {
			want = "Sec-WebSocket-Extensions: " + want
		}
		if got := h.AcceptDeflate(12); got != want {
			t.Errorf("%s\n got %s\nwant %s", offer, got, want)
		}
	}
	h, _, _ := ReadHead([]byte("GET / HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Extensions: foo\r\n" +
		"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"))
	if h.AcceptDeflate(12) == "" {
		t.Error("the second header line was not read")
	}
}

func FuzzAcceptDeflate(f *testing.F) {
	f.Add("permessage-deflate; client_max_window_bits=\"1\\0\", x;y=z")
	f.Fuzz(func(t *testing.T, offer string) {
		h := Head{Extensions: offer}
		got := h.AcceptDeflate(12)
		if got != "" && (!strings.Contains(offer, "permessage-deflate") || strings.ContainsAny(got, "\r\n")) {
			t.Errorf("%q was answered with %q", offer, got)
		}
	})
}
