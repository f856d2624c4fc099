package daemon

import (
	"bufio"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// warnNSQ tells of what an nsqd left in a data directory: qd reads none of it, and
// whoever put qd in nsqd's place may think that it does.
func warnNSQ(dataPath string, log *slog.Logger) {
	metadata := filepath.Join(dataPath, "nsqd.dat")
	if _, err := os.Stat(metadata); err != nil {
		return
	}
	if messages := nsqBacklog(dataPath); messages > 0 {
		log.Warn("an nsqd left messages in the data directory; they are kept and not served: start nsqd here again and drain it", slog.Int64("messages", messages), slog.String("path", metadata))
		return
	}
	log.Info("an nsqd used the data directory; its topics and channels are not read", slog.String("path", metadata))
}

// nsqBacklog adds up the depths that nsqd's queues wrote down when it stopped. A
// queue of a topic and one of each channel have a file whose first line that is.
func nsqBacklog(dataPath string) (messages int64) {
	entries, err := os.ReadDir(dataPath)
	if err != nil {
		return 0
	}
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".diskqueue.meta.dat") {
			continue
		}
		file, err := os.Open(filepath.Join(dataPath, entry.Name()))
		if err != nil {
			continue
		}
		lines := bufio.NewScanner(file)
		if lines.Scan() {
			if depth, err := strconv.ParseInt(lines.Text(), 10, 64); err == nil && depth > 0 {
				messages += depth
			}
		}
		file.Close()
	}
	return messages
}
