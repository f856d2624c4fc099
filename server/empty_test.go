package server

import (
	"bytes"
	"testing"
)

// TestNothingIsSentWhereThereIsNothingToSend, through a compression: what unpacks
// to nothing ends the connection for some clients.
func TestNothingIsSentWhereThereIsNothingToSend(t *testing.T) {
	var sent bytes.Buffer
	o := &output{layer: &deflateWriter{to: &sent, level: 6}}
	if err := o.flush(); err != nil || sent.Len() > 0 {
		t.Errorf("flush sends %x, %v", sent.Bytes(), err)
	}
	if err := o.write([]byte("frame")); err != nil || sent.Len() == 0 {
		t.Errorf("write sends %x, %v", sent.Bytes(), err)
	}
}
