package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"

	"qmq/internal/vfs"
	"qmq/state"
)

// replay reads the files back.
type replay struct {
	fs     vfs.FS
	dir    string
	logger *slog.Logger
	dec    *state.Decoder
	found  Found
	// damaged names the files in which something was lost; they are kept for
	// a look when newer ones take their place.
	damaged map[string]bool
	// read is how many bytes of logs were replayed.
	read          int64
	boot, bootNow string // of the file read last, and of the machine
	starting      bool   // a start in that boot is not complete, as far as was read
	// maxIncarnation is what the checkpoint read last says.
	maxIncarnation uint64
	base           uint64 // the checkpoint that was whole; 0: none
	baseSize       int64  // of its file, as far as it is used
	// logs are what was read of logs, by number.
	logs map[uint64]readLog
}

// readLog is a log as it was found.
type readLog struct {
	end       int // of its last whole frame
	salt      uint32
	entries   bool   // it has some
	used      bool   // it has what is synced before anything is written to it
	boot      string // in which it was begun
	told      bool   // it says what was before it:
	before    uint64
	beforeEnd int64
}

func newReplay(fsys vfs.FS, dir, boot string, logger *slog.Logger) *replay {
	return &replay{
		fs: fsys, dir: dir, bootNow: boot, logger: logger,
		dec: state.NewDecoder(), found: Found{State: state.New()}, damaged: make(map[string]bool),
		logs: make(map[uint64]readLog),
	}
}

// run starts from the newest checkpoint that is whole and makes what is above
// it happen again. A damaged checkpoint above it is read as far as it can be,
// in its place among the logs: it says nothing that they do not, unless they
// are damaged too or gone.
func (r *replay) run(l listing) error {
	base, broken, err := r.loadBase(l.checkpoints)
	if err != nil {
		return err
	}
	r.base = base
	numbers := slices.Concat(broken, l.logs)
	slices.Sort(numbers)
	for _, n := range slices.Compact(numbers) {
		if n < base {
			continue
		}
		if slices.Contains(broken, n) {
			if err := r.salvage(n); err != nil {
				return err
			}
		}
		if _, isLog := slices.BinarySearch(l.logs, n); isLog {
			if err := r.log(n); err != nil {
				return err
			}
		}
	}
	if n := r.found.State.Finish(); n > 0 {
		r.logger.Warn("journal: forgot older topics or channels of the same name, whose deletion was lost", "count", n)
	}
	r.conclude(l)
	return nil
}

// conclude says what the files as a whole mean.
func (r *replay) conclude(l listing) {
	r.found.Empty = len(l.logs) == 0 && len(l.checkpoints) == 0
	r.checkChain(l.logs)
	last := r.logs[l.last()]
	if r.found.SameBoot = last.told && r.thisBoot() && !r.starting; !r.found.SameBoot {
		r.found.State.Reboot()
	}
	r.found.Logs = make(map[uint64]FoundLog, len(r.logs))
	for n, log := range r.logs {
		r.found.Logs[n] = FoundLog{End: int64(log.end), Entries: log.entries}
		if log.used {
			r.found.LastLog = max(r.found.LastLog, n)
		}
	}
	for _, n := range slices.Backward(l.logs) {
		if log := r.logs[n]; !log.told || log.boot != r.bootNow {
			break
		}
		r.found.BootLog = n
	}
}

// checkChain finds out whether logs are missing or shorter than they were. A
// checkpoint has a log of its number, and each log names the one before it.
func (r *replay) checkChain(logs []uint64) {
	if _, ok := r.logs[r.base]; !ok && r.base != 0 {
		r.missing(r.base)
	}
	for i, n := range logs {
		l := r.logs[n]
		switch was, ok := r.logs[l.before]; {
		case n <= r.base: // the checkpoint says what was before
		case !l.told || l.before == 0:
			if r.base == 0 && i == 0 && !l.told && l.end > 0 && n != 1 {
				r.missing(n - 1) // or an earlier one: it could not tell yet
			}
		case !ok:
			r.missing(l.before)
		case l.beforeEnd > int64(was.end):
			r.loss(fileName(l.before, logSuffix), span{was.end, int(l.beforeEnd) - was.end}, errors.New("shorter than it was"))
			r.found.Incomplete = true
		}
	}
}

var errMissing = errors.New("the log is missing; what it said is lost")

func (r *replay) missing(log uint64) {
	r.found.Incomplete = true
	name := fileName(log, logSuffix)
	r.found.Damage = append(r.found.Damage, Damage{File: name, Err: errMissing})
	r.logger.Error("journal: a log is missing; what it said is lost", "file", name)
}

// loadBase loads the newest whole checkpoint and returns its number, 0 when there
// is none, and the damaged ones above it.
func (r *replay) loadBase(checkpoints []uint64) (base uint64, broken []uint64, err error) {
	for _, n := range slices.Backward(checkpoints) {
		f, err := r.open(n, checkpointSuffix)
		if err != nil {
			return 0, nil, err
		}
		if f.bytes != nil && whole(f.bytes, f.salt, r.dec) {
			r.scan(f)
			r.baseSize = int64(f.end)
			r.found.Checkpoint, r.found.CheckpointIncarnation = n, r.maxIncarnation
			return n, broken, nil
		}
		broken = append(broken, n)
	}
	return 0, broken, nil
}

// whole says whether a checkpoint has every frame it was written with.
func whole(b []byte, salt uint32, dec *state.Decoder) bool {
	var records uint64
	var last []byte
	lost, _, tail := scan(b, salt, func(_ int, payload []byte) {
		records++
		last = payload
	})
	if len(lost) > 0 || tail > 0 || last == nil || state.KindOf(last) != kindEnd {
		return false
	}
	end, err := decodeEnd(dec, last)
	return err == nil && end.Records == records-1
}

func (r *replay) salvage(n uint64) error {
	f, err := r.open(n, checkpointSuffix)
	if err != nil {
		return err
	}
	r.damaged[f.name] = true
	r.logger.Error("journal: checkpoint is damaged; using older files and what is left of it", "file", f.name)
	if f.bytes != nil {
		r.scan(f)
	}
	return nil
}

func (r *replay) log(n uint64) error {
	lost := r.found.LostBytes
	f, err := r.open(n, logSuffix)
	if err != nil {
		return err
	}
	if f.bytes != nil {
		r.scan(f)
		r.read += int64(f.end - headerSize - f.firstSize)
		f.used = f.told || f.version < firstTold
	}
	r.logs[n] = f.readLog
	if r.found.LostBytes > lost {
		r.found.Incomplete = true
	}
	return nil
}

// source is a file that is being read.
type source struct {
	name      string
	bytes     []byte // nil: nothing in it can be read
	version   uint32
	firstSize int // of the frame with the first record, which says nothing to be kept
	stretches []stretch
	readLog
}

// stretch is a part of a file that was written in one boot of the machine: a log that
// is taken into use again may have several.
type stretch struct {
	off    int // of its first record
	boot   string
	synced int64 // how far the file was synced, as far as it says
}

// begin notes that a stretch begins, unless it is one more of the same boot.
func (f *source) begin(off int, boot string) {
	if n := len(f.stretches); n == 0 || boot == "" || f.stretches[n-1].boot != boot {
		f.stretches = append(f.stretches, stretch{off: off, boot: boot})
	}
}

// unsynced says that what is unreadable from an offset on may be what was not
// synced when power was lost.
func (f *source) unsynced(off int, bootNow string) bool {
	for _, l := range slices.Backward(f.stretches) {
		if l.off < off {
			return int64(off) >= l.synced && (bootNow == "" || l.boot != bootNow)
		}
	}
	return false // nothing tells which boot wrote it
}

// open reads a file whole. It returns nil bytes for one whose header is
// damaged. One shorter than a header, or of zeros, was being created at a crash,
// and nothing was in it.
func (r *replay) open(n uint64, suffix string) (*source, error) {
	f := &source{name: fileName(n, suffix)}
	b, err := vfs.ReadFile(r.fs, filepath.Join(r.dir, f.name), vfs.NoLimit)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", f.name, err)
	}
	if usedEnd(b) == 0 || len(b) < headerSize {
		return f, nil
	}
	f.salt, f.version, err = parseHeader(b)
	if errors.Is(err, errVersion) {
		return nil, fmt.Errorf("reading %s: %w", f.name, err)
	}
	if err != nil {
		r.loss(f.name, span{0, len(b)}, err)
		return f, nil
	}
	f.bytes = b
	return f, nil
}

// scan applies a file's records.
func (r *replay) scan(f *source) {
	if f.version < firstTold {
		r.reboot("") // nobody knows which one
	}
	lost, end, tail := scan(f.bytes, f.salt, func(off int, payload []byte) {
		if err := r.apply(f, off, payload); err != nil {
			r.loss(f.name, span{off, len(payload) + frameHeader}, err)
		}
	})
	for _, s := range lost {
		if f.unsynced(s.off, r.bootNow) {
			r.logger.Warn("journal: ignored what was not synced", "file", f.name, "offset", s.off, "bytes", s.size)
			continue
		}
		r.loss(f.name, s, errors.New("checksum mismatch"))
	}
	f.end = end
	switch {
	case tail == 0:
	case r.thisBoot() && !cutShort(f.bytes[end:end+tail], f.salt):
		r.loss(f.name, span{end, tail}, errors.New("checksum mismatch at its end"))
	default:
		r.logger.Warn("journal: ignored a torn tail", "file", f.name, "offset", f.end, "bytes", tail)
	}
}

// thisBoot says that the machine has not ended since the records that were read
// last were written.
func (r *replay) thisBoot() bool { return r.bootNow != "" && r.boot == r.bootNow }

// reboot notes in which boot of the machine the next records were written.
func (r *replay) reboot(boot string) {
	if boot == "" || boot != r.boot {
		r.found.State.Reboot()
	}
	r.boot = boot
}

func (r *replay) loss(name string, s span, err error) {
	r.damaged[name] = true
	r.found.LostBytes += int64(s.size)
	r.found.Damage = append(r.found.Damage, Damage{File: name, Offset: int64(s.off), Bytes: int64(s.size), Err: err})
	r.logger.Error("journal: damaged; what it said is lost and may be delivered again",
		"file", name, "offset", s.off, "bytes", s.size, "error", err)
}

func (r *replay) apply(f *source, off int, payload []byte) error {
	switch state.KindOf(payload) {
	case kindFirst:
		first, err := decodeFirst(r.dec, payload)
		if err == nil {
			r.reboot(first.Boot)
			r.starting = first.Starting
			f.begin(off, first.Boot)
		}
		if err == nil && !f.told {
			f.told, f.boot, f.before, f.beforeEnd = true, first.Boot, first.Before, first.BeforeEnd
			f.firstSize = frameHeader + len(payload)
		}
		return err
	case state.KindEntries:
		entries, err := r.dec.Entries(payload)
		f.entries = f.entries || len(entries) > 0
		for _, e := range entries {
			r.found.State.Apply(e)
			if t := r.found.State.Topics[e.Topic]; e.Op == state.CreateTopic && f.version < firstTold {
				t.Start = 0 // what its log gave up since then was not told
			}
		}
		return err
	case kindSynced:
		end, err := decodeSynced(r.dec, payload)
		if n := len(f.stretches); n > 0 {
			f.stretches[n-1].synced = max(f.stretches[n-1].synced, end)
		}
		return err
	case state.KindEnds:
		ends, err := r.dec.Ends(payload)
		r.found.State.NoteEnds(ends)
		return err
	case state.KindAcknowledged:
		names, err := r.dec.Acknowledged(payload)
		for _, name := range names {
			r.found.State.Acknowledged[name] = true
		}
		return err
	case state.KindChanges:
		ch, err := r.dec.Changes(payload)
		if err == nil {
			r.found.State.ApplyChanges(ch)
		}
		return err
	case state.KindTopic:
		t, err := r.dec.Topic(payload)
		if err == nil {
			r.found.State.PutTopic(t)
		}
		return err
	case kindEnd:
		end, err := decodeEnd(r.dec, payload)
		r.found.State.MaxIncarnation = max(r.found.State.MaxIncarnation, end.MaxIncarnation)
		r.maxIncarnation = end.MaxIncarnation
		return err
	default:
		return errors.New("unknown kind of record")
	}
}
