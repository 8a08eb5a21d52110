package realm_test

import (
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"banyan/codec"
	"banyan/realm"
	"banyan/realm/realmtest"
	"banyan/realm/transcript"
)

// memoryPeer is a transcript's connection to a router in a World.
type memoryPeer struct {
	world *realmtest.World
	conn  *realmtest.Conn
}

func (p *memoryPeer) Serializer() codec.Serializer { return p.conn.Variant().Serializer() }

func (p *memoryPeer) Send(msg []byte) error {
	p.conn.Send(msg)
	return nil
}

// Receive lets the world come to rest, and time pass, until something comes.
func (p *memoryPeer) Receive(wait time.Duration) ([]byte, error) {
	const tick = 10 * time.Millisecond
	for passed := time.Duration(0); ; passed += tick {
		p.world.Settle()
		if msg := p.conn.Next(); msg != nil {
			return msg, nil
		}
		if _, finished := p.conn.Finished(); finished {
			return nil, io.EOF
		}
		if passed >= wait {
			return nil, nil
		}
		p.world.Advance(tick)
	}
}

func (p *memoryPeer) Close() error {
	p.conn.HangUp()
	p.world.Settle()
	return nil
}

func routerFor(t *testing.T, s transcript.Script, loops int) *realm.Router {
	t.Helper()
	rc := realm.RealmConfig{
		StrictURIs:       s.Needs("strict_uris"),
		StrictRequestIDs: s.Needs("strict_request_ids"),
		EnforceRoles:     s.Needs("enforce_roles"),
		Sharding:         s.Needs("sharding"),
		Retention:        s.Retention(),
		Policy:           s.Policy(),
		History:          s.History(),
	}
	cfg := realm.Config{URIBytesMax: s.Value("uri_bytes_max"), Loops: loops}
	if s.Needs("auto_create") {
		cfg.Templates = []realm.Template{{Match: codec.Prefix, RealmConfig: rc}}
	}
	for _, uri := range []string{"realm1", "realm2"} {
		rc.URI = uri
		cfg.Realms = append(cfg.Realms, rc)
	}
	r, err := realm.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestTranscripts plays every transcript with every serializer, mixed serializers, one loop and several.
func TestTranscripts(t *testing.T) {
	scripts, err := transcript.Load(os.DirFS("testdata/transcripts"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range scripts {
		t.Run(s.Name, func(t *testing.T) {
			for _, loops := range []int{1, 3} {
				for mix := range 4 {
					t.Run(fmt.Sprintf("loops=%d/serializers=%d", loops, mix), func(t *testing.T) {
						play(t, s, loops, mix)
					})
				}
			}
		})
	}
}

func play(t *testing.T, s transcript.Script, loops, mix int) {
	r := routerFor(t, s, loops)
	w := realmtest.NewWorld(uint64(mix), loops)
	w.Open = r.Open
	dialed := 0
	transcript.Run(t, s, func(string) transcript.Peer {
		serializer := codec.Serializer(mix)
		framing := codec.RawSocket
		if mix == 0 { // each peer another one
			serializer = codec.Serializer(dialed%3) + 1
			framing = codec.WebSocket
		}
		p := &memoryPeer{w, w.Connect(dialed%loops, codec.MakeVariant(serializer, framing), 1<<24, true)}
		dialed++
		return p
	})
	w.Settle()
	left := r.Stats()
	if left.Sessions != 0 || left.Subscriptions != 0 || left.Registrations != 0 || left.OpenCalls != 0 {
		t.Errorf("after everybody left: %+v", left)
	}
}
