package daemon

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"qmq/config"
	"qmq/internal/redact"
)

// logHandler writes log lines the way nsqd does, which scripts wait for and
// take apart, and appends attributes as key=value:
//
//	[qd] 2026/01/02 15:04:05.000000 INFO: TCP: listening on [::]:4150
//
// Passwords and tokens in URLs are taken out.
type logHandler struct {
	mu     *sync.Mutex // serialises lines
	w      io.Writer
	prefix string
	level  slog.Leveler
	group  string // of the attributes to come, with its dot
	attrs  string // of With, formatted
}

// NewLogger makes a logger that writes lines of nsqd's form to w, each at
// once. It may be used concurrently.
func NewLogger(w io.Writer, prefix string, level slog.Leveler) *slog.Logger {
	return slog.New(&logHandler{mu: new(sync.Mutex), w: w, prefix: prefix, level: level})
}

// Enabled is part of slog.Handler.
func (h *logHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.level.Level()
}

// Handle is part of slog.Handler.
func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	var line strings.Builder
	line.WriteString(h.prefix)
	line.WriteString(r.Time.Format("2006/01/02 15:04:05.000000 "))
	line.WriteString(levelName(r.Level))
	line.WriteString(": ")
	line.WriteString(oneLine(redact.Text(r.Message)))
	line.WriteString(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		h.format(&line, h.group, a)
		return true
	})
	line.WriteByte('\n')
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := io.WriteString(h.w, line.String())
	return err
}

// WithAttrs is part of slog.Handler.
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var line strings.Builder
	for _, a := range attrs {
		h.format(&line, h.group, a)
	}
	with := *h
	with.attrs += line.String()
	return &with
}

// WithGroup is part of slog.Handler.
func (h *logHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	with := *h
	with.group += name + "."
	return &with
}

func (h *logHandler) format(w *strings.Builder, group string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, member := range v.Group() {
			h.format(w, group, member)
		}
		return
	}
	if a.Equal(slog.Attr{}) {
		return
	}
	text := redact.Text(v.String())
	if v.Kind() == slog.KindTime {
		text = v.Time().Format(time.RFC3339Nano)
	}
	if text == "" || strings.ContainsFunc(text, needsQuotes) {
		text = strconv.Quote(text)
	}
	fmt.Fprintf(w, " %s%s=%s", group, a.Key, text)
}

func needsQuotes(r rune) bool {
	return r <= ' ' || r == '"' || r == '=' || !strconv.IsPrint(r)
}

// oneLine keeps what a client sent from starting a log line of its own.
func oneLine(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return s
	}
	quoted := strconv.Quote(s)
	return quoted[1 : len(quoted)-1]
}

// levelName is nsqd's word for a level.
func levelName(level slog.Level) string {
	switch {
	case level >= config.LevelFatal:
		return "FATAL"
	case level >= slog.LevelError:
		return "ERROR"
	case level >= slog.LevelWarn:
		return "WARNING"
	case level >= slog.LevelInfo:
		return "INFO"
	}
	return "DEBUG"
}
