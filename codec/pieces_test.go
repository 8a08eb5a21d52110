package codec

import (
	"bytes"
	"testing"
)

// TestPieces: a message in pieces is octet for octet the message that is encoded at once, in every variant and for
// every shape of payload; the bound of its length is exact.
func TestPieces(t *testing.T) {
	for v := range Variant(NumVariants) {
		s := v.Serializer()
		value := func(x any) []byte {
			b, err := AppendValue(nil, s, x)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		args, kwargs := value([]any{"a", int64(1)}), value(map[string]any{"k": "v"})
		options := Options{format: s}
		for _, p := range []*Payload{
			{Format: s},
			{Format: s, Args: args},
			{Format: s, Kwargs: kwargs},
			{Format: s, Args: args, Kwargs: kwargs},
		} {
			d := &Details{Procedure: []byte("com.p"), Progress: true}
			whole := [3][]byte{}
			var err [3]error
			whole[0], err[0] = AppendInvocation(nil, s, 7, 8, d, p, MessageBytesMax)
			whole[1], err[1] = AppendResult(nil, s, 7, d, p, MessageBytesMax)
			whole[2], err[2] = AppendError(nil, s, Call, 7, &options, []byte("com.error"), p, MessageBytesMax)
			heads := [3][]byte{AppendInvocationHead(nil, s, 7, 8, d, p), AppendResultHead(nil, s, 7, d, p)}
			var errHead error
			heads[2], errHead = AppendErrorHead(nil, s, 7, &options, []byte("com.error"), p, MessageBytesMax)
			for i := range whole {
				if err[i] != nil || errHead != nil {
					t.Fatal(err[i], errHead)
				}
				want, ok := AppendFrame(nil, v, whole[i])
				pieces, fits := FramePieces(v, PayloadPieces([][]byte{heads[i]}, p), len(whole[i]))
				if got := bytes.Join(pieces, nil); !ok || !fits || !bytes.Equal(got, want) {
					t.Errorf("variant %d, message %d: % x, want % x", v, i, got, want)
				}
				if _, fits := FramePieces(v, PayloadPieces([][]byte{heads[i]}, p), len(whole[i])-1); fits {
					t.Errorf("variant %d, message %d: one octet too long and not refused", v, i)
				}
			}
		}
	}
}
