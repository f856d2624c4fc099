package main

import (
	"strings"
	"testing"
)

func TestHeadersAreSentAndShown(t *testing.T) {
	s := startServer(t)
	s.post("/topic/create", "topic", "t")
	s.post("/channel/create", "topic", "t", "channel", "c")
	must(t, "", "pub", "t", "with", "--header=A=1", "--header=note=two words", "--key=u-1", "--priority=7", "--addr="+s.tcp)
	must(t, "", "pub", "t", "without", "--addr="+s.tcp)
	must(t, "first\nsecond\n", "pub", "t", "--header=n=1", "--addr="+s.tcp)
	must(t, "", "pub", "t", "later", "--header=n=2", "--defer=1ms", "--addr="+s.tcp)

	got := must(t, "", "peek", "t/c", "--print=key,headers", "--http-addr="+s.http)
	if want := "u-1\tkey=u-1 priority=7 A=1 note=\"two words\"\twith\n\t\twithout\n\tn=1\tfirst\n\tn=1\tsecond\n"; !strings.Contains(got, want) {
		t.Errorf("peek prints\n%s and not\n%s", got, want)
	}
	got = must(t, "", "sub", "t", "c", "--yes", "--count=5", "--format=json", "--addr="+s.tcp)
	if want := `"headers":[{"key":"key","value":"u-1"},{"key":"priority","value":"7"},{"key":"A","value":"1"},{"key":"note","value":"two words"}],"body":"with"}`; !strings.Contains(got, want) {
		t.Errorf("sub prints %s and not %s", got, want)
	}
	s.post("/topic/create", "topic", "copy")
	s.post("/channel/create", "topic", "copy", "channel", "c")
	must(t, got, "pub", "copy", "--json-lines", "--addr="+s.tcp)
	again := must(t, "", "sub", "copy", "c", "--yes", "--count=5", "--print=headers", "--addr="+s.tcp)
	for _, want := range []string{"key=u-1 priority=7 A=1 note=\"two words\"\twith\n", "\twithout\n", "n=1\tsecond\n", "n=2\tlater\n"} {
		if !strings.Contains(again, want) {
			t.Errorf("the copy has\n%s without %q", again, want)
		}
	}
	got = must(t, "", "sub", "copy", "--help")
	if !strings.Contains(got, "headers") {
		t.Errorf("the help is %s", got)
	}
}

func TestHeadersThatCannotBeAreSaidBeforeAnythingIsSent(t *testing.T) {
	s := startServer(t)
	for _, c := range [][2]string{
		{"--header=novalue", "KEY=VALUE is wanted"},
		{"--header=a b=1", "a key is 1 to 255"},
		{"--priority=10", "priority must be 0 to 9"},
		{"--key=" + strings.Repeat("k", 256), "key must be 1 to 255 bytes long"},
	} {
		wantRefusal(t, 1, c[1], "pub", "t", "x", c[0], "--addr="+s.tcp)
	}
	wantRefusal(t, 1, "--dedup-id is that of one message", "pub", "t", "--dedup-id=x", "--addr="+s.tcp)
}
