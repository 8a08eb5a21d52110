package codec

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/tinylib/msgp/msgp"
)

// foreignAny decodes MessagePack or CBOR with the libraries that others use.
func foreignAny(t testing.TB, s Serializer, b []byte) (v any) {
	t.Helper()
	var err error
	if s == MessagePack {
		v, _, err = msgp.ReadIntfBytes(b)
	} else {
		err = cbor.Unmarshal(b, &v)
	}
	if err != nil {
		t.Fatalf("foreign decoder on % x: %v", b, err)
	}
	return v
}

// leveled brings the types of different decoders together: numbers with their kind, maps with text keys.
func leveled(v any) any {
	switch v := v.(type) {
	case int64:
		return fmt.Sprint("int ", v)
	case uint64:
		return fmt.Sprint("int ", v)
	case int:
		return fmt.Sprint("int ", v)
	case big.Int:
		return "int " + v.String()
	case json.Number:
		return "number " + v.String()
	case float32:
		return leveled(float64(v))
	case float64:
		if math.IsNaN(v) {
			return "float NaN"
		}
		return fmt.Sprintf("float %x", math.Float64bits(v))
	case []byte:
		return fmt.Sprintf("bin %x", v)
	}
	return mapped(v, leveled)
}

// difference describes how a and b differ, "" if they do not. cmp alone takes twice as long for every level of
// nesting.
func difference(a, b any) string {
	if reflect.DeepEqual(a, b) {
		return ""
	}
	return "-" + fmt.Sprintf("%#v", a) + "\n+" + fmt.Sprintf("%#v", b)
}
