package auth

import (
	"testing"
)

func TestReadExtra(t *testing.T) {
	e := extra(t, map[string]any{
		"pubkey": "p", "challenge": "c", "channel_binding": "b", "nonce": "n", "cbind_data": "d",
		"trustroot": map[string]any{"a": []any{1}}, "x": nil,
	})
	if e.PubKey != "p" || e.Challenge != "c" || e.ChannelBinding != "b" || e.Nonce != "n" || e.CBindData != "d" ||
		e.wrong != 0 {
		t.Errorf("%+v", e)
	}
	m, err := e.Map()
	if err != nil || len(m) != 7 || m["pubkey"] != "p" {
		t.Errorf("%v, %v", m, err)
	}
	// Other types count as wrong for the method that reads the key; null is absent.
	for key, bit := range map[string]extraKeys{
		"pubkey": keyPubKey, "challenge": keyChallenge, "channel_binding": keyChannelBinding, "nonce": keyNonce,
		"cbind_data": keyCBindData,
	} {
		for _, v := range []any{1, true, []byte("x"), []any{}, map[string]any{}, 1.5} {
			e := extra(t, map[string]any{key: v})
			e.Raw = nil
			if e.wrong != bit {
				t.Errorf("%s of type %T: %+v", key, v, e)
			}
		}
		if e := extra(t, map[string]any{key: nil}); e.wrong != 0 {
			t.Errorf("%s null: %+v", key, e)
		}
	}
	for _, none := range [][]byte{nil, {}} {
		e, err := ReadExtra(none)
		if m, mapErr := e.Map(); err != nil || mapErr != nil || len(m) != 0 || m == nil {
			t.Errorf("no extra: %v %v %v", err, mapErr, m)
		}
	}
	for _, bad := range [][]byte{
		{0x90},
		{0xc0},
		{0x81},
		{0x81, 0xa1},
		{0x81, 0xa1, 'x'},
		{0x80, 0x80},
		{0xc1},
		{0x81, 0x01, 0x01},
	} {
		if _, err := ReadExtra(bad); err == nil {
			t.Errorf("% x is accepted", bad)
		}
	}
	for _, bad := range [][]byte{{0x90}, {0x81}} {
		e := Extra{Raw: bad}
		if _, err := e.Map(); err == nil {
			t.Errorf("% x has a map", bad)
		}
	}
}

// A malformed authextra ends an attempt that would have to pass it on.
func TestDynamicMalformedExtra(t *testing.T) {
	h := dynamicHello(t, "alice", "tls")
	h.Extra = Extra{Raw: []byte{0x81}}
	_, o := dynamicRealm(t).Begin(h)
	want(t, o, Refuse)
}
