// The past of a thing, fetched once and then lengthened by the points of each frame.
import { useEffect, useRef, useState } from './html.js'
import { get } from './api.js'
import { useMe } from './me.js'
import { asked, remember } from './router.js'

const AFTER_TROUBLE = 5000
const ANEW = 60000 // what was missed meanwhile comes with the next answer
const SHORTEST = 120000
const LATE = 15000 // a point so long after the last one closes the line: between two answers nothing is known to be missing

const spans = [['5m', '5 min'], ['15m', '15 min'], ['1h', '1 h']]
const kept = [['6h', '6 h'], ['24h', '24 h'], ['7d', '7 d']]

/** The spans that there are to choose from: longer ones where history is kept on disk. */
export const offered = me => me?.history_kept ? spans.concat(kept) : spans

/**
 * The span on the charts and how to choose another, which the address then keeps. Unchosen it is an hour, or less as long as
 * qadmin has not collected that much.
 */
export function useSpan() {
  const [chosen, set] = useState(asked('span'))
  const up = (Date.now() - (useMe()?.started ?? 0)) / 60000
  const [usual] = useState(up < 8 ? '5m' : up < 25 ? '15m' : '1h')
  const pick = span => { set(span); remember('span', span) }
  return [offered(useMe()).some(([s]) => s === chosen) ? chosen : usual, pick]
}

/** Lines of the span ("5m", "15m", "1h"), or null while they are fetched. `epoch` asks anew when it changes. */
export function useHistory(kind, params, span, epoch, point) {
  const [, turn] = useState(0)
  const kept = useRef({ lines: null, last: 0 })
  useEffect(() => {
    const stop = new AbortController()
    let next = 0
    const ask = () => get('history', { kind, ...params, span }, stop.signal)
      .then(h => { kept.current = { lines: begin(h), last: 0 }; turn(n => n + 1); next = setTimeout(ask, ANEW) })
      .catch(e => { if (e.name !== 'AbortError') next = setTimeout(ask, AFTER_TROUBLE) })
    ask()
    return () => { stop.abort(); clearTimeout(next) }
  }, [kind, JSON.stringify(params), span, epoch])
  const { lines, last } = kept.current
  if (lines && point && point.at > last) kept.current = { lines: lengthen(lines, point), last: point.at }
  return kept.current.lines
}

/** The lines of an answer, from the first moment of which anything is known, if that leaves two minutes or more. */
function begin(h) {
  const all = Object.values(h.series)
  let first = 0
  while (first < h.n && all.every(data => data[first] === null)) first++
  first = Math.max(0, Math.min(first, h.n - Math.ceil(SHORTEST / h.step_ms)))
  const series = Object.fromEntries(Object.entries(h.series).map(([key, data]) => [key, data.slice(first)]))
  return { from: h.from + first * h.step_ms, step: h.step_ms, n: h.n - first, full: h.n, series, marks: h.marks ?? [], sums: 0 }
}

/** The lines with a point at their end. A slot holds the mean of its points; many slots without a point are a gap. */
function lengthen(lines, point) {
  const slot = Math.floor((point.at - lines.from) / lines.step)
  if (slot < lines.n - 1) return lines
  const more = slot - (lines.n - 1)
  const n = Math.min(lines.full, lines.n + more), shift = lines.n + more - n
  const parts = more > 0 ? 1 : lines.sums + 1
  const series = {}
  for (const [key, data] of Object.entries(lines.series)) {
    const value = point[key] ?? null
    const next = shift >= lines.n ? [] : data.slice(shift)
    while (next.length < n) next.push(more * lines.step <= LATE ? value : null)
    const before = more > 0 ? null : next[n - 1]
    next[n - 1] = value === null ? before : before === null || parts === 1 ? value : before + (value - before) / parts
    series[key] = next
  }
  return { ...lines, from: lines.from + shift * lines.step, n, series, marks: point.marks ?? lines.marks, sums: parts }
}
