package testbed

import "testing"

func TestConfigurationOfANATSServer(t *testing.T) {
	const want = `server_name: n1
listen: "127.0.0.1:-1"
jetstream {
  store_dir: "/data/n1"
  sync_interval: always
}
cluster {
  name: peers
  listen: "127.0.0.1:2"
  routes: ["nats-route://127.0.0.1:1", "nats-route://127.0.0.1:2"]
}
`
	if got := natsConfig("n1", "/data/n1", "127.0.0.1:2", []string{"127.0.0.1:1", "127.0.0.1:2"}, []string{"sync_interval: always"}); got != want {
		t.Errorf("%s", got)
	}
}
