// Connections: who consumes and who publishes, on a node or of a topic. Asked for while one looks.
import { html, useEffect, useRef, useState } from '../html.js'
import { get, post } from '../api.js'
import { Dialog, ask } from '../dialog.js'
import { count, duration, host } from '../format.js'
import { useMe } from '../me.js'
import { Card, Choice, Rate, meaning } from '../parts.js'
import { to } from '../router.js'
import { Table } from '../table.js'
import { number } from './columns.js'

const AGAIN = 4000
const keyOf = r => `${r.node} ${r.address} ${r.topic} ${r.channel}`
const kinds = { all: () => true, publish: r => !r.channel, consume: r => r.channel }

export function Connections({ node, topic }) {
  const [answer, set] = useState(null)
  const [problem, say] = useState('')
  const [kind, pick] = useState('all')
  const [turn, again] = useState(0)
  const before = useRef(null)
  useEffect(() => {
    const stop = new AbortController()
    let timer = 0
    const look = () => document.hidden ? (timer = setTimeout(look, AGAIN)) : get('connections', { node, topic }, stop.signal).then(a => {
      const was = before.current
      const old = new Map((was?.rows ?? []).map(r => [keyOf(r), r.messages]))
      for (const r of a.rows) { const m = old.get(keyOf(r)); r.rate = m === undefined || r.messages < m ? null : (r.messages - m) / Math.max(0.001, (a.at - was.at) / 1000) }
      before.current = a
      say('')
      set(a)
      timer = setTimeout(look, AGAIN)
    }).catch(e => { if (e.name !== 'AbortError') { say(e.message); timer = setTimeout(look, 2 * AGAIN) } })
    look()
    return () => { stop.abort(); clearTimeout(timer) }
  }, [node, topic, turn])
  const rows = answer?.rows ?? []
  const of = key => rows.filter(kinds[key]).length
  const aside = html`<${Choice} label="Show" name="connections" value=${kind} options=${[['all', 'All', of('all')], ['publish', 'Publish', of('publish')], ['consume', 'Consume', of('consume')]]} onChange=${pick} />`
  const foot = (answer?.cut > 0 || answer?.without.length > 0) && html`<span class="warn">${[answer.cut > 0 && `${count(answer.cut)} more are left out`, meaning(answer.without)].filter(Boolean).join(', ')}</span>`
  return html`<${Card} id="connections" ruled title="Connections" aside=${aside} foot=${foot}>
    <${Table} id="connections-table" name="connections" label="Connections" csv tall order="id" columns=${columns(useMe()?.may_act, !node, () => again(n => n + 1), answer?.at)} rows=${rows.filter(kinds[kind])} rowKey=${keyOf}
      empty=${problem || (answer && (topic ? 'Nobody publishes to it or consumes it at the moment. Publishers over HTTP have no connection of their own.' : 'No clients are connected.'))} /><//>`
}

const columns = (may, nodes, done, now) => [
  { key: 'id', label: 'Client', name: true, width: '18%', value: r => r.id || r.hostname, cell: r => html`<span title=${r.hostname}>${r.id || r.hostname}</span><small>${r.address}</small>` },
  { key: 'does', label: 'Does', value: r => (r.channel ? 'consumes ' : 'publishes ') + r.topic, plain: r => r.channel ? 'consumes' : 'publishes', cell: r => r.channel
    ? html`consumes <a class="link" href=${to.channel(r.topic, r.channel)}>${r.topic} / ${r.channel}</a>` : html`publishes to <a class="link" href=${to.topic(r.topic)}>${r.topic}</a>` },
  nodes && { key: 'node', label: 'Node', cls: 'medium', value: r => r.name, cell: r => html`<a href=${to.node(r.node)}>${host(r.name)}</a>` },
  { key: 'agent', label: 'Program', cls: 'roomy medium', value: r => r.agent, cell: r => html`<span class="soft">${r.agent}</span>` },
  number('rate', 'Rate', '', { cell: r => html`<${Rate} n=${r.rate} />` }),
  number('messages', 'Messages', 'medium'),
  { key: 'tls', label: 'TLS', cls: 'medium', value: r => r.tls, cell: r => html`${r.tls || html`<span class="zero">none</span>`}${r.identity && html`<span class="faint"> ${r.identity}</span>`}` },
  { key: 'compression', label: 'Compression', cls: 'roomy medium', value: r => r.compression, cell: r => r.compression || html`<span class="zero">none</span>` },
  { key: 'connected', label: 'Connected', number: true, cls: 'medium', value: r => r.connected && -r.connected, plain: r => r.connected, cell: r => html`<span class="soft">${r.connected ? duration((now ?? Date.now()) - r.connected) : '–'}</span>` },
  may && { key: 'act', label: html`<span class="hidden">Actions</span>`, cls: 'medium act', cell: r => html`<button type="button" class="btn quiet harm" data-action="close-client" data-client=${r.address} onClick=${() => ask(Close, { row: r, done })}>Close…</button>` },
].filter(Boolean)

function Close({ row: r, done, close }) {
  const [problem, say] = useState('')
  const run = async () => {
    try {
      const a = await post('close_client', { node: r.node, address: r.address })
      if (!a.ok) { say(`${host(r.name)}: ${a.error}`); return }
      close()
      done()
    } catch (e) { say(e.message) }
  }
  return html`<${Dialog} id="close-client" title=${`Close the connection of ${r.id || r.address}?`} close=${close} onSubmit=${run}
    text=${`The connection from ${r.address} to ${host(r.name)} ends. What it has in flight is delivered again at once; clients usually connect again by themselves.`}>
    ${problem && html`<p class="problem" role="status">${problem}</p>`}
    <div class="foot"><span class="grow"></span><button type="button" class="btn" onClick=${close}>Cancel</button><button type="submit" class="btn final" id="close-client-go" data-first="">Close connection</button></div><//>`
}
