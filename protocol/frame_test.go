package protocol

import (
	"encoding/hex"
	"testing"

	"qmq/message"
)

func TestFrameBytes(t *testing.T) {
	id := message.ID([]byte(testID))
	tests := []struct {
		name string
		got  []byte
		want string
	}{
		{"response", AppendResponse(nil, "OK"), "\x00\x00\x00\x06\x00\x00\x00\x00OK"},
		{"OK", []byte(OKFrame), string(AppendResponse(nil, "OK"))},
		{"heartbeat", []byte(HeartbeatFrame), string(AppendResponse(nil, []byte("_heartbeat_")))},
		{"close wait", []byte(CloseWaitFrame), string(AppendResponse(nil, "CLOSE_WAIT"))},
		{"error", AppendError(nil, &Error{Code: CodeInvalid, Text: "x"}), "\x00\x00\x00\x0f\x00\x00\x00\x01E_INVALID x"},
		{"error without text", AppendError(nil, BadProtocol()), "\x00\x00\x00\x12\x00\x00\x00\x01E_BAD_PROTOCOL"},
		{"message", AppendMessage([]byte("x"), 0x0102030405060708, 0x090a, id, []byte("body")),
			"x\x00\x00\x00\x22\x00\x00\x00\x02\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a" + testID + "body"},
	}
	for _, tt := range tests {
		if string(tt.got) != tt.want {
			t.Errorf("%s: got\n%swant\n%s", tt.name, hex.Dump(tt.got), hex.Dump([]byte(tt.want)))
		}
	}
	if n := len(AppendMessage(nil, 0, 0, id, nil)); n != MessageFrameOverhead {
		t.Errorf("an empty message takes %d bytes", n)
	}
}
