package diskqueue

import (
	"errors"
	"path/filepath"
)

// reserveBytes is how much of the disk is kept for carrying forward on a full
// one: what is owed has to be written before what holds it can go.
const reserveBytes = 256 << 10

// reserveName is the file's, in the directory of those that wait to be used again.
const reserveName = "reserve"

// FillReserve sets room on the disk aside, if it is not, for carrying segments
// forward once there is no other. That it cannot be had is no error: there may be
// none.
func (s *Shared) FillReserve() {
	if s.recycle.dir == "" {
		return
	}
	path := filepath.Join(s.recycle.dir, reserveName)
	f, err := s.fs.Create(path)
	if err != nil {
		return // it is there
	}
	_, err = f.WriteAt(make([]byte, reserveBytes), 0)
	if err = errors.Join(err, f.Close()); err != nil {
		s.fs.Remove(path)
	}
}

// FreeReserve gives that room up, to be used now.
func (s *Shared) FreeReserve() {
	if s.recycle.dir != "" {
		s.fs.Remove(filepath.Join(s.recycle.dir, reserveName)) // or it is not there
	}
}
