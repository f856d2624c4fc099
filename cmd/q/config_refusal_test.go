package main

import (
	"errors"
	"testing"
)

func TestWhatSeveralNodesRefuseIsSaidOnce(t *testing.T) {
	var failed byNode
	if err := failed.join(); err != nil {
		t.Error(err)
	}
	refused, down := errors.New("max_age: 1s or more"), errors.New("no answer")
	for _, f := range []struct {
		node string
		err  error
	}{{"a:1", refused}, {"b:1", down}, {"c:1", errors.New(refused.Error())}} {
		failed.add(f.node, f.err)
	}
	err := failed.join()
	if got, want := err.Error(), "a:1, c:1: max_age: 1s or more\nb:1: no answer"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !errors.Is(err, refused) || !errors.Is(err, down) {
		t.Error("what they were is not known any more")
	}
}
