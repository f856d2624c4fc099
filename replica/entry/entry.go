// Package entry is the codec of what replicas of a shard agree on: the entries of
// its raft log. It does no I/O, reads no clock and starts no goroutine; nothing in
// it may be used concurrently.
package entry

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"qmq/message"
	"qmq/state"
)

// An entry is its version and sections, each of them at most as often as is said:
//
//	| version u8 = 1 | kind u8 | size uvarint | content | kind u8 | size uvarint | content | …
//
//	kind      content
//	1  term   uvarint                                             once, first
//	2  part   see part.go                                         any number
//	3  change a record of state's KindChanges                     any number
//	4  topology  a record of state's KindEntries                  once
//	5  jump   number uvarint | incarnation uvarint                once
//	6  level  uvarint                                             once
//	7  action see action.go                                       once
//	8  time   uvarint                                             once
//
// They come in this order and are applied in it. There is nothing to skip: what a
// version does not know it must not apply by half.
const version = 1

const (
	sectionTerm = iota + 1
	sectionPart
	sectionChanges
	sectionTopology
	sectionJump
	sectionLevel
	sectionAction
	sectionTime
)

var (
	// ErrUnknownEntry is an entry of a version, or with a section or an operation,
	// that this version does not know. The shard has to stop there.
	ErrUnknownEntry = errors.New("entry of a newer version")
	// ErrMalformed is bytes that are no entry, or no part.
	ErrMalformed = errors.New("malformed entry")
)

// Entry is what replicas of a shard apply as one.
type Entry struct {
	// Term is that of the leader whose serving state Changes, Topology and Action were
	// made from. They do not count if the entry's term in the raft log is another; 0: they
	// were made from none, and count.
	Term     uint64
	Parts    []Part
	Changes  [][]byte // records of state.KindChanges
	Topology []state.Entry
	// Jump passes numbers over in every topic; the zero value none.
	Jump Jump
	// Level raises the shard's feature level, where it is higher.
	Level uint64
	// Action is what somebody asked for; nil: nobody did.
	Action *Action
	// Time is how far the shard's clock has come, ns; 0: that is not said. It goes on with a
	// leader's steady clock, from where it was under the one before, and never back.
	Time int64
}

// Serves says whether there is something in the entry that was made from serving
// state.
func (e *Entry) Serves() bool { return len(e.Changes)+len(e.Topology) > 0 || e.Action != nil }

// Jump is what must not be given out, as it may have been by nodes that are lost.
type Jump struct {
	Number      uint64 // every topic goes on at this number, or above it
	Incarnation uint64 // those that are given out from now on are above it
}

// AppendTo appends the entry's bytes to dst.
func (e *Entry) AppendTo(dst []byte) []byte {
	dst = append(dst, version)
	if e.Term != 0 {
		dst = appendNumbers(dst, sectionTerm, e.Term)
	}
	for i := range e.Parts {
		dst = append(dst, sectionPart)
		dst = binary.AppendUvarint(dst, uint64(e.Parts[i].Size()))
		dst = e.Parts[i].AppendTo(dst)
	}
	for _, record := range e.Changes {
		dst = appendSection(dst, sectionChanges, record)
	}
	if len(e.Topology) > 0 {
		dst = appendSection(dst, sectionTopology, state.NewEncoder().Entries(e.Topology))
	}
	if e.Jump != (Jump{}) {
		dst = appendNumbers(dst, sectionJump, e.Jump.Number, e.Jump.Incarnation)
	}
	if e.Level != 0 {
		dst = appendNumbers(dst, sectionLevel, e.Level)
	}
	if e.Action != nil {
		dst = appendSection(dst, sectionAction, e.Action.AppendTo(nil))
	}
	if e.Time != 0 {
		dst = appendNumbers(dst, sectionTime, uint64(e.Time))
	}
	return dst
}

func appendSection(dst []byte, kind byte, content []byte) []byte {
	dst = append(dst, kind)
	dst = binary.AppendUvarint(dst, uint64(len(content)))
	return append(dst, content...)
}

func appendNumbers(dst []byte, kind byte, numbers ...uint64) []byte {
	var buf [2 * binary.MaxVarintLen64]byte
	content := buf[:0]
	for _, n := range numbers {
		content = binary.AppendUvarint(content, n)
	}
	return appendSection(dst, kind, content)
}

// Decode reads an entry, which uses the memory of b. Checksums of parts are
// verified; their records are not looked at, nor are the records of changes
// decoded. The error is an ErrUnknownEntry or an ErrMalformed.
func Decode(b []byte) (*Entry, error) {
	if len(b) == 0 {
		return nil, fmt.Errorf("%w: it is empty", ErrMalformed)
	}
	if b[0] != version {
		return nil, fmt.Errorf("%w: version %d", ErrUnknownEntry, b[0])
	}
	e, before := new(Entry), byte(0)
	for b = b[1:]; len(b) > 0; {
		kind := b[0]
		size, n := binary.Uvarint(b[1:])
		if n <= 0 || size > uint64(len(b)-1-n) {
			return nil, fmt.Errorf("%w: a section is cut short", ErrMalformed)
		}
		content := b[1+n:][:size:size]
		if kind < before || kind == before && kind != sectionPart && kind != sectionChanges {
			return nil, fmt.Errorf("%w: sections are out of order", ErrMalformed)
		}
		if err := e.take(kind, content); err != nil {
			return nil, err
		}
		b, before = b[1+n+int(size):], kind
	}
	return e, nil
}

// take adds a section.
func (e *Entry) take(kind byte, content []byte) (err error) {
	switch kind {
	case sectionTerm:
		err = numbers(content, &e.Term)
	case sectionPart:
		var p Part
		p, err = DecodePart(content)
		e.Parts = append(e.Parts, p)
	case sectionChanges:
		if !state.KnowsChanges(content) {
			return fmt.Errorf("%w: changes", ErrUnknownEntry)
		}
		e.Changes = append(e.Changes, content)
	case sectionTopology:
		e.Topology, err = decodeTopology(content)
	case sectionJump:
		err = numbers(content, &e.Jump.Number, &e.Jump.Incarnation)
		if err == nil && e.Jump.Number > message.MaxSeq {
			err = fmt.Errorf("%w: jump to %d", ErrMalformed, e.Jump.Number)
		}
	case sectionLevel:
		err = numbers(content, &e.Level)
	case sectionAction:
		err = e.takeAction(content)
	case sectionTime:
		err = e.takeTime(content)
	default:
		err = fmt.Errorf("%w: section %d", ErrUnknownEntry, kind)
	}
	return err
}

func (e *Entry) takeAction(content []byte) error {
	a, rest, err := DecodeAction(content)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%w: an action says more", ErrUnknownEntry)
	}
	e.Action = &a
	return err
}

func (e *Entry) takeTime(content []byte) error {
	var at uint64
	err := numbers(content, &at)
	if err == nil && (at == 0 || at > math.MaxInt64) {
		err = fmt.Errorf("%w: time %d", ErrMalformed, at)
	}
	e.Time = int64(at)
	return err
}

// numbers reads a section of exactly so many numbers.
func numbers(b []byte, into ...*uint64) error {
	for _, n := range into {
		v, size := binary.Uvarint(b)
		if size <= 0 {
			return fmt.Errorf("%w: a number is cut short", ErrMalformed)
		}
		*n, b = v, b[size:]
	}
	if len(b) > 0 {
		return fmt.Errorf("%w: a section is too long", ErrMalformed)
	}
	return nil
}

// decodeTopology reads a record of entries that this version knows all of: its
// codec would skip what it does not, so the record has to be as that would write it.
func decodeTopology(record []byte) ([]state.Entry, error) {
	if len(record) < 2 || state.KindOf(record) != state.KindEntries {
		return nil, fmt.Errorf("%w: no record of entries", ErrMalformed)
	}
	list, err := state.NewDecoder().Entries(record)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if string(state.NewEncoder().Entries(list)) != string(record) {
		return nil, fmt.Errorf("%w: entries say more", ErrUnknownEntry)
	}
	for _, x := range list {
		if !x.Op.Known() {
			return nil, fmt.Errorf("%w: operation %d", ErrUnknownEntry, x.Op)
		}
		if max(x.Start, x.FanOut, x.Void.From, x.Void.To) > message.MaxSeq {
			return nil, fmt.Errorf("%w: numbers above the largest", ErrMalformed)
		}
	}
	return list, nil
}
