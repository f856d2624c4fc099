// Acting on many topics or channels at a time: choosing rows, counting what goes, one typed confirmation, a job.
import { html, useEffect, useMemo, useState } from './html.js'
import { post } from './api.js'
import { Dialog, LastKnown, ask } from './dialog.js'
import { count, plural } from './format.js'
import { JobDialog } from './jobs.js'
import { useLive } from './live.js'
import { useMe } from './me.js'

/** Rows that the reader has chosen: the column of boxes, and the keys. Rows that go are no longer chosen. */
export function useChosen(rows, keyOf, what) {
  const [chosen, set] = useState(() => new Set())
  const may = useMe()?.may_act
  const there = useMemo(() => { const all = new Set(rows.map(keyOf)); return new Set([...chosen].filter(k => all.has(k))) }, [chosen, rows])
  const all = rows.length > 0 && there.size === rows.length
  const turn = key => { const next = new Set(there); next.has(key) ? next.delete(key) : next.add(key); set(next) }
  const column = may && {
    key: 'choose', width: '40px', cls: 'medium choose',
    label: html`<input type="checkbox" aria-label="Choose all ${what}s that are listed" checked=${all} onChange=${() => set(new Set(all ? [] : rows.map(keyOf)))} />`,
    cell: r => html`<input type="checkbox" aria-label="Choose ${keyOf(r)}" data-choose=${keyOf(r)} checked=${there.has(keyOf(r))} onChange=${() => turn(keyOf(r))} />`,
  }
  return { column, chosen: there, clear: () => set(new Set()) }
}

/** What can be done with the rows that are chosen. `rowsOf(data)` are the rows of a frame, `target(row)` names one for the server. */
export function Bulk({ chosen, clear, what, keyOf, rowsOf, target }) {
  if (chosen.size === 0) return null
  const open = verb => ask(BulkConfirm, { verb, keys: [...chosen], what, keyOf, rowsOf, target, clear })
  return html`<div class="tools bulk" role="toolbar" aria-label="Chosen ${what}s"><b id="chosen">${plural(chosen.size, what)} chosen</b><span class="grow"></span>
    ${['pause', 'unpause'].map(verb => html`<button type="button" class="btn" data-bulk=${verb} onClick=${() => open(verb)}>${names[verb]}…</button>`)}
    ${['empty', 'delete'].map(verb => html`<button type="button" class="btn quiet harm" data-bulk=${verb} onClick=${() => open(verb)}>${names[verb]}…</button>`)}
    <button type="button" class="btn quiet" data-bulk="none" onClick=${clear}>None</button></div>`
}

const names = { pause: 'Pause', unpause: 'Unpause', empty: 'Empty', delete: 'Delete' }
const LISTED = 8

function BulkConfirm({ verb, keys, what, keyOf, rowsOf, target, clear, close }) {
  const { frame, bar } = useLive()
  const [silent, setSilent] = useState([])
  const [value, set] = useState('')
  const [problem, setProblem] = useState('')
  const [busy, setBusy] = useState(false)
  const rows = useMemo(() => { const wanted = new Set(keys); return (frame ? rowsOf(frame.data) : []).filter(r => wanted.has(keyOf(r))) }, [frame])
  const sum = key => rows.reduce((n, r) => n + (r[key] ?? 0), 0)
  const loses = verb === 'empty' || verb === 'delete'
  const typed = `${verb} ${rows.length}`
  const fits = !loses || value.trim().toLowerCase() === typed
  const waiting = verb === 'empty' && what === 'topic' ? 'topic_depth' : 'depth'
  useEffect(() => {
    if (!bar?.silent.length || !rows.length) setSilent([])
    else post('silent', { verb, targets: rows.map(target) }).then(a => setSilent(a.nodes)).catch(() => {}) // what it would do is told without them
  }, [JSON.stringify(bar?.silent), rows.length])
  const run = async () => {
    if (!fits || busy || rows.length === 0) return
    setBusy(true)
    try {
      const job = await post('bulk', { verb, targets: rows.map(target) })
      clear()
      close()
      ask(JobDialog, { job })
    } catch (e) { setProblem(e.message); setBusy(false) }
  }
  return html`<${Dialog} id="bulk" title=${`${names[verb]} ${plural(rows.length, what)}?`} text=${rows.slice(0, LISTED).map(keyOf).join(', ') + (rows.length > LISTED ? ` and ${count(rows.length - LISTED)} more` : '')} close=${close} onSubmit=${run}>
    <div class="loss"><span>${names[verb]}</span><b>${plural(rows.length, what)}</b>
      ${loses && html`<span>Waiting</span><b id="bulk-waiting">${count(sum(waiting))}</b>`}
      ${loses && waiting === 'depth' && html`<span>In flight</span><b>${count(sum('in_flight'))}</b><span>Deferred</span><b>${count(sum('deferred'))}</b>`}</div>
    ${silent.length > 0 && html`<div class="silent-nodes warn small" id="bulk-silent">${silent.map(n => html`<p>${LastKnown(n, n.messages)}</p>`)}
      <p>They are told as well, and may not answer.</p></div>`}
    ${loses ? html`<label class="field"><span>Type <code class="typed">${typed}</code> to go on</span>
      <input id="bulk-name" data-first autocomplete="off" autocapitalize="off" spellcheck=${false} value=${value} onInput=${e => set(e.target.value)} /></label>` : null}
    ${problem && html`<p class="problem" role="status">${problem}</p>`}
    <div class="foot"><span class="small faint grow">${verb === 'empty' && what === 'topic' ? 'Channels keep their copies.' : 'One after the other; it can be stopped.'}</span>
      <button type="button" class="btn" onClick=${close}>Cancel</button>
      <button type="submit" class="btn ${loses ? 'final' : 'primary'}" id="bulk-go" data-first=${loses ? undefined : ''} disabled=${!fits || busy}>${names[verb]} ${plural(rows.length, what)}</button></div><//>`
}
