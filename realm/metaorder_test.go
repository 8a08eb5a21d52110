package realm

import (
	"fmt"
	"strings"

	"banyan/codec"
)

// A metaOrder is what one client has heard of meta events, and finds what is out of order (PROTOCOL 6.1, O6).
type metaOrder struct {
	stages  map[string]metaStage // of subscriptions and registrations, and of sessions, by kind and id
	members map[string]bool      // who is in which of them, as far as it was told
}

// A metaAgain says why a subscription may come again.
type metaAgain struct {
	history bool // it may be kept
	alone   bool // who hears this hears one topic
	quiet   bool // sessions have ended of which nothing is told
}

type metaStage uint8

const (
	metaKnown metaStage = iota + 1 // something about it came
	metaOver                       // the last that can be told about it came
)

// eventTopic is the topic of an event.
func eventTopic(sub *simSub, m *codec.Message) string {
	if sub.match == codec.Exact {
		return sub.topic
	}
	v, err := codec.Value(m.Format, m.Dict)
	if err != nil {
		panic(err)
	}
	topic, _ := v.(map[string]any)["topic"].(string)
	return topic
}

// hear takes note of an event, and returns what is wrong with its place. A subscription that history is kept of may
// come again: after on_delete, which is not told of sessions that end quietly, and for who hears one topic alone.
func (o *metaOrder) hear(topic string, m *codec.Message, again metaAgain) (why string) {
	if o.stages == nil {
		o.stages, o.members = map[string]metaStage{}, map[string]bool{}
	}
	v, err := codec.Value(m.Payload.Format, m.Payload.Args)
	args, _ := v.([]any)
	if err != nil || len(args) == 0 {
		return fmt.Sprintf("%s with arguments %v, %v", topic, v, err)
	}
	parts := strings.Split(topic, ".")
	kind, what := parts[1], parts[2]
	session, of := args[0], any(nil)
	switch details := args[len(args)-1].(type) {
	case map[string]any:
		if kind == "session" {
			session = details["session"]
		} else {
			of = details["id"]
		}
	default:
		of = details
	}
	person, key := fmt.Sprint("session ", session), fmt.Sprint(kind, " ", of)
	if kind == "session" {
		key = person
	}
	member := key + " " + person
	stage := o.stages[key]
	if again.history && kind == "subscription" &&
		(what == "on_create" && (stage == metaOver || again.quiet) || stage == metaOver && again.alone) {
		stage = 0
	}
	switch {
	case stage == metaOver:
		return fmt.Sprintf("%s of %s, which is gone", topic, key)
	case what == "on_create" && stage != 0, what == "on_join" && stage != 0:
		return fmt.Sprintf("%s of %s, of which something else came before", topic, key)
	case (what == "on_subscribe" || what == "on_register") && o.members[member]:
		return fmt.Sprintf("%s of %s twice", topic, member)
	case o.stages[person] == metaOver:
		return fmt.Sprintf("%s of %s, which has left", topic, person)
	}
	o.stages[key] = metaKnown
	if o.stages[person] == 0 {
		o.stages[person] = metaKnown
	}
	switch what {
	case "on_delete", "on_leave":
		o.stages[key] = metaOver
	case "on_subscribe", "on_register":
		o.members[member] = true
	case "on_unsubscribe", "on_unregister":
		delete(o.members, member)
	}
	return ""
}
