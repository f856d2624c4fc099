package machine

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"

	"qmq/internal/crc32c"
	"qmq/state"
)

// A checkpoint and a snapshot are made of frames:
//
//	0         4         8
//	| len u32 | crc u32 | payload, len bytes |
//
// where crc is the CRC-32C of the payload, seeded with the file's salt, or with 0
// in a snapshot. The first byte of a payload is its kind; numbers are uvarints:
//
//	1 shard    shard, index, term, top, max incarnation, level,
//	           ids, each of them, members (the rest)                                   the first frame
//	2 topic    next, messages, bytes, rows, (member, epoch, last) of each, channels, (incarnation, version, missed) of each,
//	           a record of state's KindTopic (the rest)
//	3 channel  a record of state's KindChanges: a piece of the state of a channel of the last topic
//	4 records  topic, first, records as in diskqueue/neutral.go (the rest)              in snapshots alone
//	5 end      how many frames are before it                                            the last frame
//	6 asked    how many, as many of replica/entry's actions: one, and through whom      behind the first frame
//	7 ids      entries as internal/dedup draws them, oldest first: by which doubles of the last topic are known
//	8 time     how far the shard's clock has come, ns, if it has begun                behind the first frame
//	9 sealed   see sealed.go                                                               in snapshots for who takes it
//
// Topics and channels are in the order of their incarnations.
const (
	frameShard = iota + 1
	frameTopic
	frameChannel
	frameRecords
	frameEnd
	frameAsked
	frameIDs
	frameTime
	frameSealed
)

const (
	frameHeader = 8
	maxFrame    = 1 << 30
	// pieceLen is how many ranges and open messages a frame of a channel holds.
	pieceLen = 16 << 10
)

// errFrame is bytes that are not what was written as a checkpoint or a snapshot.
var errFrame = errors.New("damaged")

func appendFrame(dst []byte, salt uint32, payload []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(payload)))
	dst = binary.LittleEndian.AppendUint32(dst, crc32c.Update(salt, payload))
	return append(dst, payload...)
}

// payloadOf is the payload of the frame that b is.
func payloadOf(b []byte, salt uint32) ([]byte, error) {
	if len(b) <= frameHeader || uint64(binary.LittleEndian.Uint32(b)) != uint64(len(b)-frameHeader) ||
		crc32c.Update(salt, summed(b[frameHeader:])) != binary.LittleEndian.Uint32(b[4:]) {
		return nil, fmt.Errorf("%w: a frame's length or checksum is wrong", errFrame)
	}
	return b[frameHeader:], nil
}

// summed is what the checksum of a frame is of.
func summed(payload []byte) []byte {
	if payload[0] == frameSealed {
		return payload[:min(len(payload), sealedHeadLen)]
	}
	return payload
}

// frames are the payloads that tell the state, but for the end. One is valid until
// the next.
func (f *frozen) frames(shard uint32) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		w := frameWriter{enc: state.NewEncoder(), yield: yield}
		slices.SortFunc(f.topics, func(a, b topic) int { return cmp.Compare(a.st.Incarnation, b.st.Incarnation) })
		if !w.shard(shard, f) || !w.time(f.shard.time) || !w.asked(f.shard.asked) {
			return
		}
		for i := range f.topics {
			if !w.topic(&f.topics[i]) {
				return
			}
		}
	}
}

type frameWriter struct {
	enc   *state.Encoder
	buf   []byte
	yield func([]byte) bool
}

// begin begins a payload.
func (w *frameWriter) begin(kind byte, numbers ...uint64) {
	w.buf = append(w.buf[:0], kind)
	w.add(numbers...)
}

func (w *frameWriter) add(numbers ...uint64) {
	for _, n := range numbers {
		w.buf = binary.AppendUvarint(w.buf, n)
	}
}

func (w *frameWriter) end(rest []byte) bool {
	w.buf = append(w.buf, rest...)
	return w.yield(w.buf)
}

func (w *frameWriter) shard(id uint32, f *frozen) bool {
	s := &f.shard
	w.begin(frameShard, uint64(id), s.index, s.term, s.top, f.most, s.level, uint64(len(s.ids)))
	w.add(s.ids...)
	return w.end(s.members)
}

func (w *frameWriter) time(at int64) bool {
	if at == 0 {
		return true
	}
	w.begin(frameTime, uint64(at))
	return w.end(nil)
}

func (w *frameWriter) topic(t *topic) bool {
	w.begin(frameTopic, t.next, t.messages, t.bytes, uint64(len(t.rows)))
	for _, r := range t.rows {
		w.add(r.Member, r.Epoch, r.Last)
	}
	channels := slices.Sorted(maps.Keys(t.st.Channels))
	w.add(uint64(len(channels)))
	for _, id := range channels {
		w.add(id, t.st.Channels[id].Version, t.st.Channels[id].Missed)
	}
	if !w.end(w.enc.Topic(t.st)) {
		return false
	}
	for _, id := range channels {
		err := t.st.Channels[id].Pieces(t.st.Incarnation, pieceLen, func(ch state.ChannelChanges) error {
			w.begin(frameChannel)
			if !w.end(w.enc.Changes(ch)) {
				return errStopped
			}
			return nil
		})
		if err != nil {
			return false
		}
	}
	return w.ids(t.span)
}

var errStopped = errors.New("nobody wants more")

// resumed is what is to be set of a channel once its pieces are applied.
type resumed struct{ version, emptied, missed uint64 }

// loader makes a state of frames.
type loader struct {
	id       uint32 // of the shard
	s        *shard
	dec      *state.Decoder
	most     uint64
	channels map[uint64]resumed // those of the last topic
	last     *topic
	frames   uint64
	ended    bool
}

func newLoader(shard uint32) *loader { return &loader{id: shard, dec: state.NewDecoder()} }

// take takes a payload in: it looks at everything before it believes anything.
func (l *loader) take(payload []byte) error {
	if l.ended || len(payload) == 0 || (l.s == nil) != (payload[0] == frameShard) {
		return fmt.Errorf("%w: a frame is out of place", errFrame)
	}
	l.frames++
	r := numberReader{b: payload[1:]}
	switch payload[0] {
	case frameShard:
		return l.takeShard(r)
	case frameTopic:
		return l.takeTopic(r)
	case frameChannel:
		return l.takeChannel(r.b)
	case frameAsked:
		return l.takeAsked(r.b)
	case frameIDs:
		return l.takeIDs(r.b)
	case frameTime:
		return l.takeTime(r)
	case frameEnd:
		if n := r.next(); r.failed || len(r.b) > 0 || n != l.frames-1 {
			return fmt.Errorf("%w: frames are missing", errFrame)
		}
		l.finish()
		return nil
	}
	return fmt.Errorf("%w: a frame of kind %d", errFrame, payload[0])
}

func (l *loader) takeShard(r numberReader) error {
	s, id := newShard(), r.next()
	s.index, s.term, s.top = r.next(), r.next(), r.next()
	l.most, s.level = r.next(), r.next()
	for n := r.next(); n > 0 && !r.failed; n-- {
		s.ids = append(s.ids, r.next())
	}
	if s.members = slices.Clone(r.b); r.failed || id != uint64(l.id) {
		return fmt.Errorf("%w: it is of shard %d", errFrame, id)
	}
	l.s = s
	return nil
}

func (l *loader) takeTime(r numberReader) error {
	at := r.next()
	if r.failed || len(r.b) > 0 || at > math.MaxInt64 {
		return fmt.Errorf("%w: the shard's time", errFrame)
	}
	l.s.time = int64(at)
	return nil
}

func (l *loader) takeTopic(r numberReader) error {
	t := &topic{next: r.next(), messages: r.next(), bytes: r.next()}
	for n := r.next(); n > 0 && !r.failed; n-- {
		t.rows = append(t.rows, Row{r.next(), r.next(), r.next()})
	}
	channels := make(map[uint64]resumed)
	for n := r.next(); n > 0 && !r.failed; n-- {
		id := r.next()
		channels[id] = resumed{version: r.next(), missed: r.next()}
	}
	if r.failed || len(r.b) < 2 || state.KindOf(r.b) != state.KindTopic {
		return fmt.Errorf("%w: a topic is cut short", errFrame)
	}
	st, err := l.dec.Topic(r.b)
	if err != nil {
		return fmt.Errorf("%w: %w", errFrame, err)
	}
	if _, taken := l.s.names[st.Name]; taken || l.s.topics[st.Incarnation] != nil || !keepable(st.Name) || t.next == 0 {
		return fmt.Errorf("%w: topic %q", errFrame, st.Name)
	}
	l.complete()
	l.s.st.PutTopic(st)
	t.st, l.last, l.channels = st, t, make(map[uint64]resumed)
	for id, c := range st.Channels {
		l.channels[id] = resumed{channels[id].version, c.Emptied(), channels[id].missed}
	}
	l.s.add(t)
	return nil
}

func (l *loader) takeChannel(record []byte) error {
	if !state.KnowsChanges(record) {
		return fmt.Errorf("%w: state of a channel", errFrame)
	}
	ch, err := l.dec.Changes(record)
	if err != nil {
		return fmt.Errorf("%w: %w", errFrame, err)
	}
	if l.last == nil || ch.Topic != l.last.st.Incarnation || l.last.st.Channels[ch.Channel] == nil {
		return fmt.Errorf("%w: state of channel %016x", errFrame, ch.Channel)
	}
	l.s.st.ApplyChanges(ch)
	return nil
}

// complete sets what the pieces of the last topic's channels do not say.
func (l *loader) complete() {
	for id, was := range l.channels {
		c := l.last.st.Channels[id]
		c.Resume(was.version, was.emptied)
		c.Missed = was.missed
	}
}

func (l *loader) finish() {
	l.complete()
	l.s.st.MaxIncarnation = max(l.s.st.MaxIncarnation, l.most)
	l.ended = true
}

// numberReader reads uvarints; failed says that one was not there.
type numberReader struct {
	b      []byte
	failed bool
}

func (r *numberReader) next() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.failed = true
		return 0
	}
	r.b = r.b[size:]
	return n
}
