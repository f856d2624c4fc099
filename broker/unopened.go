package broker

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"log/slog"
	"time"

	"qmq/state"
)

// A topic whose log cannot be opened does not keep the others from being served.
// Its name is taken: who publishes to it is told why it is not there, and no
// empty successor comes into being. It is tried again while the node runs, and
// at the next start.

const (
	// The pause before topics are opened again doubles from the one to the other.
	minReopenPause = time.Second
	maxReopenPause = time.Minute
)

var errUnopened = errors.New("a topic's log is not open yet")

// UnopenableError says why a topic is not served.
type UnopenableError struct {
	Topic string
	Err   error
}

// Error leaves out where on the node the file is: publishers are told it.
func (e *UnopenableError) Error() string {
	cause := e.Err
	var at *iofs.PathError
	if errors.As(cause, &at) {
		cause = at.Err
	}
	return fmt.Sprintf("topic %s cannot be opened: %s", e.Topic, cause)
}

func (e *UnopenableError) Unwrap() error { return e.Err }

// unopenable makes s that of a topic that cannot be opened.
func (b *Broker) unopenable(s *listing, ts *state.Topic, err error) {
	s.unopened, s.err = ts, &UnopenableError{Topic: ts.Name, Err: err}
	dir := b.logDir(ts.Name, ts.Incarnation)
	was := b.report(Finding{
		ID: findingID(Unopenable, ts.Incarnation), Kind: Unopenable, Topic: ts.Name, Path: dir,
		Text: fmt.Sprintf("The topic's log cannot be opened; the topic is not served, and publishes to it are refused: %s.", err),
	})
	b.o.Logger.Log(b.ctx, levelOf(was, slog.LevelError), "topic cannot be opened and is not served", "topic", ts.Name, "path", dir, "error", err)
}

// Unopenable is why the topic of a name is not served although it is known; nil
// when there is no such topic or it is served.
func (b *Broker) Unopenable(name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.topics[name]; s != nil && s.unopened != nil && s.gone == nil {
		return s.err
	}
	return nil
}

func (b *Broker) unopened() (list []*listing) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.topics {
		if s.unopened != nil && s.gone == nil {
			list = append(list, s)
		}
	}
	return list
}

// settleLater opens topics until none is left that cannot be opened, and the journal
// has taken what they, and those that the start could open, were found to lack.
func (b *Broker) settleLater() {
	for pause := minReopenPause; ; pause = min(2*pause, maxReopenPause) {
		select {
		case <-b.ctx.Done():
			return
		case <-time.After(pause):
		}
		for _, s := range b.unopened() {
			if err := b.reopenTopic(s); err != nil {
				b.o.Logger.Debug("topic cannot be opened yet", "topic", s.unopened.Name, "error", err)
			}
		}
		if b.settle() == nil {
			return
		}
	}
}

// reopenTopic puts the topic in the place of the listing that stood for it.
func (b *Broker) reopenTopic(s *listing) error {
	ts := s.unopened
	return b.deleting(ts.Name, s, func() error {
		t, err := b.openTopic(ts)
		if err != nil {
			return err
		}
		_ = b.journalSkipped() // what is not taken stays for settle
		b.mu.Lock()
		b.topics[ts.Name] = &listing{topic: t, incarnation: ts.Incarnation}
		b.announce(t)
		b.mu.Unlock()
		b.learnRestored(t, ts)
		b.damage.resolve(findingID(Unopenable, ts.Incarnation))
		b.o.Logger.Info("topic could be opened at last and is served", "topic", ts.Name)
		return nil
	})
}

// removeUnopened ends a topic that cannot be opened.
func (b *Broker) removeUnopened(s *listing) {
	ts := s.unopened
	b.removeLog(b.disk.FS(), ts.Name, ts.Incarnation, func() {})
	b.damage.resolve(findingID(Unopenable, ts.Incarnation))
	b.freeName(ts.Name, s)
}
