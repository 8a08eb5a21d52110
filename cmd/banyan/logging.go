package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/lmittmann/tint"
)

// newLog logs to w: coloured on a terminal, key=value otherwise.
func newLog(w io.Writer, level string) (*slog.Logger, error) {
	l, err := parseLevel(level)
	if err != nil {
		return nil, err
	}
	return slog.New(logHandler(w, isTerminal(w), l)), nil
}

func parseLevel(level string) (l slog.Level, err error) {
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return 0, usagef("--log-level %q: use debug, info, warn or error", level)
	}
	return l, nil
}

func logHandler(w io.Writer, terminal bool, level slog.Level) slog.Handler {
	if terminal {
		return tint.NewTextHandler(w, &tint.Options{Level: level, TimeFormat: time.TimeOnly})
	}
	return slog.NewTextHandler(w, &slog.HandlerOptions{Level: level})
}

// A console is where the router writes: the banner to standard output, the log to standard error. Neither ever makes
// it wait.
type console struct {
	log      *slog.Logger
	out      *lineQueue
	logLines *lineQueue
}

func newConsole(out, errs io.Writer, level slog.Level) *console {
	terminal := isTerminal(errs)
	c := &console{
		out: newLineQueue(out, func(dropped int) []byte {
			return fmt.Appendf(nil, "%d lines were dropped: nobody read them\n", dropped)
		}),
		logLines: newLineQueue(errs, func(dropped int) []byte {
			var line bytes.Buffer
			r := slog.NewRecord(time.Now(), slog.LevelWarn,
				fmt.Sprintf("%d lines were dropped: nobody read them", dropped), 0)
			// Writing to memory cannot fail.
			_ = logHandler(&line, terminal, slog.LevelWarn).Handle(context.Background(), r)
			return line.Bytes()
		}),
	}
	c.log = slog.New(logHandler(c.logLines, terminal, level))
	return c
}

// close writes what is left to say, and gives up after linesTimeout.
func (c *console) close() {
	var both sync.WaitGroup
	both.Go(c.out.Close)
	both.Go(c.logLines.Close)
	both.Wait()
}
