package archive

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Options say where files of messages are and when a new one is begun.
type Options struct {
	Naming
	Dir string // of finished files
	// WorkDir is where files are written; empty: Dir. It must be on the same file
	// system.
	WorkDir     string
	Compression Compression
	Level       int // of the compression; 0: the usual one
	// InPlace writes under the final name, where there is no other WorkDir.
	// Otherwise a file that is being written has another name, which ends in
	// .q-part.
	InPlace bool
	// Append goes on with a file whose name has no revision, if it is there.
	Append bool

	RotateSize     int64         // bytes on the disk after which a new file is begun; 0: no limit
	RotateInterval time.Duration // after which a new file is begun; 0: no limit
}

// partial ends the name of a file that is being written. No other program's files
// are called so: Recover completes them.
const partial = ".q-part"

// Writer writes the messages of one topic, line by line.
type Writer struct {
	o     Options
	topic string

	file   *os.File // nil: none is open
	path   string   // where it is
	final  string   // below Dir, where it goes; empty: it stays
	opened time.Time
	named  string    // its name, with revision 0
	rev    int       // revision
	looked time.Time // at which time it was looked whether the name is another one then
	moved  bool      // it is
	synced int64     // bytes of it that are on the disk
	lines  int64     // since the last sync
	size   int64     // bytes that were given to the file
	comp   compressor
	buf    *bufio.Writer
}

// NewWriter makes a writer; it opens a file with the first message.
func NewWriter(topic string, o Options) (*Writer, error) {
	if o.WorkDir == "" {
		o.WorkDir = o.Dir
	}
	comp, err := newCompressor(o.Compression, o.Level)
	if err != nil {
		return nil, err
	}
	return &Writer{o: o, topic: topic, comp: comp, buf: bufio.NewWriterSize(nil, 256<<10)}, nil
}

// Due tells whether the next message, at a time, belongs into a new file. Then
// the caller syncs and calls Finish.
func (w *Writer) Due(now time.Time) bool {
	if w.file == nil {
		return false
	}
	if !now.Equal(w.looked) { // many messages come at one time, and a name is dear
		name, err := w.o.path(w.topic, now, 0)
		w.looked, w.moved = now, err == nil && name != w.named
	}
	return w.moved ||
		w.o.RotateSize > 0 && w.size >= w.o.RotateSize ||
		w.o.RotateInterval > 0 && now.Sub(w.opened) >= w.o.RotateInterval
}

// Append writes a line, to which it adds a newline. It may be on the disk only
// after Sync. After an error Abandon is called.
func (w *Writer) Append(now time.Time, line []byte) error {
	if w.file == nil {
		if err := w.open(now); err != nil {
			return err
		}
	}
	if _, err := w.buf.Write(line); err != nil {
		return err
	}
	w.lines++
	return w.buf.WriteByte('\n')
}

// counter counts what reaches the file.
type counter struct{ w *Writer }

func (c counter) Write(p []byte) (int, error) {
	n, err := c.w.file.Write(p)
	c.w.size += int64(n)
	return n, err
}

// open begins a file that nothing else has the name of.
func (w *Writer) open(now time.Time) error {
	named, err := w.o.path(w.topic, now, 0)
	if err != nil {
		return err
	}
	if named != w.named {
		w.rev = 0
	}
	for ; ; w.rev++ {
		name, err := w.o.path(w.topic, now, w.rev)
		if err != nil {
			return err
		}
		err = w.create(w.o.compressed(name))
		if errors.Is(err, fs.ErrExist) && strings.Contains(w.o.Format, revision) {
			continue
		}
		if err != nil {
			return err
		}
		w.named, w.opened = named, now
		w.looked, w.moved = now, false
		w.comp.Reset(counter{w})
		w.buf.Reset(w.comp)
		return nil
	}
}

// compressed is a name with the end that tells the compression.
func (o *Options) compressed(name string) string {
	if strings.HasSuffix(name, string(o.Compression)) {
		return name
	}
	return name + string(o.Compression)
}

// create opens a new file that becomes, or is, that of a name below Dir.
func (w *Writer) create(name string) error {
	final := filepath.Join(w.o.Dir, name)
	if _, err := os.Lstat(final); err == nil && !w.o.Append {
		return fmt.Errorf("%s: %w", final, fs.ErrExist)
	}
	path, flags := final, os.O_WRONLY|os.O_CREATE|os.O_EXCL
	w.final = ""
	switch {
	case w.o.WorkDir != w.o.Dir && w.o.InPlace:
		path, w.final = filepath.Join(w.o.WorkDir, name), final
	case !w.o.InPlace:
		path, w.final = filepath.Join(w.o.WorkDir, name)+partial, final
	case w.o.Append:
		flags = os.O_WRONLY | os.O_CREATE | os.O_APPEND
	}
	for _, of := range []string{final, path} {
		if err := os.MkdirAll(filepath.Dir(of), 0o777); err != nil {
			return err
		}
	}
	file, err := openLocked(path, flags)
	if errors.Is(err, ErrInUse) && flags&os.O_EXCL != 0 {
		err = fs.ErrExist // somebody completes it before anything is in it
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	size, err := endOfLines(file)
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		file.Close()
		return err
	}
	w.file, w.path, w.size, w.synced, w.lines = file, path, size, size, 0
	return nil
}

// openLocked opens a file that is of that name and that no other process writes
// or completes.
func openLocked(path string, flags int) (*os.File, error) {
	for {
		file, err := os.OpenFile(path, flags, 0o666)
		if err != nil {
			return nil, err
		}
		if err := lock(file); err != nil {
			file.Close()
			return nil, err
		}
		if isAt(file, path) {
			return file, nil
		}
		file.Close() // it was completed between the two
	}
}

// isAt tells whether an open file has that name.
func isAt(file *os.File, path string) bool {
	info, err := file.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(path)
	return err == nil && os.SameFile(info, named)
}

// endOfLines is where to go on in a file that is there: behind its last line,
// which is ended if it is not.
func endOfLines(file *os.File) (int64, error) {
	info, err := file.Stat()
	if err != nil || info.Size() == 0 {
		return 0, err
	}
	there, err := os.Open(file.Name())
	if err != nil {
		return 0, err
	}
	defer there.Close()
	var last [1]byte
	if _, err := there.ReadAt(last[:], info.Size()-1); err != nil || last[0] == '\n' {
		return info.Size(), err
	}
	_, err = file.WriteString("\n")
	return info.Size() + 1, err
}

// Unsynced is how many lines are not known to be on the disk.
func (w *Writer) Unsynced() int64 { return w.lines }

// Path is where the file is that is being written; empty: there is none.
func (w *Writer) Path() string { return w.path }

// Sync returns nil when every line so far is on the disk. After an error none
// since the last sync may be, and Abandon is called.
func (w *Writer) Sync() error {
	if w.file == nil || w.lines == 0 {
		return nil
	}
	if err := w.buf.Flush(); err != nil {
		return err
	}
	if err := w.comp.Close(); err != nil {
		return err
	}
	if err := w.file.Sync(); err != nil {
		return err
	}
	w.synced, w.lines = w.size, 0
	w.comp.Reset(counter{w})
	return nil
}

// Finish ends the file, all of which is synced, and gives it its name. What has
// that name meanwhile stays, and the file gets another one. The name is returned;
// empty where there was no file.
func (w *Writer) Finish() (name string, err error) {
	if w.file == nil {
		return "", nil
	}
	if w.lines > 0 {
		return "", errors.New("archive: a file is finished that is not synced")
	}
	name = w.path
	if w.final != "" {
		name, err = w.place(w.path, w.final)
	}
	err = errors.Join(err, w.file.Close()) // and with it the lock, which it needs until then
	w.file, w.path = nil, ""
	return name, err
}

// place gives a finished file its name, or the next one that is free, which is
// returned.
func (w *Writer) place(path, final string) (string, error) {
	err := give(path, final)
	for rev := w.rev; errors.Is(err, fs.ErrExist) && strings.Contains(w.o.Format, revision); rev++ {
		var name string
		if name, err = w.o.path(w.topic, w.opened, rev); err != nil {
			break
		}
		final = filepath.Join(w.o.Dir, w.o.compressed(name))
		err = give(path, final)
	}
	if err != nil {
		return path, fmt.Errorf("%s is finished and could not be given its name: %w", path, err)
	}
	return final, nil
}

// give renames a file, but not over another one. The caller holds its lock.
func give(path, final string) error {
	if err := os.Link(path, final); err != nil && !(errors.Is(err, fs.ErrExist) && same(path, final)) {
		return err
	}
	if err := syncDir(filepath.Dir(final)); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// same tells whether two names are those of one file.
func same(path, other string) bool {
	a, err := os.Lstat(path)
	if err != nil {
		return false
	}
	b, err := os.Lstat(other)
	return err == nil && os.SameFile(a, b)
}

// Abandon gives the file up after an error: what is not synced of it is cut off,
// as far as that is possible. The name of what is left of it is returned; empty
// where that is nothing.
func (w *Writer) Abandon() (name string, err error) {
	if w.file == nil {
		return "", nil
	}
	w.lines = 0
	err = w.file.Truncate(w.synced)
	if err == nil {
		err = w.file.Sync()
	}
	if err != nil {
		w.file.Close()
		w.file = nil
		return "", fmt.Errorf("%s may have messages at its end that are delivered again: %w", w.path, err)
	}
	if w.synced == 0 { // nothing of it is anybody's
		err = os.Remove(w.path)
		w.file.Close()
		w.file, w.path = nil, ""
		return "", err
	}
	return w.Finish()
}

// syncDir makes names in a directory last.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
