// Three charts that the cluster and each node have in common.
import { html } from '../html.js'
import { ChartCard } from '../chart.js'
import { brief, perSecond, small } from '../format.js'
import { offered } from '../history.js'
import { useMe } from '../me.js'
import { Choice } from '../parts.js'

/** What flows, what waits, what goes wrong. `now` has pub_rate, deliver_rate and depth of the moment. */
export const FlowCharts = ({ lines, now }) => html`
  <${ChartCard} id="chart-messages" cls="w6" title="Messages" label="Published and delivered per second" lines=${lines} unit="/s" value=${small} series=${[
    { key: 'published', name: 'Published', tone: 'in', area: true, now: perSecond(now.pub_rate) },
    { key: 'delivered', name: 'Delivered', tone: 'out', now: perSecond(now.deliver_rate) }]} />
  <${ChartCard} id="chart-depth" cls="w3" title="Depth" label="Messages waiting" lines=${lines} least=${10} series=${[
    { key: 'depth', name: 'Waiting', tone: 'depth', area: true, now: brief(now.depth) }]} />
  <${ChartCard} id="chart-retries" cls="w3" title="Retries" label="Requeued and timed out per minute" lines=${lines} unit="/min" least=${10} value=${small} series=${[
    { key: 'requeued', name: 'Requeued', tone: 'quiet' },
    { key: 'timed_out', name: 'Timed out', tone: 'late' }]} />`

/** How far back charts go. Pages of single things have it where there is more than an hour. */
export function Spans({ span, pick, long }) {
  const me = useMe()
  return long && !me?.history_kept ? null : html`<${Choice} label="Time span" name="span" value=${span} options=${offered(me)} onChange=${pick} />`
}
