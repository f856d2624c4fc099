// Package metrics writes the figures of a daemon as Prometheus reads them. Who has
// figures declares Families, which the documentation is made of too, and fills a Page
// whenever somebody asks. It starts no goroutine.
package metrics
