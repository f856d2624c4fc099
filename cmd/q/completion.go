package main

import (
	_ "embed"
	"io"
)

// completionCommand is q completion.
type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help says how to install it.
func (*completionCommand) Help() string {
	return `Commands, flags and their values are completed, and topics, channels and nodes, which are asked of the cluster that the command line, the environment or the configuration file names, for a second at most.

` + examples(
		"bash: this line in ~/.bashrc", `source <(q completion bash)`,
		"zsh: this line in ~/.zshrc", `source <(q completion zsh)`,
		"fish: this line in ~/.config/fish/config.fish", `q completion fish | source`,
	)
}

//go:embed completion.bash
var bashCompletion string

//go:embed completion.zsh
var zshCompletion string

//go:embed completion.fish
var fishCompletion string

// Run prints the script.
func (k *completionCommand) Run(c console) error {
	scripts := map[string]string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}
	_, err := io.WriteString(c.out, scripts[k.Shell])
	return err
}
