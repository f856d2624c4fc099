package broker

import (
	"testing"

	"qmq/diskqueue"
	"qmq/message"
)

// publishOnce publishes a message that is its own id.
func publishOnce(t *testing.T, b *Broker, name, body string) {
	t.Helper()
	p, err := b.Publisher(name)
	must(t, err)
	var records diskqueue.Batch
	m := message.Meta{Timestamp: b.Clock().Wall()}
	p.Stamp().Begin(&records).Apply(&m, []byte(body))
	records.Add(&m, []byte(body))
	_, err = b.Publish(p, &records)
	must(t, err)
}

// TestATopicThatIsMadeAnewKnowsNoIDs of the one that had its name, nor does another topic of
// which the same is published, and a restart changes neither.
func TestATopicThatIsMadeAnewKnowsNoIDs(t *testing.T) {
	disk := newDisk(t, 1)
	b := open(t, disk)
	make := func(name string) {
		t.Helper()
		getChannel(t, b, name, "c")
		must(t, getTopic(t, b, name).Configure([]byte(`{"dedup_window": "1h", "dedup_from": "body"}`)))
	}
	make("t")
	make("other")
	publishOnce(t, b, "t", "a")
	publishOnce(t, b, "other", "a")
	must(t, b.DeleteTopic("t"))
	make("t")
	publishOnce(t, b, "t", "a")
	publishOnce(t, b, "t", "a")
	kill(disk, b)
	b = open(t, disk)
	publishOnce(t, b, "t", "a")
	publishOnce(t, b, "other", "a")
	wantDrained(t, getChannel(t, b, "t", "c"), "a")
	wantDrained(t, getChannel(t, b, "other", "c"), "a")
	must(t, b.DeleteTopic("t"))
	must(t, b.Close())
}
