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
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/nsqio/go-nsq"

	"qmq/internal/address"
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
	"qd":       {"--tcp-address": "4150", "--http-address": "4151"},
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
	args = append(args, "--allowed-host="+s.Name) // which asks for more on loopback
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
	case flag == "--broadcast-address" && c.project.Services[service].Command[0] == "qlookupd":
		value = "127.0.0.1" // where nodes ask it
	case flag == "--broadcast-address-for":
		value = c.viewOf(service, value)
	case flag == "--cluster-secret-file":
		value = c.secretAt(service, value)
	case flag == "--cluster-peers":
		var peers []string
		for peer := range strings.SplitSeq(value, ",") {
			peers = append(peers, c.ports[peer])
		}
		return flag + "=" + strings.Join(peers, ",")
	}
	if host, port, err := net.SplitHostPort(value); err == nil && flag != "--broadcast-address-for" {
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

// viewOf is where somebody finds a service: with the ports of this machine that
// stand for those that are published.
func (c *cluster) viewOf(service, text string) string {
	c.t.Helper()
	v, err := address.ParseView(text)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, port := range []*int{&v.TCPPort, &v.HTTPPort} {
		_, at, _ := net.SplitHostPort(c.ports[fmt.Sprint(service, ":", c.behind(service, *port))])
		*port, _ = strconv.Atoi(at)
	}
	return fmt.Sprintf("%s=%s:%d:%d", v.From, v.Host, v.TCPPort, v.HTTPPort)
}

// behind is the port of a service that is published under a number.
func (c *cluster) behind(service string, published int) uint32 {
	c.t.Helper()
	for _, p := range c.project.Services[service].Ports {
		if p.Published == fmt.Sprint(published) {
			return p.Target
		}
	}
	c.t.Fatalf("%s publishes nothing at %d", service, published)
	return 0
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

// resolving has this process resolve names as a machine does that knows these.
func resolving(t *testing.T, names ...string) {
	was := net.DefaultResolver
	net.DefaultResolver = newResolver(t, names)
	t.Cleanup(func() { net.DefaultResolver = was })
}

// TestConsumersInsideAndOnTheHostFindEveryNode: those inside know the names of the
// services, the host knows no name at all.
func TestConsumersInsideAndOnTheHostFindEveryNode(t *testing.T) {
	c := startCluster(t)
	outside, inside := make(map[string]bool), make(map[string]bool)
	var names []string
	for name := range c.project.Services {
		names = append(names, name)
	}
	for _, node := range c.nodes() {
		body := "from " + node.Name
		c.publish(node, "orders", body)
		outside[body] = true
		body = "for the inside, from " + node.Name
		c.publish(node, "internal", body)
		inside[body] = true
	}
	resolving(t)
	c.consume("orders", c.directories(), outside)
	resolving(t, names...)
	c.consume("internal", c.directoriesByName(), inside)
	c.wantTopicOnThePage("orders")
}

func TestReplicatedSetLosesNothingWithANode(t *testing.T) {
	c := startCluster(t, "docker-compose.replicated.yml")
	resolving(t)
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
	c.consume("orders", c.directories(), want)
}

// directories are where the host asks the directories.
func (c *cluster) directories() (addresses []string) {
	for name := range c.project.Services {
		if address, ok := c.ports[name+":4161"]; ok {
			addresses = append(addresses, address)
		}
	}
	return addresses
}

// directoriesByName are where services ask the directories.
func (c *cluster) directoriesByName() (addresses []string) {
	for name := range c.project.Services {
		if address, ok := c.ports[name+":4161"]; ok {
			_, port, _ := net.SplitHostPort(address)
			addresses = append(addresses, net.JoinHostPort(name, port))
		}
	}
	return addresses
}

// consume consumes a topic, with the nodes that directories name, until all that
// is wanted has come.
func (c *cluster) consume(topic string, lookups []string, want map[string]bool) {
	t := c.t
	t.Helper()
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
	deadline := time.After(process.Timeout)
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
	process.Eventually(c.t, "the page knows "+topic, func() bool {
		var answer struct{ Topics []string }
		text, err := process.Ask(c.t.Context(), http.DefaultClient, http.MethodGet, c.ports["qadmin:4171"], "/api/topics", "")
		return err == nil && json.Unmarshal(text, &answer) == nil && slices.Contains(answer.Topics, topic)
	})
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

// publish publishes through a node, again while that refuses: a set may have no leader for
// longer than it waits itself.
func (c *cluster) publish(node types.ServiceConfig, topic, body string) {
	c.t.Helper()
	process.Eventually(c.t, node.Name+" takes "+body, func() bool {
		answer, err := process.Ask(c.t.Context(), http.DefaultClient, http.MethodPost, c.ports[node.Name+":4151"], "/pub?topic="+topic, body)
		return err == nil && string(answer) == "OK"
	})
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

// TestAddressesAreRightInsideAndOutside: inside, a node's broadcast address is its
// name on the network; whoever calls the directory by a name of the host is told
// the ports that the host publishes for the node.
func TestAddressesAreRightInsideAndOutside(t *testing.T) {
	c := &cluster{t: t, project: load(t)}
	taken := make(map[string]string)
	nodes := c.nodes()
	if len(nodes) != 3 {
		t.Errorf("%d nodes, want 3", len(nodes))
	}
	for _, node := range nodes {
		if host := option(node, "--broadcast-address"); host != node.Name {
			t.Errorf("%s: no container of the network is called %s", node.Name, host)
		}
		for _, from := range []string{"@127.0.0.1", "@localhost"} {
			v := viewFrom(t, node, from)
			if v.Host != "127.0.0.1" || c.behind(node.Name, v.TCPPort) != 4150 || c.behind(node.Name, v.HTTPPort) != 4151 {
				t.Errorf("%s: whoever calls lookup %s is told %+v", node.Name, from, v)
			}
		}
		for _, p := range node.Ports {
			if other, ok := taken[p.Published]; ok {
				t.Errorf("%s and %s both have port %s", node.Name, other, p.Published)
			}
			taken[p.Published] = node.Name
		}
	}
}

// viewFrom is where a node is for those who ask from there.
func viewFrom(t *testing.T, s types.ServiceConfig, from string) address.View {
	t.Helper()
	for _, arg := range s.Command {
		text, ok := strings.CutPrefix(arg, "--broadcast-address-for=")
		if !ok {
			continue
		}
		v, err := address.ParseView(text)
		if err != nil {
			t.Fatal(err)
		}
		if v.From == from {
			return v
		}
	}
	t.Fatalf("%s is nowhere for %s", s.Name, from)
	return address.View{}
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
