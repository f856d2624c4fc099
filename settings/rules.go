package settings

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// Rules say what is set of topics and channels by patterns of their names. Who sets
// something of one by its name has the last word. Nil has no pattern.
//
// A pattern is a glob as path.Match has it, that of a channel the topic's, a slash
// and the channel's. Where several match, the one whose part before its first wildcard
// is longest tells of a setting; one that does not tell of it leaves it to the next.
type Rules struct {
	topics   []rule[Topic]
	channels []rule[Channel]
}

// rule is what is set where a pattern matches.
type rule[S any] struct {
	pattern string
	set     S
}

// AddTopics adds what is set of topics whose names match a pattern, by key, with
// values of TOML. The error is Mistakes; nothing is added then.
func (r *Rules) AddTopics(pattern string, values map[string]any) error {
	return add(&r.topics, topicKeys, pattern, values)
}

// AddChannels adds what is set of channels that match a pattern, TOPIC/CHANNEL, by
// key, with values of TOML. The error is Mistakes; nothing is added then.
func (r *Rules) AddChannels(pattern string, values map[string]any) error {
	if strings.Count(pattern, "/") != 1 {
		return Mistakes{fmt.Sprintf("the pattern %s must be that of a topic, a slash, and that of a channel", quote(pattern))}
	}
	return add(&r.channels, channelKeys, pattern, values)
}

func add[S any](rules *[]rule[S], keys []key[S], pattern string, values map[string]any) error {
	if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
		return Mistakes{fmt.Sprintf("%s is no pattern: * stands for any characters, ? for one, [a-z] for one of these", quote(pattern))}
	}
	n := rule[S]{pattern: pattern}
	var list []named
	for _, name := range slices.Sorted(maps.Keys(values)) {
		list = append(list, named{name, values[name]})
	}
	if mistakes := apply(keys, &n.set, list, nil); len(mistakes) > 0 {
		return mistakes
	}
	*rules = append(*rules, n)
	slices.SortStableFunc(*rules, func(a, b rule[S]) int {
		return cmp.Or(cmp.Compare(literal(b.pattern), literal(a.pattern)), cmp.Compare(len(b.pattern), len(a.pattern)), strings.Compare(a.pattern, b.pattern))
	})
	return nil
}

// literal is how long a pattern's part before its first wildcard is; a pattern without
// one comes before all that begin as it does.
func literal(pattern string) int {
	if i := strings.IndexAny(pattern, `*?[\`); i >= 0 {
		return i
	}
	return len(pattern) + 1
}

// Topic is all that is in force of a topic of which set is set.
func (r *Rules) Topic(name string, set Topic, p Place) Topic {
	return p.narrow(merge(topicKeys, set, r.ofTopic(name), p.Otherwise, baseTopic), set)
}

// Unmet is what patterns ask for of a topic and cannot be had in its place, a sentence
// each: it is not in force.
func (r *Rules) Unmet(name string, p Place) []string {
	asked := r.ofTopic(name)
	var m Mistakes
	errors.As(p.Refuse(asked, p.narrow(asked, Topic{})), &m)
	return m
}

// UnmetOf is what each pattern asks for and topics in a place cannot have, a sentence each.
func (r *Rules) UnmetOf(p Place) (list []string) {
	if r == nil {
		return nil
	}
	for _, rule := range r.topics {
		var m Mistakes
		errors.As(p.Refuse(rule.set, p.narrow(rule.set, Topic{})), &m)
		for _, text := range m {
			list = append(list, fmt.Sprintf("[topic.%s] %s", quote(rule.pattern), text))
		}
	}
	return list
}

// Channel is all that is in force of a channel of which set is set; otherwise is what
// holds where neither that nor a pattern tells.
func (r *Rules) Channel(topic, channel string, set, otherwise Channel) Channel {
	return merge(channelKeys, set, r.ofChannel(topic, channel), otherwise, baseChannel)
}

// ofTopic is what patterns say of a topic.
func (r *Rules) ofTopic(name string) (found Topic) {
	if r == nil {
		return found
	}
	return matching(r.topics, topicKeys, name)
}

// ofChannel is what patterns say of a channel.
func (r *Rules) ofChannel(topic, channel string) (found Channel) {
	if r == nil {
		return found
	}
	return matching(r.channels, channelKeys, topic+"/"+channel)
}

func matching[S any](rules []rule[S], keys []key[S], name string) (found S) {
	for i := range rules {
		if ok, _ := path.Match(rules[i].pattern, name); ok { // which add has tried
			found = merge(keys, found, rules[i].set)
		}
	}
	return found
}

// TopicPatterns is which pattern says what is in force of a topic, by the names of the
// settings of which one does; set is what was set of this topic.
func (r *Rules) TopicPatterns(name string, set, inForce Topic) map[string]string {
	if r == nil {
		return nil
	}
	return tellers(r.topics, topicKeys, name, &set, &inForce)
}

// ChannelPatterns is TopicPatterns of a channel.
func (r *Rules) ChannelPatterns(topic, channel string, set, inForce Channel) map[string]string {
	if r == nil {
		return nil
	}
	return tellers(r.channels, channelKeys, topic+"/"+channel, &set, &inForce)
}

// tellers is which pattern says what is in force, by the names of settings. What a
// pattern says and is not in force here is nobody's.
func tellers[S any](rules []rule[S], keys []key[S], name string, set, inForce *S) map[string]string {
	by := make(map[string]string)
	for i := range keys {
		k := &keys[i]
		if k.isSet(set) || !k.isSet(inForce) {
			continue
		}
		first := slices.IndexFunc(rules, func(r rule[S]) bool {
			ok, _ := path.Match(r.pattern, name) // which add has tried
			return ok && k.isSet(&r.set)
		})
		if first >= 0 && k.show(&rules[first].set) == k.show(inForce) {
			by[k.name] = rules[first].pattern
		}
	}
	return by
}

// Refuse says why what patterns say of channels cannot be met, see Channel.Refuse, and
// where their dead letters would go round.
func (r *Rules) Refuse(timeout, longest time.Duration) error {
	if r == nil {
		return nil
	}
	var m Mistakes
	for _, rule := range r.channels {
		var wrong Mistakes
		errors.As(rule.set.Refuse(rule.set, timeout, longest), &wrong)
		for _, text := range wrong {
			m = append(m, fmt.Sprintf("[channel.%s] %s", quote(rule.pattern), text))
		}
	}
	return append(m, r.refuseRounds()...).err()
}

// baseTopic and baseChannel are what holds where nobody says anything.
var (
	baseTopic = Topic{
		MaxBytes: to(int64(0)), MaxMessages: to(int64(0)), Overflow: to(Reject), MaxAge: to(time.Duration(0)), Sync: to(Interval),
		RetentionTime: to(time.Duration(0)), RetentionBytes: to(int64(0)), MaxChannels: to(int64(0)), KeyFrom: to(From("")),
		DedupFrom: to(From("")), DedupWindow: to(time.Duration(0)), DedupMaxIDs: to(int64(defaultIDs)),
	}
	baseChannel = Channel{
		MsgTimeout: to(time.Duration(0)), MaxAttempts: to(int64(0)), DeadLetterTopic: to(""), MaxInFlight: to(int64(0)), Rate: to(0.0),
		Ordered: to(Unordered), AfterAttempts: to(ToDeadLetters), Prioritised: to(false),
	}
)

func to[T any](v T) *T { return &v }
