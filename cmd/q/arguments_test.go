package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestTopicAndChannelAreOneWordOrTwo wherever a command takes both.
func TestTopicAndChannelAreOneWordOrTwo(t *testing.T) {
	s := withChannel(t)
	at := "--http-addr=" + s.http
	must(t, "one\n", "pub", "t", "--addr="+s.tcp)
	for _, command := range []string{
		"stat", "top --json -i 1ms", "peek", "channels list", "clients list", "channels pause", "channels unpause", "channels config", "channels config rate=5",
		"channels rewind first", "channels rewind -1h", "channels empty --yes", "channels delete --yes", "channels create",
	} {
		words := strings.Fields(command)
		n := 1
		if words[0] == "channels" || words[0] == "clients" {
			n = 2
		}
		run := func(args ...string) {
			if words[0] == "channels" {
				must(t, "", "channels", "create", "t", "c", at) // if it is deleted
			}
			must(t, "", args...)
		}
		for _, channel := range [][]string{{"t/c"}, {"t", "c"}} {
			args := slices.Concat(words[:n], channel, words[n:])
			run(append(slices.Clone(args), at)...)
			run(slices.Insert(slices.Clone(args), n, at)...)
		}
	}
}

// TestEveryCommandThatTakesAChannelTakesBothInOneWord: none is forgotten.
func TestEveryCommandThatTakesAChannelTakesBothInOneWord(t *testing.T) {
	parser := kong.Must(new(commands), kongOptions(console{}, func(int) {})...)
	found := 0
	for _, leaf := range parser.Model.Leaves(false) {
		for i, p := range leaf.Positional {
			if p.Name != "channel" || i == 0 {
				continue
			}
			if found++; leaf.Positional[i-1].Tag.Type != topicAndChannel {
				t.Errorf("q %s takes no TOPIC/CHANNEL", leaf.Path())
			}
		}
	}
	if found < 10 {
		t.Errorf("%d are found", found)
	}
}

func TestTopicAloneIsWantedWhereChannelsAreNone(t *testing.T) {
	for command, want := range map[string]string{
		"pub t/c x":                      `topic "t/c": a topic alone is wanted here, such as t`,
		"topics delete t/c":              `topic "t/c": a topic alone is wanted here, such as t`,
		"topics t/c":                     `topic "t/c": a topic alone is wanted here, such as t`,
		"request t/c x":                  `topic "t/c": a topic alone is wanted here, such as t`,
		"dead-letters t/c":               `topic "t/c": a topic alone is wanted here, such as t`,
		"forward t/c --to-http=http://x": `topic "t/c": a flag names the channel here: t --channel=c`,
		"archive t/c":                    `topic "t/c": a flag names the channel here: t --channel=c`,
		"reply t/c x":                    `topic "t/c": a flag names the channel here: t --channel=c`,
		"sub t/c/d":                      `channel "c/d": a name is up to 64`,
		"channels pause t/c/d":           `channel "c/d": a name is up to 64`,
	} {
		wantRefusal(t, exitFailed, want, strings.Fields(command)...)
	}
	wantRefusal(t, exitUsage, "unexpected argument d", "stat", "t/c", "d")
}

func TestWhatIsEmptyIsRefused(t *testing.T) {
	for command, want := range map[string]string{
		"pub t x --key=": "--key is empty", "pub t x --dedup-id=": "--dedup-id is empty", "pub t x --header=": "--header is empty", "pub t --file=": "--file is empty",
		"pub t x --delimiter=": "--delimiter is empty", "sub t --grep=": "--grep is empty", "sub t --from=": "--from is empty", "sub t --print=": "--print is empty",
		"stat --lookupd=": "--lookupd is empty", "stat --addr=": "--addr is empty", "stat --http-addr=a:1 --http-addr=": "--http-addr is empty",
		"archive --channel=": "--channel is empty", "dev --data-path=": "--data-path is empty", "health --topic=": "--topic is empty", "stat --context=": "--context is empty",
		"stat _": "<topic> is empty", "stat t _": "<channel> is empty", "sub t/": "<channel> is empty", "channels rewind t c _": "<to> is empty", "topics delete _": "<topic> is empty",
		"forward a _ --to-http=http://x": "<topic> is empty",
	} {
		words := strings.Fields(command)
		for i := range words {
			words[i] = strings.ReplaceAll(words[i], "_", "")
		}
		wantRefusal(t, exitUsage, want, words...)
	}
	t.Setenv("Q_HTTP_AUTH", "") // says nothing, as always
	s := startServer(t)
	must(t, "", "stat", "--http-addr="+s.http)
}

func TestPlacesBeginWithAMinus(t *testing.T) {
	s := withChannel(t)
	at := []string{"--addr=" + s.tcp, "--http-addr=" + s.http}
	must(t, "one\ntwo\n", "pub", "t", at[0])
	for _, from := range [][]string{{"--from=-1h"}, {"--from", "-1h30m"}, {"--from", "-.5h", "--until", "-0s"}} {
		if out := must(t, "", append(append([]string{"sub", "t", "-n", "2"}, from...), at...)...); out != "one\ntwo\n" {
			t.Errorf("%v: %q", from, out)
		}
	}
	for _, args := range [][]string{{"t", "c", "-1h"}, {"t/c", "-1h"}, {"t/c", "--json", "-90m"}} {
		must(t, "", append(append([]string{"channels", "rewind"}, args...), at[1])...)
		if c := s.figures("t").Channels[0]; c.Depth != 2 {
			t.Errorf("%v: %+v", args, c)
		}
	}
	wantRefusal(t, exitFailed, `INVALID_TO: "-7d" is no place in the log: allowed is first, last, a time`, "channels", "rewind", "t/c", "-7d", at[1])
	wantRefusal(t, exitFailed, `INVALID_TO: "2300-01-01T00:00:00Z" is in the future`, "channels", "rewind", "t/c", "2300-01-01T00:00:00Z", at[1])
}
