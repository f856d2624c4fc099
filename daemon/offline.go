package daemon

import (
	"log/slog"

	"qmq/broker"
	"qmq/config"
)

// OfflineOptions are those of a broker as a qd with default options would have it,
// for who works on its data directory while it does not run.
func OfflineOptions(dataPath string, log *slog.Logger) (broker.Options, error) {
	settings, err := config.ParseQD([]string{"--data-path=" + dataPath})
	if err != nil {
		return broker.Options{}, err
	}
	q := settings.Values()
	return brokerOptions(&q, log), nil
}
