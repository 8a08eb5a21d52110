package load

import (
	"context"
	"errors"
	"fmt"
	"time"

	"banyan/bench/client"
	"banyan/codec"
)

// GetEvents is the procedure that clients of a load with history call.
const GetEvents = "wamp.subscription.get_events"

const (
	historyCheckedMax = 500                   // newest events of a history that are looked at
	historyPoll       = 50 * time.Millisecond // between two looks: a disk is written to after the events went out
)

// checkHistory asks the router for the newest events that it keeps of the first topic and compares them with the
// publications. What is not there yet is waited for as long as for an event. Call it before the sessions hang up.
func (f *pubsub) checkHistory(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout+f.Stall)
	defer cancel()
	stamps, err := newStamper(f.Serializer, f.PayloadBytes, f.Records)
	if err != nil {
		return err
	}
	wanted := int(min(f.sent.Load(), historyCheckedMax))
	if wanted == 0 {
		return nil
	}
	var subscription uint64
	for id := range f.subscribers[0].subscriptions {
		subscription = id
	}
	c, err := f.joinOne(ctx, f.Serializer)
	if err != nil {
		return fmt.Errorf("history: %w", err)
	}
	for number, until := uint64(1), time.Now().Add(f.Stall); ; number++ {
		events, err := f.askHistory(c, number, subscription, wanted)
		if err != nil {
			return fmt.Errorf("history: %w", err)
		}
		faults := f.historyFaults(events, wanted, stamps)
		if len(faults) == 0 {
			return nil
		}
		if time.Now().After(until) {
			for what, n := range faults {
				f.failures.add(what, n)
			}
			return nil
		}
		time.Sleep(historyPoll)
	}
}

// askHistory returns the newest events of a subscription's history, newest first.
func (f *pubsub) askHistory(c link, number, subscription uint64, limit int) ([]any, error) {
	payload := codec.Payload{Format: c.Serializer()}
	var err error
	if payload.Args, err = codec.AppendValue(nil, payload.Format, []any{subscription}); err != nil {
		return nil, err
	}
	newest := map[string]any{"limit": limit, "reverse": true}
	if payload.Kwargs, err = codec.AppendValue(nil, payload.Format, newest); err != nil {
		return nil, err
	}
	err = c.Send(&codec.Message{
		Type: codec.Call, Format: payload.Format, Request: number, URI: []byte(GetEvents), Payload: payload,
	})
	if err != nil {
		return nil, err
	}
	c.SetReadDeadline(time.Now().Add(connectTimeout))
	m, err := c.Next()
	if err != nil {
		return nil, err
	}
	if m.Type == codec.Error {
		return nil, &client.Error{URI: string(m.URI)}
	}
	if m.Type != codec.Result || m.Request != number {
		return nil, fmt.Errorf("message type %d came instead of a result", m.Type)
	}
	if len(m.Payload.Args) == 0 {
		return nil, nil
	}
	all, err := codec.Value(m.Payload.Format, m.Payload.Args)
	if err != nil {
		return nil, err
	}
	events, ok := all.([]any)
	if !ok {
		return nil, errors.New("a result that is no list")
	}
	return events, nil
}

// historyFaults counts what is wrong with the newest events of a history, of which there should be wanted. They are
// those published last, and those of one publisher are in its order. Publishers do not publish any more.
func (f *pubsub) historyFaults(events []any, wanted int, stamps *stamper) map[string]int64 {
	next := make([]uint64, len(f.publishers)) // one more than the sequence number expected, by publisher
	for i, p := range f.publishers {
		next[i] = p.seqs[0]
	}
	faults := map[string]int64{}
	var missing int64
	for _, e := range events {
		s, ok := readHistory(e, stamps)
		switch {
		case !ok || s.sender >= len(next):
			faults["events of the history with a damaged payload"]++
		case s.seq >= next[s.sender]:
			faults["events of the history out of order or twice"]++
		default:
			missing += int64(next[s.sender] - 1 - s.seq)
			next[s.sender] = s.seq
		}
	}
	if missing = max(missing, int64(wanted-len(events))); missing > 0 {
		faults["events missing in the history"] = missing
	}
	if n := len(events) - wanted; n > 0 {
		faults["events of the history that were not asked for"] = int64(n)
	}
	return faults
}

// readHistory returns the stamp of an event in a history.
func readHistory(event any, stamps *stamper) (s stamp, ok bool) {
	e, _ := event.(map[string]any)
	list, _ := e["args"].([]any)
	args, err := codec.AppendValue(nil, stamps.serializer, list)
	if err != nil {
		return s, false
	}
	return stamps.read(&codec.Payload{Format: stamps.serializer, Args: args})
}
