// Package settings is what can be set of topics and channels: which settings there
// are, what they may be, how they are written, and which of them are in force where
// several tell of one. It says what is wrong with a setting, and never what becomes of
// a message. It does no I/O, reads no clock and has no goroutine; what it returns is
// never changed and may be used concurrently.
package settings

import (
	"math"
	"time"

	"qmq/internal/names"
)

// Topic is settings of a topic. What is nil is not set.
type Topic struct {
	MaxBytes       *int64         // of records that are not finished; 0: no limit
	MaxMessages    *int64         // that are not finished; 0: no limit
	Overflow       *Overflow      // what is done at these two
	MaxAge         *time.Duration // of a message, from its publish or due time; 0: any
	Sync           *Sync          // when a publish is OK'd
	RetentionTime  *time.Duration // how long what is finished is kept; 0: whatever its age
	RetentionBytes *int64         // of what is finished and kept; 0: however much
	MaxChannels    *int64         // that there are when another one is made; 0: no limit
	KeyFrom        *From          // where a message has its key that is given none; empty: nowhere
	DedupFrom      *From          // likewise the id that doubles of it are known by; empty: nowhere
	DedupWindow    *time.Duration // within which doubles are known; 0: they are not
	DedupMaxIDs    *int64         // how many ids are known at most
}

// Channel is settings of a channel. What is nil is not set.
type Channel struct {
	MsgTimeout      *time.Duration // of consumers that ask for none
	MaxAttempts     *int64         // after which a message is a dead letter; 0: any number
	DeadLetterTopic *string        // where dead letters go; empty: there are none
	MaxInFlight     *int64         // messages, of all consumers together; 0: no limit
	Rate            *float64       // deliveries per second; 0: any
	Ordered         *Ordered       // what is delivered one message after the other
	AfterAttempts   *AfterAttempts // what becomes of a message after MaxAttempts
	Prioritised     *bool          // what is urgent comes before what is not
}

// Overflow is what is done about a message for which a topic has no room.
type Overflow string

// The two ways out of an overflow.
const (
	Reject     Overflow = "reject"      // its publish is refused
	DropOldest Overflow = "drop-oldest" // the oldest messages are dropped for it
)

// Sync is when a publish is OK'd.
type Sync string

// The two times of an OK.
const (
	Always   Sync = "always"   // when it is on the disk
	Interval Sync = "interval" // when it is in the kernel; the disk follows
)

// Ordered is of what there is one message in flight at a time, in the order in which they
// were published.
type Ordered string

// What may be ordered.
const (
	Unordered      Ordered = "none"
	OrderedKey     Ordered = "key"     // the messages of each key; those without are not
	OrderedChannel Ordered = "channel" // all messages of the channel
)

// AfterAttempts is what becomes of a message that was delivered max_attempts times in
// vain.
type AfterAttempts string

// The two fates of such a message.
const (
	ToDeadLetters AfterAttempts = "dead-letter" // it goes to the dead-letter topic
	Stop          AfterAttempts = "stop"        // it stays, and those that are to come after it wait
)

const (
	maxTime  = 87_600 * time.Hour // ten years
	maxSize  = 1 << 60
	maxCount = 1 << 53
	maxSmall = math.MaxInt32
	maxRate  = 1e9
	// maxWindow is how long ids are known at most.
	maxWindow = 7 * 24 * time.Hour
	// maxIDs is what a table of ids can hold, see internal/dedup.
	maxIDs = 1<<26 - 2
	// defaultIDs is how many ids are known where nobody says anything.
	defaultIDs = 1_000_000
	// maxAttempts is what a channel can count.
	maxAttempts = math.MaxUint16
)

// topicKeys are the settings of a topic, in the order in which they are shown.
var topicKeys = []key[Topic]{
	bind("max_bytes", func(t *Topic) **int64 { return &t.MaxBytes }, size),
	bind("max_messages", func(t *Topic) **int64 { return &t.MaxMessages }, count(maxCount)),
	bind("overflow", func(t *Topic) **Overflow { return &t.Overflow }, word(Reject, DropOldest)),
	bind("max_age", func(t *Topic) **time.Duration { return &t.MaxAge }, span),
	bind("sync", func(t *Topic) **Sync { return &t.Sync }, word(Always, Interval)),
	bind("retention_time", func(t *Topic) **time.Duration { return &t.RetentionTime }, span),
	bind("retention_bytes", func(t *Topic) **int64 { return &t.RetentionBytes }, size),
	bind("max_channels", func(t *Topic) **int64 { return &t.MaxChannels }, count(maxSmall)),
	bind("key_from", func(t *Topic) **From { return &t.KeyFrom }, place),
	bind("dedup_from", func(t *Topic) **From { return &t.DedupFrom }, bodyOrPlace),
	bind("dedup_window", func(t *Topic) **time.Duration { return &t.DedupWindow }, window),
	bind("dedup_max_ids", func(t *Topic) **int64 { return &t.DedupMaxIDs }, ids),
}

// channelKeys are the settings of a channel, in the order in which they are shown.
var channelKeys = []key[Channel]{
	bind("msg_timeout", func(c *Channel) **time.Duration { return &c.MsgTimeout }, timeout),
	bind("max_attempts", func(c *Channel) **int64 { return &c.MaxAttempts }, count(maxAttempts)),
	bind("dead_letter_topic", func(c *Channel) **string { return &c.DeadLetterTopic }, topicName),
	bind("max_in_flight", func(c *Channel) **int64 { return &c.MaxInFlight }, count(maxSmall)),
	bind("rate", func(c *Channel) **float64 { return &c.Rate }, rate),
	bind("ordered", func(c *Channel) **Ordered { return &c.Ordered }, word(Unordered, OrderedKey, OrderedChannel)),
	bind("after_max_attempts", func(c *Channel) **AfterAttempts { return &c.AfterAttempts }, word(ToDeadLetters, Stop)),
	bind("prioritised", func(c *Channel) **bool { return &c.Prioritised }, yesOrNo),
}

// EffectiveTopic is what is in force of a topic.
type EffectiveTopic struct {
	MaxBytes, MaxMessages int64
	Overflow              Overflow
	MaxAge                time.Duration
	Sync                  Sync
	RetentionTime         time.Duration
	RetentionBytes        int64
	MaxChannels           int
	KeyFrom, DedupFrom    From
	DedupWindow           time.Duration
	DedupMaxIDs           int
}

// Limited says whether there is a limit of what is not finished.
func (t *EffectiveTopic) Limited() bool { return t.MaxBytes > 0 || t.MaxMessages > 0 }

// Retains says whether what is finished is kept.
func (t *EffectiveTopic) Retains() bool { return t.RetentionTime > 0 || t.RetentionBytes > 0 }

// EffectiveChannel is what is in force of a channel.
type EffectiveChannel struct {
	MsgTimeout      time.Duration
	MaxAttempts     uint16
	DeadLetterTopic string
	MaxInFlight     int
	Rate            float64
	Ordered         Ordered // empty where it is Unordered
	Stops           bool    // after MaxAttempts; only of what is ordered
	Prioritised     bool
}

// Effective is what a Topic says of which everything is set.
func (t Topic) Effective() EffectiveTopic {
	return EffectiveTopic{
		MaxBytes: value(t.MaxBytes), MaxMessages: value(t.MaxMessages), Overflow: value(t.Overflow),
		MaxAge: value(t.MaxAge), Sync: value(t.Sync),
		RetentionTime: value(t.RetentionTime), RetentionBytes: value(t.RetentionBytes),
		MaxChannels: int(value(t.MaxChannels)), KeyFrom: value(t.KeyFrom),
		DedupFrom: value(t.DedupFrom), DedupWindow: value(t.DedupWindow), DedupMaxIDs: int(value(t.DedupMaxIDs)),
	}
}

// Effective is what a Channel says of which everything is set.
func (c Channel) Effective() EffectiveChannel {
	e := EffectiveChannel{
		MsgTimeout: value(c.MsgTimeout), MaxAttempts: uint16(value(c.MaxAttempts)), DeadLetterTopic: value(c.DeadLetterTopic),
		MaxInFlight: int(value(c.MaxInFlight)), Rate: value(c.Rate), Prioritised: value(c.Prioritised),
	}
	if ordered := value(c.Ordered); ordered != Unordered {
		e.Ordered, e.Stops = ordered, ordered != "" && value(c.AfterAttempts) == Stop
		e.Prioritised = e.Prioritised && ordered == ""
	}
	return e
}

// value is what a setting is; one that is not set is what its type begins with.
func value[T any](v *T) (is T) {
	if v != nil {
		is = *v
	}
	return is
}

// WithoutDeadLetters is c of a channel that has no dead letters.
func (c Channel) WithoutDeadLetters() Channel {
	c.MaxAttempts, c.DeadLetterTopic = baseChannel.MaxAttempts, baseChannel.DeadLetterTopic
	return c
}

func mayBeDeadLetterTopic(name string) bool {
	return name == "" || names.Valid(name) && !names.IsEphemeral(name)
}
