// Columns that several views share.
import { html } from '../html.js'
import { bytes, plural } from '../format.js'
import { NodeDot, Num, Parts, PerMinute, Rate, Time } from '../parts.js'
import { Spark } from '../spark.js'
import { to } from '../router.js'

/** A column of numbers, marked where they are a silent node's last known; `more` replaces what is usual. */
export const number = (key, label, cls, more) => ({ key, label, number: true, cls, value: r => r[key], cell: r => html`<${Stale} row=${r}><${Num} n=${r.unknown ? null : r[key]} /><//>`, ...more })
/** The same, of rates a second and a minute. */
export const perSecond = (key, label, cls, more) => number(key, label, cls, { cell: r => html`<${Rate} n=${r.stale || r.unknown ? null : r[key]} />`, ...more })
export const perMinute = (key, label, cls, more) => number(key, label, cls, { cell: r => html`<${PerMinute} n=${r.stale || r.unknown ? null : r[key]} />`, ...more })

const MANY_TIMEOUTS = 10 // a minute

/** What a row of sums leaves out: silent nodes that have it. */
export const silence = row => row.silent > 0 ? [html`<span class="tag warn" data-silent=${row.silent}
  title="Its figures leave out ${plural(row.silent, 'node')} that ${row.silent === 1 ? 'does' : 'do'} not answer">${row.unknown ? 'not known' : `without ${plural(row.silent, 'node')}`}</span>`] : []

function tags(row) {
  const all = silence(row)
  if (row.no_consumers > 0) all.push(html`<span class="tag ${row.level === 'ok' ? '' : row.level}" 
    title="${row.no_consumers} of ${row.channels} channels have messages and no consumers">no consumers</span>`)
  if (late(row)) all.push(html`<span class="tag warn">timeouts</span>`)
  if (row.paused || row.paused_channels > 0) all.push(html`<span class="tag warn">paused</span>`)
  if (row.tombstoned) all.push(html`<span class="tag">tombstoned</span>`)
  return all
}

const late = row => row.timeout_min >= MANY_TIMEOUTS && row.level !== 'ok'

/** Messages that timed out, amber where that is a reason to act. */
export const timedOut = (cls, more) => number('timeout_min', 'Timed out', cls, { cell: r => html`<span class=${late(r) ? 'warn' : ''}><${PerMinute} n=${r.unknown ? null : r.timeout_min} /></span>`, ...more })

/** A topic's columns; `spark(row)` is its hour. */
export const topicColumns = (spark, whole) => [
  { key: 'topic', label: 'Topic', name: true, width: '25%', value: r => r.topic, cell: r => html`<a href=${to.topic(r.topic)}>${r.topic}</a>${tags(r)}` },
  number('channels', 'Channels', 'medium', { width: '8%' }),
  number('depth', 'Depth', '', { width: '9%' }),
  number('in_flight', 'In flight', 'medium', { width: '8%' }),
  number('deferred', 'Deferred', 'medium', { width: '8%' }),
  perSecond('pub_rate', 'Published', '', { width: '10%' }),
  perSecond('deliver_rate', 'Delivered', 'medium', { width: '10%' }),
  timedOut('medium', { width: '9%' }),
  whole && number('disk_bytes', 'Disk', 'roomy medium', { width: '9%', maybe: r => r.disk_bytes !== null, cell: r => html`<${Parts} of=${bytes(r.disk_bytes)} />` }),
  { key: 'spark', label: 'Published, last hour', cls: 'medium line', width: '13%', cell: r => html`<${Spark} data=${spark(r)} />` },
].filter(Boolean)

/** The name of a node with its state, linked to its page. */
export const nodeCell = (row, name, small) => html`<span class="lead"><${NodeDot} node=${row} /><span>
  <a href=${to.node(row.node)} title=${row.node}>${name}</a>${small && html`<small>${small}</small>`}</span></span>`

/** The last known number of a node that is silent: grey, underlined, its time on hover. */
export const Stale = ({ row, children }) => row.stale ? html`<span class="stale" title="Last known"><${Time} at=${row.seen} text=${children} /></span>` : children

/** Rows of silent nodes are grey. */
export const goneClass = row => row.stale ? 'gone' : ''

/** What a node is for a replicated topic. Only the leader has figures of it. */
export const Role = ({ row: r }) => !r.role ? '' : r.role === 'leader' ? html`<span class="tag leads">leads</span>`
  : html`<span class="soft">${r.role}${r.lag > 0 && `, ${plural(r.lag, 'entry', 'entries')} behind`}</span>`
