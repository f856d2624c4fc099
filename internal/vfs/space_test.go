package vfs

import (
	"errors"
	"io/fs"
	"path/filepath"
	"testing"
)

func TestSpaceOfADirectory(t *testing.T) {
	dir := t.TempDir()
	s, err := Volume(dir).Space()
	if err != nil {
		t.Fatal(err)
	}
	if s.Free <= 0 || s.Used < 0 || s.FreePart() <= 0 || s.FreePart() > 1 {
		t.Errorf("%+v, free part %v", s, s.FreePart())
	}
	if _, err := Volume(filepath.Join(dir, "missing")).Space(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of no directory: %v", err)
	}
}

func TestFreePart(t *testing.T) {
	for _, c := range []struct {
		s    Space
		want float64
	}{{Space{1, 3}, 0.25}, {Space{0, 3}, 0}, {Space{-1, 3}, 0}, {Space{}, 0}, {Space{5, 0}, 1}} {
		if got := c.s.FreePart(); got != c.want {
			t.Errorf("%+v: %v, want %v", c.s, got, c.want)
		}
	}
}
