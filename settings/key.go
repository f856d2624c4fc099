package settings

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// key is one setting in an S.
type key[S any] struct {
	name    string
	allowed string // ends "must be …"
	set     func(s *S, v any) bool
	reset   func(s *S)
	isSet   func(s *S) bool
	show    func(s *S) string // as JSON, of one that is set
	inherit func(s, from *S)  // takes from's where s has none
}

// bind makes a key of a field.
func bind[S, T any](name string, field func(*S) **T, k kind[T]) key[S] {
	return key[S]{
		name: name, allowed: k.allowed,
		set: func(s *S, v any) bool {
			is, ok := k.read(v)
			if ok {
				*field(s) = &is
			}
			return ok
		},
		reset: func(s *S) { *field(s) = nil },
		isSet: func(s *S) bool { return *field(s) != nil },
		show:  func(s *S) string { return k.show(**field(s)) },
		inherit: func(s, from *S) {
			if to := field(s); *to == nil {
				*to = *field(from)
			}
		},
	}
}

// Mistakes are why settings are refused, a sentence each.
type Mistakes []string

func (m Mistakes) Error() string { return strings.Join(m, "; ") }

// err is nil where there are none.
func (m Mistakes) err() error {
	if len(m) == 0 {
		return nil
	}
	return m
}

// apply sets what values says in s, or resets it where that is null. inForce is told
// with a mistake.
func apply[S any](keys []key[S], s *S, values []named, inForce *S) (mistakes Mistakes) {
	for _, v := range values {
		i := slices.IndexFunc(keys, func(k key[S]) bool { return k.name == v.name })
		if i < 0 {
			mistakes = append(mistakes, fmt.Sprintf("there is no setting %s, only %s", quote(v.name), listNames(keys)))
			continue
		}
		k := &keys[i]
		switch {
		case v.value == nil:
			k.reset(s)
		case !k.set(s, v.value):
			text := fmt.Sprintf("%s must be %s, not %s", k.name, k.allowed, showValue(v.value))
			if inForce != nil && k.isSet(inForce) {
				text += "; in force is " + k.show(inForce)
			}
			mistakes = append(mistakes, text)
		}
	}
	return mistakes
}

func listNames[S any](keys []key[S]) string {
	var list []string
	for i := range keys {
		list = append(list, keys[i].name)
	}
	return strings.Join(list, ", ")
}

// maxShown is how much of a value is shown that is none.
const maxShown = 64

func showValue(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "that"
	}
	if len(b) > maxShown {
		return string(bytes.ToValidUTF8(b[:maxShown], nil)) + "…"
	}
	return string(b)
}

// named is a value by the name of its key.
type named struct {
	name  string
	value any // of JSON or TOML; nil: null
}

// object reads a JSON object, whose keys must differ.
func object(text []byte) ([]named, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, Mistakes{`settings are a JSON object such as {"max_age": "24h", "max_bytes": null}`}
	}
	var list []named
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, notJSON(err)
		}
		v := named{name: t.(string)} // or it would be an error
		if err := d.Decode(&v.value); err != nil {
			return nil, notJSON(err)
		}
		if slices.ContainsFunc(list, func(o named) bool { return o.name == v.name }) {
			return nil, Mistakes{fmt.Sprintf("%s is there twice", quote(v.name))}
		}
		list = append(list, v)
	}
	if _, err := d.Token(); err != nil {
		return nil, notJSON(err)
	}
	if d.More() {
		return nil, Mistakes{"there is more behind the JSON object"}
	}
	return list, nil
}

func notJSON(err error) error { return Mistakes{"settings are no JSON: " + err.Error()} }

// text is what is set as a JSON object; "" when nothing is.
func text[S any](keys []key[S], s *S) string {
	var b strings.Builder
	for i := range keys {
		k := &keys[i]
		if !k.isSet(s) {
			continue
		}
		separator := ","
		if b.Len() == 0 {
			separator = "{"
		}
		b.WriteString(separator + quote(k.name) + ":" + k.show(s))
	}
	if b.Len() == 0 {
		return ""
	}
	return b.String() + "}"
}

// merge is s with what others say of what it does not, the first of them first.
func merge[S any](keys []key[S], s S, others ...S) S {
	for i := range keys {
		for j := range others {
			keys[i].inherit(&s, &others[j])
		}
	}
	return s
}

// String is what is set as a JSON object; "" when nothing is.
func (t Topic) String() string { return text(topicKeys, &t) }

// String is what is set as a JSON object; "" when nothing is.
func (c Channel) String() string { return text(channelKeys, &c) }

// MarshalJSON shows what is set.
func (t Topic) MarshalJSON() ([]byte, error) { return marshal(t.String()) }

// MarshalJSON shows what is set.
func (c Channel) MarshalJSON() ([]byte, error) { return marshal(c.String()) }

func marshal(text string) ([]byte, error) {
	if text == "" {
		text = "{}"
	}
	return []byte(text), nil
}

// ParseTopic reads what String wrote. What this version cannot read is left out, and
// the error, Mistakes, tells of it.
func ParseTopic(text string) (t Topic, err error) {
	err = parse(topicKeys, &t, text)
	return t, err
}

// ParseChannel reads what String wrote. What this version cannot read is left out, and
// the error, Mistakes, tells of it.
func ParseChannel(text string) (c Channel, err error) {
	err = parse(channelKeys, &c, text)
	return c, err
}

func parse[S any](keys []key[S], s *S, text string) error {
	if text == "" {
		return nil
	}
	values, err := object([]byte(text))
	if err != nil {
		return err
	}
	return apply(keys, s, values, nil).err()
}

// Change is t with what a JSON object sets; null resets one. inForce is told with a
// mistake. The error is Mistakes.
func (t Topic) Change(body []byte, inForce Topic) (Topic, error) {
	return change(topicKeys, t, body, inForce)
}

// Change is c with what a JSON object sets; null resets one. inForce is told with a
// mistake. The error is Mistakes.
func (c Channel) Change(body []byte, inForce Channel) (Channel, error) {
	return change(channelKeys, c, body, inForce)
}

func change[S any](keys []key[S], s S, body []byte, inForce S) (S, error) {
	values, err := object(body)
	if err != nil {
		return s, err
	}
	return s, apply(keys, &s, values, &inForce).err()
}

// Setting is what a user may set.
type Setting struct {
	Name    string `json:"name"`
	Allowed string `json:"allowed"` // ends "must be …"
}

// OfTopics are the settings of topics.
func OfTopics() []Setting { return listed(topicKeys) }

// OfChannels are the settings of channels.
func OfChannels() []Setting { return listed(channelKeys) }

func listed[S any](keys []key[S]) (list []Setting) {
	for i := range keys {
		list = append(list, Setting{keys[i].name, keys[i].allowed})
	}
	return list
}
