// Topics: find one in a keystroke, sort by pain.
import { html, useEffect, useMemo, useRef, useState } from '../html.js'
import { get } from '../api.js'
import { Bulk, useChosen } from '../bulk.js'
import { Create, ask } from '../dialog.js'
import { count, plural } from '../format.js'
import { Icon } from '../icons.js'
import { useMe } from '../me.js'
import { Choice, meaning } from '../parts.js'
import { filter } from '../rows.js'
import { asked, remember, to } from '../router.js'
import { Table } from '../table.js'
import { Title } from '../title.js'
import { topicColumns } from './columns.js'

const FEW = 100 // messages: so many may wait and nobody minds
const sets = {
  all: () => true,
  waiting: r => r.depth > FEW,
  alone: r => r.no_consumers > 0,
  paused: r => r.paused || r.paused_channels > 0,
  idle: r => r.idle,
}
const names = { all: 'All', waiting: 'Waiting', alone: 'No consumers', paused: 'Paused', idle: 'Idle' }

// Sparklines of the rows in sight, asked for in one go; they change once a minute.
function useSparks() {
  const known = useRef(new Map())
  const [, turn] = useState(0)
  const wanted = useRef(new Set())
  const timer = useRef(0)
  useEffect(() => () => clearTimeout(timer.current), [])
  const fetchThem = async () => {
    const topics = [...wanted.current].slice(0, 200)
    wanted.current.clear()
    const now = Date.now()
    for (const t of topics) known.current.set(t, { data: known.current.get(t)?.data ?? null, at: now })
    try {
      const { sparks } = await get('sparks', { topic: topics })
      for (const [t, data] of Object.entries(sparks)) known.current.set(t, { data, at: now })
      turn(n => n + 1)
    } catch { for (const t of topics) known.current.delete(t) }
  }
  const inSight = rows => {
    const due = Date.now() - 60000
    for (const r of rows) { const k = known.current.get(r.topic); if (!k || k.at < due) wanted.current.add(r.topic) }
    if (wanted.current.size) { clearTimeout(timer.current); timer.current = setTimeout(fetchThem, 80) }
  }
  return [r => known.current.get(r.topic)?.data ?? null, inSight]
}

const keyOf = r => r.topic
const rowsOf = data => data.rows

export function Topics({ data, stale }) {
  const [query, setQuery] = useState(asked('q') ?? '')
  const [show, setShow] = useState(() => sets[asked('show')] ? asked('show') : 'all')
  const [spark, inSight] = useSparks()
  const me = useMe()
  const rows = data?.rows ?? []
  const counts = useMemo(() => Object.fromEntries(Object.keys(sets).map(k => [k, rows.filter(sets[k]).length])), [data])
  const list = useMemo(() => filter(show === 'all' ? rows : rows.filter(sets[show]), query, r => r.topic + ' ' + r.names), [data, show, query])
  const { column, chosen, clear } = useChosen(list, keyOf, 'topic')
  const sum = key => rows.reduce((n, r) => n + (r[key] ?? 0), 0)
  const columns = topicColumns(spark, true)
  const type = e => { setQuery(e.target.value); remember('q', e.target.value.trim()) }
  const pick = next => { setShow(next); remember('show', next === 'all' ? '' : next) }
  const create = () => ask(Create, {
    title: 'Create topic', channel: 'optional', then: n => n.channel ? to.channel(n.topic, n.channel) : to.topic(n.topic),
    text: 'The lookupds are told; nodes get the topic with the first message.',
    request: n => n.channel ? { action: 'create_channel', topic: n.topic, channel: n.channel } : { action: 'create_topic', topic: n.topic },
  })
  return html`<div class=${stale ? 'lost-values' : ''}>
    <${Title} sub=${data && [plural(rows.length, 'topic'), plural(sum('channels'), 'channel'), `${plural(sum('depth'), 'message')} waiting`, meaning(data.without)].filter(Boolean).join(', ')}
      actions=${me?.lookupd_mode && html`<button type="button" class="btn primary" id="create-topic" onClick=${create}><${Icon} name="plus" size=${14} />Create topic</button>`}>Topics<//>
    <section class="card" aria-label="All topics">
      <div class="tools"><div class="search"><${Icon} name="search" size=${14} />
        <input id="filter" type="search" placeholder="Topic or channel" aria-label="Filter by the name of a topic or channel" autocomplete="off" spellcheck=${false} value=${query}
        onInput=${type} /></div>
        <${Choice} label="Show" name="show" value=${show} options=${Object.keys(sets).map(k => [k, names[k], counts[k]])} onChange=${pick} />
        <span class="grow"></span><span class="small faint" id="shown">${data && `${count(list.length)} of ${count(rows.length)}`}</span></div>
      <${Bulk} chosen=${chosen} clear=${clear} what="topic" keyOf=${keyOf} rowsOf=${rowsOf} target=${r => ({ topic: r.topic })} />
      <${Table} id="topics-table" label="Topics" main fixed csv order="-depth" columns=${column ? [column, ...columns] : columns} rows=${list} question=${show + query} rowKey=${r => r.topic} inSight=${inSight}
        empty=${data && (rows.length ? html`<p>No topic fits.</p><p>
          <button type="button" class="link" onClick=${() => { setQuery(''); remember('q', ''); pick('all') }}>Show all ${count(rows.length)}</button></p>` : 'No topics yet. The first message published to one creates it.')} />
    </section></div>`
}
