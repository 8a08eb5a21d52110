package port

import (
	"errors"
	"fmt"
	"time"
)

// A SlowConsumer is what happens to an event whose receiver has too much unsent. Replies and invocations are never
// dropped.
type SlowConsumer uint8

const (
	// Disconnect closes the receiver.
	Disconnect SlowConsumer = iota
	// DropNewest drops the event.
	DropNewest
	// DropOldest drops the events that have waited longest, as many as make room.
	DropOldest
	// KeepLatest drops the events of topics that have a newer one unsent, and then the oldest. Events of a pattern
	// subscription have no topic in this sense.
	KeepLatest

	policies
)

// String returns p as a configuration has it.
func (p SlowConsumer) String() string {
	return [...]string{"disconnect", "drop_newest", "drop_oldest", "keep_latest"}[p]
}

// A Backlog bounds what a connection may have unsent. Immutable.
type Backlog struct {
	BytesMax  int           // bytes, at least BacklogBytesMin
	EventsMax int           // events; 0: no limit
	AgeMax    time.Duration // how long an event may wait; 0: no limit
	Policy    SlowConsumer  // what happens to events at one of the bounds
}

// BacklogBytesMin is the least Backlog.BytesMax; less would close clients of usual habits.
const BacklogBytesMin = 64 << 10

// Check reports what is wrong with b.
func (b *Backlog) Check() error {
	switch {
	case b.BytesMax < BacklogBytesMin:
		return fmt.Errorf("backlog limit of %d bytes; at least %d", b.BytesMax, BacklogBytesMin)
	case b.EventsMax < 0 || b.AgeMax < 0:
		return errors.New("the limits of events and of age of a backlog cannot be negative")
	case b.Policy >= policies:
		return fmt.Errorf("unknown slow consumer policy %d", b.Policy)
	}
	return nil
}
