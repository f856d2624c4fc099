// Overview: is anything wrong, where and how bad, how much flows.
import { html, useState } from '../html.js'
import { ask } from '../dialog.js'
import { bytes, count, host, natural, moment, percent, plural, small } from '../format.js'
import { useHistory, useSpan } from '../history.js'
import { Icon } from '../icons.js'
import { Attention, Card, Dot, Figure, Figures, Num, Rate, Text, meaning } from '../parts.js'
import { to } from '../router.js'
import { Table } from '../table.js'
import { Title } from '../title.js'
import { FlowCharts, Spans } from './charts.js'
import { Start } from './start.js'
import { Rules } from './rules.js'
import { Stale, goneClass, nodeCell, topicColumns } from './columns.js'

const PLACES = 5, NODES = 7
const severity = { crit: 0, warn: 1, ok: 2 }

export function Overview({ data, bar, epoch, stale }) {
  const [span, pick] = useSpan()
  const lines = useHistory('cluster', {}, span, epoch, data?.point)
  const [all, showAll] = useState(false)
  if (data?.start) return html`<${Start} start=${data.start} bar=${bar} />`

  const t = data?.totals ?? {}, without = t.without
  return html`<div class="overview ${stale ? 'lost-values' : ''}">
    <${Title} status sub=${data && html`<${Sub} verdict=${data.verdict} bar=${bar} />`} tools=${html`<${Spans} span=${span} pick=${pick} />`}>${data?.verdict.title ?? 'Overview'}<//>
    <${OverviewFigures} data=${data} t=${t} without=${without} />
    <div class="grid">
      <${AttentionCard} data=${data} all=${all} showAll=${showAll} />
      <${NodesCard} data=${data} bar=${bar} />
      <${FlowCharts} lines=${lines} now=${t} />
      <${Card} id="busiest" ruled title="Busiest topics" aside=${html`<a class="link small" href=${to.topics()}>All ${t.topics === undefined ? '' : plural(t.topics, 'topic')}</a>`}>
        <${Table} id="busiest-table" name="busiest" label="Busiest topics" main columns=${topicColumns(r => r.spark)} rows=${data?.busiest ?? []} rowKey=${r => r.topic} />
      <//>
    </div></div>`
}

function Sub({ verdict, bar }) {
  const { silent, nodes, answering } = bar
  if (!silent?.length) return html`<${Text} of=${verdict.sub} />`
  const first = silent[0]
  const who = silent.length === 1 ? `${first.name} is silent${first.since ? ` since ${moment(first.since)}` : ''}` : `${silent.map(s => host(s.name)).join(', ')} are silent`
  return html`<span class="say"><span class="warn"><${Icon} name="warn" /></span><span>
    <b class="warn">${answering} of ${plural(nodes, 'node')} answered.</b> ${who}; totals leave ${silent.length === 1 ? 'it' : 'them'} out. Asking again every second.</span></span>`
}

function OverviewFigures({ data, t, without }) {
  const s = data?.sparks ?? {}
  const left = without?.length > 0
  const late = data?.attention.some(l => l.rule === 'timeouts')
  const rate = bytes(t.byte_rate)
  const means = text => data ? meaning(without, text) : ''
  return html`<${Figures}>
    <${Figure} id="depth" label="Depth" n=${t.depth} means=${means(t.backend_depth ? `${count(t.backend_depth)} on disk` : 'all in memory')} warn=${left}
      spark=${s.depth ?? null} tone="depth" />
    <${Figure} id="in_flight" label="In flight" n=${t.in_flight} means=${means(t.ready ? `of ${count(t.ready)} ready (RDY)` : 'taken, not finished yet')}
      warn=${left} spark=${s.in_flight ?? null} tone="quiet" />
    <${Figure} id="deferred" label="Deferred" n=${t.deferred} means=${means(t.deferred === 0 ? 'none' : `in ${plural(t.deferred_channels ?? 0, 'channel')}`)} warn=${left} spark=${s.deferred ?? null} tone="quiet" />
    <${Figure} id="published" label="Published" n=${t.pub_rate} unit="/s"
      means=${means(rate.text + rate.unit + '/s')} warn=${left} spark=${s.published ?? null} tone="in" />
    <${Figure} id="delivered" label="Delivered" n=${t.deliver_rate} unit="/s"
      means=${means(`to ${plural(t.consumers ?? 0, 'consumer')}`)} warn=${left} spark=${s.delivered ?? null} tone="out" />
    <${Figure} id="requeued" label="Requeued" n=${t.requeue_min} unit="/min"
      means=${data && ofDelivered(t.requeue_share)} spark=${s.requeued ?? null} tone="quiet" />
    <${Figure} id="timed_out" label="Timed out" n=${t.timeout_min} unit="/min" means=${data && timeouts(t)}
      warn=${late} spark=${s.timed_out ?? null} tone="late" />
    <${Figure} id="topics" label="Topics" n=${t.topics} means=${data && plural(t.channels, 'channel')} flash=${false} />
  <//>`
}
const ofDelivered = share => share === null ? 'nothing delivered' : `${percent(share)} of delivered`
function timeouts(t) {
  if (t.timeout_top && t.timeout_top.share >= 0.5 && t.timeout_min > 0) return `${percent(t.timeout_top.share)} in one channel`
  return ofDelivered(t.timeout_share)
}

function AttentionCard({ data, all, showAll }) {
  const open = data?.attention ?? [], over = data?.attention_over ?? []
  const shown = all ? open : open.slice(0, PLACES)
  const lines = shown.concat(over.slice(0, Math.max(0, PLACES - shown.length)))
  const more = open.length > PLACES
  const other = open.length ? 'other channel' : 'channel'
  const normal = data && `${plural(data.normal.channels, other)} and ${plural(data.normal.nodes, 'node')} run normally${data.normal.damaged ? `; ${plural(data.normal.damaged, 'node')} ${data.normal.damaged === 1 ? 'has' : 'have'} damage to acknowledge` : ''}`
  const foot = html`${normal}${more && html`<button type="button" class="link" data-action="show-all"
    onClick=${() => showAll(!all)}>${all ? `Show ${PLACES}` : `Show all ${open.length}`}</button>`}
    <span class="grow"></span><button type="button" class="link" id="what-is-watched" onClick=${() => ask(Rules)}>What is watched</button>`
  return html`<${Card} id="attention-card" cls="w8 alone first" title="Attention" ruled aside=${html`<span class="small faint">worst first, then what is over</span>`} foot=${foot}>
    ${data && lines.length === 0 ? html`<div class="attention quiet-day" id="attention">Nothing needed attention today</div>` : html`<${Attention} lines=${lines} places=${PLACES} />`}<//>`
}

const words = { ok: 'healthy', warn: 'needs attention' }
const nodeColumns = zones => [
  { key: 'name', label: 'Node', name: true, value: r => natural(r.name), cell: r => nodeCell(r, host(r.name)) },
  { key: 'zone', label: zones ? 'Zone' : 'State', value: r => zones ? r.zone : r.state,
    cell: r => r.stale || r.state === 'crit' ? html`<span class="crit">${r.stale ? 'not answering' : 'unhealthy'}</span>`
      : r.damaged ? html`<span class="warn">damaged</span>`
      : html`<span class="soft">${zones ? r.zone : words[r.state]}</span>` },
  { key: 'depth', label: 'Depth', number: true, value: r => r.depth, cell: r => html`<${Stale} row=${r}><${Num} n=${r.depth} /><//>` },
  { key: 'pub_rate', label: 'Published', number: true, value: r => r.pub_rate, cell: r => html`<${Rate} n=${r.stale ? null : r.pub_rate} />` },
]

function NodesCard({ data, bar }) {
  const all = data?.nodes ?? []
  const nodes = all.length > NODES ? all.slice().sort((a, b) => severity[a.state] - severity[b.state]).slice(0, NODES) : all
  return html`<${Card} id="nodes-card" cls="w4 alone" title="Nodes" ruled aside=${html`<a class="link small"
    href=${to.nodes()}>${all.length > NODES ? `All ${all.length} nodes` : 'All details'}</a>`} foot=${data && html`<${Lookupds} lookupds=${data.lookupds} bar=${bar} />`}>
    <${Table} id="nodes-table" name="nodes" label="Nodes" columns=${nodeColumns(all.some(n => n.zone))} rows=${nodes} rowKey=${r => r.node} rowClass=${goneClass} />
  <//>`
}

function Lookupds({ lookupds, bar }) {
  if (!lookupds.length) return html`<span class="soft">No lookupds: qadmin asks the nodes it was given</span>`
  const silent = bar.lookupds > bar.lookupds_answering
  const known = lookupds.filter(l => l.topics !== null).map(l => l.topics)
  const same = known.every(n => n === known[0])
  const all = known.length === 1 ? 'it knows' : known.length === 2 ? 'both know' : 'all know'
  const topics = !same ? ', they know different topics' : silent || known.length === 0 ? '' : `, ${all} ${plural(known[0], 'topic')}`
  return html`<span class="inline"><${Dot} state=${silent ? 'crit' : same ? 'ok' : 'warn'} text="Lookupds" />
    <span class="soft">${bar.lookupds_answering} of ${plural(bar.lookupds, 'lookupd')} ${bar.lookupds_answering === 1 ? 'answers' : 'answer'}${topics}</span></span>`
}
