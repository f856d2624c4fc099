// Topic: what comes in, the channels that get it, the nodes that hold it, and publishing by hand.
import { html } from '../html.js'
import { perform } from '../actions.js'
import { Bulk, useChosen } from '../bulk.js'
import { ChartCard } from '../chart.js'
import { Confirm, Create, ask } from '../dialog.js'
import { brief, bytes, count, host, natural, percent, plural, size, small } from '../format.js'
import { useHistory, useSpan } from '../history.js'
import { Icon } from '../icons.js'
import { useMe } from '../me.js'
import { Attention, Card, Figure, Figures, Latency, Parts, Text, known, meaning } from '../parts.js'
import { to } from '../router.js'
import { Spark } from '../spark.js'
import { Table } from '../table.js'
import { Title } from '../title.js'
import { Role, goneClass, nodeCell, number, perMinute, perSecond, silence, timedOut } from './columns.js'
import { Config, SettingTags, useConfig } from './config.js'
import { Connections } from './connections.js'
import { Peek } from './peek.js'
import { DeadLetters } from './letters.js'
import { Publish } from './publish.js'
import { Spans } from './charts.js'
import { Tail } from './tail.js'

export function Topic({ params, data, epoch, stale }) {
  const { topic } = params
  const [span, pick] = useSpan()
  const lines = useHistory('topic', { topic }, span, epoch, data?.point)
  const me = useMe()
  const f = known(data)
  const last = f.size_mean
  const channels = data?.channels ?? []
  const { column, chosen, clear } = useChosen(channels, keyOf, 'channel')
  const columns = channelColumns(topic)
  const config = useConfig(topic, undefined, data?.nodes.length > 0)
  return html`<div class=${stale ? 'lost-values' : ''}>
    <${Title} crumbs=${[['Topics', to.topics()], [topic]]} tools=${html`<${Spans} long span=${span} pick=${pick} />`} sub=${data && html`<${Text} of=${data.sub} />${data.replicated && html`<${Replicated} of=${data.replicated} />`}<${SettingTags} of=${config.answer} />`} actions=${data && html`<${Actions} topic=${topic} data=${data} />`}>${topic}<//>
    ${data?.attention.length > 0 && html`<section class="card note-list" aria-label="Attention"><${Attention} lines=${data.attention} /></section>`}
    <${TopicFigures} f=${f} data=${data} />
    <div class="grid">
      <${ChartCard} id="chart-published" cls="w5" title="Published" label="Published per second" lines=${lines} unit="/s" value=${small}
        series=${[{ key: 'published', name: 'per second', tone: 'in', area: true, now: small(f.pub_rate) }]} />
      <${ChartCard} id="chart-depth" cls="w4" title="Depth" label="Messages waiting in all channels" lines=${lines} least=${10}
        series=${[{ key: 'depth', name: 'all channels', tone: 'depth', area: true, now: brief(f.channel_depth) }]} />
      <${ChartCard} id="chart-size" cls="w3" title="Message size" label="Mean size of a message" lines=${lines} least=${100} unit=" B"
        series=${[{ key: 'size', name: 'mean, bytes', tone: 'quiet', now: last === undefined ? undefined : brief(last) }]} />
      <${Card} id="channels" cls=${me?.may_act ? 'w8 alone' : 'w12'} ruled title="Channels" aside=${html`<span class="small faint">each gets a copy of every message</span>`}>
        <${Bulk} chosen=${chosen} clear=${clear} what="channel" keyOf=${keyOf} rowsOf=${rowsOf} target=${c => ({ topic, channel: c.channel })} />
        <${Table} id="channels-table" name="channels" label="Channels" main csv order="channel" columns=${column ? [column, ...columns] : columns} rows=${channels} rowKey=${keyOf}
          empty=${data && html`<p>No channels yet: messages wait in the topic until there is one.</p><p>A consumer that subscribes creates its channel.</p>`} />
      <//>
      ${me?.may_act && html`<${Publish} topic=${topic} nodes=${data?.nodes ?? []} channels=${data?.channels.length ?? 0} />`}
      <${Peek} topic=${topic} figures=${f} nodes=${data?.nodes} />
      <${Tail} topic=${topic} />
      <${Card} id="nodes" ruled title="Nodes">
        <${Table} id="nodes-table" name="nodes" label="Nodes" csv order="name" columns=${nodeColumns(topic, me?.may_act)} rows=${data?.nodes ?? []}
          rowKey=${n => n.node} rowClass=${goneClass} empty=${data && 'No node has this topic: the lookupds know it, and the first message brings it to a node.'} />
      <//>
      ${data?.nodes.length > 0 && html`<${Config} topic=${topic} config=${config} /><${Connections} topic=${topic} />`}
      <${DeadLetters} topic=${topic} key=${'letters of ' + topic} />
    </div></div>`
}

const keyOf = c => c.channel
const rowsOf = data => data.channels

/** Where a replicated topic is: its shard, who leads it, and how far the others are behind. */
const Replicated = ({ of: r }) => html`. Replicated in <a class="link" href=${to.sets()}>shard ${r.shard}${r.name && ` of ${r.name}`}</a>${r.leader
  ? html`, led by ${r.node ? html`<a class="link" href=${to.node(r.node)}>${r.node_name}</a>` : r.leader}` : ', without a leader'}, ${r.lag > 0
  ? `up to ${plural(r.lag, 'entry', 'entries')} behind` : 'no replica behind'}`

function TopicFigures({ f, data }) {
  const left = f.without?.length > 0
  const rate = bytes(f.byte_rate), mean = bytes(f.size_mean)
  const means = text => data ? meaning(f.without, text) : ''
  return html`<${Figures}>
    <${Figure} id="published" label="Published" n=${f.pub_rate} unit="/s" means=${means(rate.text + rate.unit + '/s')} warn=${left} />
    <${Figure} id="topic_depth" label="Depth of topic" n=${f.topic_depth}
      means=${means(waits(f))} warn=${left} />
    <${Figure} id="channel_depth" label="Depth of channels" n=${f.channel_depth} means=${means(f.backend_depth ? `${count(f.backend_depth)} on disk` : 'all in memory')} warn=${left} />
    <${Figure} id="in_flight" label="In flight" n=${f.in_flight} means=${means(`with ${plural(f.consumers ?? 0, 'consumer')}`)} warn=${left} />
    <${Figure} id="size" label="Message size" n=${f.size_mean} value=${mean} means=${means(f.disk_bytes == null ? 'mean of the last minute' : `${size(f.disk_bytes)} on the disks`)} warn=${left} />
    <${Figure} id="messages" label="Messages" n=${f.messages} means=${means(f.doubles ? `${plural(f.doubles, 'double')} left out` : data?.replicated ? 'since it was created' : f.messages < 1e7 ? 'since the nodes started' : `${count(f.messages)} since start`)} warn=${left} />
  <//>`
}


function waits(f) {
  if (f.topic_depth === 0) return f.channels ? 'channels take everything' : 'nothing waits'
  return f.channels ? 'not yet copied to channels' : 'waits for a first channel'
}

const Bounded = ({ of: b, messages }) => html`<span class="tag" title="It ends at a place in the log${b.done ? ', and has had everything before' : `: ${plural(b.left, 'message')} to go`}${b.leaves
  ? '. It is deleted then, once it has no consumers' : ''}">${b.done ? 'done' : messages >= b.left && messages > 0 ? `bounded, ${percent(1 - b.left / messages)}` : 'bounded'}</span>`

const channelColumns = topic => [
  { key: 'channel', label: 'Channel', name: true, value: c => c.channel, cell: c => html`<a
    href=${to.channel(topic, c.channel)}>${c.channel}</a>${silence(c)}${c.paused && html`<span class="tag warn">paused</span>`}${c.bounded && html`<${Bounded} of=${c.bounded} messages=${c.messages} />`}${c.depth > 0 && c.consumers === 0 && html`<span class="tag ${c.level === 'ok' ? '' : c.level}">no consumers</span>`}` },
  number('depth', 'Depth'),
  number('in_flight', 'In flight', 'medium'),
  number('deferred', 'Deferred', 'medium'),
  perSecond('deliver_rate', 'Delivered', ''),
  perMinute('requeue_min', 'Requeued', 'medium'),
  timedOut('medium'),
  number('consumers', 'Consumers', 'medium'),
  { key: 'p99', label: 'p99', number: true, cls: 'medium', value: c => c.latency?.find(l => l.q === 0.99)?.ms ?? null, cell: c => html`<${Latency} of=${c.unknown ? null : c.latency} q=${0.99} />` },
  { key: 'spark', label: 'Depth, last hour', cls: 'medium line roomy', cell: c => html`<${Spark} data=${c.spark} tone="depth" width=${96} />` },
]

const nodeColumns = (topic, may) => [
  { key: 'name', label: 'Node', name: true, value: n => natural(n.name), cell: n => html`${nodeCell(n, n.name)}` },
  { key: 'zone', label: 'Zone', cls: 'medium', maybe: n => n.zone || n.paused || n.tombstoned, value: n => n.zone,
    cell: n => html`<span class="soft">${n.zone}</span>${n.paused && html` <span class="tag warn">paused</span>`}${n.tombstoned && html` <span class="tag">tombstoned</span>`}` },
  { key: 'role', label: 'Role', maybe: n => n.role, value: n => n.role, cell: n => html`<${Role} row=${n} />` },
  number('depth', 'Depth'),
  number('memory_depth', 'Memory', 'medium'),
  number('backend_depth', 'On disk only', 'medium'),
  perSecond('pub_rate', 'Published', ''),
  number('messages', 'Messages', 'medium'),
  number('disk_bytes', 'Disk', 'roomy medium', { maybe: n => n.disk_bytes !== null, cell: n => html`<${Parts} of=${bytes(n.disk_bytes)} />` }),
  { key: 'spark', label: 'Published, last hour', cls: 'medium line', cell: n => html`<${Spark} data=${n.spark} />` },
  may && { key: 'act', label: html`<span class="hidden">Actions</span>`, cls: 'medium act',
    cell: n => html`<button type="button" class="btn quiet harm" data-action="tombstone" data-node=${n.node} disabled=${n.tombstoned} onClick=${() => tombstone(topic, n)}>Tombstone…</button>` },
].filter(Boolean)

function tombstone(topic, node) {
  const own = data => data.nodes?.find(n => n.node === node.node) ?? node
  ask(Confirm, {
    title: `Tombstone ${topic} on ${host(node.name)}?`, typed: topic, verb: 'Tombstone node', hint: 'Other nodes keep the topic.',
    text: 'The lookupds stop naming this node for the topic, then the topic is deleted there with what waits in it. Consumers move on by themselves. A producer that still publishes to this node creates the topic again.',
    losses: data => [[`Waiting on ${host(node.name)}`, own(data).depth], ['Channels there', own(data).channels]],
    request: { action: 'tombstone_topic_producer', topic, node: node.node },
  })
}

function Actions({ topic, data }) {
  const nodes = plural(data.figures.nodes, 'node')
  const waiting = d => [
    ['Waiting in the topic', d.figures?.topic_depth], ['Waiting in its channels', d.figures?.channel_depth],
    [`In flight, with ${plural(d.figures?.consumers ?? 0, 'consumer')}`, d.figures?.in_flight], ['Deferred', d.figures?.deferred],
  ]
  const remove = () => ask(Confirm, {
    title: `Delete ${topic}?`, typed: topic, verb: 'Delete topic', hint: 'Consumers are disconnected.', then: to.topics(),
    text: `The topic, its ${plural(data.figures.channels, 'channel')} and all their messages are removed from ${nodes} and cannot be brought back. A producer that still publishes creates it again, empty.`,
    losses: waiting, lost: n => n.depth + n.in_flight + n.deferred, request: { action: 'delete_topic', topic },
  })
  const empty = () => ask(Confirm, {
    title: `Empty ${topic}?`, typed: topic, verb: 'Empty topic', hint: 'Producers and consumers stay connected.',
    text: `Messages that wait in the topic itself are removed from ${nodes} and cannot be brought back. Channels keep their copies.`,
    losses: d => [['Waiting in the topic', d.figures?.topic_depth]], lost: n => n.topic_depth, request: { action: 'empty_topic', topic },
  })
  const create = () => ask(Create, {
    title: 'Create channel', text: `It gets a copy of every message published to ${topic} from now on, or from a place in the log on.`, topic, channel: true, places: true,
    then: n => to.channel(topic, n.channel), request: n => ({ action: 'create_channel', topic, channel: n.channel, from: n.from }),
  })
  return html`<button type="button" class="btn quiet harm" data-action="delete" onClick=${remove}>Delete…</button>
    <button type="button" class="btn quiet harm" data-action="empty" onClick=${empty}>Empty…</button>
    <${Pause} paused=${data.paused} action="topic" request=${{ topic }} />
    <button type="button" class="btn" data-action="create-channel" onClick=${create}><${Icon} name="plus" size=${14} />Create channel</button>`
}

/** Pause needs no question: Unpause stands in the same place. */
export function Pause({ paused, action, request }) {
  const verb = paused ? 'unpause' : 'pause'
  return html`<button type="button" class="btn" data-action=${verb} onClick=${() => perform({ action: `${verb}_${action}`, ...request })}>
    <${Icon} name=${paused ? 'play' : 'pause'} size=${14} />${paused ? 'Unpause' : 'Pause'}</button>`
}
