package disk

import (
	"slices"
	"testing"

	"banyan/realm/history"
)

// TestStoreBytes: PUB-53. The bound of the store in bytes holds exactly: so many octets stay, and with one record
// more the oldest goes, of whichever log it is.
func TestStoreBytes(t *testing.T) {
	one, none := openTest(t, Config{}), history.Bounds{}
	if err := one.Append(event(1, "[1]"), []history.Log{openLog(t, one, topicKey, none)}, nil); err != nil {
		t.Fatal(err)
	}
	flush(t, one)
	size := one.Stats().Bytes
	s := openTest(t, Config{BytesMax: 3 * size})
	logs := []history.Log{
		openLog(t, s, topicKey, history.Bounds{}),
		openLog(t, s, history.Key{Realm: "realm2", URI: "com.other"}, history.Bounds{}),
	}
	var want [2][]uint64
	for i := range uint64(6) {
		l := i % 2
		if err := s.Append(event(i+1, "[1]"), logs[l:l+1], nil); err != nil {
			t.Fatal(err)
		}
		flush(t, s)
		want[l] = append(want[l], i+1)
		if i >= 3 {
			gone := (i - 3) % 2
			want[gone] = want[gone][1:]
		}
		for l, ids := range want {
			if got := stored(t, s, logs[l]); !slices.Equal(got, ids) {
				t.Errorf("after %d: log %d has %d, want %d", i+1, l, got, ids)
			}
		}
		if st := s.Stats(); st.Bytes != min(int64(i)+1, 3)*size || st.Evicted != max(int64(i)-2, 0) {
			t.Errorf("after %d: %d bytes of %d, %d evicted", i+1, st.Bytes, 3*size, st.Evicted)
		}
	}
}
