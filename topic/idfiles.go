package topic

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"

	"qmq/internal/crc32c"
	"qmq/internal/dedup"
	"qmq/internal/vfs"
)

// The ids of messages whose segments were given back are in files beside the segments,
// <end:016x>-<salt:08x>.ids, as long as they count. A file begins with a header, and goes on
// with blocks, little-endian:
//
//	0        4             8          12                20        24
//	| "QIDS" | version u32 | salt u32 | incarnation u64 | crc u32 |
//
//	0         4         8          16        24
//	| len u32 | crc u32 | from u64 | end u64 | entries, 24 B each: id, 16 B · time i64, ns since 1970 |
//
// The header's crc is the CRC-32C of the 20 bytes before it. A block's is that of the len bytes
// behind it, seeded with the salt: blocks hold the ids that count of all messages with numbers
// in [from, end), and end that of the one before is where the next begins. A file gets
// its name when its first block is synced; what stands behind the last good block is what was
// being written at a crash.
const (
	idsMagic   = "QIDS"
	idsVersion = 1
	idsHeader  = 24
	idsBlock   = 24 // before the entries
	idsSuffix  = ".ids"
	idsTmp     = ".ids.tmp"
	idSize     = dedup.EntrySize

	// idsPerBlock is how many ids are in a block at most, and idsFileBytes how long a file is
	// to which no more are added.
	idsPerBlock  = 16 << 10
	idsFileBytes = 4 << 20
)

// idFiles is the files of a topic. All methods may be called concurrently.
type idFiles struct {
	fs          vfs.FS
	dir         string
	incarnation uint64
	room        *idRoom

	// mu guards what follows, and the files; it is held while they are written, and taken
	// after Cleaner.work.
	mu      sync.Mutex
	files   []idFile
	active  bool   // more may be added to the last of files
	salt    uint32 // of that one
	size    int64  // likewise
	aside   int64  // likewise, up to where there is room of its own
	known   uint64 // the end of the last block
	place   uint64 // in the table, of the first entry that is in no file
	dropped bool   // nothing is kept any more
}

// idFile is a file, and the place in the table behind its last entry.
type idFile struct {
	path string
	end  uint64
}

func newIDFiles(disk vfs.FS, dir string, incarnation uint64) *idFiles {
	return &idFiles{fs: disk, dir: dir, incarnation: incarnation, room: newIDRoom(disk, dir)}
}

// load calls add with what the files have. What counts of messages below known is among it;
// the error says why it may not be all. table is what add adds to.
func (f *idFiles) load(table *dedup.Table, add func(dedup.Entry)) (known uint64, failed error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.room.adopt()
	entries, err := f.fs.ReadDir(f.dir)
	if err != nil && !isNotExist(err) {
		return 0, err
	}
	begun, gapless := false, true
	for _, e := range entries { // sorted by name, and so by end
		path := filepath.Join(f.dir, e.Name())
		if strings.HasSuffix(e.Name(), idsTmp) && e.Name() != roomName {
			f.fs.Remove(path) // it never counted
			continue
		}
		if !strings.HasSuffix(e.Name(), idsSuffix) {
			continue
		}
		err := f.read(path, func(from, end uint64, list []byte) {
			if begun && gapless && from > known { // what is in the log yet is read there
				gapless, failed = false, errors.Join(failed, fmt.Errorf("%s: %w: those of messages from %d to %d", path, errIDsMissing, known, from))
			}
			if begun = true; gapless {
				known = max(known, end)
			}
			for ; len(list) >= dedup.EntrySize; list = list[dedup.EntrySize:] {
				add(dedup.Decode(list))
			}
		})
		failed = errors.Join(failed, err)
		f.files = append(f.files, idFile{path, table.End()})
	}
	f.known, f.place = known, table.End()
	return known, failed
}

func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }

var (
	errIDs        = errors.New("it is no file of ids of this topic")
	errIDsMissing = errors.New("ids are missing before it")
)

// read reads a file, block by block.
func (f *idFiles) read(path string, block func(from, end uint64, entries []byte)) error {
	file, err := f.fs.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	size, err := file.Size()
	if err != nil {
		return err
	}
	head := make([]byte, idsHeader)
	if _, err := file.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	salt, ok := f.decodeHeader(head)
	if !ok {
		return fmt.Errorf("%s: %w", path, errIDs)
	}
	buf := make([]byte, idsBlock+idsPerBlock*dedup.EntrySize)
	for at := int64(idsHeader); size-at >= idsBlock; {
		if _, err := file.ReadAt(buf[:8], at); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		n := int64(binary.LittleEndian.Uint32(buf))
		if n < idsBlock-8 || n > int64(len(buf)-8) || n > size-at-8 {
			return nil // what follows is no block
		}
		if _, err := file.ReadAt(buf[8:8+n], at+8); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		at += 8 + n
		if crc32c.Update(salt, buf[8:8+n]) != binary.LittleEndian.Uint32(buf[4:]) {
			continue // the next one tells that this one is missing
		}
		block(binary.LittleEndian.Uint64(buf[8:]), binary.LittleEndian.Uint64(buf[16:]), buf[idsBlock:8+n])
	}
	return nil
}

func (f *idFiles) encodeHeader(salt uint32) []byte {
	b := append(make([]byte, 0, idsHeader), idsMagic...)
	b = binary.LittleEndian.AppendUint32(b, idsVersion)
	b = binary.LittleEndian.AppendUint32(b, salt)
	b = binary.LittleEndian.AppendUint64(b, f.incarnation)
	return binary.LittleEndian.AppendUint32(b, crc32c.Sum(b))
}

func (f *idFiles) decodeHeader(b []byte) (salt uint32, ok bool) {
	ok = string(b[:4]) == idsMagic && binary.LittleEndian.Uint32(b[4:]) == idsVersion &&
		binary.LittleEndian.Uint64(b[12:]) == f.incarnation && binary.LittleEndian.Uint32(b[20:]) == crc32c.Sum(b[:20])
	return binary.LittleEndian.Uint32(b[8:]), ok
}

// keep has the entries survive any stop that are in no file yet. unkept is those from a place
// in the table on, with the end below which all that counts is among them or was kept before,
// and the first place in the table. ready is called before they are written. The wall clock is
// ahead of their times by so many ns. After an error it may be tried again.
func (f *idFiles) keep(unkept func(place uint64) (s dedup.Span, end, first uint64), ready func() error, ahead int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dropped {
		return nil
	}
	s, end, first := unkept(f.place)
	f.forget(first)
	if s.Len() == 0 {
		return nil
	}
	if err := ready(); err != nil {
		return err
	}
	for i := 0; i < s.Len(); i += idsPerBlock {
		b := block{s, i, min(idsPerBlock, s.Len()-i), f.known, ahead}
		if i+b.n == s.Len() {
			b.end = end
		}
		err := f.add(&b)
		if diskFull(err) {
			err = f.begin(&b, f.room.take)
		}
		if err != nil {
			f.active = false // what stands at its end is not known
			return err
		}
		f.known, f.place = b.end, b.place()
	}
	f.cut()
	return nil
}

// cut gives back what is set aside behind the last block.
func (f *idFiles) cut() {
	if f.aside <= f.size {
		return
	}
	if file, err := f.fs.Open(f.files[len(f.files)-1].path); err == nil {
		_ = file.Truncate(f.size) // else it stays with the file
		_ = file.Close()
	}
	f.aside = f.size
}

// block is n entries of a span, from the i-th on, with which the ids below end are known.
type block struct {
	span  dedup.Span
	i, n  int
	end   uint64
	ahead int64
}

// place is that in the table behind it.
func (b *block) place() uint64 { return b.span.Place(b.i + b.n) }

// add writes and syncs one block, to a new file where no more can be added to one.
func (f *idFiles) add(b *block) error {
	bytes := f.encode(nil, b)
	if !f.active || f.size > idsFileBytes && f.size+int64(len(bytes)) > f.aside {
		return f.begin(b, f.fs.Create)
	}
	last := &f.files[len(f.files)-1]
	file, err := f.fs.Open(last.path)
	if err != nil {
		return err
	}
	if err := writeAndSync(file, bytes, f.size); err != nil {
		return err
	}
	f.size += int64(len(bytes))
	last.end = b.place()
	return nil
}

// writeAndSync has bytes at an offset survive, and closes the file.
func writeAndSync(file vfs.File, b []byte, at int64) error {
	_, err := file.WriteAt(b, at)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// begin begins a file with a block; from makes it.
func (f *idFiles) begin(b *block, from func(name string) (vfs.File, error)) error {
	f.salt = rand.Uint32()
	path := filepath.Join(f.dir, fmt.Sprintf("%016x-%08x%s", b.end, f.salt, idsSuffix))
	tmp := strings.TrimSuffix(path, idsSuffix) + idsTmp
	file, err := from(tmp)
	if err != nil {
		return err
	}
	aside, _ := file.Size()
	bytes := f.encode(f.encodeHeader(f.salt), b)
	if err = writeAndSync(file, bytes, 0); err == nil {
		err = f.fs.Rename(tmp, path)
	}
	if err == nil {
		err = f.fs.SyncDir(f.dir)
	}
	if err != nil {
		f.fs.Remove(tmp)
		f.fs.Remove(path) // where it stays, what it has counts all the same
		return err
	}
	f.active, f.size, f.aside = true, int64(len(bytes)), aside
	f.files = append(f.files, idFile{path, b.place()})
	return nil
}

// encode appends a block.
func (f *idFiles) encode(dst []byte, b *block) []byte {
	at := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(idsBlock-8+b.n*idSize))
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	dst = binary.LittleEndian.AppendUint64(dst, f.known)
	dst = binary.LittleEndian.AppendUint64(dst, b.end)
	dst = b.span.Append(dst, b.i, b.n, b.ahead)
	binary.LittleEndian.PutUint32(dst[at+4:], crc32c.Update(f.salt, dst[at+8:]))
	return dst
}

// forget removes the files whose entries are all before a place in the table. The caller
// holds f.mu.
func (f *idFiles) forget(first uint64) {
	for len(f.files) > 0 && f.files[0].end <= first {
		if err := f.fs.Remove(f.files[0].path); err != nil && !isNotExist(err) {
			return // it is tried again; what is in it does not count any more
		}
		f.files = f.files[1:]
		f.active = f.active && len(f.files) > 0
	}
}

// keptUpTo is the place in the table behind the entries that are in files.
func (f *idFiles) keptUpTo() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.place
}

// forgetBefore is forget.
func (f *idFiles) forgetBefore(first uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forget(first)
}

// drop removes all files: doubles are not to be known any more.
func (f *idFiles) drop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dropped = true
	f.forget(math.MaxUint64)
	f.room.drop()
}

// removeIDs removes what is left, beside a topic's segments, of the ids by which doubles were
// known: a process may have ended before it was gone, or the next one be configured otherwise.
func removeIDs(disk vfs.FS, dir string) {
	entries, err := disk.ReadDir(dir)
	if err != nil {
		return // there is nothing, or the next start removes it
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), idsSuffix) || strings.HasSuffix(e.Name(), idsTmp) {
			disk.Remove(filepath.Join(dir, e.Name()))
		}
	}
}
