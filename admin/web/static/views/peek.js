// Messages of a channel or of a topic, looked at and left where they are. Nothing refreshes by itself while one reads.
import { html, useEffect, useMemo, useRef, useState } from '../html.js'
import { get } from '../api.js'
import { decode, hex, isJSON, layout, start, text } from '../body.js'
import { save } from '../files.js'
import { UNKNOWN, clock, count, duration, host, plural, size } from '../format.js'
import { Icon } from '../icons.js'
import { Card, Choice, Copy, Nothing, Time } from '../parts.js'
import { placeOf } from '../places.js'
import { MessageActions } from './messages.js'

const LIMIT = 20, HEADER_SHOWN = 300
const states = [['ready', 'Waiting', 'depth'], ['inflight', 'In flight', 'in_flight'], ['deferred', 'Deferred', 'deferred']]
const words = { ready: 'waiting', inflight: 'in flight', deferred: 'deferred' }
const orders = [['turn', 'Next'], ['oldest', 'Oldest'], ['newest', 'Newest']]

export function Peek({ topic, channel, figures, asked, nodes }) {
  const [state, setState] = useState(null)
  const [order, setOrder] = useState(channel ? 'turn' : 'newest')
  const [from, setFrom] = useState('')
  const [contains, setContains] = useState('')
  const [answer, setAnswer] = useState(null)
  const [problem, setProblem] = useState('')
  const [busy, setBusy] = useState(false)
  const [chosen, choose] = useState(0)
  const turn = useRef(0)
  const first = figures.depth > 0 || !figures.in_flight ? 'ready' : 'inflight'
  const look = async (changes = {}, page = null) => {
    const mine = ++turn.current
    const wish = { state: state ?? first, order, from, contains, ...changes }
    const place = placeOf(wish.from)
    if (place === null) { setProblem('Write a number of a message, a time such as 14:05, how long ago such as -1h, or a moment such as 2026-03-12 14:05.'); return }
    setState(wish.state)
    setProblem('')
    setBusy(true)
    const how = place.since && wish.order === 'newest' || (place.from || place.since || wish.contains) && wish.order === 'turn' ? 'oldest' : wish.order
    setOrder(how)
    try {
      const got = await get('peek', { topic, channel, state: channel && wish.state, order: how, limit: LIMIT, contains: wish.contains, ...(page ? { at: page } : place) })
      if (mine !== turn.current) return
      choose(0)
      setAnswer({ ...got, channel, pages: page ? (answer?.pages ?? 1) + 1 : 1, contains: wish.contains, messages: got.messages.map(m => ({ ...m, data: decode(m.body) })) })
    } catch (e) { if (mine === turn.current) { setAnswer(null); setProblem(e.message) } }
    if (mine === turn.current) setBusy(false)
  }
  const again = () => look()
  const next = () => look({}, answer.nodes.filter(n => n.next).map(n => `${n.node}|${n.next}`))
  useEffect(() => { if (asked) look() }, [asked])
  useEffect(() => {
    addEventListener('peek', again)
    return () => removeEventListener('peek', again)
  })
  const keep = () => save(`${topic}${channel ? '.' + channel : ''}.jsonl`, answer.messages.map(line).join(''), 'application/x-ndjson')
  const aside = html`<span class="small faint wide-only">${channel ? 'Peeking takes nothing out and changes no attempts' : 'What the log still has, finished or not'}</span>
    ${channel && html`<div class="choice" role="group" aria-label="Messages by state">${states.map(([key, name, n]) => html`<button type="button" data-state=${key}
      aria-pressed=${String(key === (state ?? first))} onClick=${() => look({ state: key, ...(order === 'turn' ? {} : { order }) })}>${name}<b>${count(figures[n])}</b></button>`)}</div>`}
    <button type="button" class="btn" data-action="peek-again" disabled=${busy} onClick=${again}>${answer ? 'Peek again' : 'Peek'}</button>`
  return html`<${Card} id="messages" title="Messages" aside=${aside} foot=${answer && html`<${Foot} answer=${answer} next=${next} keep=${keep} busy=${busy} />`}>
    <form class="tools" onSubmit=${e => { e.preventDefault(); look() }}>
      <${Choice} label="Order" name="order" value=${order} options=${channel ? orders : orders.slice(1)} onChange=${o => look({ order: o })} />
      <input id="peek-from" class="input" placeholder="From number or time" aria-label="From a number or a time" autocomplete="off" spellcheck=${false} value=${from} onInput=${e => setFrom(e.target.value)} />
      <div class="search grow"><${Icon} name="search" size=${14} /><input id="peek-contains" type="search" placeholder="Body contains" aria-label="Only messages whose body contains" maxlength="128" autocomplete="off" spellcheck=${false} value=${contains} onInput=${e => setContains(e.target.value)} /></div>
      <button type="submit" class="btn" id="peek-go" disabled=${busy}>Look</button></form>
    ${problem && html`<${Nothing}><span class="crit" role="status">${problem}</span><//>`}
    ${!answer && !problem && html`<${Nothing}>${busy ? 'Reading' : nodes && nodes.length && nodes.every(n => n.peek === false) ? html`<${Unable}
      nodes=${nodes} />` : `Peek shows up to ${LIMIT} messages at a time.`}<//>`}
    ${answer && answer.messages.length === 0 && html`<${Nothing}>${answer.nodes.length && answer.nodes.every(n => !n.available) ? html`<${Unable}
      nodes=${answer.nodes} />` : answer.more ? 'Nothing found so far; the next page looks further.' : answer.contains ? 'No message fits.' : channel ? `No messages ${words[answer.state]}.` : 'No messages in the log.'}<//>`}
    ${answer?.messages.length > 0 && html`<div class="peek"><${Messages} answer=${answer} chosen=${chosen} choose=${choose} />
      <${Reading} topic=${topic} channel=${channel} message=${answer.messages[chosen]} key=${answer.at + answer.messages[chosen].id + chosen} at=${answer.at} /></div>`}
  <//>`
}

/** A message as a line of JSON: text as text, anything else in base64. */
function line(m) {
  const body = text(m.data, m.truncated)
  return JSON.stringify({ id: m.id, timestamp_ns: m.timestamp_ns, attempts: m.attempts, size: m.size, node: m.name, truncated: m.truncated || undefined, headers: m.headers, ...(body === null ? { body_base64: m.body } : { body }) }) + '\n'
}

const unable = n => `${n.kind} ${n.version} on ${host(n.name)} cannot show messages`
const Unable = ({ nodes }) => html`<p>${[...new Set(nodes.map(n => `${n.kind} ${n.version} cannot show messages`))].join(', ')}.</p><p>Nodes with qd 2.0.0 or later can.</p>`

function Foot({ answer, next, keep, busy }) {
  const { messages, nodes, state, total, at, pages, contains, channel } = answer
  const silent = nodes.filter(n => n.available && !n.ok), old = nodes.filter(n => !n.available)
  const scanned = nodes.reduce((n, x) => n + x.scanned, 0)
  const shown = contains ? `${plural(messages.length, 'message')} of ${count(scanned)} looked through` : pages > 1 ? `${plural(messages.length, 'message')} on page ${pages}`
    : !channel ? plural(messages.length, 'message') : `${count(messages.length)} of ${count(total)} ${words[state]}`
  return html`<span class="grow">${shown}, read at <${Time} at=${at}
    text=${clock(at, 'seconds')} />. Bodies over 64 KiB are cut.
    ${messages.length > 0 && old.length > 0 && html` ${old.map(unable).join(', ')}.`}${silent.map(n => html` <span class="warn">${host(n.name)}: ${n.error || 'no answer'}.</span>`)}</span>
    ${messages.length > 0 && html`<button type="button" class="btn slim" id="peek-save" onClick=${keep}>Download these</button>`}
    <button type="button" class="btn slim" id="peek-next" disabled=${!answer.more || busy} onClick=${next}>Next page</button>`
}

function Messages({ answer, chosen, choose }) {
  const ref = useRef(null)
  const pressed = e => {
    const by = { ArrowDown: 1, ArrowUp: -1 }[e.key]
    if (!by) return
    e.preventDefault()
    const next = Math.max(0, Math.min(answer.messages.length - 1, chosen + by))
    choose(next)
    ref.current.children[next]?.focus()
  }
  return html`<div class="messages" role="listbox" aria-label="Messages" ref=${ref}
    onKeyDown=${pressed}>${answer.messages.map((m, i) => html`<button type="button" class="message" role="option" key=${m.id + i} data-message=${m.id}
    tabindex=${i === chosen ? 0 : -1} aria-selected=${String(i === chosen)} onClick=${() => choose(i)}>
    <span class="mono cut">${m.id}</span><small>${duration(answer.at - m.timestamp)} old, ${m.state === 'waiting' ? 'waits in the topic' : m.state ? `attempt ${m.attempts}` : ''}</small>
      <span class="start-of-body">${start(m.data)}</span><small>${size(m.size)}, ${host(m.name)}</small></button>`)}</div>`
}

function Reading({ topic, channel, message: m, at }) {
  const decoded = useMemo(() => text(m.data, m.truncated), [m])
  const json = useMemo(() => isJSON(decoded), [decoded])
  const [as, show] = useState(json ? 'json' : decoded === null ? 'hex' : 'text')
  const options = [json && ['json', 'JSON'], decoded !== null && ['text', 'Text'], ['hex', 'Hex']].filter(Boolean)
  const left = Date.now() - at
  const facts = [
    ['Published', html`<${Time} at=${m.timestamp} text=${clock(m.timestamp, 'milliseconds')} />`],
    m.state && m.state !== 'waiting' && ['Attempt', m.attempts],
    m.seq !== '0' && ['Number', m.seq],
    m.due_at > 0 && ['Due', html`<${Time} at=${m.due_at} text=${clock(m.due_at, 'milliseconds')} />`],
    m.deadline_ms !== null && ['Times out in', duration(Math.max(0, m.deadline_ms - left))],
    m.due_ms !== null && ['Due in', duration(Math.max(0, m.due_ms - left))],
    m.client && ['Held by', m.client],
    ['Node', host(m.name)],
    ['Size', size(m.size)],
  ].filter(Boolean)
  return html`<div class="reading"><div class="tools"><span class="mono grow cut" id="message-id">${m.id}</span>
      <${Choice} label="Show as" name="as" value=${as} options=${options} onChange=${show} /><${Copy} quiet text=${decoded ?? hex(m.data).map(l => l.join('  ')).join('\n')} /></div>
    <div class="facts">${facts.map(([name, value]) => html`<span>${name}<b>${value ?? UNKNOWN}</b></span>`)}</div>
    ${m.headers && html`<div class="facts" id="message-headers">${m.headers.map(h => html`<span>${h.key}<b class="mono">${(h.value_base64 ?? h.value).slice(0, HEADER_SHOWN)}</b></span>`)}</div>`}
    <${MessageActions} topic=${topic} channel=${channel} message=${m} />
    <${Body} as=${as} data=${m.data} decoded=${decoded} />
    ${m.truncated && html`<div class="facts"><span class="warn">Cut at ${size(m.data.length)} of ${plural(m.size, 'byte')}</span></div>`}</div>`
}

function Body({ as, data, decoded }) {
  const shown = useMemo(() => as === 'json' ? layout(decoded).map(([kind, s]) => kind ? html`<span class=${kind}>${s}</span>` : s)
    : as === 'text' ? decoded
      : hex(data).map(([offset, codes, letters]) => html`<span class="offset">${offset}</span>${'  ' + codes + '  ' + letters + '\n'}`), [as, data])
  return html`<pre class=${as === 'text' ? 'wrap' : ''} id="body"
    data-as=${as} tabindex="0" aria-label="Message body">${data.length ? shown : html`<span class="offset">(empty)</span>`}</pre>`
}
