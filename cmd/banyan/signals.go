package main

import (
	"context"
	"log/slog"
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

// untilHangup returns a context that also ends when the controlling terminal of this process hangs up. Any other
// SIGHUP is a log line and nothing else, until the program ends: services send it to ask for a reload. Under nohup it
// stays ignored.
func untilHangup(ctx context.Context, log *slog.Logger) context.Context {
	if signal.Ignored(syscall.SIGHUP) {
		return ctx
	}
	ctx, cancel := context.WithCancel(ctx)
	terminals := controllingTerminals()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	go func() {
		for range signals {
			if anyHungUp(terminals) {
				log.Info("the terminal hung up")
				cancel()
				continue // a shell sends the signal once more, and that is no reason to hurry
			}
			log.Info("SIGHUP: there is no configuration to reload, the router goes on as it is")
		}
	}()
	return ctx
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
