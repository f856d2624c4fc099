package server

import (
	"bytes"
	"testing"

	"qmq/channel"
	"qmq/message"
	"qmq/protocol"
	"qmq/server/stream"
)

// put offers n messages with bodies of a size, and returns how many found room.
func (f *frames) put(n, size int) (taken int) {
	m := channel.Message{View: message.View{Body: make([]byte, size)}}
	for taken < n && f.Put(&m) {
		taken++
	}
	return taken
}

func TestFramesOfATakeAreAsTheProtocolHasThem(t *testing.T) {
	f := new(frames).begin(stream.TakeBuffer(1))
	m := channel.Message{
		View: message.View{Timestamp: 5, Body: []byte("hello")}, ID: message.MakeID(3, 4), Attempts: 7,
	}
	for range 2 {
		if !f.Put(&m) {
			t.Fatal("no room")
		}
	}
	want := protocol.AppendMessage(nil, 5, 7, message.MakeID(3, 4), []byte("hello"))
	if out := f.end(2); !bytes.Equal(out, append(want, want...)) {
		t.Errorf("%q", out)
	}
}

func TestTakeEndsAt256KiBOfFrames(t *testing.T) {
	for _, c := range []struct{ size, want int }{{100, channel.MaxTake}, {100_000, 2}, {1 << 20, 1}} {
		buffer := stream.TakeBuffer(1)
		f := new(frames).begin(buffer)
		n := f.put(channel.MaxTake, c.size)
		out := f.end(n)
		if n != c.want || len(out) != n*(protocol.MessageFrameOverhead+c.size) || n > 1 && len(out) > 256<<10 {
			t.Errorf("%d messages of %d bytes in %d, want %d", n, c.size, len(out), c.want)
		}
		if len(buffer.B) < len(out) {
			t.Error("the longer memory is lost")
		}
	}
}

// TestNoMoreMessagesAreAskedForThanMayFit: those that do not fit would have to
// be given back, each time.
func TestNoMoreMessagesAreAskedForThanMayFit(t *testing.T) {
	var f frames
	if n := f.limit(); n != channel.MaxTake {
		t.Errorf("asks for %d at first", n)
	}
	deliver := func(n, size int) {
		f.begin(stream.TakeBuffer(1))
		f.end(f.put(n, size))
	}
	for range 30 {
		deliver(2, 100_000)
	}
	if n := f.limit(); n != 2 {
		t.Errorf("asks for %d messages of 100 kB", n)
	}
	deliver(0, 0) // finds nothing, and says nothing of sizes
	for range 30 {
		deliver(1, 4<<20)
	}
	if n := f.limit(); n != 1 {
		t.Errorf("asks for %d messages of 4 MiB", n)
	}
	for range 60 {
		deliver(10, 100)
	}
	if n := f.limit(); n != channel.MaxTake {
		t.Errorf("asks for %d small messages", n)
	}
}
