// Package config turns a daemon's command line and configuration file into a
// struct of plain values, and answers GET and PUT /config while it runs. Each
// option is declared once, in its daemon's table: flag, TOML key, type,
// default, help, what is allowed, whether it may be changed at run time.
//
// It never listens, logs or exits: mistakes come back all at once, warnings as
// text, and the daemon decides. It starts no goroutine; [Settings] may be used
// by several at a time.
package config
