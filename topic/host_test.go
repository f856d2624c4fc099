package topic

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"qmq/channel"
	"qmq/diskqueue"
)

// TestWhatChannelsAreToldOfReadErrors: which messages are concerned, and whether
// there is hope for them.
func TestWhatChannelsAreToldOfReadErrors(t *testing.T) {
	lost := func(err error) string {
		var l *channel.LostError
		var u *channel.UnreadableError
		switch {
		case errors.As(err, &l):
			return fmt.Sprintf("lost %d-%d", l.From, l.To)
		case errors.As(err, &u):
			return fmt.Sprintf("later %d-%d", u.From, u.To)
		}
		return "nothing"
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("message 7: %w", diskqueue.ErrNotFound), "lost 7-8"},
		{fmt.Errorf("read: %w", &diskqueue.DamageError{From: 5, To: 9}), "lost 5-9"},
		{fmt.Errorf("read: %w", &diskqueue.UnreadableError{From: 6, To: 12, Err: fs.ErrPermission}), "later 6-12"},
		{fs.ErrPermission, "nothing"},
	} {
		err := readError(7, c.err)
		if got := lost(err); got != c.want {
			t.Errorf("%v tells %s, want %s", c.err, got, c.want)
		}
		if c.want != "lost 7-8" && c.want != "lost 5-9" && !errors.Is(err, c.err) {
			t.Errorf("%v does not say why", err)
		}
	}
}
