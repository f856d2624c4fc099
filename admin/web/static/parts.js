// The parts that every view is made of.
import { html, useRef, useState } from './html.js'
import { Icon } from './icons.js'
import { Spark } from './spark.js'
import { UNKNOWN, count, duration, figure, host, latency, moment, moments, small, utc } from './format.js'
import { useHeld } from './hold.js'
import { to } from './router.js'

/** A moment in local time, UTC on hover. */
export const Time = ({ at, text }) => html`<time datetime=${at ? new Date(at).toISOString() : undefined} title=${utc(at)}>${text ?? moment(at)}</time>`

/** A text of the server with its moments in local time. */
export const Text = ({ of }) => moments(of).map(part => typeof part === 'number' ? html`<${Time} at=${part} />` : part)

/** topic / channel */
export const Pair = ({ topic, channel }) => channel ? html`${topic}<span class="sep unit"> / </span>${channel}` : topic

/** A number in a cell: zero and units are grey. */
export function Num({ n, unit, of = count }) {
  if (n === null || n === undefined) return UNKNOWN
  if (n === 0) return html`<span class="zero">0</span>`
  return html`${of(n)}${unit && html`<u>${unit}</u>`}`
}
export const Rate = ({ n }) => html`<${Num} n=${n} unit="/s" of=${small} />`
export const PerMinute = ({ n }) => html`<${Num} n=${n} unit="/min" of=${small} />`
export const Parts = ({ of }) => html`${of.text}${of.unit && html`<u>${of.unit}</u>`}`
export const Latency = ({ of, q }) => { const l = of?.find(l => l.q === q); return l ? html`<${Parts} of=${latency(l.ms)} />` : UNKNOWN }

/** State as a shape, with a word for those who do not see it. */
const states = { ok: 'healthy', warn: 'needs attention', crit: 'unhealthy', idle: 'idle' }
export const Dot = ({ state = 'ok', text }) => html`<i class="dot ${state}"></i><span class="hidden">${text ?? states[state]}: </span>`
export const NodeDot = ({ node }) => node.stale ? html`<${Dot} state="crit" text="not answering" />`
  : node.state !== 'crit' && (node.damaged || node.damage) ? html`<${Dot} state="warn" text="damaged" />` : html`<${Dot} state=${node.state} />`

/**
 * A figure: label, value, one line of meaning, the trend of an hour. `n` is written in full, or in short with a unit, unless
 * `value` says how; a change of n shows for a moment.
 */
export function Figure({ id, label, n, value, unit, means, warn, spark, tone, flash = true }) {
  const seen = useRef({ n, turn: 0 })
  const before = seen.current
  if (n !== before.n) {
    const changed = flash && typeof n === 'number' && typeof before.n === 'number' && Math.abs(n - before.n) > 0.005 * Math.abs(before.n)
    seen.current = { n, turn: changed ? before.turn + 1 : before.turn }
  }
  const turn = seen.current.turn
  const shown = value ?? (unit ? { text: small(n), unit: '' } : figure(n))
  const meaning = means ?? (shown.full || '')
  return html`<dl class="figure" data-figure=${id}><dt>${label}</dt>
    <dd><span class="value ${turn ? (turn % 2 ? 'tick-a' : 'tick-b') : ''}"
      title=${shown.full}>${shown.text}${(shown.unit || unit) && html`<u>${shown.unit}${unit && shown.text !== UNKNOWN ? unit : ''}</u>`}</span></dd>
    <dd class="means ${warn ? 'warn' : ''}" title=${typeof meaning === 'string' ? meaning : undefined}>${meaning}</dd>
    ${spark !== undefined && html`<${Spark} data=${spark} tone=${tone} width=${150} height=${24} trend />`}</dl>`
}
export const Figures = ({ children, label }) => html`<section class="card figures" aria-label=${label ?? 'Figures'}>${children}</section>`

/** A card with a head, and perhaps a foot. */
export const Card = ({ id, title, aside, foot, ruled, cls = 'w12', children }) => html`<section class="card ${cls}" id=${id} aria-label=${title}>
  <header class=${ruled ? 'ruled' : ''}><h2>${title}</h2><span class="grow"></span>${aside}</header>${children}${foot && html`<footer>${foot}</footer>`}</section>`

/** One of several choices. `options` are [value, text, count]. */
export const Choice = ({ label, value, options, onChange, name }) => html`<div class="choice" role="group" aria-label=${label}>
  ${options.map(([key, text, n]) => html`<button type="button" data-choice=${name ? `${name}-${key}` : key} aria-pressed=${String(key === value)}
    onClick=${() => onChange(key)}>${text}${n !== undefined && html`<b>${count(n)}</b>`}</button>`)}</div>`

/** A sentence that stands out, with a level and what can be done about it. */
export const Note = ({ level = '', icon, role, id, children, actions }) => html`<div class="note ${level}" role=${role} id=${id}>
  <${Icon} name=${icon ?? (level === 'crit' ? 'crit' : level === 'warn' ? 'warn' : 'info')} /><div class="grow">${children}</div>${actions}</div>`

/** Why a part is empty, and what would fill it. */
export const Nothing = ({ children }) => html`<div class="nothing">${children}</div>`

// Browsers give a page on plain http no clipboard; selecting and copying still works there.
async function toClipboard(text) {
  try { await navigator.clipboard.writeText(text); return true } catch { /* the other way */ }
  const area = document.createElement('textarea')
  area.value = text
  area.className = 'hidden'
  document.body.append(area)
  const before = document.activeElement
  area.select()
  const done = document.execCommand('copy')
  area.remove()
  before?.focus({ preventScroll: true })
  return done
}

/** Copies a text, and says so on its own face. */
export function Copy({ text, quiet, label = 'Copy' }) {
  const [said, say] = useState('')
  const copy = async () => {
    say(await toClipboard(text) ? 'Copied' : 'Not allowed')
    setTimeout(() => say(''), 1500)
  }
  return html`<button type="button" class="btn ${quiet ? 'quiet slim' : ''}" data-action="copy" onClick=${copy}>${said || label}</button>`
}
export const Command = ({ text }) => html`<div class="command"><code>${text}</code><${Copy} text=${text} /></div>`

/** Where a line of attention leads. */
const target = line => line.set ? to.sets() : line.channel ? to.channel(line.topic, line.channel) : line.topic ? to.topic(line.topic) : line.node ? to.node(line.node) : to.nodes()

function measure(line) {
  if (line.value_text) return line.value_text
  if (line.value === null) return ''
  if (line.unit === 'silent') return duration(line.value)
  return line.unit === 'timed out' ? `${small(line.value)}/min` : count(line.value)
}

/** Lines of attention: open ones first, then what is over, on a fixed number of places. */
export function Attention({ lines, places = 0, id = 'attention' }) {
  const ref = useRef(null)
  const shown = useHeld(ref, lines)
  return html`<div class="attention" data-hold ref=${ref} id=${id}>
    ${shown.map(line => html`<a key=${line.id + (line.over ?? '')} class=${line.over ? 'over' : ''} href=${target(line)} data-line=${line.id} data-level=${line.over ? 'over' : line.level}>
      <span class=${line.over ? '' : line.level}><${Icon} name=${line.over ? 'check' : line.icon} size=${18} /></span>
      <span class="grow"><b>${line.topic ? html`<${Pair} topic=${line.topic} channel=${line.channel} />` : line.name || line.lookupd || line.node}</b>
        <span class="why"><${Text} of=${line.text} /></span></span>
      ${line.spark && !line.over && html`<${Spark} data=${line.spark} tone=${line.level} width=${104} height=${26} />`}
      <span class="measure">${line.over ? html`<b><${Time} at=${line.over} /></b><span>over</span>` : html`<b>${measure(line)}</b><span>${line.unit}</span>`}</span><span class="go"><${Icon} name="right" size=${14} /></span></a>`)}
    ${Array.from({ length: Math.max(0, places - shown.length) }, (_, i) => html`<div class="place" key=${'place' + i}></div>`)}
  </div>`
}

/** The figures of a topic or channel; without numbers where only silent nodes could tell them. */
export function known(data) {
  const f = data?.figures ?? {}
  if (!f.unknown) return f
  return Object.fromEntries(Object.entries(f).map(([key, v]) => [key, typeof v === 'number' ? null : v]))
}

/** What a sum leaves out, or the sentence that belongs there otherwise. */
export const meaning = (without, otherwise) => without?.length ? `without ${without.map(host).join(', ')}` : otherwise
