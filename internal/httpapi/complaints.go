package httpapi

import (
	"log/slog"
	"strings"
	"sync/atomic"
	"time"
)

// complaints logs what the HTTP server says about connections: a handshake of
// TLS that failed is a warning, one a second, since the client may not see why;
// the rest is for debugging. So are those who connect and leave, as health
// checks do. It may be used concurrently.
type complaints struct {
	log    *slog.Logger
	second atomic.Int64 // of the last warning, since 1970
}

// Write takes one line.
func (c *complaints) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	if c.isWarning(text) {
		c.log.Warn(text)
	} else {
		c.log.Debug(text)
	}
	return len(line), nil
}

func (c *complaints) isWarning(text string) bool {
	if !strings.HasPrefix(text, "http: TLS handshake error") || strings.HasSuffix(text, ": EOF") {
		return false
	}
	now := time.Now().Unix()
	last := c.second.Load()
	return last != now && c.second.CompareAndSwap(last, now)
}
