package growth

import "math"

// axis maps values to pixels.
type axis struct {
	logarithmic bool
	low, high   float64 // values at the ends; of what is above 0 on a logarithmic axis
	from, to    float64 // pixels there
	zero        float64 // pixel of 0 on a logarithmic axis
	ticks       []float64
}

func (a *axis) at(v float64) float64 {
	low, high := a.low, a.high
	if a.logarithmic {
		if v <= 0 {
			return a.zero
		}
		v, low, high = math.Log(v), math.Log(low), math.Log(high)
	}
	if low == high {
		return a.from
	}
	return a.from + (v-low)/(high-low)*(a.to-a.from)
}

// quantityAxis is logarithmic and has a tick at each point; 0 has a place of
// its own at the beginning.
func quantityAxis(xs []int, from, to float64) axis {
	const apart = 40 // of 0 and the first other
	a := axis{logarithmic: true, from: from, to: to, zero: from}
	for _, x := range xs {
		a.ticks = append(a.ticks, float64(x))
		if x == 0 {
			a.from = from + apart
			continue
		}
		if a.low == 0 {
			a.low = float64(x)
		}
		a.high = float64(x)
	}
	return a
}

// costAxis begins at 0, unless the costs are of too different sizes to be seen
// on one scale: then it is logarithmic, with ticks at powers of ten.
func costAxis(costs []float64, from, to float64) axis {
	const tooDifferent = 50
	least, most := math.Inf(1), 0.0
	for _, c := range costs {
		least, most = min(least, c), max(most, c)
	}
	if most <= 0 {
		return axis{high: 1, from: from, to: to, ticks: []float64{0, 1}}
	}
	if least > 0 && most/least > tooDifferent {
		a := axis{logarithmic: true, from: from, to: to, zero: from}
		a.low, a.high = math.Pow(10, math.Floor(math.Log10(least))), math.Pow(10, math.Ceil(math.Log10(most)))
		for tick := a.low; tick < a.high*1.5; tick *= 10 {
			a.ticks = append(a.ticks, tick)
		}
		return a
	}
	step := roundStep(most / 4)
	a := axis{high: math.Ceil(most/step) * step, from: from, to: to}
	for i := 0; float64(i)*step < a.high+step/2; i++ {
		a.ticks = append(a.ticks, float64(i)*step)
	}
	return a
}

// roundStep is the first of 1, 2, 5, 10 and so on, of any power of ten, that is
// not below least.
func roundStep(least float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(least)))
	for _, factor := range []float64{1, 2, 5} {
		if factor*power >= least {
			return factor * power
		}
	}
	return 10 * power
}
