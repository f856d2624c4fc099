package broker

import (
	"strings"
	"testing"

	"qmq/state"
)

// configure sets settings of a topic, or of a channel where one is named.
func configure(t testing.TB, b *Broker, topicName, channelName, settings string) {
	t.Helper()
	c := Change{Op: state.ConfigureTopic, Topic: topicName, Settings: settings}
	if channelName != "" {
		c.Op, c.Channel = state.ConfigureChannel, channelName
	}
	must(t, b.Change(c))
}

// wantConfig checks what is set of a topic and a channel of it.
func wantConfig(t testing.TB, b *Broker, topicName, ofTopic, channelName, ofChannel string) {
	t.Helper()
	set, _, err := b.TopicConfig(topicName)
	must(t, err)
	channelSet, _, err := b.ChannelConfig(topicName, channelName)
	must(t, err)
	if set.String() != ofTopic || channelSet.String() != ofChannel {
		t.Errorf("set are %s and %s, want %s and %s", set, channelSet, ofTopic, ofChannel)
	}
}

func TestSettingsOutliveAKillAndACheckpointAndGoWithTheIncarnation(t *testing.T) {
	disk := newDisk(t, 1)
	b := open(t, disk)
	getChannel(t, b, "t", "c")
	configure(t, b, "t", "", `{"max_age": "1h", "max_messages": 5}`)
	configure(t, b, "t", "", `{"max_messages": null}`)
	configure(t, b, "t", "c", `{"rate": 5}`)
	kill(disk, b)
	b = open(t, disk)
	wantConfig(t, b, "t", `{"max_age":"1h"}`, "c", `{"rate":5}`)
	must(t, b.Close()) // with a checkpoint
	b = open(t, disk)
	wantConfig(t, b, "t", `{"max_age":"1h"}`, "c", `{"rate":5}`)
	must(t, b.Change(Change{Op: state.DeleteTopic, Topic: "t"}))
	getChannel(t, b, "t", "c")
	wantConfig(t, b, "t", "", "c", "")
	must(t, b.Close())
}

func TestSettingsThatTheJournalLostAreThoseOfTheMetadata(t *testing.T) {
	disk := newDisk(t, 1)
	b := open(t, disk)
	getChannel(t, b, "t", "c")
	configure(t, b, "t", "", `{"max_age": "1h"}`)
	configure(t, b, "t", "c", `{"rate": 5}`)
	must(t, publish(existing(b, "t"), "1"))
	must(t, b.Close())
	for _, f := range disk.Files() {
		if strings.Contains(f.Name, "/journal/") {
			must(t, disk.Mount().Remove(f.Name))
		}
	}
	for range 2 { // the journal has them again
		b = open(t, disk)
		wantConfig(t, b, "t", `{"max_age":"1h"}`, "c", `{"rate":5}`)
		must(t, b.Close())
	}
}
