package growth

import (
	"time"

	"qmq/loadgen"
	"qmq/tools/benchdoc/testbed"
)

// Report is what was measured.
type Report struct {
	Date    time.Time       `json:"date"`
	Machine testbed.Machine `json:"machine"`
	QD      string          `json:"qd"`             // version
	NSQD    string          `json:"nsqd,omitempty"` // version
	Runs    int             `json:"runs"`           // per point
	Quick   bool            `json:"quick"`
	Series  []*Series       `json:"series"`
}

// Series is what a message costs over one quantity.
type Series struct {
	Name     string   `json:"name"`
	Quantity string   `json:"quantity"` // what grows
	Bytes    bool     `json:"bytes,omitempty"`
	Per      string   `json:"per"`   // what costs: message or delivery
	Fixed    string   `json:"fixed"` // the load, in words
	Lines    []*Curve `json:"curves"`
}

// Curve is a series of one daemon.
type Curve struct {
	Daemon string  `json:"daemon"` // qd or nsqd
	Points []Point `json:"points"`
}

// Point is the median of each figure, of several measurements.
type Point struct {
	X int `json:"x"`
	Figures
	Error string `json:"error,omitempty"` // why it was not measured
}

// Figures are those of one measurement.
type Figures struct {
	Rate         float64 `json:"messages_per_second"`
	DeliveryRate float64 `json:"deliveries_per_second,omitempty"`
	ServerCPU    float64 `json:"server_cpu_us"`    // of what the series is about: message or delivery
	GeneratorCPU float64 `json:"generator_cpu_us"` // of the same
	RSS          float64 `json:"rss_mib"`          // of the server
	Lost         int64   `json:"lost,omitempty"`
	Altered      int64   `json:"altered,omitempty"`
}

// medianOf is that of each figure, but all of what must be 0.
func medianOf(runs []Figures) Figures {
	of := func(figure func(f *Figures) float64) float64 {
		var all []float64
		for i := range runs {
			all = append(all, figure(&runs[i]))
		}
		return *loadgen.Median(all)
	}
	m := Figures{
		Rate:         of(func(f *Figures) float64 { return f.Rate }),
		DeliveryRate: of(func(f *Figures) float64 { return f.DeliveryRate }),
		ServerCPU:    of(func(f *Figures) float64 { return f.ServerCPU }),
		GeneratorCPU: of(func(f *Figures) float64 { return f.GeneratorCPU }),
		RSS:          of(func(f *Figures) float64 { return f.RSS }),
	}
	for _, f := range runs {
		m.Lost += f.Lost
		m.Altered += f.Altered
	}
	return m
}

// Sound tells whether qd lost and altered nothing.
func (r *Report) Sound() bool {
	for _, s := range r.Series {
		for _, c := range s.Lines {
			for _, p := range c.Points {
				if c.Daemon == qd && (p.Lost != 0 || p.Altered != 0) {
					return false
				}
			}
		}
	}
	return true
}
