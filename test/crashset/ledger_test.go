package crashset

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nsqio/go-nsq"
)

// The topics, which are in different shards, and their channels.
var (
	topicNames   = []string{"orders", "events", "mails", "clicks"}
	channelNames = []string{"steady", "fussy"} // one finishes at once, the other requeues some
)

// A body is, little endian:
//
//	u32 publisher | u32 number | u32 first of the batch | u32 messages of the batch | filler | u32 CRC-32C of all before
const bodyHead = 16

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ledger is what was published, OK'd, delivered and finished. Its methods may be called
// concurrently.
type ledger struct {
	mu         sync.Mutex // guards what follows
	publishers []*published
	quiet      quiet
	deliveries int
	duplicates int // deliveries of what had come before
	undone     []undone
	refused    map[delivered]time.Time // FINs that were answered with an error, the last of each
	altered    []string
	latest     time.Time // something came
}

// published is what one publisher has sent, to one topic.
type published struct {
	topic    string
	messages []message
}

// message is one that was sent.
type message struct {
	first, count uint32 // its batch
	okd          bool
	came         [2]bool // by channel
	finished     [2]time.Time
}

// delivered is a message of a channel.
type delivered struct {
	topic   string
	channel int
	id      nsq.MessageID
}

// undone is a message that came again after it was finished in quiet times.
type undone struct {
	delivered
	finished, again time.Time
	what            string
}

func (u *undone) String() string {
	const form = "15:04:05.000"
	return fmt.Sprintf("%s, finished at %s, came again at %s", u.what, u.finished.Format(form), u.again.Format(form))
}

func newLedger() *ledger { return &ledger{refused: make(map[delivered]time.Time)} }

func (l *ledger) topics() []string { return topicNames }

// publisher begins a publisher.
func (l *ledger) publisher(topic string) (number int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.publishers = append(l.publishers, &published{topic: topic})
	return len(l.publishers) - 1
}

// send makes a batch, which may come from now on.
func (l *ledger) send(publisher, count int, random *rand.Rand) (bodies [][]byte, first int) {
	l.mu.Lock()
	p := l.publishers[publisher]
	first = len(p.messages)
	for range count {
		p.messages = append(p.messages, message{first: uint32(first), count: uint32(count)})
	}
	l.mu.Unlock()
	for n := range count {
		b := make([]byte, bodyHead, bodyHead+404)
		for i, v := range []int{publisher, first + n, first, count} {
			binary.LittleEndian.PutUint32(b[4*i:], uint32(v))
		}
		for range random.IntN(50) {
			b = binary.LittleEndian.AppendUint64(b, random.Uint64())
		}
		bodies = append(bodies, binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli)))
	}
	return bodies, first
}

// ok notes that a batch was OK'd.
func (l *ledger) ok(publisher, first int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.publishers[publisher].messages
	for n := range m[first].count {
		m[first+int(n)].okd = true
	}
}

// deliver notes a delivery; found is nil when it is no message of this run.
func (l *ledger) deliver(d delivered, body []byte, from string) (found *message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deliveries++
	l.latest = time.Now()
	if len(body) < bodyHead+4 || crc32.Checksum(body[:len(body)-4], castagnoli) != binary.LittleEndian.Uint32(body[len(body)-4:]) {
		l.altered = append(l.altered, fmt.Sprintf("%x in %s", body, d.topic))
		return nil
	}
	publisher, number := binary.LittleEndian.Uint32(body), binary.LittleEndian.Uint32(body[4:])
	if int(publisher) >= len(l.publishers) || l.publishers[publisher].topic != d.topic || int(number) >= len(l.publishers[publisher].messages) {
		l.altered = append(l.altered, fmt.Sprintf("message %d of publisher %d in %s", number, publisher, d.topic))
		return nil
	}
	m := &l.publishers[publisher].messages[number]
	if m.came[d.channel] {
		l.duplicates++
	}
	m.came[d.channel] = true
	if at := m.finished[d.channel]; !at.IsZero() && l.quiet.at(at) {
		l.undone = append(l.undone, undone{d, at, time.Now(), fmt.Sprintf("message %d of publisher %d in %s/%s from %s", number, publisher, d.topic, channelNames[d.channel], from)})
	}
	return m
}

// finish notes that a message is being finished.
func (l *ledger) finish(m *message, channel int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m.finished[channel] = time.Now()
}

// refuse notes that a FIN was answered with an error: what it was of comes again.
func (l *ledger) refuse(d delivered) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused[d] = time.Now()
}

// missing counts what was OK'd and has not come, and batches of which a part has.
func (l *ledger) missing() (lost, half int, such string, latest time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for number, p := range l.publishers {
		for n := 0; n < len(p.messages); {
			batch := p.messages[n : n+int(p.messages[n].count)]
			for channel := range channelNames {
				came := 0
				for i := range batch {
					if batch[i].came[channel] {
						came++
					}
				}
				if came == len(batch) || came == 0 && !batch[0].okd {
					continue
				}
				such = fmt.Sprintf("%d of the %d messages from %d on of publisher %d came to %s/%s (OK'd: %v)", came, len(batch), n, number, p.topic, channelNames[channel], batch[0].okd)
				if batch[0].okd {
					lost += len(batch) - came
				}
				if came > 0 {
					half++
				}
			}
			n += len(batch)
		}
	}
	return lost, half, such, l.latest
}

// report says what came of it all.
// disturbances are the moments at which members lost one another, or leaders changed,
// beside the faults: also a machine that is short of time makes them.
func (l *ledger) report(t *testing.T, disturbances []time.Time) {
	t.Helper()
	lost, half, such, _ := l.missing()
	l.mu.Lock()
	defer l.mu.Unlock()
	sent, okd := 0, 0
	for _, p := range l.publishers {
		sent += len(p.messages)
		for i := range p.messages {
			if p.messages[i].okd {
				okd++
			}
		}
	}
	t.Logf("%d messages sent, %d OK'd, %d deliveries to %d channels, %d of them repeated", sent, okd, l.deliveries, len(channelNames), l.duplicates)
	if lost > 0 || half > 0 {
		t.Errorf("%d OK'd messages are lost, %d batches came in part: %s", lost, half, such)
	}
	if len(l.altered) > 0 {
		t.Errorf("%d deliveries were of no message that was sent: %s", len(l.altered), l.altered[0])
	}
	excused := func(u undone) bool {
		if l.refused[u.delivered].After(u.finished.Add(-time.Second)) { // which is noted a moment later
			return true // a machine that is short of time has a client answer what others have by then
		}
		return slices.ContainsFunc(disturbances, func(at time.Time) bool {
			return at.After(u.finished.Add(-settleTime)) && at.Before(u.finished.Add(noticeTime)) && at.Before(u.again.Add(time.Second))
		})
	}
	if l.undone = slices.DeleteFunc(l.undone, excused); len(l.undone) > 0 {
		t.Errorf("%d messages came again that were finished in quiet times: %s", len(l.undone), &l.undone[0])
	}
}

const (
	// settleTime is how long after a disturbance all is in order again, and noticeTime how
	// long before it is noticed it may have begun, and the second before.
	settleTime = 3 * time.Second
	noticeTime = 2500 * time.Millisecond
)

// disturb notes that a fault begins: what was finished in the second before may be
// undone. The function that it returns notes the end of it.
func (l *ledger) disturb() (end func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.quiet.disturbed)
	l.quiet.disturbed = append(l.quiet.disturbed, [2]time.Time{time.Now().Add(-time.Second)})
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.quiet.disturbed[n][1] = time.Now()
	}
}

// quiet knows when nothing was wrong.
type quiet struct{ disturbed [][2]time.Time }

// at tells whether a moment was quiet.
func (q *quiet) at(moment time.Time) bool {
	for _, d := range q.disturbed {
		if moment.After(d[0]) && (d[1].IsZero() || moment.Before(d[1])) {
			return false
		}
	}
	return true
}
