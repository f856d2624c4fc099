// Activity: who did what, by day, newest first, with the result per node.
import { html, useMemo, useState } from '../html.js'
import { Dialog, ask } from '../dialog.js'
import { clock, day, host } from '../format.js'
import { Icon } from '../icons.js'
import { JobDialog, JobLine, useJobs } from '../jobs.js'
import { Choice, Pair, Time } from '../parts.js'
import { filter } from '../rows.js'
import { asked, remember, to } from '../router.js'
import { Table } from '../table.js'
import { Title } from '../title.js'

const sets = { all: () => true, changes: e => e.change, failures: e => !e.ok }
const names = { all: 'All', changes: 'Changes', failures: 'Failures' }

export function Activity({ data, stale }) {
  const [query, setQuery] = useState(asked('q') ?? '')
  const [show, setShow] = useState(() => sets[asked('show')] ? asked('show') : 'all')
  const entries = data?.entries ?? []
  const jobs = useJobs(entries.length)
  const rows = useMemo(() => {
    const list = filter(entries.filter(sets[show]), query, e => `${e.user} ${e.text} ${e.topic} ${e.channel} ${e.node} ${e.result}`)
    const out = []
    let last = ''
    for (const e of list) {
      const d = day(e.at)
      if (d !== last) out.push({ heading: last = d, id: 'day ' + d })
      out.push(e)
    }
    return out
  }, [data, show, query])
  const type = e => { setQuery(e.target.value); remember('q', e.target.value.trim()) }
  const pick = next => { setShow(next); remember('show', next === 'all' ? '' : next) }
  return html`<div class=${stale ? 'lost-values' : ''}>
    <${Title} sub="Who did what, newest first. Kept until qadmin restarts; every line is also in its log.">Activity<//>
    ${jobs.map(job => html`<${JobLine} key=${job.id} job=${job} open=${() => ask(JobDialog, { job })} />`)}
    <section class="card" aria-label="Activity">
      <div class="tools"><div class="search"><${Icon} name="search" size=${14} />
        <input id="filter" type="search" placeholder="Filter by person, topic or action" aria-label="Filter by person, topic or action" autocomplete="off"
        spellcheck=${false} value=${query} onInput=${type} /></div>
        <${Choice} label="Show" name="show" value=${show} options=${Object.keys(sets).map(k => [k, names[k], entries.filter(sets[k]).length])} onChange=${pick} /></div>
      <${Table} id="activity-table" label="Activity" main fixed csv columns=${columns} rows=${rows} question=${show + query} rowKey=${e => e.id}
        empty=${data && (entries.length ? 'Nothing fits.' : html`<p>Nothing was done since qadmin started at <${Time} at=${data.since} />.</p>
          <p>Pausing, emptying, creating and the like leave a line here.</p>`)} />
    </section></div>`
}

function Thing({ e }) {
  if (!e.topic) return e.node || ''
  const href = e.channel ? to.channel(e.topic, e.channel) : to.topic(e.topic)
  const node = e.action !== 'publish' && (e.name || e.results?.find(r => r.target === e.node)?.name || e.node)
  return html`<a href=${href}><${Pair} topic=${e.topic} channel=${e.channel} /></a>${node && html` on ${host(node)}`}`
}

const Result = ({ e }) => {
  const text = html`${!e.ok && html`<${Icon} name="warn" size=${14} />`}${e.result}`
  return !e.results?.length ? html`<span class="inline ${e.ok ? 'soft' : 'warn'}">${text}</span>`
    : html`<button type="button" class="plain inline ${e.ok ? 'soft' : 'warn'}" data-action="results" onClick=${() => ask(Results, { e })}>${text}</button>`
}

const columns = [
  { key: 'at', label: 'Time', width: '110px', plain: e => new Date(e.at).toISOString(), cell: e => html`<${Time} at=${e.at} text=${clock(e.at, 'seconds')} />` },
  { key: 'user', label: 'Who', cls: 'medium', width: '150px', plain: e => e.user, cell: e => html`<span class="soft">${e.user || 'somebody'}</span>` },
  { key: 'text', label: 'Did', width: '190px', plain: e => e.text, cell: e => html`<span class="inline">${!e.ok && html`<span class="phone-only warn">
    <${Icon} name="warn" size=${14} /></span>`}${e.text}</span><small class="phone-only">${e.user}</small>` },
  { key: 'to', label: 'To', name: true, plain: e => [e.topic, e.channel, e.node].filter(Boolean).join(' '), cell: e => html`<span class="two-lines"><${Thing} e=${e} /></span>` },
  { key: 'result', label: 'Result', cls: 'medium', plain: e => e.result, cell: e => html`<${Result} e=${e} />` },
  { key: 'from', label: 'From', number: true, cls: 'medium', width: '160px', plain: e => e.from, cell: e => html`<span class="mono faint">${e.from}</span>` },
]

/** The result of one line, per node and lookupd. */
const Results = ({ e, close }) => html`<${Dialog} id="results" wide title=${`${e.user || 'Somebody'} ${e.text}`} text=${html`<${Pair} topic=${e.topic}
  channel=${e.channel} />, <${Time} at=${e.at} text=${clock(e.at, 'seconds')} />. ${e.result}`} close=${close}>
  <table><thead><tr><th scope="col">Asked</th><th scope="col">Answer</th><th scope="col" class="number">Time</th></tr></thead>
  <tbody>${e.results.map(r => html`<tr><td>${r.name || r.target}</td><td class=${r.ok ? 'soft' : 'warn'}>${r.ok ? r.note || 'done' : r.error || `status ${r.status}`}</td>
    <td class="number">${r.ms}<u> ms</u></td></tr>`)}</tbody></table>
  <div class="foot"><span class="grow"></span><button type="button" class="btn" data-first="" onClick=${close}>Close</button></div><//>`
