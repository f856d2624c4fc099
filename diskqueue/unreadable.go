package diskqueue

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"qmq/internal/seqset"
)

const (
	// defaultReadTimeout is how long what cannot be read is tried again.
	defaultReadTimeout = 30 * time.Second
	// deadReadFactor is how many times longer it is where nothing at all can be
	// read: a device that is gone may come back as it was.
	deadReadFactor = 10
)

// failure is a stretch of a segment that the medium does not give.
type failure struct {
	from        uint64 // its first record
	since, last time.Time
}

// givesUp notes that the records from one on cannot be read, and says whether
// that has gone on for too long. alive says that others next to them can.
func (l *Log) givesUp(s *segment, from uint64, alive bool) bool {
	timeout := cmp.Or(l.o.ReadTimeout, defaultReadTimeout)
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	// Who has not looked for long does not know whether it failed all the time.
	s.failures = slices.DeleteFunc(s.failures, func(f failure) bool { return now.Sub(f.last) > timeout })
	i := slices.IndexFunc(s.failures, func(f failure) bool { return f.from == from })
	if i < 0 {
		s.failures = append(s.failures, failure{from: from, since: now, last: now})
		return false
	}
	s.failures[i].last = now
	if !alive {
		timeout *= deadReadFactor
	}
	return now.Sub(s.failures[i].since) >= timeout
}

// setDamage changes the list of damaged stretches of a segment. The caller holds
// l.mu.
func (l *Log) setDamage(s *segment, list []damage) {
	s.damaged = list
	if s != l.active {
		s.fix()
	}
}

// lose makes a stretch of a segment damage, and reports it.
func (l *Log) lose(s *segment, d damage, f io.ReaderAt, why error) (damage, error) {
	l.mu.Lock()
	left := d.from >= s.end || l.left(s) // and cut off while it was read
	known, was := s.damageAt(d.from)
	if !was && !left {
		list := append(slices.Clone(s.damaged), d)
		slices.SortFunc(list, func(a, b damage) int { return cmp.Compare(a.from, b.from) })
		l.setDamage(s, list)
	}
	l.mu.Unlock()
	switch {
	case left:
		return damage{}, ErrNotFound
	case was:
		return known, nil
	}
	found := Finding{Kind: Damaged, Path: s.path, Range: d.numbers(), Lost: d.to - d.from, Err: why}
	if why != errBadRecords {
		found.Kind = Unreadable
	}
	found.Copy = l.keep(s.path, d.offset, d.resume, f)
	l.found(found)
	return d, nil
}

// unopened is what reading a segment says whose file cannot be opened. When
// that has gone on for too long, all of it is damage.
func (l *Log) unopened(s *segment, err error) error {
	gone := isNotExist(err)
	switch {
	case errors.Is(err, ErrNotFound):
		return err
	case !gone && !ofMedium(err):
		return fmt.Errorf("open %s: %w", s.path, bare(err))
	}
	l.mu.Lock()
	whole := damage{from: s.base, to: s.end, offset: s.start, resume: s.size}
	l.mu.Unlock()
	if !l.givesUp(s, s.base, gone) {
		return &UnreadableError{Path: s.path, From: whole.from, To: whole.to, Err: bare(err)}
	}
	l.mu.Lock()
	whole.to = s.end
	found := Finding{Kind: Unreadable, Path: s.path, Range: whole.numbers(), Err: bare(err)}
	if gone {
		found.Kind = Missing
	}
	var before []seqset.Range
	for _, d := range s.damaged {
		before = append(before, d.numbers())
	}
	for _, r := range seqset.Difference([]seqset.Range{whole.numbers()}, before) {
		found.Lost += r.Len()
	}
	l.setDamage(s, []damage{whole})
	l.mu.Unlock()
	if found.Lost > 0 {
		l.found(found)
	}
	return &DamageError{Path: s.path, From: whole.from, To: whole.to}
}
