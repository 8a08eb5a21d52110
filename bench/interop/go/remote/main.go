// Command remote holds sessions of the Go clients for mixed/suite.py: it reads a JSON command per line and writes a
// reply or event per line. Values are [tag, text or parts], because JSON does not keep integers, floats and binary
// apart.
package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"sync"
	"time"

	"github.com/gammazero/nexus/v3/wamp"

	"banyan/bench/interop/peer"
)

// A command is a line of input. Op decides which fields are used.
type command struct {
	ID         int             `json:"id"`
	Op         string          `json:"op"`
	Session    string          `json:"session"`
	Library    string          `json:"library"`
	Transport  string          `json:"transport"`
	Serializer string          `json:"serializer"`
	Topic      string          `json:"topic"`
	Match      string          `json:"match"`
	Procedure  string          `json:"procedure"`
	Behaviour  string          `json:"behaviour"`
	Invoke     string          `json:"invoke"`
	Args       json.RawMessage `json:"args"`
	Kwargs     json.RawMessage `json:"kwargs"`
	Progress   bool            `json:"progress"`
	Options    map[string]any  `json:"options"` // of publish
	Realm      string          `json:"realm"`   // of join; empty: realm1
	At         *peer.Address   `json:"at"`      // of join; absent: the router under test
	Login      peer.Login      `json:"login"`
	// Table says how behaviour table answers. The key is the second argument and the third, or the third's ticket.
	Table map[string]json.RawMessage `json:"table"`
}

type payload struct {
	Args   tagged `json:"args,omitzero"`
	Kwargs tagged `json:"kwargs,omitzero"`
}

// A message is a line of output: a reply or an event.
type message struct {
	Reply int    `json:"reply,omitzero"`
	Event string `json:"event,omitzero"`
	Topic string `json:"topic,omitzero"`
	Error string `json:"error,omitzero"`
	payload
	Steps    []payload      `json:"steps,omitzero"`
	Details  tagged         `json:"details,omitzero"`
	Closed   string         `json:"closed,omitzero"` // the session that is over
	Reason   string         `json:"reason,omitzero"` // of its GOODBYE
	Identity *peer.Identity `json:"identity,omitzero"`
}

type host struct {
	libraries map[string]*peer.Library
	// mu guards the fields below: commands run concurrently.
	mu       sync.Mutex
	sessions map[string]peer.Session
	out      *json.Encoder
}

func main() {
	h := &host{
		libraries: map[string]*peer.Library{peer.Nexus.Name: &peer.Nexus, peer.Xconn.Name: &peer.Xconn},
		sessions:  map[string]peer.Session{},
		out:       json.NewEncoder(os.Stdout),
	}
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(nil, 64<<20)
	for input.Scan() {
		var c command
		if err := json.Unmarshal(input.Bytes(), &c); err != nil {
			fmt.Fprintln(os.Stderr, "remote:", err)
			os.Exit(2)
		}
		go func() {
			reply, err := h.run(c)
			reply.Reply = c.ID
			if failure, ok := errors.AsType[*peer.Failure](err); ok {
				reply.Error, reply.payload = failure.URI, packed(failure.Args, failure.Kwargs)
			} else if err != nil {
				reply.Error = err.Error()
			}
			h.send(reply)
		}()
	}
}

func (h *host) send(m message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.out.Encode(m); err != nil {
		os.Exit(1) // the suite has ended
	}
}

func (h *host) run(c command) (reply message, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if c.Op == "join" {
		return h.join(ctx, c)
	}
	h.mu.Lock()
	session := h.sessions[c.Session]
	h.mu.Unlock()
	args, _ := unpack(c.Args).([]any)
	kwargs, _ := unpack(c.Kwargs).(map[string]any)
	switch c.Op {
	case "subscribe":
		_, err = session.Subscribe(c.Topic, c.Match, func(e peer.Event) {
			topic := e.Topic
			if topic == "" {
				topic = c.Topic // EVENT has no topic for exact subscriptions
			}
			details := pack(e.Details)
			h.send(message{Event: c.Session, Topic: topic, payload: packed(e.Args, e.Kwargs), Details: details})
		})
	case "publish":
		options := map[string]any{"acknowledge": true}
		maps.Copy(options, c.Options)
		err = session.Publish(c.Topic, args, kwargs, options)
	case "register":
		options := map[string]any{}
		if c.Invoke != "" {
			options["invoke"] = c.Invoke
		}
		_, err = session.Register(c.Procedure, options, behave(c))
	case "call":
		var progress func(peer.Reply)
		if c.Progress {
			progress = func(r peer.Reply) { reply.Steps = append(reply.Steps, packed(r.Args, r.Kwargs)) }
		}
		var result peer.Reply
		if result, err = session.Call(ctx, c.Procedure, args, kwargs, nil, progress); err == nil {
			reply.payload = packed(result.Args, result.Kwargs)
		}
	case "leave":
		err = session.Leave()
	default:
		err = errors.New("unknown operation " + c.Op)
	}
	return reply, err
}

func (h *host) join(ctx context.Context, c command) (reply message, err error) {
	at := peer.Given()
	if c.At != nil {
		at = *c.At
	}
	session, err := h.libraries[c.Library].Join(ctx, peer.Link{Transport: c.Transport, Serializer: c.Serializer},
		at, cmp.Or(c.Realm, "realm1"), c.Login)
	if err != nil {
		return reply, err
	}
	h.mu.Lock()
	h.sessions[c.Session] = session
	h.mu.Unlock()
	go func() {
		<-session.Done()
		h.send(message{Closed: c.Session, Reason: session.Goodbye()})
	}()
	identity := session.Identity()
	reply.Identity = &identity
	return reply, nil
}

func behave(c command) func(context.Context, peer.Call) peer.Reply {
	return func(_ context.Context, call peer.Call) peer.Reply {
		reply := peer.Reply{Args: call.Args, Kwargs: call.Kwargs}
		switch c.Behaviour {
		case "fail":
			reply.Error = "com.example.mixed"
		case "name":
			return peer.Reply{Args: []any{c.Session, ""}}
		case "details":
			return peer.Reply{Args: []any{call.Details}}
		case "table":
			return consult(c.Table, call.Args)
		case "steps":
			if call.Progress == nil {
				return peer.Reply{Error: "com.example.not_told"}
			}
			for n := range 10 {
				if err := call.Progress(append([]any{n}, call.Args...), call.Kwargs); err != nil {
					return peer.Reply{Error: "com.example.progress"}
				}
			}
		}
		return reply
	}
}

// consult answers as table says: with a value, or with an error if that is {"error": URI, "message": text}.
func consult(table map[string]json.RawMessage, args []any) peer.Reply {
	if len(args) < 3 {
		return peer.Reply{Error: "wamp.error.invalid_argument"}
	}
	third := args[2]
	var details map[string]any
	switch d := third.(type) {
	case map[string]any:
		details = d
	case wamp.Dict:
		details = d
	}
	if details != nil {
		third = details["ticket"]
	}
	answer, ok := table[fmt.Sprint(args[1], " ", third)]
	if !ok {
		answer = table["*"]
	}
	value := unpack(answer)
	if said, _ := value.(map[string]any); said["error"] != nil {
		return peer.Reply{Error: fmt.Sprint(said["error"]), Args: []any{said["message"]}}
	}
	return peer.Reply{Args: []any{value}}
}

// A tagged value is [tag] or [tag, value].
type tagged []any

func packed(args []any, kwargs map[string]any) payload {
	if args == nil {
		args = []any{}
	}
	if kwargs == nil {
		kwargs = map[string]any{}
	}
	return payload{pack(args), pack(kwargs)}
}

func pack(value any) tagged {
	switch v := value.(type) {
	case nil:
		return tagged{"nil"}
	case bool:
		return tagged{"bool", v}
	case int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
		return tagged{"int", fmt.Sprint(v)}
	case float32, float64:
		return tagged{"float", fmt.Sprint(v)}
	case string:
		return tagged{"text", v}
	case []byte:
		return tagged{"binary", base64.StdEncoding.EncodeToString(v)}
	case []any:
		parts := make([]tagged, len(v))
		for i := range v {
			parts[i] = pack(v[i])
		}
		return tagged{"list", parts}
	case wamp.Dict:
		return pack(map[string]any(v))
	case wamp.List:
		return pack([]any(v))
	case wamp.URI:
		return pack(string(v))
	case wamp.ID:
		return pack(uint64(v))
	case map[string]any:
		parts := make([][2]any, 0, len(v))
		for key, item := range v {
			parts = append(parts, [2]any{key, pack(item)})
		}
		return tagged{"map", parts}
	}
	return tagged{"strange", fmt.Sprintf("%T", value)}
}

// unpack panics on malformed input: the suite and this command are of one version.
func unpack(raw json.RawMessage) any {
	if raw == nil {
		return nil
	}
	var parts []json.RawMessage
	must(json.Unmarshal(raw, &parts))
	var tag, text string
	must(json.Unmarshal(parts[0], &tag))
	switch tag {
	case "int", "float", "text", "binary":
		must(json.Unmarshal(parts[1], &text))
	}
	switch tag {
	case "bool":
		var v bool
		must(json.Unmarshal(parts[1], &v))
		return v
	case "int":
		var signed int64
		if err := json.Unmarshal([]byte(text), &signed); err == nil {
			return signed
		}
		var unsigned uint64
		must(json.Unmarshal([]byte(text), &unsigned))
		return unsigned
	case "float":
		var v float64
		must(json.Unmarshal([]byte(text), &v))
		return v
	case "text":
		return text
	case "binary":
		v, err := base64.StdEncoding.DecodeString(text)
		must(err)
		return v
	case "list":
		var items []json.RawMessage
		must(json.Unmarshal(parts[1], &items))
		list := make([]any, len(items))
		for i := range items {
			list[i] = unpack(items[i])
		}
		return list
	case "map":
		var items [][2]json.RawMessage
		must(json.Unmarshal(parts[1], &items))
		dict := make(map[string]any, len(items))
		for _, item := range items {
			var key string
			must(json.Unmarshal(item[0], &key))
			dict[key] = unpack(item[1])
		}
		return dict
	}
	return nil
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
