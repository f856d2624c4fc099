package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"

	"qmq/internal/vfs"
)

// replay reads the files back into a State.
type replay struct {
	fs     vfs.FS
	dir    string
	logger *slog.Logger
	dec    *decoder
	state  *State
	// damaged names the files in which something was lost; they are kept for
	// a look when newer ones take their place.
	damaged map[string]bool
	// read is how many bytes of logs were replayed.
	read int64
}

func newReplay(fsys vfs.FS, dir string, logger *slog.Logger) *replay {
	return &replay{
		fs: fsys, dir: dir, logger: logger,
		dec: newDecoder(), state: newState(), damaged: make(map[string]bool),
	}
}

// run starts from the newest checkpoint that is whole and makes what is above
// it happen again. A damaged checkpoint above it is read as far as it can be,
// in its place among the logs: it says nothing that they do not, unless they
// are damaged too or gone.
func (r *replay) run(l listing) error {
	base, broken, err := r.base(l.checkpoints)
	if err != nil {
		return err
	}
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
	if n := r.state.unite(); n > 0 {
		r.logger.Warn("journal: forgot older topics or channels of the same name, whose deletion was lost", "count", n)
	}
	for _, t := range r.state.Topics {
		for _, c := range t.Channels {
			c.materialise()
		}
	}
	return nil
}

// base loads the newest whole checkpoint and returns its number, 0 when there
// is none, and the damaged ones above it.
func (r *replay) base(checkpoints []uint64) (base uint64, broken []uint64, err error) {
	for _, n := range slices.Backward(checkpoints) {
		b, salt, err := r.open(n, checkpointSuffix)
		if err != nil {
			return 0, nil, err
		}
		if b != nil && whole(b, salt, r.dec) {
			r.scan(fileName(n, checkpointSuffix), b, salt)
			return n, broken, nil
		}
		broken = append(broken, n)
	}
	return 0, broken, nil
}

// whole says whether a checkpoint has every frame it was written with.
func whole(b []byte, salt uint32, dec *decoder) bool {
	var records uint64
	var last []byte
	lost, tail := scan(b, salt, func(_ int, payload []byte) {
		records++
		last = payload
	})
	if len(lost) > 0 || tail > 0 || last == nil || kind(last[1]) != kindEnd {
		return false
	}
	end, err := dec.endOf(last)
	return err == nil && end.Records == records-1
}

func (r *replay) salvage(n uint64) error {
	b, salt, err := r.open(n, checkpointSuffix)
	if err != nil {
		return err
	}
	name := fileName(n, checkpointSuffix)
	r.damaged[name] = true
	r.logger.Error("journal: checkpoint is damaged; using older files and what is left of it", "file", name)
	if b != nil {
		r.scan(name, b, salt)
	}
	return nil
}

func (r *replay) log(n uint64) error {
	b, salt, err := r.open(n, logSuffix)
	if err != nil {
		return err
	}
	if b != nil {
		r.read += int64(len(b) - headerSize)
		r.scan(fileName(n, logSuffix), b, salt)
	}
	return nil
}

// open reads a file whole. It returns nil bytes for one whose header is
// damaged. One shorter than a header was being created at a crash, and nothing
// was in it.
func (r *replay) open(n uint64, suffix string) (b []byte, salt uint32, err error) {
	name := fileName(n, suffix)
	b, err = readFile(r.fs, filepath.Join(r.dir, name))
	if err != nil {
		return nil, 0, fmt.Errorf("reading %s: %w", name, err)
	}
	if len(b) < headerSize {
		return nil, 0, nil
	}
	salt, err = parseHeader(b)
	if errors.Is(err, errVersion) {
		return nil, 0, fmt.Errorf("reading %s: %w", name, err)
	}
	if err != nil {
		r.loss(name, span{0, len(b)}, err)
		return nil, 0, nil
	}
	return b, salt, nil
}

// scan applies a file's records.
func (r *replay) scan(name string, b []byte, salt uint32) {
	lost, tail := scan(b, salt, func(off int, payload []byte) {
		if err := r.apply(payload); err != nil {
			r.loss(name, span{off, len(payload) + frameHeader}, err)
		}
	})
	for _, s := range lost {
		r.loss(name, s, errors.New("checksum mismatch"))
	}
	if tail > 0 {
		r.logger.Warn("journal: ignored a torn tail", "file", name, "offset", len(b)-tail, "bytes", tail)
	}
}

func (r *replay) loss(name string, s span, err error) {
	r.damaged[name] = true
	r.state.LostBytes += int64(s.size)
	r.logger.Error("journal: damaged; what it said is lost and may be delivered again",
		"file", name, "offset", s.off, "bytes", s.size, "error", err)
}

func (r *replay) apply(payload []byte) error {
	switch kind(payload[1]) {
	case kindEntries:
		entries, err := r.dec.entries(payload)
		for _, e := range entries {
			r.state.apply(e)
		}
		return err
	case kindChanges:
		ch, err := r.dec.changes(payload)
		if err == nil {
			r.state.changes(ch)
		}
		return err
	case kindTopic:
		t, err := r.dec.topicState(payload)
		if err == nil {
			r.state.replaceTopic(t)
		}
		return err
	case kindEnd:
		end, err := r.dec.endOf(payload)
		r.state.seen(end.MaxIncarnation)
		return err
	default:
		return errors.New("unknown kind of record")
	}
}

// replaceTopic takes a checkpoint's word for a topic and its channels. What is
// known of the state of those that stay is kept: it comes in records of its own.
func (st *State) replaceTopic(t *TopicState) {
	st.seen(t.Incarnation)
	old := st.Topics[t.Incarnation]
	st.Topics[t.Incarnation] = t
	for id, c := range t.Channels {
		st.seen(id)
		if old == nil || old.Channels[id] == nil {
			continue
		}
		was := old.Channels[id]
		was.Name, was.Paused, was.Start = c.Name, c.Paused, c.Start
		was.raise(c.done)
		t.Channels[id] = was
	}
}
