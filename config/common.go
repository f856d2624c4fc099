package config

// Common are the options that every daemon has.
type Common struct {
	ShowVersion  bool
	ConfigFile   string // empty: none
	StrictConfig bool   // unknown keys in the file are mistakes
	LogLevel     LogLevel
	LogPrefix    string // starts each log line
}

func (c *Common) common() *Common { return c }

func (c *Common) options(logPrefix string) []*option {
	return []*option{
		bind(&c.ShowVersion, "version", truth(), false, "print the version and exit").keyed(""),
		bind(&c.ConfigFile, "config", text("file"), "", "TOML file with more options; those of the command line come first").keyed(""),
		bind(&c.StrictConfig, "strict-config", truth(), false, "refuse to start when the config file has an unknown key"),
		bind(&c.LogLevel, "log-level", oneOf(logLevels), logLevels[1].value, "lowest level that is logged").changeable(),
		bind(&c.LogPrefix, "log-prefix", text("text"), logPrefix, "start of each log line"),
		ignored("verbose", truth(), false).keyed(""),
	}
}

// ignored declares an option for which there is no use and so no field.
func ignored[T any](name string, k kind[T], def T) *option {
	return bind(new(T), name, k, def, "accepted, without effect").withoutEffect()
}
