package cluster

import "testing"

// TestMemberThatWasAwayTakesNoAdoptionBack: as it starts it may not have applied that a topic is
// local no more, which it had for itself.
func TestMemberThatWasAwayTakesNoAdoptionBack(t *testing.T) {
	g := startRig(t)
	m := g.members[1]
	const name = "other"
	if err := m.agree(t.Context(), &entry{Local: []string{name}}); err != nil {
		t.Fatal(err)
	}
	if err := m.Adopt(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	r := m.run.Load()
	m.local.Store(&map[string]bool{name: true, "new": true})
	if err := r.tellNews(&entry{Local: []string{"new", name}}); err != nil { // which it made of what it had applied
		t.Fatal(err)
	}
	g.eventually("what the node has for itself stays local", func() bool { return !r.group0.state().Registry.replicates("new") })
	if !r.group0.state().Registry.replicates(name) {
		t.Error("an adopted topic is local again")
	}
}
