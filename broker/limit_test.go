package broker

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"qmq/topic"
)

func TestNoMoreTopicsAndChannelsAreMadeThanThereMayBe(t *testing.T) {
	disk := newDisk(t, 1)
	limits := func(o *Options) { o.MaxTopics, o.MaxChannels = 2, 1 }
	b := open(t, disk, limits)
	var limit *topic.LimitError
	first := getTopic(t, b, "a")
	getTopic(t, b, "b#ephemeral")
	if _, err := b.Topic("c"); !errors.As(err, &limit) || err.Error() != "limit of 2 topics of this node reached (--max-topics)" {
		t.Errorf("a third topic: %v", err)
	}
	getTopic(t, b, "a")
	if _, err := first.Channel("x"); err != nil {
		t.Error(err)
	}
	if _, err := first.Channel("y#ephemeral"); !errors.As(err, &limit) || err.Error() != "limit of 1 channels of topic a reached (--max-channels)" {
		t.Errorf("a second channel: %v", err)
	}
	must(t, first.DeleteChannel("x"))
	if _, err := first.Channel("y"); err != nil {
		t.Errorf("in place of a deleted one: %v", err)
	}
	must(t, b.DeleteTopic("b#ephemeral"))
	getTopic(t, b, "c")
	must(t, b.Close())

	b = open(t, disk, limits, func(o *Options) { o.MaxTopics = 1 })
	if n := len(b.Topics()); n != 2 {
		t.Errorf("%d topics come back with a lower limit", n)
	}
	must(t, b.Close())
}

func TestWhatDirectoriesKnowIsNotMadeBeyondTheLimits(t *testing.T) {
	for name, test := range map[string]struct {
		limit func(*Options)
		want  []string
		said  string
	}{
		"limit":   {func(o *Options) { o.MaxChannels = 2 }, []string{"a", "b"}, "limit of 2 channels"},
		"by hand": {func(o *Options) { o.NoAutoCreate = true }, nil, "--auto-create=false"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			d := says("a", "b", "c", "d")
			d.paused = []string{"d"}
			b := open(t, newDisk(t, 1), with(d), test.limit, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
			defer func() { must(t, b.Close()) }()
			tp := getTopic(t, b, "t")
			synctest.Wait()
			wantNames(t, tp, test.want...)
			for _, channel := range []string{"c", "d"} {
				if !strings.Contains(log.String(), `msg="channel of a new topic not made" topic=t channel=`+channel) || !strings.Contains(log.String(), test.said) {
					t.Errorf("%s: %s is not in the log:\n%s", name, channel, &log)
				}
			}
			if n := d.timesAsked(); n != 1 {
				t.Errorf("%s: asked %d times", name, n)
			}
		})
	}
}

func TestClientsMakeNothingWhereTheyMayNot(t *testing.T) {
	b := open(t, newDisk(t, 1), func(o *Options) { o.NoAutoCreate = true })
	defer func() { must(t, b.Close()) }()
	if _, err := b.TopicForClient("t"); err != topic.ErrNoAutoCreate {
		t.Error(err)
	}
	tp := getTopic(t, b, "t")
	if same, err := b.TopicForClient("t"); same != tp || err != nil {
		t.Error(err)
	}
	if _, err := tp.ChannelForClient("c"); err != topic.ErrNoAutoCreate {
		t.Error(err)
	}
	c, err := tp.Channel("c")
	must(t, err)
	if same, err := tp.ChannelForClient("c"); same != c || err != nil {
		t.Error(err)
	}
}
