package diskqueue

import (
	"path/filepath"

	"qmq/internal/vfs"
)

// Owner tells whose segments are in a directory: the topic of the incarnation
// that is asked for, if a segment is its, else that of the first segment whose
// header tells, else 0. Files that cannot be read tell nothing.
func Owner(fs vfs.FS, dir string, incarnation uint64) (owner uint64, err error) {
	entries, err := fs.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		base, ok := parseSegmentName(e.Name())
		if !ok {
			continue
		}
		switch of := segmentOwner(fs, filepath.Join(dir, e.Name()), base); {
		case of == incarnation:
			return of, nil
		case owner == 0:
			owner = of
		}
	}
	return owner, nil
}

// segmentOwner is 0 when the header does not tell.
func segmentOwner(fs vfs.FS, path string, base uint64) uint64 {
	f, err := fs.Open(path)
	if err != nil {
		return 0
	}
	defer f.Close()
	h, _, err := readHead(f, base)
	if err != nil {
		return 0
	}
	return h.incarnation
}
