package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// untilSignal returns a context that the first SIGINT or SIGTERM ends, so that the work ends in good order. A second
// one kills the process: the signals have their default meaning again before the context ends.
func untilSignal() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-signals:
		case <-ctx.Done():
		}
		signal.Stop(signals)
		cancel()
	}()
	return ctx, cancel
}

// onHangup reloads at SIGHUP, as services expect, until the program ends. The channel that it returns is closed when
// the controlling terminal of this process hangs up, which SIGHUP tells as well. Under nohup it stays ignored.
func (s *service) onHangup() <-chan struct{} {
	gone := make(chan struct{})
	if signal.Ignored(syscall.SIGHUP) {
		return gone
	}
	terminals := controllingTerminals()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	go func() {
		hungUp := false
		for range signals {
			switch {
			case hungUp: // a shell sends the signal once more, and that is no reason to hurry
			case anyHungUp(terminals):
				s.log.Info("the terminal hung up")
				hungUp = true
				close(gone)
			case s.source.file == "":
				s.log.Info("SIGHUP: there is no configuration to reload, the router goes on as it is")
			case !s.running.Load(): // it is about to start with what the file says
			default:
				s.reload("SIGHUP")
			}
		}
	}()
	return gone
}

// controllingTerminals returns which of standard input, output and error are the controlling terminal of this
// process.
func controllingTerminals() (fds []int) {
	session, err := unix.Getsid(0)
	if err != nil {
		return nil
	}
	for fd := range 3 {
		if s, err := unix.IoctlGetInt(fd, unix.TIOCGSID); err == nil && s == session {
			fds = append(fds, fd)
		}
	}
	return fds
}

// anyHungUp reports whether one of these terminals is gone: the kernel then answers every question with EIO.
func anyHungUp(terminals []int) bool {
	for _, fd := range terminals {
		if _, err := unix.IoctlGetTermios(fd, unix.TCGETS); err == unix.EIO {
			return true
		}
	}
	return false
}
