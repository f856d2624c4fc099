// The geometry of lines: scales, ticks and paths. Pure: numbers in, numbers and path texts out.

/** The end of an axis for values up to most, and its rules: at most four, the first at zero. */
export function axis(most, least = 0) {
  const want = Math.max(most, least, 1e-9) * 1.02
  const power = 10 ** Math.floor(Math.log10(want))
  const step = [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find(m => m * power >= want) ?? 10
  const end = step * power
  const parts = step === 1.5 || step === 3 || step === 6 ? 3 : 2
  return { end, rules: Array.from({ length: parts + 1 }, (_, i) => end * i / parts) }
}

/** Moments to name between two others: whole minutes of the reader's clock, `every` minutes apart. */
export function minutes(from, to, every) {
  const step = every * 60000, shift = new Date(to).getTimezoneOffset() * 60000
  const ticks = []
  for (let t = Math.ceil((from - shift) / step) * step + shift; t <= to; t += step) ticks.push(t)
  return ticks
}

/** The runs of known values: a gap in the data stays a gap. Each is a list of [index, value]. */
export function runs(data) {
  const all = []
  let run = null
  data.forEach((v, i) => {
    if (v === null || v === undefined || !Number.isFinite(v)) { run = null; return }
    if (!run) all.push(run = [])
    run.push([i, v])
  })
  return all
}

const place = n => Math.round(n * 10) / 10

/** The path of a run, given where indices and values lie. */
export const path = (run, x, y) => run.map(([i, v], k) => (k ? 'L' : 'M') + place(x(i)) + ' ' + place(y(v))).join('')

/** The same, closed down to the level `base`. */
export const area = (run, x, y, base) =>
  `${path(run, x, y)}L${place(x(run[run.length - 1][0]))} ${place(base)}L${place(x(run[0][0]))} ${place(base)}Z`

/** Lowest and highest known value, or null. */
export function extent(data) {
  let low = Infinity, high = -Infinity
  for (const v of data) if (v !== null && Number.isFinite(v)) { if (v < low) low = v; if (v > high) high = v }
  return low <= high ? [low, high] : null
}
