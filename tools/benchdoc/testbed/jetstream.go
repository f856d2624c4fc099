package testbed

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"qmq/test/process"
)

// JetStream is three nats-servers on this machine that keep the same streams.
type JetStream struct {
	Servers []*NATSServer
}

// NATSServer is one of them.
type NATSServer struct {
	Name string // by which the others and clients know it
	URL  string // of its clients
	PID  int

	process *process.Process
}

// StartJetStream starts three nats-servers, whose data is below dir, with what a block
// jetstream of their configuration says beside the place of the data, line by line. They
// listen when it returns, and may not have found one another yet. Kill ends them.
func StartJetStream(ctx context.Context, binary, dir string, config []string) (*JetStream, error) {
	var routes []string
	for range setSize {
		address, err := process.FreeAddress()
		if err != nil {
			return nil, err
		}
		routes = append(routes, address)
	}
	j := &JetStream{Servers: make([]*NATSServer, setSize)}
	errs := make([]error, setSize)
	var starting sync.WaitGroup
	for i := range setSize {
		starting.Go(func() { j.Servers[i], errs[i] = startNATS(ctx, binary, dir, i, routes, config) })
	}
	starting.Wait()
	for _, err := range errs {
		if err != nil {
			j.Kill()
			return nil, err
		}
	}
	return j, nil
}

// startNATS starts one, with a configuration that it writes.
func startNATS(ctx context.Context, binary, dir string, i int, routes, config []string) (*NATSServer, error) {
	s := &NATSServer{Name: fmt.Sprintf("n%d", i)}
	path := filepath.Join(dir, s.Name+".conf")
	text := natsConfig(s.Name, filepath.Join(dir, s.Name), routes[i], routes, config)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return nil, err
	}
	var err error
	if s.process, err = (process.Command{Binary: binary, Args: []string{"-c", path}}).Start(); err != nil {
		return nil, err
	}
	s.PID = s.process.PID()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	address, err := s.process.Find(ctx, "Listening for client connections on ")
	if err != nil {
		s.process.Kill()
		return nil, err
	}
	s.URL = "nats://" + strings.TrimSpace(address)
	return s, nil
}

// natsConfig is the configuration of a server: all that is not said is as it comes.
func natsConfig(name, dir, route string, routes, config []string) string {
	return fmt.Sprintf(`server_name: %s
listen: "127.0.0.1:-1"
jetstream {
  store_dir: %q
  %s
}
cluster {
  name: peers
  listen: %q
  routes: ["nats-route://%s"]
}
`, name, dir, strings.Join(config, "\n  "), route, strings.Join(routes, `", "nats-route://`))
}

// Kill ends all at once.
func (j *JetStream) Kill() {
	for _, s := range j.Servers {
		if s != nil {
			s.process.Kill()
		}
	}
}

// Server is the one of a name; nil: there is none.
func (j *JetStream) Server(name string) *NATSServer {
	for _, s := range j.Servers {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// Log is what the servers have logged last, for who wants to know why nothing works.
func (j *JetStream) Log() string {
	const told = 10
	var all []string
	for _, s := range j.Servers {
		log := s.process.Log()
		all = append(all, log[max(0, len(log)-told):]...)
	}
	return strings.Join(all, "\n")
}

// retryPause is how long a call to servers waits that have not found one another yet, and
// retryTime how long one may take: before they have, some are never answered.
const retryPause, retryTime = 50 * time.Millisecond, 3 * time.Second

// Retry calls do until it succeeds, and returns its last error when that takes too long.
func Retry(ctx context.Context, do func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, process.Timeout)
	defer cancel()
	for {
		try, done := context.WithTimeout(ctx, retryTime)
		err := do(try)
		done()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(retryPause):
		}
	}
}
