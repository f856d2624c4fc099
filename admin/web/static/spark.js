// Sparklines: an hour in a cell, without axes. In a row they start at zero and fill what is below; under a figure they
// show the trend alone, so zero is left out, nothing is filled, and the span is at least a quarter of the level.
import { html } from './html.js'
import { area, extent, path, runs } from './scale.js'

const FINEST = 50 // messages: idle noise stays flat

/** A line of values, from the first one that is known. */
export function Spark({ data: all, tone = 'in', width = 132, height = 22, trend = false, finest = FINEST }) {
  const data = all && all.slice(Math.max(0, Math.min(all.findIndex(v => v !== null), all.length - 2)))
  const range = data && extent(data)
  if (!range) return html`<svg class="spark" width=${width} height=${height} aria-hidden="true"></svg>`
  const [low, high] = range
  const top = Math.max(high, trend ? 0 : finest, 1e-9) * (trend ? 1 : 1.08)
  const bottom = trend ? Math.max(0, Math.min(low, top * 0.75)) : 0
  const x = i => 1 + i * (width - 2) / Math.max(1, data.length - 1)
  const y = v => height - 2 - (v - bottom) / (top - bottom || 1) * (height - 4)
  const parts = runs(data)
  return html`<svg class="spark c-${high === 0 ? 'none' : tone}" width=${width} height=${height} viewBox="0 0 ${width} ${height}"
    preserveAspectRatio="none" aria-hidden="true">
    ${!trend && parts.filter(run => run.length > 1).map(run => html`<path d=${area(run, x, y, height)} fill="currentColor" opacity=".12" />`)}
    ${parts.map(run => html`<path d=${run.length > 1 ? path(run, x, y) : path(run, x, y) + 'h1'} fill="none" stroke="currentColor" stroke-width="1.4" stroke-linejoin="round" />`)}
  </svg>`
}
