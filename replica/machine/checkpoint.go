package machine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"qmq/internal/crc32c"
	"qmq/internal/vfs"
)

// A checkpoint is raft/<shard>/<index:016x>.ckpt. It begins with a header, and goes
// on with the frames of frames.go to its end:
//
//	0        4             8          12
//	| "QSHC" | version u32 | salt u32 | crc u32 |
//
// where crc is the CRC-32C of the 12 bytes before it and the salt is random. It is
// written under a temporary name, synced, and renamed; two are kept, so that
// damage to the newest one costs nothing but time.
const (
	checkpointMagic   = "QSHC"
	checkpointVersion = 1
	checkpointHeader  = 16

	checkpointSuffix = ".ckpt"
	temporarySuffix  = ".ckpt.tmp"
	damagedSuffix    = ".damaged"

	// checkpointPiece is how much is written at a time, and checkpointSync how much
	// of it may wait for the disk.
	checkpointPiece = 256 << 10
	checkpointSync  = 8 << 20
)

var (
	// ErrNoCheckpoint says that no checkpoint can be used, and that there are some:
	// what the shard knew is lost here, and has to come from another replica.
	ErrNoCheckpoint = errors.New("no checkpoint can be read")
	// ErrSyncFailed says that records may be lost with the power though they were
	// written: only opening the machine anew, which applies them again, helps.
	ErrSyncFailed = errors.New("a log could not be synced")

	errNewerCheckpoint = errors.New("checkpoint of a newer version")
)

// Checkpoint makes what is applied survive any stop. The entries up to the index
// that it returns are not needed any more: a later start may begin there, or
// behind it. It costs time for what was not synced and for the state, not for the
// messages that wait. Applying goes on meanwhile. After an error that wraps
// ErrSyncFailed none will succeed before the machine is opened anew.
func (m *Machine) Checkpoint() (index uint64, err error) {
	m.checkpointing.Lock()
	defer m.checkpointing.Unlock()
	m.mu.Lock()
	if n := len(m.kept); n > 0 && m.kept[n-1] == m.s.index {
		m.mu.Unlock()
		if index, err := m.nothingNew(); index > 0 || err != nil {
			return index, err
		}
		m.mu.Lock()
	}
	f := m.s.freeze()
	m.mu.Unlock()
	m.Reclaim()
	if err := m.syncAll(f); err != nil {
		return 0, fmt.Errorf("shard %d: checkpoint: %w", m.o.Shard, err)
	}
	if err := m.save(f); err != nil {
		return 0, fmt.Errorf("shard %d: checkpoint: %w", m.o.Shard, err)
	}
	m.tellUnknown()
	if m.saved++; m.saved > 1 { // what was committed before the start is applied by now
		m.tellMissing()
	}
	return m.kept[0], nil
}

// nothingNew is the index of a checkpoint though nothing was applied since the newest one;
// 0: that is damaged, and has to be made again. Entries behind the one before would be kept
// until something is applied, which may be never, so when it is asked for again the newest
// counts alone, once it was read back. The caller holds m.checkpointing.
func (m *Machine) nothingNew() (index uint64, err error) {
	newest := m.kept[len(m.kept)-1]
	switch {
	case m.readBack == newest:
		return newest, nil
	case m.asked != newest:
		m.asked = newest
		return m.kept[0], nil
	}
	if err := m.verifyCheckpoint(newest); errors.Is(err, errFrame) {
		m.o.Logger.Error("checkpoint is damaged, and made again", "error", err)
		return 0, nil
	} else if err != nil {
		return 0, fmt.Errorf("shard %d: checkpoint: %w", m.o.Shard, err)
	}
	m.readBack = newest
	return newest, nil
}

// syncAll has all that a state speaks of survive: records, and that directories of
// deleted topics are such.
func (m *Machine) syncAll(f *frozen) error {
	for i := range f.topics {
		t := &f.topics[i]
		m.mu.Lock()
		tl := m.logs[t.st.Incarnation]
		m.mu.Unlock()
		if tl == nil {
			continue // deleted meanwhile
		}
		if err := m.syncLog(tl, t.next); err != nil {
			m.mu.Lock()
			gone := m.logs[t.st.Incarnation] != tl
			m.mu.Unlock()
			if !gone {
				return fmt.Errorf("topic %q: %w", tl.name, err)
			}
		}
	}
	m.sweepDoomed()
	m.sweeping.Lock() // what the applying goroutine is at ends first
	defer m.sweeping.Unlock()
	return m.fs.SyncDir(m.topicsDir())
}

// syncLog has the records of a log below end survive.
func (m *Machine) syncLog(tl *topicLog, end uint64) error {
	log, err := tl.open(m, end)
	if err != nil {
		return err
	}
	_, err = log.Sync()
	if log.SyncFailed(end) {
		return errors.Join(ErrSyncFailed, err)
	}
	return err
}

// save writes a state's checkpoint and removes those that are not needed any more.
// The caller holds m.checkpointing.
func (m *Machine) save(f *frozen) error {
	path := m.checkpointPath(f.shard.index)
	if err := m.writeCheckpoint(path, f); err != nil {
		return err
	}
	if n := len(m.kept); n == 0 || m.kept[n-1] != f.shard.index {
		m.kept = append(m.kept, f.shard.index)
	}
	for len(m.kept) > 2 {
		old := m.checkpointPath(m.kept[0])
		if err := m.fs.Remove(old); err != nil && !isNotExist(err) {
			m.o.Logger.Warn("old checkpoint is not removed", "path", old, "error", err)
		}
		m.kept = m.kept[1:]
	}
	return nil
}

func (m *Machine) checkpointPath(index uint64) string {
	return filepath.Join(m.checkpointDir(), fmt.Sprintf("%016x%s", index, checkpointSuffix))
}

func (m *Machine) writeCheckpoint(path string, f *frozen) error {
	tmp := strings.TrimSuffix(path, checkpointSuffix) + temporarySuffix
	if err := m.fs.Remove(tmp); err != nil && !isNotExist(err) {
		return err
	}
	file, err := m.fs.Create(tmp)
	if err != nil {
		return err
	}
	w := checkpointWriter{f: file}
	err = w.write(m.o.Shard, f)
	err = errors.Join(err, file.Close())
	if err == nil {
		err = m.fs.Rename(tmp, path)
	}
	if err != nil {
		m.fs.Remove(tmp) // the next one tries again
		return err
	}
	return m.fs.SyncDir(m.checkpointDir())
}

// checkpointWriter writes the file of a checkpoint.
type checkpointWriter struct {
	f           vfs.File
	buf         []byte
	end, synced int64
}

func (w *checkpointWriter) write(shard uint32, f *frozen) error {
	salt := rand.Uint32()
	w.buf = append(w.buf, checkpointMagic...)
	w.buf = binary.LittleEndian.AppendUint32(w.buf, checkpointVersion)
	w.buf = binary.LittleEndian.AppendUint32(w.buf, salt)
	w.buf = binary.LittleEndian.AppendUint32(w.buf, crc32c.Sum(w.buf))
	frames := uint64(0)
	for payload := range f.frames(shard) {
		w.buf = appendFrame(w.buf, salt, payload)
		frames++
		if len(w.buf) < checkpointPiece {
			continue
		}
		if err := w.flush(); err != nil {
			return err
		}
	}
	w.buf = appendFrame(w.buf, salt, binary.AppendUvarint([]byte{frameEnd}, frames))
	if err := w.flush(); err != nil {
		return err
	}
	return w.f.Sync()
}

func (w *checkpointWriter) flush() error {
	if _, err := w.f.WriteAt(w.buf, w.end); err != nil {
		return err
	}
	w.end += int64(len(w.buf))
	w.buf = w.buf[:0]
	if w.end-w.synced < checkpointSync {
		return nil
	}
	w.synced = w.end
	return w.f.Sync()
}

// loadCheckpoint reads the newest good checkpoint. Damaged ones get another name.
func (m *Machine) loadCheckpoint() (*shard, error) {
	entries, err := m.fs.ReadDir(m.checkpointDir())
	if err != nil {
		return nil, err
	}
	var indexes []uint64
	for _, e := range entries {
		if name := e.Name(); strings.HasSuffix(name, temporarySuffix) {
			m.fs.Remove(filepath.Join(m.checkpointDir(), name))
		} else if index, ok := parseCheckpoint(name); ok {
			indexes = append(indexes, index)
		}
	}
	slices.Sort(indexes)
	return m.newestGood(indexes)
}

// newestGood reads the newest checkpoint of indexes, ascending, that is good. The
// damaged ones get a name under which nobody looks for them, unless there is no
// other to tell that there was one.
func (m *Machine) newestGood(indexes []uint64) (*shard, error) {
	var damaged error
	for i := len(indexes) - 1; i >= 0; i-- {
		s, err := m.readCheckpoint(indexes[i])
		if err != nil && !errors.Is(err, errFrame) {
			return nil, err
		}
		if err == nil {
			m.kept = indexes[:i+1]
			return s, m.putAway(indexes[i+1:])
		}
		m.o.Logger.Error("checkpoint is damaged", "error", err)
		damaged = errors.Join(damaged, err)
	}
	if damaged != nil && !m.o.StartOver {
		return nil, fmt.Errorf("shard %d: %w: %w", m.o.Shard, ErrNoCheckpoint, damaged)
	}
	return newShard(), m.putAway(indexes)
}

// putAway renames damaged checkpoints.
func (m *Machine) putAway(indexes []uint64) error {
	for _, index := range indexes {
		path := m.checkpointPath(index)
		if err := m.fs.Rename(path, path+damagedSuffix); err != nil {
			return err
		}
	}
	return nil
}

func parseCheckpoint(name string) (index uint64, ok bool) {
	hex, ok := strings.CutSuffix(name, checkpointSuffix)
	if !ok || len(hex) != 16 {
		return 0, false
	}
	index, err := strconv.ParseUint(hex, 16, 64)
	return index, err == nil
}

// readCheckpoint reads a checkpoint. The error is an errFrame where it is damaged.
func (m *Machine) readCheckpoint(index uint64) (*shard, error) {
	f, err := m.fs.Open(m.checkpointPath(index))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	r := io.NewSectionReader(f, 0, size)
	salt, err := readCheckpointHeader(r)
	if err != nil {
		return nil, err
	}
	l := newLoader(m.o.Shard)
	for !l.ended {
		payload, err := readFrame(r, salt)
		if err == nil {
			err = l.take(payload)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.checkpointPath(index), err)
		}
	}
	if l.s.index != index {
		return nil, fmt.Errorf("%w: it is of index %d", errFrame, l.s.index)
	}
	return l.s, nil
}

// verifyCheckpoint reads a checkpoint and keeps nothing. The error is an errFrame where it
// is damaged.
func (m *Machine) verifyCheckpoint(index uint64) error {
	f, err := m.fs.Open(m.checkpointPath(index))
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return err
	}
	r := io.NewSectionReader(f, 0, size)
	salt, err := readCheckpointHeader(r)
	for payload := []byte(nil); err == nil && (len(payload) == 0 || payload[0] != frameEnd); {
		payload, err = readFrame(r, salt)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", m.checkpointPath(index), err)
	}
	return nil
}

func readCheckpointHeader(r io.Reader) (salt uint32, err error) {
	b := make([]byte, checkpointHeader)
	if err := readAll(r, b); err != nil {
		return 0, err
	}
	if string(b[:4]) != checkpointMagic || crc32c.Sum(b[:12]) != binary.LittleEndian.Uint32(b[12:]) {
		return 0, fmt.Errorf("%w: it has no header", errFrame)
	}
	if v := binary.LittleEndian.Uint32(b[4:]); v != checkpointVersion {
		return 0, fmt.Errorf("%w: %d", errNewerCheckpoint, v)
	}
	return binary.LittleEndian.Uint32(b[8:]), nil
}

// readFrame reads a frame's payload. It takes no more memory than the file has
// bytes.
func readFrame(r *io.SectionReader, salt uint32) ([]byte, error) {
	head := make([]byte, frameHeader)
	if err := readAll(r, head); err != nil {
		return nil, err
	}
	at, _ := r.Seek(0, io.SeekCurrent)
	n := int64(binary.LittleEndian.Uint32(head))
	if n > min(maxFrame, r.Size()-at) {
		return nil, fmt.Errorf("%w: a frame is longer than the file", errFrame)
	}
	b := append(make([]byte, 0, frameHeader+n), head...)[:frameHeader+n]
	if err := readAll(r, b[frameHeader:]); err != nil {
		return nil, err
	}
	return payloadOf(b, salt)
}

// readAll fills b. The end of the file is damage.
func readAll(r io.Reader, b []byte) error {
	_, err := io.ReadFull(r, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it is cut short", errFrame)
	}
	return err
}
