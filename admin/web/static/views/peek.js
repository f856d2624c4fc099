// Messages of a channel, looked at and left where they are. Nothing refreshes by itself while one reads.
import { html, useEffect, useMemo, useRef, useState } from '../html.js'
import { get } from '../api.js'
import { decode, hex, isJSON, layout, start, text } from '../body.js'
import { UNKNOWN, clock, count, duration, host, plural, size } from '../format.js'
import { Card, Choice, Copy, Nothing, Time } from '../parts.js'

const LIMIT = 20
const states = [['ready', 'Waiting', 'depth'], ['inflight', 'In flight', 'in_flight'], ['deferred', 'Deferred', 'deferred']]
const words = { ready: 'waiting', inflight: 'in flight', deferred: 'deferred' }

export function Peek({ topic, channel, figures, asked, nodes }) {
  const [state, setState] = useState(null)
  const [answer, setAnswer] = useState(null)
  const [problem, setProblem] = useState('')
  const [chosen, choose] = useState(0)
  const turn = useRef(0)
  const first = figures.depth > 0 || !figures.in_flight ? 'ready' : 'inflight'
  const look = async wanted => {
    const mine = ++turn.current
    setState(wanted)
    setProblem('')
    try {
      const got = await get('peek', { topic, channel, state: wanted, limit: LIMIT })
      if (mine !== turn.current) return
      choose(0)
      setAnswer({ ...got, messages: got.messages.map(m => ({ ...m, data: decode(m.body) })) })
    } catch (e) { if (mine === turn.current) { setAnswer(null); setProblem(e.message) } }
  }
  useEffect(() => { if (asked) look(state ?? first) }, [asked])
  useEffect(() => {
    const pressed = () => look(state ?? first)
    addEventListener('peek', pressed)
    return () => removeEventListener('peek', pressed)
  })
  const aside = html`<span class="small faint wide-only">Peeking takes nothing out and changes no attempts</span>
    <div class="choice" role="tablist" aria-label="Messages by state">${states.map(([key, name, n]) => html`<button type="button" role="tab" data-state=${key}
      aria-selected=${String(key === (state ?? first))} onClick=${() => look(key)}>${name}<b>${count(figures[n])}</b></button>`)}</div>
    <button type="button" class="btn" data-action="peek-again" onClick=${() => look(state ?? first)}>${answer ? 'Peek again' : 'Peek'}</button>`
  return html`<${Card} id="messages" title="Messages" aside=${aside} foot=${answer && html`<${Foot} answer=${answer} />`}>
    ${problem && html`<${Nothing}><span class="crit" role="status">${problem}</span><//>`}
    ${!answer && !problem && html`<${Nothing}>${state ? 'Reading' : nodes && nodes.length && nodes.every(n => !n.peek) ? html`<${Unable}
      nodes=${nodes} />` : `Peek shows up to ${LIMIT} messages, oldest first.`}<//>`}
    ${answer && answer.messages.length === 0 && html`<${Nothing}>${answer.nodes.length && answer.nodes.every(n => !n.available) ? html`<${Unable}
      nodes=${answer.nodes} />` : `No messages ${words[answer.state]}.`}<//>`}
    ${answer?.messages.length > 0 && html`<div class="peek"><${Messages} answer=${answer} chosen=${chosen} choose=${choose} />
      <${Reading} message=${answer.messages[chosen]} key=${answer.at + answer.messages[chosen].id + chosen} at=${answer.at} /></div>`}
  <//>`
}

const unable = n => `${n.kind} ${n.version} on ${host(n.name)} cannot show messages`
const Unable = ({ nodes }) => html`<p>${[...new Set(nodes.map(n => `${n.kind} ${n.version} cannot show messages`))].join(', ')}.</p><p>Nodes with qd 2.0.0 or later can.</p>`

function Foot({ answer }) {
  const { messages, nodes } = answer
  const silent = nodes.filter(n => n.available && !n.ok), old = nodes.filter(n => !n.available)
  return html`<span class="grow">${count(messages.length)} of ${count(answer.total)} ${words[answer.state]}, read at <${Time} at=${answer.at}
    text=${clock(answer.at, 'seconds')} />. Bodies over 64 KiB are cut.
    ${messages.length > 0 && old.length > 0 && html` ${old.map(unable).join(', ')}.`}${silent.map(n => html` <span class="warn">${host(n.name)}: ${n.error || 'no answer'}.</span>`)}</span>`
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
    <span class="mono cut">${m.id}</span><small>${duration(answer.at - m.timestamp)} old, attempt ${m.attempts}</small>
      <span class="start-of-body">${start(m.data)}</span><small>${size(m.size)}, ${host(m.name)}</small></button>`)}</div>`
}

function Reading({ message: m, at }) {
  const decoded = useMemo(() => text(m.data, m.truncated), [m])
  const json = useMemo(() => isJSON(decoded), [decoded])
  const [as, show] = useState(json ? 'json' : decoded === null ? 'hex' : 'text')
  const options = [json && ['json', 'JSON'], decoded !== null && ['text', 'Text'], ['hex', 'Hex']].filter(Boolean)
  const left = Date.now() - at
  const facts = [
    ['Published', html`<${Time} at=${m.timestamp} text=${clock(m.timestamp, 'milliseconds')} />`],
    ['Attempt', m.attempts],
    m.deadline_ms !== null && ['Times out in', duration(Math.max(0, m.deadline_ms - left))],
    m.due_ms !== null && ['Due in', duration(Math.max(0, m.due_ms - left))],
    m.client && ['Held by', m.client],
    ['Node', host(m.name)],
    ['Size', size(m.size)],
  ].filter(Boolean)
  return html`<div class="reading"><div class="tools"><span class="mono grow cut" id="message-id">${m.id}</span>
      <${Choice} label="Show as" name="as" value=${as} options=${options} onChange=${show} /><${Copy} quiet text=${decoded ?? hex(m.data).map(l => l.join('  ')).join('\n')} /></div>
    <div class="facts">${facts.map(([name, value]) => html`<span>${name}<b>${value ?? UNKNOWN}</b></span>`)}</div>
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
