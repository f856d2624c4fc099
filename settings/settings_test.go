package settings

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// changed is a topic after a change.
func changed(t *testing.T, was Topic, body string) Topic {
	t.Helper()
	now, err := was.Change([]byte(body), baseTopic)
	if err != nil {
		t.Fatal(err)
	}
	return now
}

func TestWhatIsSetIsKeptUntilItIsReset(t *testing.T) {
	set := changed(t, Topic{}, `{"max_bytes": "10GiB", "max_age": "36h", "overflow": "drop-oldest"}`)
	set = changed(t, set, `{"max_messages": 5, "max_age": null, "max_channels": null}`)
	if want := `{"max_bytes":10737418240,"max_messages":5,"overflow":"drop-oldest"}`; set.String() != want {
		t.Errorf("set is %s, want %s", set, want)
	}
	if text, _ := json.Marshal(Topic{}); string(text) != "{}" || (Topic{}).String() != "" {
		t.Errorf("nothing is %s", text)
	}
}

func TestMistakesNameTheKeyTheRangeAndWhatIsInForce(t *testing.T) {
	inForce := changed(t, baseTopic, `{"max_age": "1h30m", "max_bytes": 7}`)
	for body, want := range map[string]string{
		`{"max_age": 5}`:                     `max_age must be "0s" (none), or a duration from "1ms" to "87600h" such as "30s", not 5; in force is "1h30m"`,
		`{"max_age": "87601h"}`:              `not "87601h"; in force is "1h30m"`,
		`{"max_age": "1us"}`:                 `from "1ms"`,
		`{"max_bytes": -1}`:                  `not -1; in force is 7`,
		`{"max_bytes": 1.5}`:                 `max_bytes must be`,
		`{"max_bytes": "2EiB"}`:              `such as "10GiB", not "2EiB"`,
		`{"max_bytes": "9999999999TiB"}`:     `up to 1 EiB`,
		`{"overflow": "drop"}`:               `overflow must be "reject" or "drop-oldest", not "drop"; in force is "reject"`,
		`{"sync": true}`:                     `sync must be "always" or "interval", not true`,
		`{"max_ages": "1h"}`:                 `there is no setting "max_ages", only max_bytes, max_messages, overflow, max_age, sync, retention_time, retention_bytes, max_channels, key_from`,
		`{"key_from": "/user/id"}`:           `key_from must be "json:" and a JSON pointer (RFC 6901) of at most 1024 bytes such as "json:/user/id", or "" (none), not "/user/id"; in force is ""`,
		`{"key_from": "json:user"}`:          `not "json:user"`,
		`{"key_from": "json:/a~2"}`:          `not "json:/a~2"`,
		`{"max_age": "1h", "max_age": "2h"}`: `"max_age" is there twice`,
		`[]`:                                 `settings are a JSON object`,
		`{"max_age"`:                         `settings are no JSON`,
		`{} {}`:                              `there is more behind the JSON object`,
		`{"max_channels": 3000000000, "max_messages": "x"}`: `max_channels must be 0 (none), or a whole number up to 2147483647, not 3000000000; in force is 0; max_messages must be`,
	} {
		was := changed(t, Topic{}, `{"max_channels": 3}`)
		now, err := was.Change([]byte(body), inForce)
		var mistakes Mistakes
		if !errors.As(err, &mistakes) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", body, err, want)
		}
		_ = now
	}
}

func TestLongestLiteralPrefixWins(t *testing.T) {
	var r Rules
	for pattern, values := range map[string]map[string]any{
		"*":            {"max_age": "1h", "max_bytes": "1MiB", "max_messages": int64(1)},
		"orders*":      {"max_age": "2h", "max_bytes": int64(2)},
		"orders.eu":    {"max_age": "3h"},
		"orders.[ae]?": {"max_age": "4h"},
	} {
		if err := r.AddTopics(pattern, values); err != nil {
			t.Fatal(err)
		}
	}
	set := changed(t, Topic{}, `{"max_messages": 0}`)
	for name, want := range map[string]time.Duration{"other": time.Hour, "orders": 2 * time.Hour, "orders.eu": 3 * time.Hour, "orders.as": 4 * time.Hour, "orders.us": 2 * time.Hour} {
		if got := r.Topic(name, set, Place{}).Effective(); got.MaxAge != want || got.MaxMessages != 0 || name == "orders.eu" && got.MaxBytes != 2 || name == "other" && got.MaxBytes != 1<<20 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if err := r.AddChannels("orders*/b*", map[string]any{"rate": int64(5)}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{"billing": 5, "audit": 0} {
		if got := r.Channel("orders.eu", name, Channel{}, Channel{}).Effective(); got.Rate != want {
			t.Errorf("%s: %+v", name, got)
		}
	}
	for pattern, values := range map[string]map[string]any{"[": nil, "": nil, "a": {"rate": int64(1)}, "b": {"max_age": int64(5)}} {
		if err := r.AddTopics(pattern, values); err == nil {
			t.Errorf("%q is taken", pattern)
		}
	}
	if err := r.AddChannels("orders", nil); err == nil {
		t.Error("a channel's pattern without a topic's is taken")
	}
}

func TestPlacesRefuseWhatTheyCannotMeet(t *testing.T) {
	always, interval := Always, Interval
	ephemeral, replicated := &Place{Ephemeral: true}, &Place{Replicated: true, Otherwise: Topic{Sync: &always}}
	kernel := &Place{Replicated: true, Otherwise: Topic{Sync: &interval}}
	for _, tt := range []struct {
		place *Place
		body  string
		want  string // part of the refusal; empty: it is met
	}{
		{&Place{}, `{"sync": "always", "retention_time": "1h", "max_bytes": 1}`, ""},
		{ephemeral, `{"sync": "always"}`, `sync must be "interval" for an #ephemeral topic`},
		{ephemeral, `{"sync": "interval", "max_age": "1h"}`, ""},
		{ephemeral, `{"retention_bytes": 1}`, "retention_bytes must be 0"},
		{replicated, `{"sync": "always"}`, ""},
		{replicated, `{"sync": "interval"}`, `in force is "always"`},
		{kernel, `{"sync": "always"}`, `--replica-sync says for the whole set, whose topics share the log that a member acknowledges; in force is "interval"`},
		{kernel, `{"sync": "interval"}`, ""},
		{replicated, `{"retention_time": "1h", "retention_bytes": 1}`, ""},
		{replicated, `{"max_messages": 1}`, ""},
		{replicated, `{"max_messages": 1, "overflow": "drop-oldest", "max_age": "1h"}`, ""},
	} {
		set := changed(t, Topic{}, tt.body)
		err := tt.place.Refuse(set, (*Rules)(nil).Topic("t", set, Place{}))
		switch {
		case tt.want == "" && err != nil, tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v, want %q", tt.body, err, tt.want)
		}
	}
}

func TestChannelsRefuseWhatTheyCannotMeet(t *testing.T) {
	for body, want := range map[string]string{
		`{"msg_timeout": "59s"}`:                           `msg_timeout must be from "1m" (--msg-timeout, which consumers were told) to "15m" (--max-msg-timeout), not "59s"; in force is "1m"`,
		`{"msg_timeout": "16m"}`:                           `not "16m"`,
		`{"msg_timeout": "15m"}`:                           "",
		`{"max_attempts": 5}`:                              "max_attempts needs a dead_letter_topic",
		`{"max_attempts": 5, "dead_letter_topic": "dead"}`: "",
	} {
		set, err := Channel{}.Change([]byte(body), baseChannel)
		if err == nil {
			err = set.Refuse((*Rules)(nil).Channel("t", "c", set, Channel{}), time.Minute, 15*time.Minute)
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", body, err, want)
		}
	}
	for _, body := range []string{`{"dead_letter_topic": "dead#ephemeral"}`, `{"dead_letter_topic": "a b"}`, `{"rate": -1}`, `{"rate": 1e10}`, `{"max_attempts": 65536}`, `{"max_in_flight": 0.5}`} {
		if _, err := (Channel{}).Change([]byte(body), baseChannel); err == nil {
			t.Errorf("%s is taken", body)
		}
	}
}

func TestSettingsComeBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Topic{
			MaxBytes: drawn(t, "bytes", rapid.Int64Range(0, maxSize)), MaxMessages: drawn(t, "messages", rapid.Int64Range(0, maxCount)),
			Overflow: drawn(t, "overflow", rapid.SampledFrom([]Overflow{Reject, DropOldest})),
			MaxAge:   drawn(t, "age", rapid.Map(rapid.Int64Range(1e6, int64(maxTime)), func(n int64) time.Duration { return time.Duration(n) })),
			Sync:     drawn(t, "sync", rapid.SampledFrom([]Sync{Always, Interval})),
		}
		if got, err := ParseTopic(want.String()); err != nil || got.String() != want.String() {
			t.Fatalf("%s came back as %s, %v", want, got, err)
		}
		channel := Channel{Rate: drawn(t, "rate", rapid.Float64Range(0.001, maxRate)), DeadLetterTopic: drawn(t, "name", rapid.StringMatching(`[a-z.]{1,60}`))}
		if got, err := ParseChannel(channel.String()); err != nil || got.String() != channel.String() {
			t.Fatalf("%s came back as %s, %v", channel, got, err)
		}
	})
}

func drawn[T any](t *rapid.T, label string, g *rapid.Generator[T]) *T {
	if !rapid.Bool().Draw(t, label+" is set") {
		return nil
	}
	v := g.Draw(t, label)
	return &v
}

func FuzzChange(f *testing.F) {
	f.Add([]byte(`{"max_bytes": "10GiB", "max_age": null}`))
	f.Add([]byte(`{"max_messages": 1e3}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		set, err := Topic{}.Change(body, baseTopic)
		if err != nil {
			return
		}
		if again, err := ParseTopic(set.String()); err != nil || again.String() != set.String() {
			t.Errorf("%s came back as %s, %v", set, again, err)
		}
	})
}

func TestPatternsByWhichDeadLettersGoRoundAreRefused(t *testing.T) {
	type rules map[string]string
	for name, tt := range map[string]struct {
		to   rules
		says string
	}{
		"two":                  {rules{"a/*": "b", "b/*": "a"}, " to a to b"},
		"three":                {rules{"a/*": "b", "b/c": "c", "c/*": "a"}, "c to a to b to c"},
		"what all have":        {rules{"*/*": "dead", "dead/*": "last"}, "last"},
		"back out of all":      {rules{"*/*": "dead"}, ""},
		"one after the other":  {rules{"a/*": "b", "b/*": "c"}, ""},
		"an end":               {rules{"*/*": "dead", "dead/*": "last", "last/*": ""}, ""},
		"the special one wins": {rules{"orders*/*": "dead", "dead*/*": "orders", "dead/*": "end"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var r Rules
			for pattern, to := range tt.to {
				values := map[string]any{"max_attempts": int64(1), "dead_letter_topic": to}
				if to == "" {
					values["max_attempts"] = int64(0)
				}
				if err := r.AddChannels(pattern, values); err != nil {
					t.Fatal(err)
				}
			}
			err := r.Refuse(time.Minute, time.Hour)
			if (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Error(err)
			}
		})
	}
}

func TestWhatPatternsAskForInVainIsTold(t *testing.T) {
	var r Rules
	for pattern, values := range map[string]map[string]any{"*": {"sync": "always", "max_age": "1h"}, "orders*": {"retention_time": "1h", "sync": "always"}} {
		if err := r.AddTopics(pattern, values); err != nil {
			t.Fatal(err)
		}
	}
	interval, always := Interval, Always
	replicated := Place{Replicated: true, Otherwise: Topic{Sync: &interval}}
	if got := r.Unmet("orders", replicated); len(got) != 1 || !strings.Contains(got[0], "--replica-sync") {
		t.Errorf("%q", got)
	}
	if got := r.UnmetOf(replicated); len(got) != 2 || !strings.HasPrefix(got[0], `[topic."orders*"] sync`) || !strings.HasPrefix(got[1], `[topic."*"] sync`) {
		t.Errorf("%q", got)
	}
	if got := r.Unmet("orders", Place{Replicated: true, Otherwise: Topic{Sync: &always}}); len(got) != 0 {
		t.Errorf("%q", got)
	}
	if got, all := r.Unmet("orders", Place{}), r.UnmetOf(Place{}); len(got)+len(all) != 0 {
		t.Errorf("%q, %q", got, all)
	}
	if got := (*Rules)(nil).Unmet("orders", replicated); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

// TestHowManyIDsASetHasAgreedOnIsInForceOnEachMember, whatever its memory; what its own patterns
// say is bounded by that.
func TestHowManyIDsASetHasAgreedOnIsInForceOnEachMember(t *testing.T) {
	var rules Rules
	if err := rules.AddTopics("p", map[string]any{"dedup_max_ids": int64(50)}); err != nil {
		t.Fatal(err)
	}
	set := changed(t, Topic{}, `{"dedup_max_ids": 100}`)
	for _, x := range []struct {
		place Place
		topic string
		set   Topic
		want  int64
	}{
		{Place{MaxIDs: 10, Replicated: true}, "t", set, 100},
		{Place{MaxIDs: 10, Replicated: true}, "p", set, 100},
		{Place{MaxIDs: 10, Replicated: true}, "p", Topic{}, 10},
		{Place{MaxIDs: 10, Replicated: true}, "t", Topic{}, 10},
		{Place{MaxIDs: 10}, "t", set, 10},
	} {
		inForce := rules.Topic(x.topic, x.set, x.place)
		if *inForce.DedupMaxIDs != x.want {
			t.Errorf("%+v %s: %d", x.place, x.topic, *inForce.DedupMaxIDs)
		}
		if err := x.place.Refuse(set, inForce); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("at most 10 here, not 100: an id takes up to 40 bytes, and those of a topic may take an eighth of the node's memory; in force is %d", x.want)) {
			t.Errorf("%+v %s: %v", x.place, x.topic, err)
		}
	}
	if told := rules.UnmetOf(Place{MaxIDs: 10}); len(told) != 1 || !strings.Contains(told[0], "not 50") || !strings.Contains(told[0], "in force is 10") {
		t.Errorf("of patterns %q", told)
	}
}

// TestWhatIsNotChangedIsNotRefused, though it cannot be met any more.
func TestWhatIsNotChangedIsNotRefused(t *testing.T) {
	place := &Place{MaxIDs: 10}
	was := changed(t, Topic{}, `{"dedup_max_ids": 100}`)
	for body, refused := range map[string]bool{
		`{"max_age": "1h", "dedup_window": "1m"}`: false, `{"dedup_max_ids": 11}`: true, `{"dedup_max_ids": 10}`: false, `{"dedup_max_ids": null}`: false,
	} {
		set := changed(t, was, body)
		if err := place.RefuseChange(was, set, (*Rules)(nil).Topic("t", set, Place{})); (err != nil) != refused {
			t.Errorf("%s: %v", body, err)
		}
	}
	kept, err := Channel{}.Change([]byte(`{"msg_timeout": "59s", "max_attempts": 5, "ordered": "key"}`), baseChannel)
	if err != nil {
		t.Fatal(err)
	}
	for body, refused := range map[string]bool{
		`{"rate": 5, "max_in_flight": 1}`: false, `{"msg_timeout": "58s"}`: true, `{"msg_timeout": null}`: false, `{"max_attempts": 6}`: true,
		`{"dead_letter_topic": "dead"}`: false, `{"prioritised": true}`: true, `{"after_max_attempts": "stop"}`: false,
	} {
		set, err := kept.Change([]byte(body), baseChannel)
		if err != nil {
			t.Fatal(err)
		}
		inForce := func(c Channel) Channel { return (*Rules)(nil).Channel("t", "c", c, Channel{}) }
		if err := set.RefuseChange(kept, inForce(kept), inForce(set), time.Minute, 15*time.Minute); (err != nil) != refused {
			t.Errorf("%s: %v", body, err)
		}
	}
}
