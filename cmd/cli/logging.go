package cli

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
func newLog(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(logHandler(w, "auto", isTerminal(w), level))
}

// levelOf is a level by its name, which was checked when the configuration was read.
func levelOf(name string) (l slog.Level) {
	_ = l.UnmarshalText([]byte(name))
	return l
}

// logHandler writes lines in a form: json, text, or auto, which is text and coloured on a terminal.
func logHandler(w io.Writer, format string, terminal bool, level slog.Leveler) slog.Handler {
	switch {
	case format == "json":
		return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})
	case format == "auto" && terminal:
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

func newConsole(out, errs io.Writer, format string, level slog.Leveler) *console {
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
			_ = logHandler(&line, format, terminal, slog.LevelWarn).Handle(context.Background(), r)
			return line.Bytes()
		}),
	}
	c.log = slog.New(logHandler(c.logLines, format, terminal, level))
	return c
}

// close writes what is left to say, and gives up after linesTimeout.
func (c *console) close() {
	var both sync.WaitGroup
	both.Go(c.out.Close)
	both.Go(c.logLines.Close)
	both.Wait()
}
