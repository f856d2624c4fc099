// Package compose checks docker-compose.yml without a container engine: it
// starts every service's command line as a process and uses the cluster as its
// users would.
package compose

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/nsqio/go-nsq"

	"qmq/test/process"
)

// load reads the compose file, and those that are laid over it, as an engine would.
func load(t *testing.T, over ...string) *types.Project {
	t.Helper()
	var files []string
	for _, name := range append([]string{"docker-compose.yml"}, over...) {
		files = append(files, filepath.Join("..", "..", name))
	}
	options, err := cli.NewProjectOptions(files)
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

// cluster is the compose project as processes of this machine. What a
// container has under a port, a process has under another port of loopback.
type cluster struct {
	t       *testing.T
	project *types.Project
	bin     string
	ports   map[string]string           // "service:port" → host:port of loopback
	running map[string]*process.Process // by service
}

func startCluster(t *testing.T, over ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, project: load(t, over...), ports: make(map[string]string), running: make(map[string]*process.Process)}
	c.bin = process.Build(t, "cmd/q", "cmd/qd", "cmd/qlookupd", "cmd/qadmin")
	for name, service := range c.project.Services {
		for _, p := range service.Ports {
			c.ports[fmt.Sprint(name, ":", p.Target)] = process.Address(t)
		}
		if at := option(service, "--cluster-address"); at != "" { // of the network alone
			c.ports[at] = process.Address(t)
		}
	}
	started := make(map[string]bool)
	for len(started) < len(c.project.Services) {
		before := len(started)
		for name, service := range c.project.Services {
			if !started[name] && ready(service, started) {
				c.start(service)
				started[name] = true
			}
		}
		if len(started) == before {
			t.Fatal("the services wait for one another")
		}
	}
	for _, service := range c.project.Services {
		process.Eventually(t, service.Name+" is healthy", func() bool { return c.healthy(service) })
	}
	return c
}

// ready tells whether what the service depends on has started.
func ready(s types.ServiceConfig, started map[string]bool) bool {
	for name := range s.DependsOn {
		if !started[name] {
			return false
		}
	}
	return true
}

// defaults are the ports of programs whose commands do not name them.
var defaults = map[string]map[string]string{
	"qlookupd": {"--tcp-address": "4160", "--http-address": "4161"},
	"qadmin":   {"--http-address": "4171"},
}

// start runs a service's command until it listens.
func (c *cluster) start(s types.ServiceConfig) {
	c.t.Helper()
	var args []string
	for _, arg := range s.Command[1:] {
		args = append(args, c.translate(s.Name, arg))
	}
	for flag, port := range defaults[s.Command[0]] {
		args = append(args, flag+"="+c.ports[s.Name+":"+port])
	}
	p := process.Start(c.t, process.Command{Binary: filepath.Join(c.bin, s.Command[0]), Args: args})
	p.Await(c.t, "HTTP: listening on ")
	c.running[s.Name] = p
}

// healthy says whether a service's health check succeeds.
func (c *cluster) healthy(s types.ServiceConfig) bool {
	c.t.Helper()
	check := slices.Clone(s.HealthCheck.Test)
	if check[0] != "CMD" {
		c.t.Fatalf("%s: the image has no shell for %v", s.Name, check)
	}
	for i := range check {
		check[i] = c.translate(s.Name, check[i])
	}
	return exec.CommandContext(c.t.Context(), filepath.Join(c.bin, check[1]), check[2:]...).Run() == nil
}

// translate says for this machine what an argument says for a container.
func (c *cluster) translate(service, arg string) string {
	flag, value, isFlag := strings.Cut(arg, "=")
	if !isFlag {
		flag, value = "", arg
	}
	switch {
	case flag == "--data-path":
		value = c.t.TempDir()
	case flag == "--broadcast-address" && c.project.Services[value].Name != "":
		value = "127.0.0.1"
	case flag == "--cluster-secret-file":
		value = c.secretAt(service, value)
	case flag == "--cluster-peers":
		var peers []string
		for peer := range strings.SplitSeq(value, ",") {
			peers = append(peers, c.ports[peer])
		}
		return flag + "=" + strings.Join(peers, ",")
	}
	if host, port, err := net.SplitHostPort(value); err == nil {
		if host == "0.0.0.0" || host == "127.0.0.1" {
			host = service
		}
		address, ok := c.ports[host+":"+port]
		if !ok {
			c.t.Fatalf("%s: %s leads nowhere", service, arg)
		}
		value = address
	}
	if !isFlag {
		return value
	}
	return flag + "=" + value
}

// secretAt is a file in the place of the secret that a service has at a path.
func (c *cluster) secretAt(service, path string) string {
	c.t.Helper()
	if !slices.ContainsFunc(c.project.Services[service].Secrets, func(s types.ServiceSecretConfig) bool { return s.Target == path }) {
		c.t.Fatalf("%s has no secret at %s", service, path)
	}
	file := filepath.Join(c.t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("the same for all of them\n"), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return file
}

// localhostNames resolves names under .localhost the way RFC 6761 asks of a
// host, whether this machine does or not.
func localhostNames(t *testing.T) {
	was := net.DefaultResolver
	net.DefaultResolver = newLocalhostResolver(t)
	t.Cleanup(func() { net.DefaultResolver = was })
}

func TestConsumerOnTheHostFindsEveryNode(t *testing.T) {
	localhostNames(t)
	c := startCluster(t)
	want := make(map[string]bool)
	for _, node := range c.nodes() {
		body := "from " + node.Name
		c.publish(node, "orders", body)
		want[body] = true
	}
	c.consume("orders", want)
	c.wantTopicOnThePage("orders")
}

func TestReplicatedSetLosesNothingWithANode(t *testing.T) {
	localhostNames(t)
	c := startCluster(t, "docker-compose.replicated.yml")
	want := make(map[string]bool)
	nodes := c.nodes()
	for _, node := range nodes {
		body := "from " + node.Name
		c.publish(node, "orders", body)
		want[body] = true
	}
	c.running[nodes[0].Name].Kill()
	c.publish(nodes[1], "orders", "afterwards")
	want["afterwards"] = true
	c.consume("orders", want)
}

// consume consumes a topic from outside until all that is wanted has come.
func (c *cluster) consume(topic string, want map[string]bool) {
	t := c.t
	t.Helper()
	var lookups []string
	for name := range c.project.Services {
		if address, ok := c.ports[name+":4161"]; ok {
			lookups = append(lookups, address)
		}
	}
	config := nsq.NewConfig()
	config.MaxInFlight = 10                            // of which each node gets its part
	config.LookupdPollInterval = 50 * time.Millisecond // a node registers a moment after its first publish
	consumer, err := nsq.NewConsumer(topic, "print", config)
	if err != nil {
		t.Fatal(err)
	}
	consumer.SetLogger(log.New(io.Discard, "", 0), nsq.LogLevelError)
	bodies := make(chan string, 10)
	consumer.AddHandler(nsq.HandlerFunc(func(m *nsq.Message) error {
		bodies <- string(m.Body)
		return nil
	}))
	if err := consumer.ConnectToNSQLookupds(lookups); err != nil {
		t.Fatal(err)
	}
	defer func() { consumer.Stop(); <-consumer.StopChan }()
	deadline := time.After(process.Patience)
	for len(want) > 0 {
		select {
		case body := <-bodies:
			delete(want, body)
		case <-deadline:
			t.Fatalf("not received: %v", want)
		}
	}
}

// wantTopicOnThePage asks qadmin, which asks the directories.
func (c *cluster) wantTopicOnThePage(topic string) {
	c.t.Helper()
	text, err := process.Ask(c.t.Context(), http.DefaultClient, http.MethodGet, c.ports["qadmin:4171"], "/api/topics", "")
	if err != nil {
		c.t.Fatal(err)
	}
	var answer struct{ Topics []string }
	if err := json.Unmarshal(text, &answer); err != nil || !slices.Contains(answer.Topics, topic) {
		c.t.Errorf("the page knows %v, %v", answer.Topics, err)
	}
}

// nodes are the services that run qd.
func (c *cluster) nodes() (nodes []types.ServiceConfig) {
	for _, s := range c.project.Services {
		if s.Command[0] == "qd" {
			nodes = append(nodes, s)
		}
	}
	return nodes
}

func (c *cluster) publish(node types.ServiceConfig, topic, body string) {
	c.t.Helper()
	_, port, _ := net.SplitHostPort(option(node, "--http-address"))
	answer, err := process.Ask(c.t.Context(), http.DefaultClient, http.MethodPost, c.ports[node.Name+":"+port], "/pub?topic="+topic, body)
	if err != nil || string(answer) != "OK" {
		c.t.Fatalf("%s answers %s, %v", node.Name, answer, err)
	}
}

// option is the value of a flag in a service's command.
func option(s types.ServiceConfig, flag string) string {
	for _, arg := range s.Command {
		if value, ok := strings.CutPrefix(arg, flag+"="); ok {
			return value
		}
	}
	return ""
}

// TestAddressesAreRightInsideAndOutside: lookup hands out the broadcast
// address and the port that a node listens on. Inside, the name must be the
// node's on the network; outside, it is the host's, so the port must be
// published under the same number.
func TestAddressesAreRightInsideAndOutside(t *testing.T) {
	c := &cluster{t: t, project: load(t)}
	taken := make(map[string]string)
	nodes := c.nodes()
	if len(nodes) != 3 {
		t.Errorf("%d nodes, want 3", len(nodes))
	}
	for _, node := range nodes {
		host := option(node, "--broadcast-address")
		if !slices.Contains(node.Networks["default"].Aliases, host) {
			t.Errorf("%s: no container of the network is called %s", node.Name, host)
		}
		if !strings.HasSuffix(host, ".localhost") {
			t.Errorf("%s: the host does not know that %s is itself", node.Name, host)
		}
		for _, flag := range []string{"--tcp-address", "--http-address"} {
			_, port, err := net.SplitHostPort(option(node, flag))
			if err != nil {
				t.Fatalf("%s: %v", node.Name, err)
			}
			published := slices.ContainsFunc(node.Ports, func(p types.ServicePortConfig) bool {
				return p.Published == port && fmt.Sprint(p.Target) == port
			})
			if !published {
				t.Errorf("%s: port %s is not published under its own number", node.Name, port)
			}
			if other, ok := taken[port]; ok {
				t.Errorf("%s and %s both have port %s", node.Name, other, port)
			}
			taken[port] = node.Name
		}
	}
}

func TestNodesKeepTheirMessagesAndWaitForTheDirectories(t *testing.T) {
	c := &cluster{t: t, project: load(t)}
	volumes := make(map[string]bool)
	for _, node := range c.nodes() {
		if len(node.Volumes) != 1 || node.Volumes[0].Type != types.VolumeTypeVolume || node.Volumes[0].Target != option(node, "--data-path") {
			t.Fatalf("%s: its data directory is no volume: %v", node.Name, node.Volumes)
		}
		volumes[node.Volumes[0].Source] = true
		for _, address := range []string{"qlookupd1", "qlookupd2"} {
			if node.DependsOn[address].Condition != types.ServiceConditionHealthy {
				t.Errorf("%s does not wait until %s is healthy", node.Name, address)
			}
		}
	}
	if len(volumes) != 3 {
		t.Errorf("volumes %v, want one for each node", volumes)
	}
	for name, s := range c.project.Services {
		if s.HealthCheck == nil || s.Build == nil {
			t.Errorf("%s: no health check, or not built from this repository", name)
		}
	}
}

// TestFilesLaidOverTheFirstChangeNothingElse: the commands of the replicated set are
// those of single nodes, and more.
func TestFilesLaidOverTheFirstChangeNothingElse(t *testing.T) {
	alone := load(t).Services
	for name, s := range load(t, "docker-compose.replicated.yml").Services {
		was := alone[name]
		if len(s.Command) < len(was.Command) || !slices.Equal(s.Command[:len(was.Command)], was.Command) {
			t.Errorf("%s: %v begins differently from %v", name, s.Command, was.Command)
		}
		for _, arg := range s.Command[len(was.Command):] {
			if !strings.HasPrefix(arg, "--cluster-") {
				t.Errorf("%s: %s has nothing to do with the set", name, arg)
			}
		}
		if len(s.Ports) != len(was.Ports) {
			t.Errorf("%s: other ports are published", name)
		}
	}
}

// TestContainersMayDoLittle and are reached from this host alone.
func TestContainersMayDoLittle(t *testing.T) {
	for name, s := range load(t).Services {
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || len(s.CapAdd) > 0 || s.Privileged || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s: read only %v, dropped %v, added %v, privileged %v, options %v", name, s.ReadOnly, s.CapDrop, s.CapAdd, s.Privileged, s.SecurityOpt)
		}
		for _, p := range s.Ports {
			if p.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %d is published on %q", name, p.Target, p.HostIP)
			}
		}
	}
}

// TestBaseImagesAreOfOneVersion in full, so that the same file builds the same
// image.
func TestBaseImagesAreOfOneVersion(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	images := regexp.MustCompile(`(?m)^FROM (\S+)`).FindAllStringSubmatch(string(text), -1)
	if len(images) == 0 {
		t.Error("there is no image")
	}
	for _, image := range images {
		if image[1] != "scratch" && !regexp.MustCompile(`^[a-z]+:\d+\.\d+\.\d+(-[a-z]+)?$`).MatchString(image[1]) {
			t.Errorf("%s is no full version", image[1])
		}
	}
}
