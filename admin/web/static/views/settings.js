// How a node is set up, and its log level, for those who may change things.
import { html, useEffect, useState } from '../html.js'
import { get, post } from '../api.js'
import { count, duration, size } from '../format.js'
import { Card, Nothing } from '../parts.js'

const levels = ['debug', 'info', 'warn', 'error', 'fatal']
// Nodes number levels from 1, and tell times in ns and sizes in bytes.
const levelOf = v => levels[v - 1] ?? v
function plain({ key, value }) {
  if (value === '') return '–'
  if (!/^\d+$/.test(value)) return value
  if (/_timeout$/.test(key)) return duration(value / 1e6)
  return /_size$|_bytes|_per_file$/.test(key) && key !== 'mem_queue_size' ? size(Number(value)) : count(Number(value))
}

export function Settings({ node }) {
  const [answer, set] = useState(null)
  const [said, say] = useState(null)
  const load = () => get('settings', { node }).then(set).catch(e => set({ options: [], error: e.message }))
  useEffect(() => { load() }, [node])
  const change = async (key, value) => {
    try {
      const a = await post('setting', { node, key, value })
      say(a.ok ? { text: `${key} is ${value} until the node restarts.` } : { bad: true, text: a.error })
      if (a.ok) load()
    } catch (e) { say({ bad: true, text: e.message }) }
  }
  const options = answer?.options ?? []
  return html`<${Card} id="settings" ruled title="Settings" aside=${html`<span class="small ${said?.bad ? 'problem' : said ? 'ok' : 'faint'}" id="setting-said" role="status">${said?.text ?? 'as the node runs now'}</span>`}>
    ${answer?.error && html`<${Nothing}>${answer.error}<//>`}
    ${options.length > 0 && html`<div class="settings">${options.map(o => html`<span key=${o.key} class="mono">${o.key}</span><span data-option=${o.key}>${o.key === 'log_level'
      ? html`<select id="log-level" aria-label="Log level" value=${levelOf(o.value)} onChange=${e => change(o.key, e.target.value)}>${[...new Set([levelOf(o.value), ...levels])].map(l => html`<option key=${l} value=${l} selected=${l === levelOf(o.value)}>${l}</option>`)}</select>`
      : html`<span class="soft">${plain(o)}</span>`}</span>`)}</div>`}<//>`
}
