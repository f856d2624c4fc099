package powercut

import (
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ledger is what was promised by a node and its successors on the same disk.
type ledger struct {
	mu     sync.Mutex
	topics map[string]*topicLedger
	number int // of the message named last
}

// topicLedger is a name's latest life.
type topicLedger struct {
	life     int
	made     time.Time
	deleted  time.Time // zero: it is there
	doubt    bool      // it was asked to come or go, and nobody knows whether it did
	channels map[string]*channelLedger
}

type channelLedger struct {
	made     time.Time
	owed     map[string]time.Time // when each body was OK'd
	finished map[string]bool      // a FIN was sent
}

func newLedger() *ledger { return &ledger{topics: make(map[string]*topicLedger)} }

// body names a message: of which topic and life it is.
func (l *ledger) body(topic string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.number++
	text := fmt.Sprintf("%s/%d/%d/%s", topic, l.topics[topic].life, l.number, strings.Repeat("x", l.number%300))
	return fmt.Sprintf("%s/%08x", text, crc32.ChecksumIEEE([]byte(text)))
}

// lifeOf reads a body back; ok is false when it is not as it was published.
func lifeOf(body string) (topic string, life int, ok bool) {
	i := strings.LastIndexByte(body, '/')
	if i < 0 || fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(body[:i]))) != body[i+1:] {
		return "", 0, false
	}
	parts := strings.Split(body, "/")
	life, err := strconv.Atoi(parts[1])
	return parts[0], life, err == nil
}

// coming says that a topic is about to be asked for.
func (l *ledger) coming(topic string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	life := 1
	if was := l.topics[topic]; was != nil {
		life = was.life + 1
	}
	l.topics[topic] = &topicLedger{life: life, doubt: true, channels: make(map[string]*channelLedger)}
}

func (l *ledger) topicCreated(topic string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.topics[topic].made, l.topics[topic].doubt = time.Now(), false
}

func (l *ledger) going(topic string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.topics[topic].doubt = true
}

func (l *ledger) topicDeleted(topic string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.topics[topic].deleted, l.topics[topic].doubt = time.Now(), false
}

func (l *ledger) channelCame(topic, name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.topics[topic].channels[name] = &channelLedger{
		made: time.Now(), owed: make(map[string]time.Time), finished: make(map[string]bool),
	}
}

// audience is the channels that a publish that begins now must reach.
func (l *ledger) audience(topic string) (channels []*channelLedger) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.topics[topic].channels {
		channels = append(channels, c)
	}
	return channels
}

func (l *ledger) owe(to []*channelLedger, body string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range to {
		c.owed[body] = time.Now()
	}
}

func (l *ledger) finish(topic, channel, body string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.topics[topic].channels[channel]; c != nil {
		c.finished[body] = true
	}
}
