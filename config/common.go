package config

// Common are the options that every daemon has.
type Common struct {
	ShowVersion  bool
	ConfigFile   string // empty: none
	StrictConfig bool   // unknown keys in the file are mistakes
	LogLevel     LogLevel
	LogPrefix    string   // starts each log line
	AllowedHosts []string // under which browsers know the HTTP API
}

func (c *Common) common() *Common { return c }

func (c *Common) options(logPrefix string) []*option {
	return []*option{
		bind(&c.ShowVersion, "version", truth(), false, "print the version and exit").keyed(""),
		bind(&c.ConfigFile, "config", text("file"), "", "TOML file with more options; those of the command line come first").keyed(""),
		bind(&c.StrictConfig, "strict-config", truth(), false, "refuse to start when the config file has an unknown key"),
		bind(&c.LogLevel, "log-level", oneOf(logLevels), logLevels[1].value, "lowest level that is logged").changeable(),
		bind(&c.LogPrefix, "log-prefix", text("text"), logPrefix, "start of each log line"),
		bind(&c.AllowedHosts, "allowed-host", texts("host"), nil, "host under which browsers reach this daemon's HTTP, as behind a proxy, perhaps with a port: requests for it pass on loopback, and its pages are no other site; * for any host", hostsOfSites).keyed("allowed_hosts"),
		ignored("verbose", truth(), false).keyed(""),
	}
}

// ignored declares an option for which there is no use and so no field.
func ignored[T any](name string, k kind[T], def T) *option {
	return bind(new(T), name, k, def, "accepted, without effect").withoutEffect()
}

// ServerTLS are the certificate and key of a daemon that serves HTTP alone;
// empty: it serves in clear.
type ServerTLS struct {
	TLSCert, TLSKey string // PEM files
}

func (s *ServerTLS) options() []*option {
	return []*option{
		bind(&s.TLSCert, "tls-cert", text("file"), "", "certificate (PEM): HTTP is served over TLS only").guards(),
		bind(&s.TLSKey, "tls-key", text("file"), "", "key of the certificate (PEM)").guards(),
	}
}

func (s *ServerTLS) relate(r *review) {
	switch hasCert, hasKey := s.TLSCert != "", s.TLSKey != ""; {
	case hasCert && !hasKey:
		r.mistake("failed to build TLS config - --tls-cert needs --tls-key")
	case hasKey && !hasCert:
		r.mistake("failed to build TLS config - --tls-key needs --tls-cert")
	}
}

// registrationSecret declares the option of that name, which nodes and
// directories share.
func registrationSecret(at *string, help string) *option {
	return bind(at, "registration-secret-file", text("file"), "", help).guards()
}
