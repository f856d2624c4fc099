// Channel: who is slow comes before what is in it.
import { html, useState } from '../html.js'
import { ChartCard } from '../chart.js'
import { Confirm, ask } from '../dialog.js'
import { brief, count, duration, host, latencyText, natural, percent, plural, perSecond, small } from '../format.js'
import { useHistory, useSpan } from '../history.js'
import { Card, Figure, Figures, Note, Num, PerMinute, Text, Time, known, meaning } from '../parts.js'
import { reveal, to } from '../router.js'
import { Spark } from '../spark.js'
import { Table } from '../table.js'
import { Title } from '../title.js'
import { Role, goneClass, nodeCell, number } from './columns.js'
import { Config, SettingTags, useConfig } from './config.js'
import { Spans } from './charts.js'
import { Pause } from './topic.js'
import { Move } from './move.js'
import { Peek } from './peek.js'

export function Channel({ params, data, epoch, stale }) {
  const { topic, channel } = params
  const [span, pick] = useSpan()
  const lines = useHistory('channel', { topic, channel }, span, epoch, data?.point)
  const [asked, setAsked] = useState(0)
  const f = known(data)
  const config = useConfig(topic, channel, data?.nodes.length > 0)
  const peek = () => { setAsked(n => n + 1); reveal('messages') }
  const jump = (id, text) => html`<button type="button" class="link" data-jump=${id} onClick=${() => reveal(id)}>${text}</button>`
  const paused = data?.paused && html`, <span class="warn">paused${data.paused_nodes < f.nodes ? ` on ${plural(data.paused_nodes, 'node')}` : ''}</span>`
  const sub = data && html`${jump('consumers', plural(f.consumers ?? 0, 'consumer'))} on ${jump('nodes', plural(data.nodes.length, 'node'))}${paused}<${Silent} nodes=${data.nodes} /><${SettingTags} of=${config.answer} />`
  const q = n => data?.latency?.find(l => l.q === n)?.ms
  return html`<div class=${stale ? 'lost-values' : ''}>
    <${Title} crumbs=${[['Topics', to.topics()], [topic, to.topic(topic)], [channel]]} sub=${sub} actions=${data && html`<${Actions} topic=${topic} channel=${channel} data=${data} />`}
      tools=${html`<${Spans} long span=${span} pick=${pick} /><button type="button" class="btn primary" data-action="peek" onClick=${peek}>Peek at messages</button>`}>${topic}<span class="slash"> / </span>${channel}<//>
    ${data?.verdict && html`<${Note} level=${data.verdict.level} role="status" id="verdict" actions=${html`<button type="button" class="btn"
      onClick=${() => reveal('consumers')}>Show consumers</button>`}><b><${Text} of=${data.verdict.title} /></b> <span class="soft">
      <${Text} of=${data.verdict.text} /></span><//>`}
    ${data?.bounded && html`<${Bounded} of=${data.bounded} f=${f} nodes=${data.nodes} />`}
    <${ChannelFigures} f=${f} data=${data} />
    <div class="grid">
      <${ChartCard} id="chart-flow" cls="w5" title="Flow" label="Copied in and finished per second" lines=${lines} unit="/s" value=${small} series=${[
        { key: 'in', name: 'Copied in', tone: 'in', area: true, now: perSecond(f.in_rate) }, { key: 'finished', name: 'Finished', tone: 'out', now: perSecond(f.finish_rate) }]} />
      <${ChartCard} id="chart-depth" cls="w3" title="Depth" label="Messages waiting" lines=${lines} least=${10}
        series=${[{ key: 'depth', name: 'Waiting', tone: 'depth', area: true, now: f.depth > 999999 ? brief(f.depth) : count(f.depth) }]} />
      ${data && data.latency === null && !lines?.series.p99?.some(v => v !== null)
        ? html`<${ChartCard} id="chart-retries" cls="w4" title="Retries" label="Requeued and timed out per minute" lines=${lines} unit="/min" least=${10}
          value=${small} series=${[
            { key: 'requeued', name: 'Requeued', tone: 'quiet', now: small(f.requeue_min) },
            { key: 'timed_out', name: 'Timed out', tone: 'late', now: small(f.timeout_min) }]} />`
        : html`<${ChartCard} id="chart-latency" cls="w4" title="Publish to finish" label="Time from publish to finish" lines=${lines} least=${10}
          format=${v => v === 0 ? '0' : latencyText(v)} value=${latencyText} series=${[
            { key: 'p50', name: 'p50', tone: 'quiet', now: latencyText(q(0.5)) },
            { key: 'p95', name: 'p95', tone: 'ink', now: latencyText(q(0.95)) },
            { key: 'p99', name: 'p99', tone: 'late', now: latencyText(q(0.99)) }]} />`}
      <${Card} id="consumers" ruled title="Consumers" aside=${html`<span class="small faint">${consumersShown(data)}</span>`}>
        <${Table} id="consumers-table" name="consumers" label="Consumers" csv tall order="-in_flight" columns=${consumerColumns(data?.point?.at)}
          rows=${data?.clients ?? []} rowKey=${c => c.node + c.address}
          empty=${data && (data.clients === null ? 'Asking the nodes' : html`<${NoConsumers} name=${`${topic} / ${channel}`} depth=${f.depth} />`)} />
      <//>
      <${Peek} topic=${topic} channel=${channel} figures=${f} asked=${asked} nodes=${data?.nodes} />
      <${Card} id="nodes" ruled title="Nodes">
        <${Table} id="nodes-table" name="nodes" label="Nodes" csv main order="name" columns=${nodeColumns} rows=${data?.nodes ?? []} rowKey=${n => n.node} rowClass=${goneClass} />
      <//>
      ${data?.nodes.length > 0 && html`<${Config} topic=${topic} channel=${channel} config=${config} />`}
    </div></div>`
}

const consumersShown = data => data?.figures.without?.length > 0 ? meaning(data.figures.without) : data?.clients_cut > 0 ? `the ${count(data.clients.length)} with most in flight, ${count(data.clients_cut)} more` : 'most in flight first'
const NoConsumers = ({ name, depth }) => html`<p>No consumers${depth > 0 ? `, and ${plural(depth, 'message')} ${depth === 1 ? 'waits' : 'wait'}` : ''}.</p>
  <p>A consumer appears here as soon as it subscribes to ${name}.</p>`

/** The nodes that are left out, each with its time. */
const Silent = ({ nodes }) => nodes.filter(n => n.stale).map(n => html`<span class="warn" key=${n.node}>, without ${host(n.name)}${n.seen && html` since <${Time} at=${n.seen} />`}</span>`)

/** How far a channel is that has an end, and what becomes of it there. */
function Bounded({ of: b, f, nodes }) {
  const ends = new Set(nodes.map(n => n.until).filter(Boolean))
  const end = ends.size === 1 ? `message ${[...ends][0]}` : 'its end'
  const share = f.messages > 0 && f.messages >= b.left ? 1 - b.left / f.messages : null
  return html`<${Note} id="bounded" icon=${b.done ? 'check' : undefined}><b>${b.done ? 'Done.' : `Ends before ${end}.`}</b> <span class="soft">${b.done ? `It has had everything before ${end}.`
    : html`${share !== null && html`<span class="meter wide" role="progressbar" aria-label="Finished" aria-valuenow=${Math.round(100 * share)}><svg viewBox="0 0 160 6" preserveAspectRatio="none" aria-hidden="true">
      <rect width=${160 * share} height="6" rx="3" fill="currentColor" /></svg></span>`}${share !== null && `${count(b.left)} of `}${plural(share === null ? b.left : f.messages, 'message')} to go${f.finish_rate > 0
      && `, about ${duration(1000 * b.left / f.finish_rate)} at this rate`}.`} ${b.done ? 'It' : 'Then it'} ${b.leaves ? 'is deleted, once it has no consumers.' : 'stays until it is deleted, and may be rewound.'}</span><//>`
}

function trendOf(f) {
  if (f.stopped) return `${count(f.stopped)} stopped, ${count(f.held_back)} held back`
  if (f.held_back) return `${count(f.held_back)} held back to keep order`
  if (f.grow_rate > 0.5) return `grows by ${small(f.grow_rate)}/s`
  if (f.grow_rate < -0.5) return `shrinks by ${small(-f.grow_rate)}/s`
  if (f.backend_depth) return `${count(f.backend_depth)} on disk`
  return f.depth === 0 ? 'nothing waits' : 'steady'
}

function ChannelFigures({ f, data }) {
  const left = f.without?.length > 0
  const means = text => data ? meaning(f.without, text) : ''
  const grows = f.grow_rate
  const lagging = f.finish_share !== null && f.finish_share < 0.9 && grows > 0.5
  const troubled = data?.verdict != null
  return html`<${Figures}>
    <${Figure} id="depth" label="Depth" n=${f.depth} means=${means(trendOf(f))} warn=${left || f.stopped > 0 || troubled && grows > 0.5} />
    <${Figure} id="in_flight" label="In flight" n=${f.in_flight}
      means=${means(f.ready === null || f.ready === undefined ? 'taken, not finished yet' : `of ${count(f.ready)} ready (RDY)`)} warn=${left} />
    <${Figure} id="deferred" label="Deferred" n=${f.deferred} means=${means(f.deferred ? 'wait for their time' : 'none')} warn=${left} />
    <${Figure} id="in" label="Copied in" n=${f.in_rate} unit="/s" means=${means(`${count(f.messages)} in all`)} warn=${left} />
    <${Figure} id="finished" label="Finished" n=${f.finish_rate} unit="/s"
      means=${means(f.finish_share === null ? 'nothing comes in' : `${percent(f.finish_share)} of copied in`)} warn=${left || lagging} />
    <${Figure} id="requeued" label="Requeued" n=${f.requeue_min} unit="/min" means=${means(`${count(f.requeues)} in all`)} warn=${left} />
    <${Figure} id="timed_out" label="Timed out" n=${f.timeout_min} unit="/min"
      means=${means(`${count(f.timeouts)} in all`)} warn=${left || data?.attention.some(l => l.rule === 'timeouts')} />
  <//>`
}

function Meter({ row }) {
  const share = row.ready > 0 ? Math.min(1, row.in_flight / row.ready) : 0
  return html`<span class="meter ${row.hot ? 'warn' : ''}" title="${count(row.in_flight)} of ${count(row.ready)} RDY">
    <svg viewBox="0 0 56 6" preserveAspectRatio="none" aria-hidden="true"><rect width=${56 * share} height="6" rx="3" fill="currentColor" /></svg></span>`
}


const consumerColumns = now => [
  { key: 'id', label: 'Consumer', name: true, width: '17%', value: c => c.id || c.hostname, cell: c => html`<span
    title=${c.hostname}>${c.id || c.hostname}</span><small>${c.address}</small>` },
  { key: 'agent', label: 'Client', cls: 'medium', value: c => c.agent, cell: c => html`<span class="soft">${c.agent}</span>` },
  { key: 'node', label: 'Node', cls: 'medium', value: c => c.name, cell: c => html`<a href=${to.node(c.node)}>${host(c.name)}</a>` },
  { key: 'zone', label: 'Zone', cls: 'roomy medium', maybe: c => c.zone || c.region, value: c => c.zone, cell: c => html`<span class="soft">${c.zone || c.region}</span>` },
  number('ready', 'RDY', 'medium'),
  number('in_flight', 'In flight', '', { cell: c => html`<${Meter} row=${c} /><span class="digits ${c.hot ? 'warn' : ''}">${count(c.in_flight)}</span>` }),
  number('finished', 'Finished'),
  number('requeued', 'Requeued', 'medium', { cell: c => html`<span class=${c.hot && c.requeued > 0 ? 'warn' : ''}><${Num} n=${c.requeued} /></span>` }),
  { key: 'tls', label: 'TLS', cls: 'medium apart', value: c => c.tls,
    cell: c => html`${c.tls || html`<span class="zero">none</span>`}${c.identity && html`<span class="faint"> ${c.identity}</span>`}` },
  { key: 'compression', label: 'Compression', cls: 'roomy medium', value: c => c.compression,
    cell: c => html`${c.compression || html`<span class="zero">none</span>`}${c.sample_rate > 0 && html` <span class="tag">${c.sample_rate}% sample</span>`}` },
  { key: 'connected', label: 'Connected', number: true, cls: 'medium', value: c => c.connected && -c.connected, cell: c => html`<span class="soft"
    title=${c.connected ? new Date(c.connected).toISOString().replace('T', ' ').slice(0, 19) + ' UTC' : ''}>${c.connected ? duration((now ?? Date.now()) - c.connected) : '–'}</span>` },
]

const nodeColumns = [
  { key: 'name', label: 'Node', name: true, value: n => natural(n.name), cell: n => html`${nodeCell(n, host(n.name))}${n.paused && html`<span class="tag warn">paused</span>`}` },
  { key: 'zone', label: 'Zone', cls: 'roomy medium', maybe: n => n.zone, value: n => n.zone, cell: n => html`<span class="soft">${n.zone}</span>` },
  { key: 'role', label: 'Role', cls: 'medium', maybe: n => n.role, value: n => n.role, cell: n => html`<${Role} row=${n} />` },
  number('depth', 'Depth'),
  number('memory_depth', 'Memory', 'medium'),
  number('backend_depth', 'Disk', 'medium'),
  number('in_flight', 'In flight'),
  number('deferred', 'Deferred', 'medium'),
  number('consumers', 'Consumers', 'medium'),
  number('until', 'Ends before', 'roomy medium', { maybe: n => n.until, cell: n => html`${n.until}${n.done && html` <span class="tag">done</span>`}` }),
  number('timeout_min', 'Timed out', '', { cell: n => html`<span class=${n.timeout_min >= 100 ? 'warn' : ''}><${PerMinute} n=${n.timeout_min} /></span>` }),
  { key: 'spark', label: 'Depth, last hour', cls: 'medium line', cell: n => html`<${Spark} data=${n.spark} tone="depth" />` },
]

function Actions({ topic, channel, data }) {
  const name = `${topic}/${channel}`, nodes = plural(data.figures.nodes, 'node')
  const losses = d => [['Waiting', d.figures?.depth], [`In flight, with ${plural(d.figures?.consumers ?? 0, 'consumer')}`, d.figures?.in_flight], ['Deferred', d.figures?.deferred]]
  const lost = n => n.depth + n.in_flight + n.deferred
  const remove = () => ask(Confirm, {
    title: `Delete ${topic} / ${channel}?`, typed: name, verb: 'Delete channel', hint: 'Its consumers are disconnected.', then: to.topic(topic), losses, lost,
    text: `The channel and its messages are removed from ${nodes} and cannot be brought back. Other channels of the topic keep their copies. A consumer that still subscribes creates it again, empty.`,
    request: { action: 'delete_channel', topic, channel },
  })
  const rewind = () => ask(Confirm, {
    title: `Rewind ${topic} / ${channel}?`, typed: name, verb: 'Rewind channel', hint: 'Consumers stay connected.', losses, lost, places: true,
    text: 'It delivers everything from there on again that the log still has, finished or not. What lies before and is not finished it does not deliver any more.',
    request: { action: 'rewind_channel', topic, channel },
  })
  const empty = () => ask(Confirm, {
    title: `Empty ${topic} / ${channel}?`, typed: name, verb: 'Empty channel', hint: 'Consumers stay connected.', losses, lost,
    text: `These messages are removed from ${nodes} and cannot be brought back. Other channels of the topic keep their copies.`,
    request: { action: 'empty_channel', topic, channel },
  })
  return html`<button type="button" class="btn quiet harm" data-action="delete" onClick=${remove}>Delete…</button>
    <button type="button" class="btn quiet harm" data-action="empty" onClick=${empty}>Empty…</button>
    <button type="button" class="btn quiet" data-action="rewind" onClick=${rewind}>Rewind…</button>
    <button type="button" class="btn quiet" data-action="move" onClick=${() => ask(Move, { topic, channel })}>Move…</button>
    <${Pause} paused=${data.paused} action="channel" request=${{ topic, channel }} />`
}
