// Publishing by hand: one message, or many, a line each; what a file holds.
import { html, useEffect, useState } from '../html.js'
import { get, post } from '../api.js'
import { count, plural, size } from '../format.js'
import { Card } from '../parts.js'

const MOST_DEFER = 3600000 // ms, what nodes allow unless told otherwise
const MOST_FILE = 4 << 20 // bytes

// A topic that no node has yet may be published to any of them.
function useNodes(nodes) {
  const [all, set] = useState([])
  const none = nodes.length === 0
  useEffect(() => {
    if (!none) return
    const stop = new AbortController()
    get('names', {}, stop.signal).then(names => set(names.nodes)).catch(() => {})
    return () => stop.abort()
  }, [none])
  return none ? all : nodes.filter(n => !n.stale)
}

export function Publish({ topic, nodes, channels }) {
  const hint = ['Waits in the topic for a first channel', 'Reaches the one channel', 'Reaches both channels'][channels] ?? `Reaches all ${plural(channels, 'channel')}`
  return html`<${Card} id="publish" cls="w4 alone" title="Publish a test message"><${PublishForm} topic=${topic} nodes=${nodes} hint=${hint} form /><//>`
}

const linesOf = body => body.split('\n').filter(l => l.replace(/\r$/, '') !== '').length

/** The fields; in a form of its own, or in that of a dialog. */
export function PublishForm({ topic, nodes, hint, body = '', form: own }) {
  const [form, set] = useState({ body, node: '', defer: '0', lines: false })
  const [said, say] = useState(null)
  const [busy, setBusy] = useState(false)
  const there = useNodes(nodes)
  const node = there.some(n => n.node === form.node) ? form.node : there[0]?.node ?? ''
  const defer = /^\d+$/.test(form.defer.trim() || '0') ? Number(form.defer.trim() || '0') : NaN
  const wrong = form.lines ? '' : Number.isNaN(defer) || defer > MOST_DEFER ? `Defer by 0 to ${MOST_DEFER} ms.` : ''
  const field = (name, value) => { set({ ...form, [name]: value }); say(null) }
  const submit = async e => {
    e?.preventDefault()
    if (wrong || !form.body || !node || busy) return
    setBusy(true)
    try {
      const answer = await post('publish', { topic, node, body: form.body, ...(form.lines ? { lines: true } : { defer_ms: defer }) })
      say(answer.ok ? { text: `Published ${form.lines ? plural(answer.messages, 'message') + ', ' : ''}${size(answer.bytes)} to ${answer.name} in ${answer.ms} ms` } : { bad: true, text: answer.error })
    } catch (e) { say({ bad: true, text: e.message }) }
    setBusy(false)
  }
  const read = async e => {
    const file = e.target.files[0]
    e.target.value = ''
    if (!file) return
    if (file.size > MOST_FILE) { say({ bad: true, text: `${file.name} has ${size(file.size)}; up to 4 MiB can be published here.` }); return }
    try {
      const body = new TextDecoder('utf-8', { fatal: true }).decode(await file.arrayBuffer())
      set({ ...form, body, lines: linesOf(body) > 1 })
      say({ text: `${file.name} is read; nothing is published yet.` })
    } catch { say({ bad: true, text: `${file.name} is no text.` }) }
  }
  const verb = form.lines ? `Publish ${count(linesOf(form.body))}` : 'Publish'
  const fields = html`<label class="field"><span>Body</span><textarea id="publish-body" rows="6" spellcheck=${false} placeholder=${'{"hello": "world"}'} value=${form.body}
        onInput=${e => field('body', e.target.value)}></textarea></label>
      <div class="foot"><label class="check grow"><input type="checkbox" id="publish-lines" checked=${form.lines} onChange=${() => field('lines', !form.lines)} /> Each line is a message</label>
        <label class="btn slim file">File…<input type="file" id="publish-file" class="hidden" onChange=${read} /></label></div>
      <div class="pair"><label class="field"><span>Node</span>
        <select id="publish-node" value=${node} onChange=${e => field('node', e.target.value)}>${there.map(n => html`<option key=${n.node} value=${n.node}
        selected=${n.node === node}>${n.name}</option>`)}</select></label>
        <label class="field"><span>Defer by, ms</span><input id="publish-defer" class="right" inputmode="numeric" disabled=${form.lines} value=${form.defer}
          onInput=${e => field('defer', e.target.value)} /></label></div>
      <div class="foot"><span class="small grow ${said?.bad || wrong ? 'problem' : said ? 'ok' : 'faint'}" id="publish-said" role="status">${wrong || said?.text || hint}</span>
        <button type=${own ? 'submit' : 'button'} class="btn primary" id="publish-go" onClick=${own ? undefined : submit} disabled=${!form.body || !node || busy || !!wrong}>${verb}</button></div>`
  return own ? html`<form class="form" onSubmit=${submit}>${fields}</form>` : fields
}
