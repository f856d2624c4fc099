package daemon

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"qmq/config"
	"qmq/fromnsq"
	"qmq/internal/vfs"
)

// importOptions are the part of the options that is the import's.
func importOptions(q *config.QD, log *slog.Logger) fromnsq.Options {
	o := fromnsq.Options{
		FS: vfs.OS, DataPath: dataPath(q), Member: len(q.ClusterPeers) > 0,
		SegmentBytes: q.MaxBytesPerFile, BootID: BootID(),
		Free: func(dir string) (int64, error) {
			space, err := vfs.Volume(dir).Space()
			return space.Free, err
		},
		Now:    func() int64 { return time.Now().UnixNano() },
		Logger: log,
	}
	if q.Import == config.ImportOff {
		o.Mode = fromnsq.Off
	}
	return o
}

// untilSignal is done when the process is told to stop. What was begun then is begun
// anew by the next start.
func untilSignal() (ctx context.Context, end func()) {
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
}

// importNSQ imports what an nsqd left in the data directory, unless it is not to be.
func importNSQ(q *config.QD, log *slog.Logger) error {
	if q.Import == config.ImportDryRun {
		return errors.New("--import=dry-run starts nothing")
	}
	ctx, end := untilSignal()
	defer end()
	return fromnsq.Start(ctx, importOptions(q, log))
}

// previewImport is what qd does instead of a start where an import is only to be tried.
func previewImport(q config.QD, stdout io.Writer, log *slog.Logger) (done bool, err error) {
	if q.Import != config.ImportDryRun {
		return false, nil
	}
	ctx, end := untilSignal()
	defer end()
	return true, fromnsq.Preview(ctx, importOptions(&q, log), stdout)
}
