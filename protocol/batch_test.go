package protocol

import (
	"strings"
	"testing"
)

func bodies(m Messages) (all []string) {
	for body, ok := m.Next(); ok; body, ok = m.Next() {
		all = append(all, string(body))
	}
	return all
}

func TestMpubGivesItsMessagesInOrder(t *testing.T) {
	p := Parser{Limits: testLimits}
	var cmd Command
	in := "MPUB t\n" + mpub("a", "bb", strings.Repeat("c", 100))
	n, _, err := p.Parse([]byte(in+"NOP\n"), &cmd)
	if n != len(in) || err != nil || cmd.Count != 3 || string(cmd.Topic) != "t" {
		t.Fatalf("n=%d err=%v cmd=%+v", n, err, cmd)
	}
	again := cmd.Messages
	for range 2 {
		if got := bodies(cmd.Messages); strings.Join(got, ",") != "a,bb,"+strings.Repeat("c", 100) {
			t.Fatalf("got %q", got)
		}
		cmd.Messages = again
	}
}

func TestMpubEndsWhereItsMessagesEndWhateverWasAnnounced(t *testing.T) {
	batch := batchOf("one", "two")
	for _, announced := range []int{1, len(batch) - 1, len(batch) + 1, 1000} {
		in := "MPUB t\n" + be32(announced) + batch
		p := Parser{Limits: testLimits}
		var cmd Command
		for i := range len(in) {
			if n, need, err := p.Parse([]byte(in[:i]), &cmd); n != 0 || need <= i || err != nil {
				t.Fatalf("announced %d, %d bytes: n=%d need=%d err=%v", announced, i, n, need, err)
			}
		}
		n, _, err := p.Parse([]byte(in), &cmd)
		if n != len(in) || err != nil || strings.Join(bodies(cmd.Messages), ",") != "one,two" {
			t.Fatalf("announced %d: n=%d err=%v", announced, n, err)
		}
	}
}

func TestMpubThatExceedsTheBodyLimitIsRefusedThoughItAnnouncedLess(t *testing.T) {
	limits := Limits{MaxMsgSize: 100, MaxBodySize: 200}
	full := strings.Repeat("x", 92) // two such make exactly 196 bytes
	tests := []struct {
		batch, want string
	}{
		{batchOf(full, full), ""},
		{batchOf(full, full+"12345"), "E_BAD_BODY MPUB body too big 201 > 200"},
		{be32(2) + sized(full) + be32(97), "E_BAD_BODY MPUB body too big 201 > 200"},
		// Two more messages of at least five bytes must follow.
		{be32(4) + sized(full) + be32(92), "E_BAD_BODY MPUB body too big 206 > 200"},
	}
	for _, tt := range tests {
		p := Parser{Limits: limits}
		var cmd Command
		_, _, err := p.Parse([]byte("MPUB t\n"+be32(10)+tt.batch), &cmd)
		switch {
		case tt.want == "" && err == nil:
		case err == nil || err.Error() != tt.want || !err.Fatal:
			t.Errorf("got %v, want %q", err, tt.want)
		}
	}
}

func TestMpubThatArrivesInPiecesIsCheckedOnce(t *testing.T) {
	const messages = 10000
	limits := Limits{MaxMsgSize: 100, MaxBodySize: 1 << 20}
	var batch strings.Builder
	batch.WriteString(be32(messages))
	for range messages {
		batch.WriteString(sized("x"))
	}
	in := []byte("MPUB t\n" + sized(batch.String()))
	p := Parser{Limits: limits}
	var cmd Command
	for end := 100; end < len(in); end += 100 {
		if n, _, err := p.Parse(in[:end], &cmd); n != 0 || err != nil {
			t.Fatalf("n=%d err=%v", n, err)
		}
		if whole := (end - 15) / 5; p.batch.index != int64(whole) {
			t.Fatalf("%d messages of %d are known to be valid", p.batch.index, whole)
		}
	}
	if n, _, err := p.Parse(in, &cmd); n != len(in) || err != nil || cmd.Count != messages {
		t.Fatalf("n=%d err=%v", n, err)
	}
	if p.batch != (batchCheck{}) {
		t.Fatal("progress of a complete batch is kept")
	}
}

func TestBinaryBatchOverHTTP(t *testing.T) {
	limits := Limits{MaxMsgSize: 100, MaxBodySize: 200}
	tests := []struct {
		name, body string
		want       string
	}{
		{"whole", batchOf("a", "b"), ""},
		{"bytes after the last message", batchOf("a", "b") + "rest", ""},
		{"empty", "", "E_BAD_BODY MPUB failed to read message count"},
		{"no messages", be32(0), "E_BAD_BODY MPUB invalid message count 0"},
		{"too many messages", be32(40), "E_BAD_BODY MPUB invalid message count 40"},
		{"no size", be32(1), "E_BAD_MESSAGE MPUB failed to read message(0) body size"},
		{"empty message", batchOf("a", ""), "E_BAD_MESSAGE MPUB invalid message(1) body size 0"},
		{"short message", be32(1) + be32(5) + "abcd", "E_BAD_MESSAGE MPUB failed to read message body"},
		{"message too big", be32(1) + be32(101), "E_BAD_MESSAGE MPUB message too big 101 > 100"},
		{"body too big", batchOf(strings.Repeat("a", 100), strings.Repeat("b", 89)), "E_BAD_BODY MPUB body too big 201 > 200"},
	}
	for _, tt := range tests {
		m, count, err := ParseBatch(Mpub, []byte(tt.body), limits)
		switch {
		case tt.want == "":
			if err != nil || count != 2 || strings.Join(bodies(m), "") != "ab" {
				t.Errorf("%s: count=%d err=%v", tt.name, count, err)
			}
		case err == nil || err.Error() != tt.want:
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}
