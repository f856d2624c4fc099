package daemon

import (
	"fmt"

	"qmq/config"
)

// abilities are what nsqd has and this version has not, with the flags that
// are about them. An option that neither is here nor has an effect would be
// ignored in silence.
var abilities = []struct {
	name  string
	flags []string
}{
	{"statsd", []string{"statsd-address", "statsd-prefix", "statsd-interval", "statsd-mem-stats", "statsd-exclude-ephemeral", "statsd-udp-packet-size"}},
}

// unavailable lists the options that were given for abilities that are not
// there, unless they ask for what happens anyway.
func unavailable(settings *config.Settings[config.QD]) (texts []string) {
	q := settings.Values()
	moot := map[string]bool{
		"statsd-address": q.StatsdAddress == "",
	}
	for _, ability := range abilities {
		for _, flag := range ability.flags {
			if settings.Given(flag) && !moot[flag] {
				texts = append(texts, fmt.Sprintf("--%s (%s)", flag, ability.name))
			}
		}
	}
	return texts
}
