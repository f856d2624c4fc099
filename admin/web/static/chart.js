// Charts: lines over time from zero. A gap is a gap; what comes in is filled, what goes out is a line.
// Pointing at a moment shows the same moment in every chart of the page.
import { html, useEffect, useLayoutEffect, useRef, useState } from './html.js'
import { Icon } from './icons.js'
import { area, axis, extent, minutes, path, runs } from './scale.js'
import { brief, clock, count, utc } from './format.js'
import { useHeld } from './hold.js'

const HEIGHT = 176, LEFT = 40, RIGHT = 8, TOP = 12, BOTTOM = 20
const CLOSE = 150 // px: marks nearer than this stand on different lines

let pointed = null
const watchers = new Set()
function point(at) {
  if (at === pointed) return
  pointed = at
  for (const f of watchers) f(at)
}

/** A card with a chart. series: [{ key, name, tone, area?, now? }]; `lines` comes from useHistory, null while it is fetched. */
export function ChartCard({ id, title, label, lines, series, unit = '', format = brief, value = count, least = 1, cls }) {
  const [table, setTable] = useState(false)
  return html`<section class="card chart-card ${cls}" id=${id} aria-label=${title} data-chart=${id}>
    <header><h2>${title}</h2><span class="grow"></span>
      <span class="legend">${series.map(s => html`<span><i class="swatch c-${s.tone}"></i>${s.name}${s.now !== undefined && html` <b>${s.now}</b>`}</span>`)}</span>
      <button type="button" class="btn quiet icon header-menu" data-action="show-as-table" aria-pressed=${String(table)}
        aria-label=${table ? 'Show as chart' : 'Show as table'} title=${table ? 'Show as chart' : 'Show as table'} onClick=${() => setTable(!table)}>
        <${Icon} name=${table ? 'chart' : 'table'} size=${14} /></button></header>
    ${table ? html`<${Values} label=${label} lines=${lines} series=${series} unit=${unit} value=${value} />`
      : html`<${Chart} label=${label} lines=${lines} series=${series} unit=${unit} format=${format} value=${value} least=${least} />`}</section>`
}

function Chart({ label, lines, series, unit, format, value, least }) {
  const frame = useRef(null)
  const shown = useHeld(frame, lines)
  const width = useWidth(frame)
  const [at, setAt] = useState(pointed)
  useEffect(() => { watchers.add(setAt); return () => watchers.delete(setAt) }, [])

  const n = shown?.n ?? 2
  const data = series.map(s => shown?.series[s.key] ?? [])
  const { end, rules } = axis(Math.max(0, ...data.map(d => extent(d)?.[1] ?? 0)), least)
  const x = i => LEFT + i * (width - LEFT - RIGHT) / (n - 1)
  const y = v => TOP + (HEIGHT - TOP - BOTTOM) * (1 - v / end)
  const index = shown && at !== null ? Math.round((at - shown.from) / shown.step) : -1
  const seen = index >= 0 && index < n

  const pointAt = e => {
    if (!shown || e.pointerType === 'touch' && e.type === 'pointermove' && !e.buttons) return
    const i = Math.round((e.clientX - frame.current.getBoundingClientRect().left - 12 - LEFT) / (width - LEFT - RIGHT) * (n - 1))
    point(shown.from + Math.max(0, Math.min(n - 1, i)) * shown.step)
  }
  const pressed = e => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[e.key]
    if (!by || !shown) return
    e.preventDefault()
    const i = seen ? index : n - 1
    point(shown.from + Math.max(0, Math.min(n - 1, i + by * (e.shiftKey ? 10 : 1))) * shown.step)
  }
  return html`<div class="chart" data-hold ref=${frame} onPointerMove=${pointAt} onPointerDown=${pointAt}
    onPointerLeave=${e => { if (e.pointerType !== 'touch') point(null) }} onKeyDown=${pressed} onBlur=${() => point(null)}>
    <svg height=${HEIGHT} viewBox="0 0 ${width} ${HEIGHT}" role="img" tabindex="0" aria-label=${sentence(label, series, data, unit, value)}>
      ${rules.map((v, i) => html`<path class="rule ${i ? '' : 'zero-line'}" d="M${LEFT} ${y(v)}H${width - RIGHT}" />
        <text x=${LEFT - 8} y=${y(v) + 4} text-anchor="end">${format(v)}</text>`)}
      ${shown && ticks(shown, width, x)}
      ${series.map((s, k) => html`<g class="c-${s.tone}">${runs(data[k]).map(run => run.length === 1
        ? html`<circle class="lone" cx=${x(run[0][0])} cy=${y(run[0][1])} r="1" />`
        : html`${s.area && html`<path class="area" d=${area(run, x, y, y(0))} />`}<path class="trace" d=${path(run, x, y)} />`)}</g>`)}
      ${shown?.marks.map((m, i) => html`<${Mark} mark=${m} row=${i} lines=${shown} x=${x} width=${width} />`)}
      ${seen && html`<path class="hair" d="M${x(index)} ${TOP}V${HEIGHT - BOTTOM}" />`}
    </svg>
    ${seen && html`<div class="tip" style=${x(index) > width / 2 ? { right: width - x(index) + 24 + 'px' } : { left: x(index) + 24 + 'px' }}>
      <div class="faint" title=${utc(at)}>${clock(shown.from + index * shown.step, 'seconds')}</div>
      ${series.map((s, k) => html`<div><i class="swatch c-${s.tone}"></i>${s.name}<b>${known(data[k][index]) ? value(data[k][index]) + unit : '–'}</b></div>`)}</div>`}
  </div>`
}

const known = v => v !== null && v !== undefined

function sentence(label, series, data, unit, value) {
  const now = series.map((s, k) => { const last = data[k].findLast(known); return known(last) ? `${s.name} ${value(last)}${unit}` : '' }).filter(Boolean)
  return now.length ? `${label}; last ${now.join(', ')}` : label
}

function ticks(lines, width, x) {
  const to = lines.from + (lines.n - 1) * lines.step
  const span = lines.n * lines.step
  const every = span > 30 * 3600000 ? 1440 : span > 7 * 3600000 ? (width < 360 ? 480 : 240) : span > 90 * 60000 ? 60 : span > 20 * 60000 ? (width < 360 ? 20 : 10) : span > 6 * 60000 ? (width < 360 ? 5 : 3) : 1
  return minutes(lines.from, to, every).map(t => {
    const at = x((t - lines.from) / lines.step)
    return at > width - 18 || at < LEFT + 12 ? null : html`<text x=${at} y=${HEIGHT - 4} text-anchor="middle">${every === 1440 ? new Date(t).toLocaleDateString(undefined, { weekday: 'short', day: 'numeric' }) : clock(t)}</text>`
  })
}

function Mark({ mark, row, lines, x, width }) {
  const i = (mark.at - lines.from) / lines.step
  if (i < 0 || i > lines.n - 1) return null
  const at = x(i), left = at > width * 0.55
  const again = lines.marks.some((m, k) => k < row && m.text === mark.text && Math.abs(x((m.at - lines.from) / lines.step) - at) < 8)
  if (again) return null
  const beside = lines.marks.some((m, k) => k < row && Math.abs(x((m.at - lines.from) / lines.step) - at) < CLOSE)
  return html`<g><path class="mark" d="M${at} ${TOP - 4}V${HEIGHT - BOTTOM}" />
    <text class="mark-text" x=${at + (left ? -5 : 5)} y=${TOP + 4 + (beside ? row * 13 : 0)} text-anchor=${left ? 'end' : 'start'}>${mark.text}</text></g>`
}

function useWidth(frame) {
  const [width, set] = useState(400)
  useLayoutEffect(() => {
    const measure = () => set(Math.max(160, frame.current.clientWidth - 24))
    measure()
    const sized = new ResizeObserver(measure)
    sized.observe(frame.current)
    return () => sized.disconnect()
  }, [])
  return width
}

/** The same values as a table, newest first, a row for each minute or, over short spans, for each ten seconds. */
function Values({ label, lines, series, unit, value }) {
  if (!lines) return html`<div class="chart-table"></div>`
  const stride = Math.max(1, Math.round((lines.n * lines.step > 20 * 60000 ? 60000 : 10000) / lines.step))
  const rows = []
  for (let i = lines.n - 1; i >= 0; i -= stride) rows.push(i)
  const cell = v => html`<td class="number">${known(v) ? html`${value(v)}<u>${unit}</u>` : '–'}</td>`
  const row = i => {
    const t = lines.from + i * lines.step
    return html`<tr key=${t}><td title=${utc(t)}>${clock(t, stride * lines.step < 60000 ? 'seconds' : 'minutes')}</td>
      ${series.map(s => cell(lines.series[s.key]?.[i]))}</tr>`
  }
  return html`<div class="chart-table scroll" tabindex="0"><table aria-label=${label}>
    <thead><tr><th scope="col">Time</th>${series.map(s => html`<th scope="col" class="number">${s.name}</th>`)}</tr></thead>
    <tbody>${rows.map(row)}</tbody></table></div>`
}
