//go:build linux && !poll_opt

package poll

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// A timer is the one timerfd of a loop, armed only while the loop waits for a time. Owned by loop.
type timer struct {
	fd    int
	start time.Time
	armed time.Duration // since start, what the descriptor is set to; 0 when it is not
}

func newTimer() (timer, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return timer{fd: -1}, fmt.Errorf("timerfd: %w", err)
	}
	return timer{fd: fd, start: time.Now()}, nil
}

func (t *timer) arm(at time.Duration) error {
	if at == 0 || t.armed != 0 && t.armed <= at {
		return nil
	}
	wait := max(at-time.Since(t.start), 1)
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(wait))}
	if err := unix.TimerfdSettime(t.fd, 0, &spec, nil); err != nil {
		return fmt.Errorf("timerfd: %w", err)
	}
	t.armed = at
	return nil
}

// fired takes note that the descriptor became readable.
func (t *timer) fired() {
	var count [8]byte
	_, _ = unix.Read(t.fd, count[:]) // EAGAIN after a spurious event is as good
	t.armed = 0
}
