package diskqueue

import (
	"errors"
	"io"
	"io/fs"
	"slices"
	"time"
)

// ofMedium says that an error is of the medium, as that of a bad sector: it
// may well stay. Others, as a lack of descriptors or of memory, pass.
func ofMedium(err error) bool {
	return slices.ContainsFunc(mediumErrors, func(e error) bool { return errors.Is(err, e) })
}

// bare is an error without the name of the file that the file system puts
// before it: the file may have had another when it was opened.
func bare(err error) error {
	var e *fs.PathError
	for errors.As(err, &e) {
		err = e.Err
	}
	return err
}

const (
	// mediumBlock is how much is given up at once where the medium fails.
	mediumBlock = 4 << 10
	// mediumTries is how often a block is tried.
	mediumTries = 2
	// mediumTimeout is how long one look at a file may spend on what fails,
	// which may take seconds each; from then on it skips in larger steps.
	mediumTimeout = 10 * time.Second
)

// span is bytes of a file.
type span struct{ from, to int64 }

// around reads a file and gives zeros where the medium fails, which are no good
// records. It belongs to one goroutine.
type around struct {
	f     io.ReaderAt
	bad   []span // ascending where it was read so
	err   error  // the medium's first one
	whole bool   // a block next to those was read
	spent time.Duration
}

// ReadAt is that of the file, but that errors of the medium are only noted.
func (a *around) ReadAt(b []byte, off int64) (int, error) {
	n, err := readFull(a.f, b, off)
	if err == nil || !ofMedium(err) {
		return n, err
	}
	if a.err == nil {
		a.err = err
	}
	if a.spent > mediumTimeout {
		return a.skip(b, off), nil
	}
	for n = 0; n < len(b); {
		end := min(len(b), n+mediumBlock-int((off+int64(n))%mediumBlock))
		got, err := a.try(b[n:end], off+int64(n))
		for try := 1; try < mediumTries && err != nil && ofMedium(err); try++ {
			got, err = a.try(b[n:end], off+int64(n))
		}
		switch {
		case err == nil:
		case ofMedium(err):
			got = a.skip(b[n:end], off+int64(n))
		default:
			return n + got, err
		}
		n += got
	}
	return n, nil
}

func (a *around) try(b []byte, off int64) (int, error) {
	start := time.Now()
	n, err := readFull(a.f, b, off)
	a.spent += time.Since(start)
	a.whole = a.whole || err == nil
	return n, err
}

// skip gives zeros.
func (a *around) skip(b []byte, off int64) int {
	clear(b)
	a.bad = append(a.bad, span{off, off + int64(len(b))})
	return len(b)
}

// failed says whether anything between two offsets could not be read.
func (a *around) failed(from, to int64) bool {
	return slices.ContainsFunc(a.bad, func(s span) bool { return s.from < to && from < s.to })
}
