// The live connection: one stream for the view on the screen. Frames are shown at most once a second, in one go.
import { useState, useEffect } from './html.js'
import { stream, get } from './api.js'
import { onHold, holding } from './hold.js'

const SECOND = 1000, STALE = 5000, AGAIN = 4000

/** What is known: turn is that of the route which is followed; phase is loading, live, lost, gone (the thing is no longer there) or refused;
 * quiet: this is the first frame after a gap, so its changes are not news;
 * epoch counts up when lines must be fetched anew: after such a gap. */
const state = { turn: -1, phase: 'loading', frame: null, bar: null, seen: 0, problem: null, held: false, stale: false, quiet: false, epoch: 0 }
const watchers = new Set()
let wanted = null, source = null, pending = null, shown = 0, timer = 0, retry = 0, staleTimer = 0, missed = false

function show() {
  timer = 0
  if (pending && (!state.held || state.frame === null)) { state.frame = pending; state.quiet = missed; missed = false; state.bar = pending.bar; pending = null }
  shown = performance.now()
  for (const f of watchers) f()
}
function soon(wait = 0) {
  if (timer) { if (wait) return; clearTimeout(timer) }
  timer = setTimeout(() => requestAnimationFrame(show), wait)
}

// Later frames of the list of topics are differences: they are laid over the rows known so far.
function merge(before, frame) {
  if (frame.full || !before?.rows) return frame
  const changed = new Map(frame.data.rows.map(r => [r.topic, r])), gone = new Set(frame.data.gone)
  const rows = []
  for (const row of before.rows) {
    if (!gone.has(row.topic)) rows.push(changed.get(row.topic) ?? row)
    changed.delete(row.topic)
  }
  for (const row of changed.values()) rows.push(row)
  return { ...frame, data: { ...frame.data, rows } }
}

function arrived(frame) {
  const latest = pending ?? state.frame
  const back = state.phase === 'lost'
  pending = merge(latest?.view === frame.view ? latest.data : null, frame)
  state.seen = Date.now()
  Object.assign(state, { phase: 'live', problem: null, stale: false })
  if (back) { state.epoch++; missed = true }
  clearTimeout(staleTimer)
  const first = state.frame === null
  soon(first || back ? 0 : Math.max(0, SECOND - 50 - (performance.now() - shown)))
}

function lost(problem = null) {
  if (state.phase === 'live') staleTimer = setTimeout(() => { state.stale = true; soon() }, Math.max(0, STALE - (Date.now() - state.seen)))
  Object.assign(state, { phase: state.frame ? 'lost' : problem ? 'refused' : 'lost', problem })
  soon()
}

// A stream that was refused says not why; the same question asked plainly does.
async function refused() {
  const asked = wanted
  if (!asked) return
  try {
    const frame = await get(asked.view, asked.params)
    if (asked === wanted) arrived(frame)
  } catch (e) {
    if (asked !== wanted) return
    if (e.status === 404) { Object.assign(state, { phase: 'gone', problem: e }); soon() }
    else lost(e.status ? e : null)
  }
  if (asked === wanted) retry = setTimeout(open, AGAIN)
}

function open() {
  close()
  if (!wanted || document.hidden) return
  const es = source = stream(wanted.view, wanted.params)
  const current = f => e => { if (source === es) f(e) }
  es.addEventListener('frame', current(e => arrived(JSON.parse(e.data))))
  es.addEventListener('gone', current(e => { Object.assign(state, { phase: 'gone', problem: JSON.parse(e.data) }); soon() }))
  es.addEventListener('bye', current(e => {
    if (e.data && JSON.parse(e.data).error === 'LOGIN_REQUIRED') { close(); window.dispatchEvent(new Event('login-required')) }
  }))
  es.onerror = current(() => {
    if (es.readyState !== EventSource.CLOSED) { lost(); return }
    close()
    refused()
  })
}
function close() {
  clearTimeout(retry)
  source?.close()
  source = null
}

/** Follows another view, or none (null), for a turn of the route. */
export function follow(view, params, turn) {
  wanted = view ? { view, params } : null
  clearTimeout(staleTimer)
  Object.assign(state, { turn, phase: 'loading', frame: null, problem: null, stale: false })
  pending = null
  open()
}

/** Holds everything, or goes on. */
export function toggleHold() {
  state.held = !state.held
  soon()
}

/** Whether there are sets of replicas, as far as is known. */
export const hasSets = () => state.bar?.sets > 0

document.addEventListener('visibilitychange', () => {
  if (document.hidden) { close(); return }
  state.epoch++
  missed = true
  open()
})
onHold(() => { if (!holding()) soon(); else for (const f of watchers) f() })

/** What is known at present; draws again with every change. */
export function useLive() {
  const [, turn] = useState(0)
  useEffect(() => {
    const f = () => turn(n => n + 1)
    watchers.add(f)
    return () => watchers.delete(f)
  }, [])
  return state
}
