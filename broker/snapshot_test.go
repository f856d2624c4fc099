package broker

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestMetadataIsTidyJSONWhateverThereIs(t *testing.T) {
	disk := newDisk(t, 1)
	b := open(t, disk)
	defer b.Close()
	for _, name := range []string{"", "one", "two", "gone#ephemeral"} {
		if name != "" {
			getChannel(t, b, name, "ch")
		}
		var text, tidy bytes.Buffer
		must(t, b.writeMetadata(&text))
		must(t, json.Indent(&tidy, text.Bytes(), "", "  "))
		if tidy.String() != text.String() {
			t.Errorf("got\n%s, want\n%s", &text, &tidy)
		}
		if name != "" && strings.Contains(text.String(), name) == strings.Contains(name, "#") {
			t.Errorf("after %s it is\n%s", name, &text)
		}
	}
}
