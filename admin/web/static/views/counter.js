// Counter: one large figure, a line of an hour, and who adds to it.
import { html } from '../html.js'
import { ChartCard } from '../chart.js'
import { count, small } from '../format.js'
import { useHistory, useSpan } from '../history.js'
import { Spans } from './charts.js'
import { Card, Num, Rate, meaning } from '../parts.js'
import { to } from '../router.js'
import { Table } from '../table.js'
import { Title } from '../title.js'

export function Counter({ data, epoch, stale }) {
  const [span, pick] = useSpan()
  const lines = useHistory('counter', {}, span, epoch, data?.point)
  return html`<div class=${stale ? 'lost-values' : ''}>
    <${Title} sub="Messages copied into channels, over all nodes since their start." tools=${html`<${Spans} span=${span} pick=${pick} />`}>Counter<//>
    <section class="card counter" aria-label="Counter"><b id="counter">${count(data?.total)}</b>
      <p class="soft">${data ? html`${small(data.rate)}<u>/s</u>${data.without.length > 0 && html` <span class="warn">${meaning(data.without)}</span>`}` : '–'}</p></section>
    <div class="grid">
      <${ChartCard} id="chart-counted" cls="w12" title="Messages" label="Messages per second" lines=${lines} unit="/s" value=${small}
        series=${[{ key: 'counted', name: 'per second', tone: 'in', area: true, now: small(data?.rate) }]} />
      <${Card} id="highest" ruled title="Highest topics">
        <${Table} id="counter-table" name="topics" label="Highest topics" main columns=${columns} rows=${data?.topics ?? []} rowKey=${t => t.topic} empty=${data && 'No topics yet.'} /><//>
    </div></div>`
}

const columns = [
  { key: 'topic', label: 'Topic', name: true, value: t => t.topic, cell: t => html`<a href=${to.topic(t.topic)}>${t.topic}</a>` },
  { key: 'count', label: 'Messages', number: true, value: t => t.count, cell: t => html`<${Num} n=${t.count} />` },
  { key: 'rate', label: 'Rate', number: true, value: t => t.rate, cell: t => html`<${Rate} n=${t.rate} />` },
]
