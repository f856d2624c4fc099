package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPasswdWritesAFileOfUsers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users")
	passwd := func(input string, args ...string) (code int, text string) {
		var out bytes.Buffer
		code = run(append([]string{"passwd", file}, args...), console{strings.NewReader(input), &out, &out, nil})
		return code, out.String()
	}
	if code, text := passwd("secret\n", "maria", "--role=admin"); code != exitOK || strings.Contains(text, "secret") {
		t.Errorf("exit code %d, %s", code, text)
	}
	if code, text := passwd("other", "tom"); code != exitOK {
		t.Errorf("exit code %d, %s", code, text)
	}
	if code, _ := passwd("", "maria", "--delete"); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	for input, want := range map[string]string{"": "no password: EOF", "\n": "1 to 72 bytes"} {
		if code, text := passwd(input, "eve"); code != exitFailed || !strings.Contains(text, want) {
			t.Errorf("%q: exit code %d, %s", input, code, text)
		}
	}
	for _, args := range [][]string{{"eve", "--role=boss"}, {"e:ve"}} { // which is said before a password is wanted
		if code, text := passwd("", args...); code != exitFailed || strings.Contains(text, "no password") {
			t.Errorf("%q: exit code %d, %s", args, code, text)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil || !strings.HasPrefix(string(text), "tom:viewer:$2a$10$") || strings.Count(string(text), "\n") != 1 {
		t.Errorf("the file is %s, %v", text, err)
	}
}
