package relay

import (
	"encoding/binary"
	"errors"
	"math"

	"qmq/channel"
	"qmq/internal/seqset"
	"qmq/message"
)

// Frames go between the node of a client and the leader of its topic. All begin with
// a kind. Numbers are little-endian; a consumer is named by a number that its node
// gives anew each time it attaches it.
//
// From the node to the leader:
//
//	         0      1          9
//	open    │ kind │ consumer │ term u64 │ window u32 │ generation u32 │ ready i64 │
//	        │ timeout i64 (ns) │ flags u8 │ sample u8 │ locality u8 │
//	        │ len u8, topic │ len u8, channel │ claims │
//	ready   │ kind │ consumer │ generation u32 │ ready i64 │
//	answers │ kind │ consumer │ n × answer │
//	taken   │ kind │ consumer │ bytes u32 │
//	close   │ kind │ consumer │
//	claimed │ kind │ shard u32 │ term u64 │
//
//	answer   op u8 │ message id u64 │ of a requeue: delay i64 (ns)
//	claims   incarnation u64 │ n u32, n × from u64, to u64 │ done
//	         n u32, n × seq u64, attempts u16, due i64 (ms)        │ requeued
//	         n u32, n × seq u64, attempts u16                      │ held
//
// From the leader to the node:
//
//	opened   │ kind │ consumer │ incarnation u64 │ n × refused seq u64 │
//	messages │ kind │ consumer │ generation u32 │ n × message │
//	results  │ kind │ consumer │ answers u32 │ n × index u32, code u8 │
//	closed   │ kind │ consumer │ code u8 │ text │
//
//	message  id u64 │ timestamp i64 (ns) │ attempts u16 │ len u32 │ body
//
// The highest bit of a message's len says that its attributes come between: len u16 │
// attributes. They come only where the open frame asks for them.
type kind uint8

const (
	kindOpen kind = iota + 1
	kindReady
	kindAnswers
	kindTaken
	kindClose
	kindClaimed

	kindOpened
	kindMessages
	kindResults
	kindClosed
)

const (
	headSize          = 9 // kind, consumer
	messagesHeadSize  = headSize + 4
	messageHeadSize   = 22
	attributed        = 1 << 31 // of a message's len
	rangeSize         = 16
	requeuedClaimSize = 18
	heldClaimSize     = 10
	failureSize       = 5
)

// errFrame means that the bytes are no frame.
var errFrame = errors.New("relay: malformed frame")

// Flags of an open frame.
const (
	flagCreate uint8 = 1 << iota // topic and channel may be made
	flagTail
	flagAgain          // the consumer was attached to another leader before
	flagGone           // its client has gone: nothing is wanted but that its claims are taken up
	flagDefaultTimeout // the client did not ask for its timeout
	flagAttributes     // messages are wanted with their attributes
)

// openFrame asks for a consumer.
type openFrame struct {
	consumer       uint64
	term           uint64 // of the leader that the node knows
	window         uint32 // bytes of messages frames that may be on their way
	generation     uint32 // of ready
	ready          int64
	timeout        int64
	flags          uint8
	sample         uint8
	locality       channel.Locality
	topic, channel string
	incarnation    uint64 // of what the claims are about, see identity
	claims         channel.Claims
}

func appendHead(dst []byte, k kind, consumer uint64) []byte {
	return binary.LittleEndian.AppendUint64(append(dst, byte(k)), consumer)
}

func appendName(dst []byte, name string) []byte {
	return append(append(dst, byte(len(name))), name...)
}

func (f *openFrame) appendTo(dst []byte) []byte {
	le := binary.LittleEndian
	dst = appendHead(dst, kindOpen, f.consumer)
	dst = le.AppendUint64(dst, f.term)
	dst = le.AppendUint32(dst, f.window)
	dst = le.AppendUint32(dst, f.generation)
	dst = le.AppendUint64(dst, uint64(f.ready))
	dst = le.AppendUint64(dst, uint64(f.timeout))
	dst = append(dst, f.flags, f.sample, uint8(f.locality))
	dst = appendName(appendName(dst, f.topic), f.channel)
	dst = le.AppendUint64(dst, f.incarnation)
	dst = le.AppendUint32(dst, uint32(len(f.claims.Done)))
	for _, r := range f.claims.Done {
		dst = le.AppendUint64(le.AppendUint64(dst, r.From), r.To)
	}
	dst = le.AppendUint32(dst, uint32(len(f.claims.Requeued)))
	for _, c := range f.claims.Requeued {
		dst = le.AppendUint64(le.AppendUint16(le.AppendUint64(dst, c.Seq), c.Attempts), uint64(c.Due))
	}
	dst = le.AppendUint32(dst, uint32(len(f.claims.Held)))
	for _, c := range f.claims.Held {
		dst = le.AppendUint16(le.AppendUint64(dst, c.Seq), c.Attempts)
	}
	return dst
}

func parseOpen(consumer uint64, p *parser) (*openFrame, error) {
	f := &openFrame{
		consumer: consumer, term: p.uint64(), window: p.uint32(), generation: p.uint32(),
		ready: int64(p.uint64()), timeout: int64(p.uint64()), flags: p.uint8(), sample: p.uint8(),
		locality: channel.Locality(p.uint8()), topic: p.name(), channel: p.name(), incarnation: p.uint64(),
	}
	for range p.count(rangeSize) {
		r := seqset.Range{From: p.uint64(), To: p.uint64()}
		if r.From >= r.To {
			p.bad = true
		}
		f.claims.Done = append(f.claims.Done, r)
	}
	for range p.count(requeuedClaimSize) {
		f.claims.Requeued = append(f.claims.Requeued, channel.Claim{Seq: p.uint64(), Attempts: p.uint16(), Due: int64(p.uint64())})
	}
	for range p.count(heldClaimSize) {
		f.claims.Held = append(f.claims.Held, channel.Claim{Seq: p.uint64(), Attempts: p.uint16()})
	}
	sane := f.topic != "" && f.channel != "" && f.timeout > 0 && f.sample < 100 && f.locality <= channel.SameZone
	if !p.done() || !sane {
		return nil, errFrame
	}
	return f, nil
}

func appendReady(dst []byte, consumer uint64, generation uint32, ready int64) []byte {
	dst = binary.LittleEndian.AppendUint32(appendHead(dst, kindReady, consumer), generation)
	return binary.LittleEndian.AppendUint64(dst, uint64(ready))
}

func appendTaken(dst []byte, consumer uint64, bytes uint32) []byte {
	return binary.LittleEndian.AppendUint32(appendHead(dst, kindTaken, consumer), bytes)
}

func appendClaimed(dst []byte, shard uint32, term uint64) []byte {
	dst = binary.LittleEndian.AppendUint32(append(dst, byte(kindClaimed)), shard)
	return binary.LittleEndian.AppendUint64(dst, term)
}

func appendAnswer(dst []byte, a *channel.Answer) []byte {
	dst = binary.LittleEndian.AppendUint64(append(dst, byte(a.Op)), number(a.ID))
	if a.Op == channel.Requeue {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(a.Delay))
	}
	return dst
}

// parseAnswers appends the answers of a frame to dst.
func parseAnswers(dst []channel.Answer, p *parser) ([]channel.Answer, error) {
	for len(p.rest) > 0 && !p.bad {
		a := channel.Answer{Op: channel.AnswerOp(p.uint8()), ID: idOf(p.uint64())}
		switch a.Op {
		case channel.Requeue:
			a.Delay = duration(p.uint64())
		case channel.Finish, channel.Touch, channel.Return:
		default:
			p.bad = true
		}
		dst = append(dst, a)
	}
	if p.bad {
		return nil, errFrame
	}
	return dst, nil
}

func appendOpened(dst []byte, consumer, incarnation uint64, refused []uint64) []byte {
	dst = binary.LittleEndian.AppendUint64(appendHead(dst, kindOpened, consumer), incarnation)
	for _, seq := range refused {
		dst = binary.LittleEndian.AppendUint64(dst, seq)
	}
	return dst
}

func parseOpened(p *parser) (incarnation uint64, refused []uint64, err error) {
	incarnation = p.uint64()
	for len(p.rest) > 0 && !p.bad {
		refused = append(refused, p.uint64())
	}
	if p.bad {
		return 0, nil, errFrame
	}
	return incarnation, refused, nil
}

func appendMessagesHead(dst []byte, consumer uint64, generation uint32) []byte {
	return binary.LittleEndian.AppendUint32(appendHead(dst, kindMessages, consumer), generation)
}

// appendMessage appends a message, with its attributes if they are wanted.
func appendMessage(dst []byte, m *channel.Message, attributes bool) []byte {
	le := binary.LittleEndian
	dst = le.AppendUint64(dst, number(m.ID))
	dst = le.AppendUint64(dst, uint64(m.Timestamp))
	dst = le.AppendUint16(dst, m.Attempts)
	if !attributes || len(m.Attrs) == 0 {
		dst = le.AppendUint32(dst, uint32(len(m.Body)))
		return append(dst, m.Body...)
	}
	dst = le.AppendUint32(dst, uint32(len(m.Body))|attributed)
	dst = append(le.AppendUint16(dst, uint16(len(m.Attrs))), m.Attrs...)
	return append(dst, m.Body...)
}

// firstMessage fills m with the message at the front of b, which countMessages has
// looked at, and returns what it takes. Attributes and body are in b.
func firstMessage(b []byte, m *channel.Message) (size int) {
	le := binary.LittleEndian
	m.ID = idOf(le.Uint64(b))
	m.Timestamp = int64(le.Uint64(b[8:]))
	m.Attempts = le.Uint16(b[16:])
	at, length := messageHeadSize, le.Uint32(b[18:])
	if m.Attrs = nil; length&attributed != 0 {
		at += 2 + int(le.Uint16(b[at:]))
		m.Attrs = b[messageHeadSize+2 : at : at]
	}
	size = at + int(length&^attributed)
	m.Body = b[at:size]
	return size
}

// countMessages counts the messages that b holds.
func countMessages(b []byte) (n int, err error) {
	for ; len(b) > 0; n++ {
		if len(b) < messageHeadSize {
			return 0, errFrame
		}
		length := binary.LittleEndian.Uint32(b[18:])
		b = b[messageHeadSize:]
		if length&attributed != 0 {
			if len(b) < 2 || len(b)-2 < int(binary.LittleEndian.Uint16(b)) {
				return 0, errFrame
			}
			b = b[2+int(binary.LittleEndian.Uint16(b)):]
		}
		size := uint64(length &^ attributed)
		if size > uint64(len(b)) {
			return 0, errFrame
		}
		b = b[size:]
	}
	return n, nil
}

// failure says of one of some answers that it failed, and why.
type failure struct {
	index uint32
	code  code
}

func appendResults(dst []byte, consumer uint64, answers uint32, failures []failure) []byte {
	dst = binary.LittleEndian.AppendUint32(appendHead(dst, kindResults, consumer), answers)
	for _, f := range failures {
		dst = append(binary.LittleEndian.AppendUint32(dst, f.index), byte(f.code))
	}
	return dst
}

func parseResults(p *parser) (answers uint32, failures []failure, err error) {
	answers = p.uint32()
	for len(p.rest) > 0 && !p.bad {
		f := failure{index: p.uint32(), code: code(p.uint8())}
		if f.index >= answers || len(failures) > 0 && f.index <= failures[len(failures)-1].index {
			p.bad = true
		}
		failures = append(failures, f)
	}
	if p.bad {
		return 0, nil, errFrame
	}
	return answers, failures, nil
}

func appendClosed(dst []byte, consumer uint64, why error) []byte {
	c, text := codeOf(why)
	return append(append(appendHead(dst, kindClosed, consumer), byte(c)), text...)
}

// parser takes numbers from the front of what is left. When that is too short they
// are 0 and bad is set.
type parser struct {
	rest []byte
	bad  bool
}

func (p *parser) bytes(n int) []byte {
	if n > len(p.rest) {
		p.bad, p.rest = true, nil
		return nil
	}
	b := p.rest[:n]
	p.rest = p.rest[n:]
	return b
}

func (p *parser) uint8() uint8 {
	if b := p.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (p *parser) uint16() uint16 {
	if b := p.bytes(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (p *parser) uint32() uint32 {
	if b := p.bytes(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (p *parser) uint64() uint64 {
	if b := p.bytes(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (p *parser) name() string { return string(p.bytes(int(p.uint8()))) }

// count is how many elements of a list follow, each of so many bytes at least.
func (p *parser) count(size int) int {
	n := uint64(p.uint32())
	if n*uint64(size) > uint64(len(p.rest)) {
		p.bad = true
		return 0
	}
	return int(n)
}

// done says whether all went well and nothing is left.
func (p *parser) done() bool { return !p.bad && len(p.rest) == 0 }

// number is an id as frames have it; ids of others than messages are none.
func number(id message.ID) uint64 {
	prefix, seq, ok := id.Split()
	if !ok {
		return math.MaxUint64
	}
	return uint64(prefix)<<54 | seq
}

func idOf(number uint64) message.ID {
	return message.MakeID(uint16(number>>54), number&message.MaxSeq)
}
