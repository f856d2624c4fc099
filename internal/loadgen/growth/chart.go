package growth

import (
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"strings"
)

// The chart is a panel for each series, two in a row, in pixels. Its colours
// can be told from a light and from a dark background.
const (
	chartWidth  = 900
	legend      = 34
	panelWidth  = chartWidth / 2
	panelHeight = 220
	plotLeft    = 58 // within a panel
	plotRight   = panelWidth - 18
	plotTop     = 34
	plotBottom  = panelHeight - 44
)

// ink is how a line is drawn.
type ink struct{ name, colour, dashes string }

var (
	textColour = "#7d8590"
	gridColour = "#7d8590"
	inks       = []ink{
		{"qd", "#3b82f6", ""},
		{"generator, with qd", "#3b82f6", "2 4"},
		{"nsqd", "#d9822b", ""},
		{"generator, with nsqd", "#d9822b", "2 4"},
	}
)

// WriteSVG writes the chart: CPU time over the quantity that grows.
func (r *Report) WriteSVG(w io.Writer) error {
	var b strings.Builder
	height := legend + (len(r.Series)+1)/2*panelHeight
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11" fill="%s">`+"\n", chartWidth, height, textColour)
	r.drawLegend(&b)
	for i, s := range r.Series {
		fmt.Fprintf(&b, `<g transform="translate(%d %d)">`+"\n", i%2*panelWidth, legend+i/2*panelHeight)
		s.draw(&b)
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) drawLegend(b *strings.Builder) {
	used := inks[:2]
	if r.NSQD != "" {
		used = inks
	}
	x := plotLeft
	for _, k := range used {
		line(b, float64(x), 18, float64(x+24), 18, k)
		text(b, float64(x+30), 22, "start", k.name)
		x += 160
	}
}

// axis maps values to pixels.
type axis struct {
	log            bool
	low, high      float64 // values at the ends
	from, to       float64 // pixels there
	zero           float64 // pixel of the value 0 of a logarithmic axis
	ticks          []float64
	firstIsNothing bool // the value 0 has a place of its own
}

func (a *axis) at(v float64) float64 {
	if a.log {
		if v <= 0 {
			return a.zero
		}
		return a.from + (math.Log(v)-math.Log(a.low))/(math.Log(a.high)-math.Log(a.low))*(a.to-a.from)
	}
	return a.from + (v-a.low)/(a.high-a.low)*(a.to-a.from)
}
