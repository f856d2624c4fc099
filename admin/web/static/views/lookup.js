// Lookup: the directories, what they know that no node has, and creating topics and channels ahead of their use.
import { html } from '../html.js'
import { Confirm, Create, ask } from '../dialog.js'
import { plural } from '../format.js'
import { Icon } from '../icons.js'
import { useMe } from '../me.js'
import { Card, Num } from '../parts.js'
import { to } from '../router.js'
import { Table } from '../table.js'
import { Title } from '../title.js'
import { LookupdsCard, TombstonesCard } from './nodes.js'

export function Lookup({ data, bar, stale }) {
  const may = useMe()?.may_act
  const create = () => ask(Create, {
    title: 'Create topic or channel', channel: data.can_create ? 'optional' : true,
    text: data.can_create ? 'The lookupds are told, so that consumers find it before the first message.' : 'Without lookupds only channels of topics that exist can be created.',
    request: n => n.channel ? { action: 'create_channel', topic: n.topic, channel: n.channel } : { action: 'create_topic', topic: n.topic },
  })
  return html`<div class=${stale ? 'lost-values' : ''}>
    <${Title} sub=${data && sentence(data, bar)} actions=${data && html`<button type="button" class="btn primary" id="create" onClick=${create}><${Icon} name="plus" size=${14} />Create</button>`}>Lookup<//>
    <${LookupdsCard} lookupds=${data?.lookupds} />
    <div class="grid">
      <${Card} id="inactive" cls="w6 alone" ruled title="Without a producer" aside=${html`<span class="small faint">known to a lookupd, on no node</span>`}>
        <${Table} id="inactive-table" name="inactive" label="Topics without a producer" main order="topic" columns=${columns(may)} rows=${data?.inactive ?? []}
          rowKey=${t => t.topic} empty=${data && 'Every topic has a node.'} /><//>
      <${TombstonesCard} tombstones=${data?.tombstones} cls="w6 alone" />
    </div></div>`
}

function sentence(data, bar) {
  if (data.lookupds.length === 0) return 'No lookupds: qadmin asks the nodes it was given.'
  const topics = data.inactive.length ? `${plural(data.inactive.length, 'topic')} without a producer` : 'every topic has a node'
  return `${bar.lookupds_answering} of ${plural(bar.lookupds, 'lookupd')} ${bar.lookupds_answering === 1 ? 'answers' : 'answer'}, ${topics}`
}

const columns = may => [
  { key: 'topic', label: 'Topic', name: true, value: t => t.topic, cell: t => html`<a href=${to.topic(t.topic)}>${t.topic}</a>` },
  { key: 'channels', label: 'Channels', number: true, value: t => t.channels.length, cell: t => html`<span title=${t.channels.join(', ')}><${Num} n=${t.channels.length} /></span>` },
  may && { key: 'act', label: html`<span class="hidden">Actions</span>`, cls: 'act',
    cell: t => html`<button type="button" class="btn quiet harm" data-action="delete" data-topic=${t.topic} onClick=${() => remove(t)}>Delete…</button>` },
].filter(Boolean)

const remove = t => ask(Confirm, {
  title: `Delete ${t.topic}?`, typed: t.topic, verb: 'Delete topic', hint: 'No node has it, so no message is lost.',
  text: `The lookupds forget the topic${t.channels.length ? ` and its ${plural(t.channels.length, 'channel')}` : ''}.`,
  losses: () => [['Channels', t.channels.length]], request: { action: 'delete_topic', topic: t.topic },
})
