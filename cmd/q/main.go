// Command q is the tool of Q: it runs a node for development, asks daemons
// whether they are well, and measures them.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"qmq/admin"
	"qmq/internal/nearest"
	"qmq/internal/redact"
	"qmq/internal/version"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // the command could not do what it should
	exitUsage  = 2 // the command line cannot be read

	exitUnchecked   = 2   // q check or q dump could not look
	exitAgain       = 75  // not done just now; the same command may do it in a moment
	exitInterrupted = 130 // a signal came before the command was through
)

// commands are the subcommands of q.
type commands struct {
	Pub         pubCommand         `cmd:"" help:"Publish messages."`
	Sub         subCommand         `cmd:"" aliases:"tail" help:"Show messages as they come."`
	Request     requestCommand     `cmd:"" help:"Publish a request and print the reply to it."`
	Reply       replyCommand       `cmd:"" help:"Reply to requests."`
	Peek        peekCommand        `cmd:"" help:"Look at messages of a topic or a channel and change nothing."`
	Top         topCommand         `cmd:"" help:"Watch topics, channels, nodes and clients on the terminal."`
	Stat        statCommand        `cmd:"" help:"Print figures of topics, channels, nodes and clients."`
	Topics      topicsCommand      `cmd:"" help:"List and change topics."`
	Channels    channelsCommand    `cmd:"" help:"List and change channels."`
	Nodes       nodesCommand       `cmd:"" help:"List nodes."`
	Clients     clientsCommand     `cmd:"" help:"List who consumes."`
	DeadLetters deadLettersCommand `cmd:"" help:"Show what channels gave up, and put it back."`
	Cluster     clusterCommand     `cmd:"" help:"Look at a replicated set, and change it."`
	Tombstone   tombstoneCommand   `cmd:"" help:"Take a topic off one node."`
	Drain       drainCommand       `cmd:"" help:"Have a node be emptied by its consumers, and stop."`
	Health      healthCommand      `cmd:"" help:"Say in one line, and by the exit code, whether all is well."`
	Archive     archiveCommand     `cmd:"" help:"Keep messages in files."`
	Restore     restoreCommand     `cmd:"" help:"Publish archived messages again."`
	Forward     forwardCommand     `cmd:"" help:"Pass messages on, over HTTP or to other nodes."`
	Dev         devCommand         `cmd:"" help:"Run all daemons in one process, to try things out."`
	Ping        pingCommand        `cmd:"" help:"Ask daemons over HTTP whether they are well."`
	Check       checkCommand       `cmd:"" help:"Verify the data directory of a node that does not run."`
	Dump        dumpCommand        `cmd:"" help:"Print the messages in the data directory of a node that does not run."`
	Bench       benchCommand       `cmd:"" help:"Put load on a daemon, check what comes back, and measure."`
	Passwd      passwdCommand      `cmd:"" help:"Set the password of somebody who may sign in at qadmin."`
	Completion  completionCommand  `cmd:"" help:"Print the script that has a shell complete the words of q."`
	Complete    completeCommand    `cmd:"" hidden:"" passthrough:"" help:"Say what a word may become."`
	Say         versionCommand     `cmd:"" name:"version" help:"Print the version."`
	Reference   referenceCommand   `cmd:"" hidden:"" help:"Write the reference of all commands."`
	Help        helpCommand        `cmd:"" help:"Explain a command."`
	Version     kong.VersionFlag   `short:"v" help:"Print the version and exit."`

	Context string `env:"Q_CONTEXT" placeholder:"NAME" help:"Context of the configuration file: which nodes, and how."`
	Config  string `env:"Q_CONFIG" placeholder:"FILE" complete:"file" help:"Configuration file. Default: q/config.toml in the user's directory for such files, which is ~/.config."`
}

// versionCommand is q version.
type versionCommand struct{}

// Run prints what --version prints.
func (versionCommand) Run(c console) error {
	_, err := fmt.Fprintln(c.out, version.String("q"))
	return err
}

// helpCommand is q help; run turns it into --help of what it names.
type helpCommand struct {
	Command []string `arg:"" optional:"" complete:"command" help:"The command, such as bench pub."`
}

func main() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	c := console{os.Stdin, os.Stdout, os.Stderr, signals}
	if code, is := runAs(os.Args[0], os.Args[1:], c); is {
		os.Exit(code)
	}
	os.Exit(run(os.Args[1:], c))
}

// run is q from its arguments to its exit code.
func run(args []string, c console) (exit int) {
	// Help and version end the program in the middle of parsing.
	defer func() {
		if e, ok := recover().(early); ok {
			exit = int(e)
		}
	}()
	parser := kong.Must(new(commands), kongOptions(c, func(code int) { panic(early(code)) })...)
	if len(args) > 0 && args[0] == "help" {
		args = append(slices.Clone(args[1:]), "--help")
	}
	command, err := parser.Parse(args)
	if err == nil {
		err = refuseEmpty(command)
	}
	if err != nil {
		fmt.Fprintf(c.err, "q: %s\n%s\n", wrong(err), usageAfter(err))
		return exitUsage
	}
	return outcome(c, command.Run(c, parser))
}

// kongOptions are those that the command line is read with.
func kongOptions(c console, exit func(code int)) []kong.Option {
	return []kong.Option{
		kong.Name("q"),
		kong.Description("The tool of Q, a distributed message queue."),
		kong.Writers(c.out, c.err),
		kong.Exit(exit),
		kong.Resolvers(new(settings)),
		kong.NamedMapper(topicAndChannel, kong.MapperFunc(readTopic)),
		kong.TypeMapper(reflect.TypeFor[time.Duration](), kong.MapperFunc(readDuration)),
		kong.ExplicitGroups([]kong.Group{{Key: "to", Title: "Where messages go"}, {Key: "reach", Title: "Which nodes, and how"}}),
		kong.Vars{"version": version.String("q"), "roles": strings.Join(admin.Roles, " or ")},
	}
}

// outcome tells how a command ended.
func outcome(c console, err error) int {
	if err == nil {
		return exitOK
	}
	var ill unwell
	if errors.As(err, &ill) {
		return int(ill) // it has said why
	}
	text := redact.Text(err.Error())
	if errors.Is(err, syscall.ECONNREFUSED) {
		text += "; is a node running there? --addr, --http-addr or --lookupd name others, q dev starts one"
	}
	fmt.Fprintf(c.err, "q: %s\n", text)
	var signalled *interrupted
	if errors.As(err, &signalled) {
		return exitInterrupted
	}
	var unchecked *uncheckedError
	if errors.As(err, &unchecked) {
		return exitUnchecked
	}
	var again *againError
	if errors.As(err, &again) {
		return exitAgain
	}
	return exitFailed
}

// ofNSQ says how flags are called here that the utilities of NSQ have.
var ofNSQ = map[string]string{
	"lookupd-http-address": "; it is --lookupd here",
	"nsqd-tcp-address":     "; it is --addr here",
	"nsqd-http-address":    "; it is --http-addr here",
}

// wrong is what was wrong with a command line. Where a command is missing, all
// there are are named: kong leaves some out.
func wrong(err error) string {
	const missing = "expected one of "
	var parse *kong.ParseError
	if text, unknown := strings.CutPrefix(err.Error(), "unknown flag -"); unknown {
		return unknownFlag(text, err)
	}
	if what, is := strings.CutSuffix(err.Error(), ` value but got "EOL" (<EOL>)`); is {
		flag, _, _ := strings.Cut(what, ": expected ")
		return flag + ": its value is missing"
	}
	if strings.HasPrefix(err.Error(), "unexpected argument ") && errors.As(err, &parse) {
		if strings.Contains(err.Error(), "did you mean") {
			return err.Error()
		}
		return err.Error() + mistyped(parse)
	}
	if !strings.HasPrefix(err.Error(), missing) || !errors.As(err, &parse) {
		return err.Error()
	}
	return missing + strings.Join(children(chosenBy(parse)), ", ")
}

// chosenBy is the command that a line has named when it could not be read any further.
func chosenBy(parse *kong.ParseError) *kong.Node {
	if at := parse.Context.Selected(); at != nil {
		return at
	}
	return parse.Context.Model.Node
}

// children are the names of the commands under one, quoted.
func children(at *kong.Node) (names []string) {
	for _, child := range at.Children {
		if !child.Hidden {
			names = append(names, strconv.Quote(child.Name))
		}
	}
	return names
}

// unknownFlag is what is wrong with a flag, after its first dash, that a command does not have, and
// which one is like it: kong finds a likeness between --yes and --tls.
func unknownFlag(text string, err error) string {
	flag, _, _ := strings.Cut(text, ", did you mean ")
	flag, long := strings.CutPrefix(flag, "-")
	var parse *kong.ParseError
	errors.As(err, &parse)
	switch {
	case long && ofNSQ[flag] != "":
		return "unknown flag --" + flag + ofNSQ[flag]
	case (flag == "yes" || flag == "y") && parse != nil:
		return "unknown flag --yes; q " + typedPath(chosenBy(parse)) + " asks nothing"
	case !long || parse == nil:
		return "unknown flag -" + text
	}
	var flags []string
	for _, group := range chosenBy(parse).AllFlags(true) {
		for _, f := range group {
			flags = append(flags, f.Name)
		}
	}
	if meant, ok := nearest.Meant(flag, flags); ok {
		return fmt.Sprintf("unknown flag --%s, did you mean %q?", flag, "--"+meant)
	}
	return "unknown flag --" + flag
}

// mistyped says which commands there are where an argument is none of them. Where a command is the
// default one, a name beside it was taken as its argument.
func mistyped(parse *kong.ParseError) string {
	chosen, args := parse.Context.Selected(), parse.Context.Args
	if at := chosenBy(parse); len(at.Children) > 0 && at.DefaultCmd == nil {
		return "; there are " + strings.Join(children(at), ", ")
	}
	if chosen == nil || chosen.Parent == nil || chosen.Parent.DefaultCmd != chosen {
		return ""
	}
	var names []string
	for _, child := range chosen.Parent.Children {
		names = append(names, child.Name)
	}
	at := slices.Index(args, chosen.Parent.Name) + 1 // kong has not taken the argument over
	if at == 0 || at == len(args) {
		return ""
	}
	word := args[at]
	if name, ok := nearest.Word(word, names); ok && name != word {
		return fmt.Sprintf("; %s is no command of q %s, did you mean %q?", word, chosen.Parent.Name, name)
	}
	return ""
}

// typedPath is a command as it is typed: kong's path has its other names in parentheses.
func typedPath(n *kong.Node) string {
	if n.Parent == nil || n.Parent.Type != kong.CommandNode {
		return n.Name
	}
	return typedPath(n.Parent) + " " + n.Name
}

// usageAfter is a line that tells how the command would be written that could
// not be read.
func usageAfter(err error) string {
	var wrong *kong.ParseError
	usage, path := "q <command> [flags]", "q"
	if errors.As(err, &wrong) {
		if chosen := wrong.Context.Selected(); chosen != nil {
			path = "q " + typedPath(chosen)
			usage = path + strings.TrimPrefix(chosen.Summary(), chosen.Path())
		}
	}
	return fmt.Sprintf("Usage: %s; %s --help explains it", usage, path)
}

// early is an exit code that parsing ended with.
type early int
