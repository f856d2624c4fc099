// Package fromnsq makes a data directory of Q out of one that an nsqd left: each
// topic one log in which a message stands once, and for each channel what it still
// has to get, how often it was tried, and whether it is paused. It never changes
// one of nsqd's files, it moves them aside when all is done, and never adds to data
// that Q has. It works before there is a broker, in the
// goroutine of its caller, which waits for those that sync what was written.
//
// The new directory is built in one of its own, synced and verified:
//
//	import.building/      being built; removed by the next start
//	import.ready/         all of it is there: what is left is to move things
//	imported-from-nsqd/   nsqd's files, as they were
//
// So a process that is killed at any moment leaves either nsqd's files and nothing
// that counts, or all that is needed to end the import.
package fromnsq

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"

	"qmq/internal/nsqdata"
	"qmq/internal/vfs"
)

// Names in the data directory.
const (
	buildingName = "import.building"
	readyName    = "import.ready"
	// AsideName is where nsqd's files are after the import: a directory that nsqd
	// can be started on.
	AsideName = "imported-from-nsqd"
)

// Mode says what becomes of nsqd's files.
type Mode int

// The values of Mode.
const (
	On  Mode = iota // they are imported
	Off             // they are left alone
)

// Options say what is imported, and where.
type Options struct {
	FS       vfs.FS
	DataPath string // where an nsqd may have been
	Mode     Mode
	// Member says that the node is to be a member of a replicated set.
	Member bool

	SegmentBytes int64 // size of a full segment file
	// BootID tells this boot of the machine from others; empty: unknown.
	BootID string
	// Free is how many bytes can be written to the file system of a directory; nil:
	// it is not known, and a full disk is noticed when it is full.
	Free func(dir string) (int64, error)
	Now  func() int64 // wall clock, ns since 1970

	Logger *slog.Logger
}

// ErrMember refuses an import on a member of a replicated set.
var ErrMember = errors.New("an nsqd's messages are not imported on a member of a replicated set (--cluster-peers): they would become topics of this node alone, " +
	"and no member could replicate topics of these names. Start a qd without --cluster-peers on this directory and have q forward bring the messages to the set; " +
	"the member wants a directory of its own. With --import=off nsqd's files are left alone")

// Start is the first thing that a node does with its data directory: it imports
// what an nsqd left there, or ends an import that was interrupted. Where nsqd's
// files are beside data of Q, or are not to be imported, it only tells of them. After
// an error the directory is as it was, but that an import that was complete may not
// have all its files in their places. The error wraps vfs.ErrLocked when another
// process has the directory.
func Start(ctx context.Context, o Options) error {
	s, err := look(o.FS, o.DataPath)
	if err != nil || !s.ready && !s.building && !s.nsqd {
		return err
	}
	lock, err := o.FS.Lock(o.DataPath)
	if err != nil {
		return fmt.Errorf("failed to lock data-path: %w", err)
	}
	m := &move{Options: o}
	return errors.Join(m.start(ctx), lock.Close())
}

// move is what is done with a data directory that is locked.
type move struct {
	Options
}

func (m *move) path(name ...string) string {
	return filepath.Join(append([]string{m.DataPath}, name...)...)
}

func (m *move) start(ctx context.Context) error {
	s, err := look(m.FS, m.DataPath)
	if err == nil && s.ready {
		if err = m.finish(); err == nil {
			s, err = look(m.FS, m.DataPath)
		}
	}
	if err == nil && s.building {
		err = m.discard(buildingName)
	}
	switch {
	case err != nil:
		return fmt.Errorf("import of nsqd's data in %s: %w", m.DataPath, err)
	case !s.nsqd:
		return nil
	case s.q != "":
		m.warn("an nsqd's files are beside data of Q and are not imported: nothing is merged. To have their messages, move them to a directory of their own, "+
			"start another qd with that as its --data-path, and have q forward bring them here", slog.String("q_data", m.path(s.q)))
		return nil
	case m.Mode == Off:
		m.warn("an nsqd's files are here and are not imported (--import=off); once Q has data beside them they never are")
		return nil
	case m.Member:
		return ErrMember
	}
	if err := m.run(ctx); err != nil {
		return fmt.Errorf("import of nsqd's data in %s: %w", m.DataPath, err)
	}
	return nil
}

// warn tells of nsqd's files that are left where they are.
func (m *move) warn(text string, attrs ...any) {
	attrs = append(attrs, slog.String("path", m.DataPath))
	if d, err := nsqdata.Read(vfs.ReadOnly(m.FS), m.DataPath); err == nil && d != nil {
		attrs = append(attrs, slog.Int64("messages", d.Depth()), slog.Int64("bytes", d.Bytes()))
	}
	m.Logger.Warn(text, attrs...)
}

// situation is what a data directory has.
type situation struct {
	nsqd     bool   // files of an nsqd
	q        string // something that only a node of Q leaves; empty: nothing
	building bool   // what an import left that was interrupted
	ready    bool   // an import that only lacks its last steps
}

// look finds out what a data directory has; one that is not there has nothing.
func look(fsys vfs.FS, dir string) (s situation, err error) {
	entries, err := fsys.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	for _, e := range entries {
		switch name := e.Name(); {
		case name == buildingName:
			s.building = true
		case name == readyName:
			s.ready = true
		case name == AsideName || name == "metadata.json" || strings.HasPrefix(name, "replaced-"):
			s.q = name
		case e.IsDir() && (name == "topics" || name == "journal" || name == "replicated" || name == "raft"):
			inside, err := fsys.ReadDir(filepath.Join(dir, name))
			if err != nil {
				return s, err
			}
			if len(inside) > 0 {
				s.q = name
			}
		case !e.IsDir() && nsqdata.IsName(name):
			s.nsqd = true
		}
	}
	return s, nil
}

// discard removes a directory of an import that does not count.
func (m *move) discard(name string) error {
	if err := m.FS.RemoveAll(m.path(name)); err != nil {
		return err
	}
	return m.FS.SyncDir(m.DataPath)
}
