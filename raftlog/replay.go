package raftlog

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"qmq/internal/vfs"
)

// replay reads the files of a log, and changes nothing.
type replay struct {
	fs  vfs.FS
	dir string
	own *Options // nil: of any node

	files   map[uint64]*segment // all with the name of a segment and a good header
	number  uint64              // of the next file
	spares  []string            // paths
	flaws   []Finding           // of headers that have a good copy
	owner   header              // of any of them
	chain   []*segment          // those that make up the log, oldest first
	begins  map[*segment]begin
	unbegun []*segment // newer ones: prepared, or with a first write that was cut off
	spoilt  []*segment // of them, and of those that had begun: what is in them is kept
	shards  map[uint32]*shardLog
	session session
	closed  bool
	sure    int64 // of the last one: what was synced when its last update was written
	clean   bool  // it ends as the last write left it
	sc      scanner
	Recovered
}

// damageError is what makes a log one that cannot be trusted.
type damageError struct{ Finding }

func (e *damageError) Error() string { return e.Finding.String() }

func damage(g *segment, offset int64, format string, args ...any) error {
	return &damageError{Finding{Path: g.path, Offset: offset, Err: fmt.Errorf(format, args...)}}
}

// read reads all. Its error is one of the medium, ErrForeign or ErrNewer; damage
// is told in Recovered.
func (r *replay) read() error {
	r.files, r.begins = make(map[uint64]*segment), make(map[*segment]begin)
	r.shards = make(map[uint32]*shardLog)
	r.number = 1
	err := r.list()
	if err == nil {
		err = r.chainFiles()
	}
	if err == nil {
		err = r.replay()
	}
	if err == nil {
		err = r.judgeUnbegun()
	}
	var d *damageError
	if errors.As(err, &d) {
		r.Damaged = append(r.Damaged, d.Finding)
		err = nil
	}
	r.Short = r.Torn != nil || r.session.short
	r.New = len(r.chain) == 0 && len(r.Damaged) == 0
	r.Clean = r.closed && r.clean && !r.Forgetful()
	return err
}

// list opens all segments and reads their headers.
func (r *replay) list() error {
	entries, err := r.fs.ReadDir(r.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(r.dir, e.Name())
		if n, ok := numberOf(e.Name(), spareSuffix); ok {
			r.spares = append(r.spares, path)
			r.number = max(r.number, n+1)
		}
		n, ok := numberOf(e.Name(), segmentSuffix)
		if !ok {
			continue
		}
		r.number = max(r.number, n+1)
		if err := r.open(n, path); err != nil {
			return err
		}
	}
	return nil
}

func (r *replay) open(number uint64, path string) error {
	f, err := r.fs.Open(path)
	if err != nil {
		return err
	}
	g := &segment{path: path, f: f, end: firstRecord, synced: firstRecord}
	r.files[number] = g // to be closed
	if g.room, err = f.Size(); err != nil {
		return err
	}
	h, flaw, err := readHeader(f)
	switch {
	case err != nil && !isMedium(err) && !errors.Is(err, ErrNewer):
		return damage(g, 0, "%w", err)
	case err != nil:
		return fmt.Errorf("%s: %w", path, err)
	case h.number != number:
		return damage(g, 0, "its header says that it is number %d", h.number)
	case h.size > g.room:
		return damage(g, g.room, "it is cut off: it was made %d bytes long", h.size)
	case r.own != nil && (h.cluster != r.own.Cluster || h.node != r.own.Node):
		return fmt.Errorf("%s: %w: cluster %x, node %x", path, ErrForeign, h.cluster, h.node)
	}
	if flaw != nil {
		r.flaws = append(r.flaws, Finding{Path: path, Err: flaw})
	}
	g.header, r.owner = h, h
	return nil
}

// chainFiles finds which of the files make up the log: the newest that has begun, and
// those that follow one another up to it.
func (r *replay) chainFiles() error {
	numbers := slices.Sorted(maps.Keys(r.files))
	for _, n := range slices.Backward(numbers) {
		g := r.files[n]
		b, err := r.readBegin(g)
		if err != nil {
			return err
		}
		switch {
		case b == nil && len(r.chain) == 0:
			r.unbegun = append(r.unbegun, g)
		case b != nil && (len(r.chain) == 0 || r.begins[r.chain[0]].previous == n):
			r.begins[g] = *b
			r.chain = slices.Insert(r.chain, 0, g)
		}
	}
	if len(r.chain) == 0 {
		return nil
	}
	first := r.chain[0]
	for _, n := range numbers {
		if n > r.begins[first].previous {
			break
		}
		rest, err := r.lookAtUnbegun(r.files[n])
		if err != nil {
			return err
		}
		if rest.torn() { // or else it was prepared, and given up for an error
			return damage(first, firstRecord, "number %d, which it follows, is missing or damaged", r.begins[first].previous)
		}
	}
	return nil
}

// readBegin is what a segment's first update says; nil: it has none.
func (r *replay) readBegin(g *segment) (*begin, error) {
	r.sc = scanner{f: g.f, salt: g.salt, limit: g.room, buf: r.sc.buf[:0]}
	facts, _, _, err := r.sc.update(firstRecord)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", g.path, err)
	}
	if len(facts) == 0 {
		return nil, nil
	}
	if facts[0].kind != kindBegin {
		return nil, damage(g, firstRecord, "it does not begin as a segment")
	}
	return &facts[0].begin, nil
}

// judgeUnbegun looks at the files behind the log: they are prepared, or power
// failed while the first write to one was under way.
func (r *replay) judgeUnbegun() error {
	for _, g := range r.unbegun {
		rest, err := r.lookAtUnbegun(g)
		if err != nil {
			return err
		}
		if rest.damaged() {
			return damage(g, rest.bad, "bad record before others")
		}
		if rest.torn() {
			r.Torn = &Torn{g.path, firstRecord}
			r.spoilt = append(r.spoilt, g)
		}
		if rest.behind && r.session.noSync {
			r.doubt(g, rest.bad)
		}
	}
	return nil
}

// lookAtUnbegun tells what stands where a segment should begin.
func (r *replay) lookAtUnbegun(g *segment) (rest, error) {
	r.sc = scanner{f: g.f, salt: g.salt, limit: g.room, buf: r.sc.buf[:0]}
	_, _, bad, err := r.sc.update(firstRecord)
	if err != nil {
		return rest{}, fmt.Errorf("%s: %w", g.path, err)
	}
	found, err := r.sc.look(firstRecord, bad)
	if err != nil {
		err = fmt.Errorf("%s: %w", g.path, err)
	}
	return found, err
}

func (r *replay) doubt(g *segment, at int64) {
	r.Doubt = fmt.Sprintf("%s: what was written without syncs is missing from offset %d on", g.path, at)
}

// replay takes up what the files of the log say.
func (r *replay) replay() error {
	for i, g := range r.chain {
		limit := g.room
		if i+1 < len(r.chain) {
			limit = r.begins[r.chain[i+1]].end
		}
		if limit < firstRecord || limit > g.room {
			return damage(r.chain[i+1], firstRecord, "it follows offset %d of %s", limit, g.path)
		}
		whole, err := r.segment(g, limit, i+1 == len(r.chain))
		if err != nil {
			return err
		}
		if !whole {
			r.spoilt = append(r.spoilt, r.chain[i+1:]...)
			r.chain = r.chain[:i+1]
			break
		}
		if i+1 < len(r.chain) {
			g.lasts = lasts(r.shards)
		}
	}
	for id, s := range r.shards {
		if s.under.index > 0 {
			return damage(r.chain[len(r.chain)-1], 0, "the log of shard %d ends at %d, it begins behind %d", id, s.under.index, s.base.index)
		}
	}
	return nil
}

// segment replays one file up to limit. It returns false where what was written
// without syncs is missing.
func (r *replay) segment(g *segment, limit int64, last bool) (whole bool, err error) {
	r.sc = scanner{f: g.f, salt: g.salt, limit: limit, buf: r.sc.buf[:0]}
	r.sure = firstRecord
	for g.end < limit {
		facts, synced, next, err := r.sc.update(g.end)
		if err != nil {
			return false, fmt.Errorf("%s: %w", g.path, err)
		}
		if len(facts) == 0 {
			return r.ends(g, next, last)
		}
		for _, f := range facts {
			if err := r.take(g, f); err != nil {
				return false, damage(g, g.end, "%w", err)
			}
		}
		g.end, r.sure = next, max(r.sure, synced)
	}
	r.clean = true
	return true, nil
}

// ends judges that no whole update stands where the last one ended, because of
// the record at bad.
func (r *replay) ends(g *segment, bad int64, last bool) (whole bool, err error) {
	if !last {
		if !r.session.noSync {
			return false, damage(g, bad, "bad record before others")
		}
		r.doubt(g, bad)
		r.clean = false
		return false, nil
	}
	rest, err := r.sc.look(g.end, bad)
	if err != nil {
		return false, fmt.Errorf("%s: %w", g.path, err)
	}
	switch {
	case rest.damaged():
		return false, damage(g, bad, "bad record before others")
	case rest.behind && r.session.noSync:
		r.doubt(g, bad)
	}
	if r.clean = !rest.torn(); !r.clean {
		r.Torn = &Torn{g.path, g.end}
	}
	return true, nil
}

var errDiffers = errors.New("what a shard is differs from what the files before have come to")

// take takes one fact up.
func (r *replay) take(g *segment, f fact) error {
	switch f.kind {
	case kindBegin:
		r.session = f.begin.session
		return nil
	case kindOpened:
		r.session, r.closed = f.session, false
		return nil
	case kindClosed:
		r.closed = true
		return nil
	}
	s := r.shards[f.shard]
	if s == nil {
		s = new(shardLog)
		r.shards[f.shard] = s
		if f.kind == kindState && g == r.chain[0] {
			s.restart(f.at, f.members)
			s.hard = f.hard
		}
	}
	switch f.kind {
	case kindState: // commit may have moved without a sync
		if s.end() != f.at || s.hard.term != f.hard.term || s.hard.vote != f.hard.vote {
			return fmt.Errorf("shard %d: %w", f.shard, errDiffers)
		}
		s.hard = f.hard
	case kindEntry:
		return s.append(f.at, g, f.place)
	case kindHardState:
		s.hard = f.hard
	case kindSnapshot:
		s.restart(f.at, f.members)
		for _, older := range r.chain {
			delete(older.lasts, f.shard)
		}
	}
	return nil
}

func lasts(shards map[uint32]*shardLog) map[uint32]uint64 {
	m := make(map[uint32]uint64, len(shards))
	for id, s := range shards {
		m[id] = s.last()
	}
	return m
}

// close closes the files but for those that the log takes over.
func (r *replay) close(kept []*segment) {
	for _, g := range r.files {
		if !slices.Contains(kept, g) && g.f != nil {
			g.f.Close() // it was only read
			g.f = nil
		}
	}
}
