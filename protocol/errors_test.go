package protocol

import (
	"testing"

	"qmq/message"
)

func TestErrorsOfRefusedCommands(t *testing.T) {
	id := message.ID([]byte("not\x00a hex\xffid...!"))
	tests := []struct {
		err   *Error
		want  string
		fatal bool
	}{
		{BadProtocol(), "E_BAD_PROTOCOL", true},
		{IdentifyFailed("EOF"), "E_IDENTIFY_FAILED IDENTIFY failed EOF", true},
		{AuthDisabled(), "E_AUTH_DISABLED AUTH disabled", true},
		{SubFailed("exiting"), "E_SUB_FAILED SUB failed exiting", true},
		{SubFailed("to deleted topic/channel"), "E_SUB_FAILED SUB failed to deleted topic/channel", true},
		{TooManyConsumers("t", "c", 2), "E_SUB_FAILED SUB failed consumers for t:c exceeds limit of 2", true},
		{PublishFailed(Pub, "exiting"), "E_PUB_FAILED PUB failed exiting", false},
		{PublishFailed(Mpub, "disk full"), "E_MPUB_FAILED MPUB failed disk full", false},
		{PublishFailed(Dpub, "exiting"), "E_DPUB_FAILED DPUB failed exiting", false},
		{AnswerFailed(Fin, id, "ID not in flight"), "E_FIN_FAILED FIN " + string(id[:]) + " failed ID not in flight", false},
		{AnswerFailed(Req, id, "exiting"), "E_REQ_FAILED REQ " + string(id[:]) + " failed exiting", false},
		{AnswerFailed(Touch, id, "client does not own message"), "E_TOUCH_FAILED TOUCH " + string(id[:]) + " failed client does not own message", false},
	}
	for _, tt := range tests {
		if tt.err.Error() != tt.want || tt.err.Fatal != tt.fatal {
			t.Errorf("got %q fatal=%v, want %q fatal=%v", tt.err, tt.err.Fatal, tt.want, tt.fatal)
		}
		if frame := AppendError(nil, tt.err); string(frame[FrameOverhead:]) != tt.want {
			t.Errorf("frame %q, want %q", frame, tt.want)
		}
	}
}
