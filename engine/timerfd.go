//go:build linux

package engine

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// A clock drives a loop's wheel: one timerfd, armed only while a timer is pending. Owned by loop.
type clock struct {
	fd    int
	start time.Time
	armed int64 // tick the descriptor is set to; 0 when it is not
}

func newClock() (clock, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return clock{}, fmt.Errorf("timerfd: %w", err)
	}
	return clock{fd: fd, start: time.Now()}, nil
}

// dueTick is the first tick that is not before now+d.
func dueTick(now, d time.Duration) int64 {
	return int64((now + max(d, 0) + tick - 1) / tick)
}

// arm sets the descriptor to tick due unless it will fire before that anyway; 0 leaves it as it is.
func (c *clock) arm(due int64) error {
	if due == 0 || c.armed != 0 && c.armed <= due {
		return nil
	}
	wait := max(time.Duration(due)*tick-time.Since(c.start), 1)
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(wait))}
	if err := unix.TimerfdSettime(c.fd, 0, &spec, nil); err != nil {
		return fmt.Errorf("timerfd: %w", err)
	}
	c.armed = due
	return nil
}

// fired takes note that the descriptor became readable and returns the present tick.
func (c *clock) fired() int64 {
	var count [8]byte
	_, _ = unix.Read(c.fd, count[:]) // EAGAIN after a spurious event is as good
	c.armed = 0
	return int64(time.Since(c.start) / tick)
}
