package growth

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// The chart is a panel for each series, two in a row; all is in pixels.
const (
	chartWidth   = 900
	legendHeight = 34
	panelWidth   = chartWidth / 2
	panelHeight  = 224
	plotLeft     = 58 // within a panel
	plotRight    = panelWidth - 24
	plotTop      = 44
	plotBottom   = panelHeight - 44
)

// ink is how a line is drawn. The colours can be told from a light and from a
// dark background.
type ink struct{ name, colour, dashes string }

const grey = "#7d8590"

var (
	inks      = map[string]ink{qd: {qd, "#3b82f6", ""}, nsqd: {nsqd, "#d9822b", ""}}
	generator = ink{"generator, for qd", "#3b82f6", "2 4"}
	grid      = ink{"", grey, "1 3"}
)

// WriteSVG writes the chart: CPU time over the quantity that grows.
func (r *Report) WriteSVG(w io.Writer) error {
	d := new(drawing)
	height := legendHeight + (len(r.Series)+1)/2*panelHeight
	d.put(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11" fill="%s">`, chartWidth, height, grey)
	d.legend(r)
	for i, s := range r.Series {
		d.put(`<g transform="translate(%d %d)">`, i%2*panelWidth, legendHeight+i/2*panelHeight)
		d.panel(s)
		d.put("</g>")
	}
	d.put("</svg>")
	_, err := io.WriteString(w, d.String())
	return err
}

// drawing gathers the elements of the picture.
type drawing struct{ strings.Builder }

func (d *drawing) put(format string, args ...any) { fmt.Fprintf(d, format+"\n", args...) }

func (d *drawing) line(x1, y1, x2, y2 float64, k ink) {
	d.path([]point{{x1, y1}, {x2, y2}}, 1, k)
}

// point is a place in the picture.
type point struct{ x, y float64 }

func (d *drawing) path(points []point, width float64, k ink) {
	var all []string
	for _, p := range points {
		all = append(all, fmt.Sprintf("%.1f,%.1f", p.x, p.y))
	}
	dashes := ""
	if k.dashes != "" {
		dashes = fmt.Sprintf(` stroke-dasharray="%s"`, k.dashes)
	}
	d.put(`<polyline points="%s" fill="none" stroke="%s" stroke-width="%g"%s/>`, strings.Join(all, " "), k.colour, width, dashes)
}

// text writes at a place that is its start, middle or end.
func (d *drawing) text(x, y float64, anchor, text string) {
	d.WriteString(fmt.Sprintf(`<text x="%.1f" y="%.1f" text-anchor="%s">`, x, y, anchor))
	_ = xml.EscapeText(d, []byte(text)) // a string builder takes everything
	d.put("</text>")
}

func (d *drawing) legend(r *Report) {
	used := []ink{inks[qd], generator}
	if r.NSQD != "" {
		used = append(used, inks[nsqd])
	}
	const (
		width  = 170.0
		stroke = 24.0
	)
	x := float64(plotLeft)
	for _, k := range used {
		d.path([]point{{x, 18}, {x + stroke, 18}}, 2, k)
		d.text(x+stroke+6, 22, "start", k.name)
		x += width
	}
}

func (d *drawing) panel(s *Series) {
	var xs []int
	var costs []float64
	for _, c := range s.Lines {
		if len(xs) == 0 {
			for _, p := range c.Points {
				xs = append(xs, p.X)
			}
		}
		for _, p := range c.measured() {
			costs = append(costs, p.ServerCPU)
			if c.Daemon == qd {
				costs = append(costs, p.GeneratorCPU)
			}
		}
	}
	across, up := quantityAxis(xs, plotLeft+10, plotRight), costAxis(costs, plotBottom, plotTop)
	d.put(`<text x="%d" y="16" font-size="13" font-weight="bold">%s</text>`, plotLeft, title(s.Name))
	d.text(plotLeft, 32, "start", "CPU µs per "+s.Per)
	d.costs(&up)
	d.quantities(s, &across)
	for _, c := range s.Lines {
		d.curve(c, &across, &up)
	}
}

// costs draws the axis on the left.
func (d *drawing) costs(up *axis) {
	for _, tick := range up.ticks {
		y := up.at(tick)
		d.line(plotLeft, y, plotRight, y, grid)
		d.text(plotLeft-6, y+4, "end", fmt.Sprintf("%.4g", tick))
	}
}

// quantities draws the axis below. A label that would touch the one before is
// left away.
func (d *drawing) quantities(s *Series, across *axis) {
	const wide = 38 // of a label
	last := -float64(wide)
	for _, tick := range across.ticks {
		x := across.at(tick)
		d.line(x, plotBottom, x, plotBottom+4, ink{colour: grey})
		if x-last < wide {
			continue
		}
		d.text(x, plotBottom+16, "middle", s.label(int(tick)))
		last = x
	}
	d.text((plotLeft+plotRight)/2, plotBottom+32, "middle", s.Quantity)
}

func (d *drawing) curve(c *Curve, across, up *axis) {
	var server, own []point
	for _, p := range c.measured() {
		x := across.at(float64(p.X))
		server = append(server, point{x, up.at(p.ServerCPU)})
		own = append(own, point{x, up.at(p.GeneratorCPU)})
	}
	if c.Daemon == qd {
		d.path(own, 1.5, generator)
	}
	k := inks[c.Daemon]
	d.path(server, 2, k)
	for _, p := range server {
		d.put(`<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`, p.x, p.y, k.colour)
	}
}

// measured are the points with figures.
func (c *Curve) measured() (all []Point) {
	for _, p := range c.Points {
		if p.Error == "" {
			all = append(all, p)
		}
	}
	return all
}
