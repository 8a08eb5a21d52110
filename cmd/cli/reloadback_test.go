package cli

import (
	"strings"
	"testing"

	"banyan/bench/client"
	"banyan/codec"
)

// TestReloadGoesBack: a reload that fails after it has begun, because the files of a listener are no good, leaves all
// limits as they were, and so do two.
func TestReloadGoesBack(t *testing.T) {
	one := newPair(t, 1)
	text := func(limits, tls string) string {
		return limits + "listeners:\n  - { name: plain, address: 127.0.0.1:0 }\n  - { name: second, address: " +
			"'127.0.0.2:0', tls: { certificates: [{ certificate: one.pem, key: one.key" + tls + " }] } }\n" +
			openRealms("realm1")
	}
	s := startService(t, text("", ""), "one.pem", one.certificate, "one.key", one.key, "ocsp", "garbage")
	const short = "limits: { message_bytes_max: 1KiB }\n"
	for range 2 {
		s.write(text(short, ", ocsp: ocsp"))
		if r := s.reload("the test"); r.Applied || !strings.Contains(r.Error, "listener second: ") {
			t.Fatalf("%+v", r)
		}
		c, err := client.Connect(t.Context(), "ws://"+s.at(0)+"/ws", client.Options{Serializer: codec.JSON})
		if err != nil {
			t.Fatal(err)
		}
		k := &talk{c, t}
		k.hello().says(`[16,1,{"acknowledge":true},"com.x",["`+strings.Repeat("x", 2000)+`"]]`, "[17,1,")
		c.Abandon()
	}
	s.write(text(short, ""))
	if r := s.reload("the test"); !r.Applied {
		t.Errorf("%+v", r)
	}
}
