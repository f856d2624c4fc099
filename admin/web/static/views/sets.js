// Sets of replicas: their members, and what each member is in each shard.
import { html } from '../html.js'
import { ask } from '../dialog.js'
import { count, duration, host, natural, plural, small } from '../format.js'
import { useMe } from '../me.js'
import { Attention, Card, Dot, Num } from '../parts.js'
import { to } from '../router.js'
import { Table } from '../table.js'
import { Title } from '../title.js'
import { number } from './columns.js'
import { AddMember, Balance, MoveLeader, remove } from './set_actions.js'

export function Sets({ data, stale }) {
  const sets = data?.sets ?? []
  return html`<div class=${stale ? 'lost-values' : ''}>
    <${Title} sub=${data && sentence(sets)}>${sets.length === 1 ? sets[0].name : 'Sets'}<//>
    ${data && sets.length === 0 && html`<section class="card"><div class="nothing">No node is a member of a set, so no topic is replicated.</div></section>`}
    ${sets.map(s => html`<${OneSet} key=${s.set} set=${s} alone=${sets.length === 1} />`)}</div>`
}

const sentence = sets => sets.length === 1 ? sets[0].sub : plural(sets.length, 'set') + ' of nodes that replicate topics'

function OneSet({ set, alone }) {
  const may = useMe()?.may_act && set.set !== ''
  const called = alone ? '' : set.name + ': '
  const id = 'set-' + (set.set || 'none')
  const actions = may && html`<button type="button" class="btn" data-action="add-member" onClick=${() => ask(AddMember, { set })}>Add member…</button>
    <button type="button" class="btn" data-action="balance" onClick=${() => ask(Balance, { set })}>Balance leaders…</button>`
  return html`${set.attention.length > 0 && html`<section class="card note-list" aria-label="Attention"><${Attention} id=${id + '-attention'} lines=${set.attention.map(line => ({ ...line, set: '' }))} /></section>`}
    <div class="grid set" id=${id}>
      <${Card} id=${id + '-members'} ruled title=${called + 'Members'} aside=${actions} foot=${html`<span>${about(set)}</span>`}>
        <${Table} id=${id + '-members-table'} name=${id + '-members'} label="Members" main=${alone} tall order="name" columns=${memberColumns(set, may)} rows=${set.members}
          rowKey=${m => m.member + m.address} rowClass=${m => m.answers ? '' : 'gone'} /><//>
      ${set.shards.length > 0 && html`<${Card} id=${id + '-shards'} ruled title=${called + 'Shards'} aside=${html`<span class="small faint">each member’s part, in entries behind</span>`}>
        <${Table} id=${id + '-shards-table'} name=${id + '-shards'} label="What each member is in each shard" order="shard" columns=${shardColumns(set, may)}
          rows=${set.shards.map((s, i) => ({ ...s, cells: set.members.map(m => m.cells[i]) }))} rowKey=${s => String(s.shard)} /><//>`}
    </div>`
}

/** Which topics are replicated, and who may join. */
function about({ set, patterns, local, expected }) {
  if (set === '') return 'They wait for one another.'
  const topics = patterns.length ? `Replicates ${patterns.join(', ')}` : 'Replicates all topics but ephemeral ones'
  const but = local.length ? `; ${local.slice(0, 5).join(', ')}${local.length > 5 ? ` and ${count(local.length - 5)} more` : ''} ${local.length === 1 ? 'stays' : 'stay'} local` : ''
  return topics + but + (expected.length ? `. Expects a node at ${expected.join(', ')}` : '') + '.'
}

const good = new Set(['member'])
const memberColumns = (set, may) => [
  { key: 'name', label: 'Member', name: true, value: m => natural(m.name), cell: m => html`<span class="lead">
    <${Dot} state=${m.level !== 'ok' ? m.level : good.has(m.state) ? 'ok' : 'idle'} text=${m.state} /><span>${m.node ? html`<a href=${to.node(m.node)} title=${m.member}>${m.name}</a>`
      : html`<a href=${to.nodes()} title="qadmin knows no node at this address">${m.name}</a>`}<small>${m.address}</small></span></span>` },
  { key: 'state', label: 'State', value: m => m.state, cell: m => html`<span class=${m.level === 'crit' ? 'crit' : m.level === 'warn' ? 'warn' : 'soft'}
    title=${m.failure || undefined}>${m.state}</span>${m.lacks.length > 0 && html`<small>no connection to ${m.lacks.join(', ')}</small>`}` },
  number('leads', 'Leads', ''),
  number('lag', 'Behind', '', { cell: m => html`<span class=${m.late > 0 ? 'warn' : ''} title=${m.late > 0 ? `Does not keep up in ${plural(m.late, 'shard')}` : 'Entries, in all shards'}><${Num} n=${m.lag} /></span>` }),
  number('reached', 'Reached by', 'medium', { cell: m => html`<span class=${m.reached < m.of ? 'warn' : ''}>${m.of === 0 ? '–' : `${m.reached} of ${m.of}`}</span>` }),
  number('rtt_ms', 'There and back', 'medium roomy', { cell: m => html`<${Num} n=${m.rtt_ms} unit=" ms" of=${small} />` }),
  number('save_ms', 'Last save', 'medium roomy', { cell: m => html`<${Num} n=${m.save_ms} unit=" ms" of=${small} />` }),
  number('skew_ms', 'Clock ahead', 'medium roomy', { cell: m => html`<${Num} n=${m.skew_ms} unit=" ms" />` }),
  { key: 'version', label: 'Version', cls: 'medium', value: m => m.version, cell: m => html`<span class="soft">${m.version || '–'}</span>` },
  may && { key: 'act', label: html`<span class="hidden">Actions</span>`, cls: 'medium act', cell: m => !m.outside && html`<button type="button" class="btn quiet harm"
    data-action="remove-member" data-member=${m.address} disabled=${m.leaving} onClick=${() => remove(set, m)}>Remove…</button>` },
].filter(Boolean)

const shardColumns = (set, may) => [
  { key: 'shard', label: 'Shard', name: true, value: s => s.shard, cell: s => html`${s.shard}${s.shard === 0 && html`<span class="tag" title="Who the members are, and what they agree on">the set itself</span>`}` },
  { key: 'leader', label: 'Leader', cls: 'medium', value: s => natural(s.name), cell: s => s.leader === '' ? html`<span class="crit">none for ${duration(s.alone_ms)}</span>`
    : html`${s.node ? html`<a href=${to.node(s.node)}>${s.name}</a>` : s.name}${s.preferred && html` <span class="tag" title="Somebody moved it there; Balance leaders ends that">moved</span>`}` },
  ...set.members.map((m, i) => ({ key: 'm' + i, label: html`<span title=${m.address}>${host(m.name)}</span>`, number: true, value: s => s.cells[i] ? worth(s.cells[i]) : null,
    cell: s => html`<${Cell} cell=${s.cells[i]} />` })),
  number('topics', 'Topics', 'medium'),
  number('commit', 'Committed', 'medium roomy'),
  number('term', 'Term', 'medium roomy'),
  may && { key: 'act', label: html`<span class="hidden">Actions</span>`, cls: 'medium act', cell: s => html`<button type="button" class="btn quiet" data-action="move-leader"
    data-shard=${s.shard} aria-label=${`Move the leader of shard ${s.shard}`} onClick=${() => ask(MoveLeader, { set, shard: s })}>Move leader…</button>` },
].filter(Boolean)

const worth = c => c.role === 'leader' ? -1 : c.known ? c.lag : Infinity

/** What a member is in a shard: that it leads, or how far it is behind. */
function Cell({ cell: c }) {
  if (!c || (!c.known && c.role !== 'leader')) return html`<span class="faint" title="Not known">–</span>`
  if (c.role === 'leader') return html`<span class="tag leads">leads</span>`
  const notes = [c.role !== 'follower' && c.role, c.snapshot && 'gets a snapshot', c.held && 'on hold', c.failure].filter(Boolean)
  return html`<span class="hidden">${c.role}, behind by </span><span class=${c.late || c.failure ? 'warn' : ''} title=${notes.join(', ') || undefined}><${Num} n=${c.lag} /></span>${c.role !== 'follower'
    && html` <span class="tag" title=${notes.join(', ')}>${c.role}</span>`}`
}
