package daemon

import (
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

// reload is one thing that is read again with SIGHUP.
type reload struct {
	what string // for the log
	read func() error
}

// hangups follows SIGHUP, which would end the process otherwise.
type hangups struct {
	signals chan os.Signal
	done    chan struct{} // closed when nobody waits for signals any more
}

// followHangups does all with each SIGHUP, until close.
func followHangups(log *slog.Logger, all ...reload) *hangups {
	h := &hangups{signals: make(chan os.Signal, 1), done: make(chan struct{})}
	signal.Notify(h.signals, syscall.SIGHUP)
	go func() {
		defer close(h.done)
		for range h.signals {
			readAgain(log, all)
		}
	}()
	return h
}

func readAgain(log *slog.Logger, all []reload) {
	if len(all) == 0 {
		log.Info("SIGHUP: there is no file to read again")
		return
	}
	log.Info("reading certificates and credentials again")
	for _, each := range all {
		if err := each.read(); err != nil {
			log.Warn(each.what+" not changed", slog.Any("error", err))
		}
	}
}

func (h *hangups) close() {
	signal.Stop(h.signals)
	close(h.signals)
	<-h.done
}

// holdHangups keeps SIGHUP from ending the process while nobody follows it: before
// a daemon has started, and while it stops.
func holdHangups() { signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP) }
