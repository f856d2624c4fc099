// Node: how it is, what flows through it, and its topics.
import { html } from '../html.js'
import { bytes, clock, count, duration, percent, plural, size, small } from '../format.js'
import { useHistory, useSpan } from '../history.js'
import { perform } from '../actions.js'
import { useMe } from '../me.js'
import { Card, Figure, Figures, NodeDot, Note, Parts, Rate, Text, Time } from '../parts.js'
import { to } from '../router.js'
import { Table } from '../table.js'
import { Title } from '../title.js'
import { Role, number } from './columns.js'
import { FlowCharts, Spans } from './charts.js'
import { Connections } from './connections.js'
import { Settings } from './settings.js'

export function Node({ params, data, epoch, stale }) {
  const [span, pick] = useSpan()
  const lines = useHistory('node', { node: params.node }, span, epoch, data?.point)
  const n = data?.node ?? {}
  const may = useMe()?.may_act
  const name = n.name ?? params.node
  const sub = data && html`<span class="inline"><${NodeDot} node=${n} />
    <span>${n.kind} ${n.version} at ${n.tcp}${n.zone && `, ${n.zone}`}${n.region && `, ${n.region}`}${n.up_ms !== null && `, up ${duration(n.up_ms)}`}${n.draining && ', draining'}${n.replicas && html`, <a class="link" href=${to.sets()}>${n.replicas.state} of ${n.replicas.name}</a>, leads ${n.replicas.leads} of ${plural(n.replicas.shards, 'shard')}`}</span></span>`
  return html`<div class=${stale ? 'lost-values' : ''}>
    <${Title} crumbs=${[['Nodes', to.nodes()], [name]]} sub=${sub} tools=${html`<${Spans} long span=${span} pick=${pick} />`}>${name}<//>
    ${n.stale && html`<${Note} level="crit" role="status" id="verdict">
      <b>No answer since ${clock(n.seen, 'seconds')}.</b> <span class="soft">${n.error}. The numbers below are the last ones known.</span><//>`}
    ${data && !n.stale && n.health !== 'OK' && html`<${Note} level="crit" role="status" id="verdict"><b>Not healthy.</b> <span class="soft">${n.health}</span><//>`}
    ${n.damage && html`<${Damage} node=${params.node} damage=${n.damage} />`}
    ${data?.attention.filter(l => l.rule !== 'silent' && l.rule !== 'unhealthy' && l.rule !== 'damage').map(l => html`<${Note} key=${l.id} level=${l.level}><${Text} of=${l.text} /><//>`)}
    <${Figures}>
      <${Figure} id="depth" label="Depth" n=${n.depth} means=${data && (n.backend_depth ? `${count(n.backend_depth)} on disk` : 'all in memory')} />
      <${Figure} id="in_flight" label="In flight" n=${n.in_flight} means=${data && `${count(n.deferred)} deferred`} />
      <${Figure} id="published" label="Published" n=${n.pub_rate} unit="/s" means=${data && `${count(n.topics)} topics`} />
      <${Figure} id="delivered" label="Delivered" n=${n.deliver_rate} unit="/s" means=${data && `${count(n.channels)} channels`} />
      <${Figure} id="clients" label="Clients" n=${n.clients} means=${data && 'consumers and producers'} />
      <${Figure} id="heap" label="Heap" n=${n.heap_bytes} value=${bytes(n.heap_bytes)} means=${data && (n.answer_ms === null ? '' : `answers in ${small(n.answer_ms)} ms`)} />
      ${data && n.disk_free_bytes !== null && html`<${Figure} id="disk" label="Disk free" n=${n.disk_free_bytes} value=${bytes(n.disk_free_bytes)} means=${ofDisk(n)} warn=${n.disk_full_ms !== null && n.disk_full_ms < SOON || freeShare(n) < LOW} flash=${false} />`}
      ${data && n.open_files !== null && html`<${Figure} id="files" label="Descriptors" n=${n.open_files} means=${`of ${count(n.max_open_files)}`} warn=${n.open_files > 0.8 * n.max_open_files} flash=${false} />`}
      <${Figure} id="lookupds" label="Lookupds" n=${n.registered} value=${registered(n)} means=${data && registeredAt(n)} warn=${n.registered < n.lookupds} />
    <//>
    <div class="grid">
      <${FlowCharts} lines=${lines} now=${n} />
      <${Card} id="topics" ruled title="Topics"><${Table} id="topics-table" label="Topics of this node" main fixed csv order="-depth" columns=${columns}
        rows=${data?.topics ?? []} rowKey=${t => t.topic} empty=${data && 'No topics on this node.'} /><//>
      ${data && !n.stale && html`<${Connections} node=${params.node} />${may && html`<${Settings} node=${params.node} />`}`}
    </div></div>`
}

const SOON = 3600000, LOW = 0.1
const freeShare = n => n.disk_free_bytes / Math.max(1, n.disk_free_bytes + n.disk_used_bytes)
const ofDisk = n => n.disk_full_ms !== null && n.disk_full_ms < 24 * SOON ? `full in ${duration(n.disk_full_ms)} at this rate` : `${percent(freeShare(n))} of ${size(n.disk_free_bytes + n.disk_used_bytes)}`

/** What the node found amiss on its disk, until somebody who may says that it is known. */
function Damage({ node, damage }) {
  const may = useMe()?.may_act
  const findings = damage.findings ?? [], older = (damage.older ?? []).reduce((n, s) => n + s.findings, 0)
  const unread = [damage.messages && plural(damage.messages, 'message'), damage.journal_bytes && `${plural(damage.journal_bytes, 'byte')} of the journal`].filter(Boolean)
  const acknowledge = may && damage.last > 0 && html`<button type="button" class="btn slim" id="acknowledge-damage"
    onClick=${() => perform({ action: 'acknowledge_damage', node, until: damage.last })}>Acknowledge</button>`
  return html`<${Note} level="warn" id="damage" actions=${acknowledge}><b>Damage was found.</b>
    ${unread.length > 0 && html` <span class="soft">${unread.join(' and ')} could not be read.</span>`}
    ${findings.map(f => html`<div key=${f.id} class="small" data-finding=${f.kind}><${Time} at=${f.time * 1000} /> ${f.topic && html`<b>${f.topic}${f.channel && ` / ${f.channel}`}</b>`}
      ${' '}${f.text}${f.messages > 0 && ` (${plural(f.messages, 'message')})`} <span class="faint">${f.copy || f.path}</span></div>`)}
    ${older > 0 && html`<div class="small soft">and ${count(older)} older</div>`}<//>`
}

const registered = n => n.registered === null || n.registered === undefined ? undefined : { text: `${n.registered} of ${n.lookupds}`, unit: '' }
function registeredAt(n) {
  if (n.registered === null) return 'none in use'
  if (n.missing_at?.length) return `missing at ${n.missing_at.join(', ')}`
  return n.registered < n.lookupds ? 'not registered with all' : 'registered with all'
}

const columns = [
  { key: 'topic', label: 'Topic', name: true, width: '28%', value: t => t.topic, cell: t => html`<a
    href=${to.topic(t.topic)}>${t.topic}</a>${t.paused && html`<span class="tag warn">paused</span>`}${t.tombstoned && html`<span class="tag">tombstoned</span>`}` },
  { key: 'role', label: 'Role', cls: 'medium', maybe: t => t.role, value: t => t.role, cell: t => html`<${Role} row=${t} />` },
  number('depth', 'Depth'), number('backend_depth', 'On disk', 'medium'), number('in_flight', 'In flight', 'medium'), number('deferred', 'Deferred', 'medium'),
  number('channels', 'Channels', 'medium'), number('consumers', 'Consumers', 'medium'),
  number('pub_rate', 'Published', '', { cell: t => html`<${Rate} n=${t.pub_rate} />` }), number('messages', 'Messages', 'medium'),
  number('disk_bytes', 'Disk', 'roomy medium', { maybe: t => t.disk_bytes !== null, cell: t => html`<${Parts} of=${bytes(t.disk_bytes)} />` }),
]
