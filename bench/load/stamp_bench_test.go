package load

import (
	"testing"

	"banyan/codec"
)

func BenchmarkStampRead(b *testing.B) {
	st, err := newStamper(codec.MessagePack, 64, false)
	if err != nil {
		b.Fatal(err)
	}
	p := codec.Payload{Format: codec.MessagePack, Args: st.write(stamp{sender: 1, seq: 123456, sent: 1e12})}
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := st.read(&p); !ok {
			b.Fatal("damaged")
		}
	}
}
