package redact

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"testing"
)

func TestClientsLearnNoPathsOfTheServer(t *testing.T) {
	full := &fs.PathError{Op: "write", Path: "/srv/data/topics/t-1/0001.seg", Err: syscall.ENOSPC}
	relative := &fs.PathError{Op: "open", Path: "topics/t-1/0001.seg", Err: syscall.EMFILE}
	for _, test := range []struct {
		err  error
		want string
	}{
		{errors.New("no room"), "no room"},
		{full, "write 0001.seg: no space left on device"},
		{fmt.Errorf("topic t: %w", relative), "topic t: open 0001.seg: too many open files"},
		{&os.LinkError{Op: "rename", Old: "recycled/1", New: "topics/t-1/2", Err: syscall.EIO}, "rename 1 2: input/output error"},
		{errors.New("cannot sync /srv/data/topics/t-1/0001.seg: it failed"), "cannot sync 0001.seg: it failed"},
		{errors.New("write q/data/topics/t-1/0001.seg: no space left on device"), "write 0001.seg: no space left on device"},
		{errors.New("write topics/t-1/0001.seg: it failed (data/topics/t-1)"), "write 0001.seg: it failed (t-1)"},
		{errors.New(`50 MB/s, 1/2, "/srv/x"`), `50 MB/s, 1/2, "x"`},
	} {
		if got := Paths(test.err); got != test.want {
			t.Errorf("%v is told as %q, want %q", test.err, got, test.want)
		}
	}
}
