// Nodes: daemons with their sum, lookupds, tombstones.
import { html } from '../html.js'
import { bytes, count, duration, mebibytes, natural, plural, size, small } from '../format.js'
import { Card, Dot, Num, Parts, Rate, Time, meaning } from '../parts.js'
import { to } from '../router.js'
import { Spark } from '../spark.js'
import { Table } from '../table.js'
import { Title } from '../title.js'
import { goneClass, nodeCell, number, perSecond } from './columns.js'

export function Nodes({ data, bar, stale }) {
  return html`<div class=${stale ? 'lost-values' : ''}><${Title} sub=${data && sentence(data, bar)}>Nodes<//>
    <${Card} id="daemons" ruled title="Daemons"><${Table} id="nodes-table" label="Daemons" main tall csv order="name" columns=${daemonColumns}
      rows=${data?.nodes ?? []} rowKey=${n => n.node} rowClass=${goneClass}
      total=${data?.nodes.length > 1 && (c => sumCell(c.key, data.total))} empty=${data && 'No node has announced itself yet.'} /><//>
    <div class="grid">
      <${LookupdsCard} lookupds=${data?.lookupds} cls="w6 alone" />
      <${TombstonesCard} tombstones=${data?.tombstones} cls="w6 alone" />
    </div></div>`
}

function sentence(data, bar) {
  const { nodes, zones, lookupds } = data
  const silent = nodes.filter(n => n.stale).length + bar.lookupds - bar.lookupds_answering
  const answers = silent === 0 ? 'all answering' : silent === 1 ? 'one does not answer' : `${count(silent)} do not answer`
  return [plural(nodes.length, 'node') + (zones > 0 ? ` in ${plural(zones, 'zone')}` : ''), lookupds.length > 0 && plural(lookupds.length, 'lookupd'), answers].filter(Boolean).join(', ')
}

function sumCell(key, total) {
  if (key === 'name') return html`All nodes${total.without.length > 0 && html`<span class="warn small"> ${meaning(total.without)}</span>`}`
  if (key === 'heap_bytes') return html`<${Parts} of=${mebibytes(total.heap_bytes)} />`
  if (key === 'pub_rate' || key === 'deliver_rate') return html`<${Rate} n=${total[key]} />`
  return key in total ? html`<${Num} n=${total[key]} />` : ''
}


const inSet = r => r.state === 'member' ? `leads ${r.leads} of ${r.shards}` : r.state

const daemonColumns = [
  { key: 'name', label: 'Node', name: true, value: n => natural(n.name), cell: n => nodeCell(n, n.name, n.tcp) },
  { key: 'zone', label: 'Zone', cls: 'medium', maybe: n => n.zone, value: n => n.zone, cell: n => html`<span class="soft">${n.zone}</span>` },
  { key: 'version', label: 'Version', cls: 'medium', value: n => n.version, cell: n => n.stale ? html`<span class="crit"
    title=${n.error}>not answering</span>`
      : html`${n.kind} ${n.version}${n.behind && html` <span class="tag warn">behind ${n.behind}</span>`}${n.draining && html` <span class="tag">draining</span>`}${n.health !== 'OK' && html` <span class="tag crit" title=${n.health}>unhealthy</span>`}${n.damage && html` <span class="tag warn"
    title="It found damage on its disk that nobody has acknowledged">damaged</span>`}` },
  { key: 'replicas', label: 'Set', cls: 'medium', maybe: n => n.replicas, value: n => n.replicas?.leads ?? -1, cell: n => n.replicas && html`<a class="soft" href=${to.sets()}
    title=${`${n.replicas.name}, ${n.replicas.state}`}>${inSet(n.replicas)}</a>` },
  number('up_ms', 'Up', 'medium', { cell: n => html`<span class="soft">${duration(n.up_ms)}</span>` }),
  number('registered', 'Lookupds', 'medium', { cell: n => n.registered === null ? '–' : html`<span class=${n.registered < n.lookupds ? 'warn' : ''}
    title=${n.missing_at?.length ? 'Missing at ' + n.missing_at.join(', ') : undefined}>${n.registered} of ${n.lookupds}</span>` }),
  number('topics', 'Topics', 'medium'),
  number('clients', 'Clients', 'medium'),
  number('depth', 'Depth'),
  number('backend_depth', 'On disk', 'medium'),
  number('disk_free_bytes', 'Disk free', 'medium', { maybe: n => n.disk_free_bytes !== null, cell: n => html`<span class=${n.disk_free_bytes < 0.1 * (n.disk_free_bytes + n.disk_used_bytes) || n.disk_full_ms !== null && n.disk_full_ms < 3600000 ? 'warn' : ''}
    title=${n.disk_used_bytes === null ? undefined : `${size(n.disk_used_bytes)} used${n.disk_full_ms ? `, full in ${duration(n.disk_full_ms)} at this rate` : ''}`}><${Parts} of=${bytes(n.disk_free_bytes)} /></span>` }),
  number('heap_bytes', 'Heap', 'medium', { cell: n => html`<${Parts} of=${mebibytes(n.heap_bytes)} />` }),
  perSecond('pub_rate', 'Published', ''),
  perSecond('deliver_rate', 'Delivered', 'medium'),
  { key: 'spark', label: 'Delivered, last hour', cls: 'medium line roomy', cell: n => html`<${Spark} data=${n.spark} tone="out" width=${120} />` },
]

const lookupdColumns = [
  { key: 'address', label: 'Lookupd', name: true, value: l => l.address, cell: l => html`<span class="lead"><${Dot} state=${l.state} text=${l.state === 'crit' ? 'not answering' : undefined} /><span>${l.address}</span></span>` },
  { key: 'version', label: 'Version', cls: 'medium', value: l => l.version, cell: l => l.state === 'crit' ? html`<span class="crit">${l.error || 'not answering'}</span>` : l.version },
  number('answer_ms', 'Answer time', 'medium', { cell: l => l.answer_ms === null ? '–' : html`${small(l.answer_ms)}<u> ms</u>` }),
  number('topics', 'Topics'),
  number('producers', 'Producers', '', { cell: l => l.producers === null ? '–' : html`<span class=${l.producers < l.of ? 'warn' : ''}>${count(l.producers)} of ${count(l.of)}</span>` }),
]
export const LookupdsCard = ({ lookupds, cls }) => html`<${Card} id="lookupds" cls=${cls} ruled title="Lookupds">
  <${Table} id="lookupds-table" name="lookupds" label="Lookupds" order="address" columns=${lookupdColumns} rows=${lookupds ?? []} rowKey=${l => l.address}
    empty=${lookupds && 'None: qadmin was started with the addresses of nodes.'} /><//>`

const tombstoneColumns = left => [
  { key: 'topic', label: 'Topic', name: true, value: t => t.topic, cell: t => html`<a href=${to.topic(t.topic)}>${t.topic}</a>` },
  { key: 'node', label: 'Node', value: t => t.name, cell: t => html`<a class="soft" href=${to.node(t.node)}>${t.name || t.node}</a>` },
  number('since', 'Since', 'medium', { cell: t => html`<${Time} at=${t.since} />` }),
  left && number('left_s', 'Left', 'medium', { cell: t => t.left_s === null ? '–' : html`${count(t.left_s)}<u> s</u>` }),
].filter(Boolean)
export const TombstonesCard = ({ tombstones, cls }) => html`<${Card} id="tombstones" cls=${cls} ruled title="Tombstones">
  <${Table} id="tombstones-table" name="tombstones" label="Tombstones" order="topic" columns=${tombstoneColumns(tombstones?.some(t => t.left_s !== null))}
    rows=${tombstones ?? []} rowKey=${t => t.topic + t.node} empty=${tombstones && html`<p>None.</p>
    <p>Tombstoning a topic's node hides it from consumers for a while.</p>`} /><//>`
