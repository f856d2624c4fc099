package daemon

import (
	"os"
	"path/filepath"
	"testing"
)

// TestWhatNSQDLeftIsToldOf: messages of an nsqd that nobody will get are a warning.
func TestWhatNSQDLeftIsToldOf(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	begin := func(want string) {
		t.Helper()
		r := start(t, "--data-path="+dir, "--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0")
		r.line(want)
		r.stop()
	}
	write("nsqd.dat", `{"topics":[],"version":"1.3.0"}`)
	write("t.diskqueue.meta.dat", "0\n0,0\n0,0\n")
	begin("INFO: an nsqd used the data directory; its topics and channels are not read path=" + filepath.Join(dir, "nsqd.dat"))
	write("t:c.diskqueue.meta.dat", "100\n0,0\n0,3090\n")
	write("t:d.diskqueue.meta.dat", "7\n1,2\n3,4\n")
	write("t:e.diskqueue.meta.dat", "torn")
	begin("WARNING: an nsqd left messages in the data directory; they are kept and not served: start nsqd here again and drain it messages=107 ")
}
