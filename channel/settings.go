package channel

import "qmq/settings"

// Configure has settings be in force from now on.
func (c *Channel) Configure(s settings.EffectiveChannel) {
	c.mu.Lock()
	c.settings = s
	c.unlock()
}
