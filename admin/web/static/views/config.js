// Settings of a topic or a channel: what is in force on which nodes, where it comes from, and changing it.
import { html, useEffect, useState } from '../html.js'
import { Failures, report, send } from '../actions.js'
import { get } from '../api.js'
import { Dialog, ask } from '../dialog.js'
import { clock, count, host, plural, size } from '../format.js'
import { useLive } from '../live.js'
import { useMe } from '../me.js'
import { Card, Nothing, Time } from '../parts.js'
import { Table } from '../table.js'

/** What nodes answer of the settings of what is `there`, and how to ask again. */
export function useConfig(topic, channel, there) {
  const [answer, set] = useState(null)
  const load = () => get('config', { topic, channel }).then(set).catch(e => set({ settings: [], nodes: [], unmet: [], error: e.message }))
  useEffect(() => { if (there) load() }, [topic, channel, there])
  return { answer, load }
}

// Settings without which one would wonder what a topic or channel does.
const SAYS = {
  ordered: v => v === 'key' ? ['ordered by key', 'One message of each key is in flight at a time, in the order of the publishes']
    : v === 'channel' && ['in order', 'One message is in flight at a time, in the order of the publishes'],
  prioritised: v => v && ['prioritised', 'What has a higher priority is delivered before what waits with a lower one'],
  dedup_window: v => v !== '0s' && [`no doubles within ${v}`, 'A message whose id came before within this time is OK’d and not stored'],
}

/** These settings, where they are in force, as tags. */
export const SettingTags = ({ of: answer }) => answer?.settings.flatMap(({ name, values }) => values.map(v => {
  const said = SAYS[name]?.(v.value)
  const all = answer.nodes.filter(n => n.ok).length
  return said && html` <span class="tag" data-setting=${name} title=${said[1] + (v.nodes.length < all ? `. On ${v.nodes.map(host).join(', ')} only` : '')}>${said[0]}</span>`
}))

export function Config({ topic, channel, config: { answer, load } }) {
  const may = useMe()?.may_act
  const all = answer?.nodes.filter(n => n.ok).length
  const left = answer?.nodes.filter(n => !n.ok).map(n => `${host(n.name)}: ${n.error}`) ?? []
  const change = row => ask(Change, { topic, channel, row, doors: answer.nodes.filter(n => n.door), done: load })
  return html`<${Card} id="config" ruled title="Settings" aside=${answer?.at && html`<span class="small faint">of <${Time} at=${answer.at} text=${clock(answer.at, 'seconds')} /></span>
    <button type="button" class="btn" data-action="config-again" onClick=${load}>Ask again</button>`}
    foot=${(answer?.unmet.length > 0 || all > 0 && left.length > 0) && html`<span class="warn small" id="config-left">${[...answer.unmet, ...left].join('. ')}</span>`}>
    ${answer && all > 0 ? html`<${Table} id="config-table" name="config" label="Settings" columns=${columns(all, may && change)} rows=${answer.settings} rowKey=${s => s.name} />`
      : html`<${Nothing}>${answer ? answer.error || left.join('. ') : 'Asking the nodes'}<//>`}<//>`
}

// Only what some nodes have is said with their names.
const each = (row, all, show) => row.values.map(v => html`<div key=${v.nodes[0]}>${show(v)}${v.nodes.length < all && html` <span class="warn small">on ${v.nodes.map(host).join(', ')}</span>`}</div>`)
const origin = v => v.from === 'set' ? 'set here' : v.from === 'pattern' ? html`pattern <span class="mono">${v.pattern}</span>` : html`<span class="faint">default</span>`

function Value({ of: { name, allowed }, value }) {
  if (/\(none\)/.test(allowed) && ['', 0, '0s'].includes(value)) return html`<span class="zero" title=${JSON.stringify(value)}>none</span>`
  if (typeof value !== 'number') return String(value)
  return html`<span title=${count(value)}>${/bytes/.test(name) ? size(value) : value.toLocaleString()}</span>`
}

const columns = (all, change) => [
  { key: 'name', label: 'Setting', name: true, cell: s => html`<span class="mono">${s.name}</span>` },
  { key: 'value', label: 'In force', cell: s => each(s, all, v => html`<${Value} of=${s} value=${v.value} />`) },
  { key: 'from', label: 'From', cls: 'medium', cell: s => each(s, all, origin) },
  change && { key: 'act', label: html`<span class="hidden">Actions</span>`, cls: 'act', cell: s => html`<button type="button" class="btn quiet" data-action="change-setting" data-setting=${s.name}
    onClick=${() => change(s)}>Change…</button>` },
].filter(Boolean)

// The words that a setting may be, where it is one of some; else undefined.
const word = '("[^"]*"|true|false)'
const words = allowed => new RegExp(`^${word}(( or |, )${word})*$`).test(allowed) ? allowed.match(new RegExp(word, 'g')).map(w => JSON.parse(w)) : undefined
// What was typed, as the setting is: text stays text, as nodes know units that the page does not.
const typedAs = (is, text) => typeof is === 'boolean' ? text === 'true' : typeof is === 'number' && text !== '' && Number.isSafeInteger(Math.trunc(Number(text))) ? Number(text) : text
const TAKES = /^(max_age|max_bytes|max_messages|overflow)$/ // messages that wait, where it is set lower

function Change({ topic, channel, row, doors, done, close }) {
  const { frame } = useLive()
  const is = row.values[0].value
  const [value, set] = useState(String(is))
  const [account, setAccount] = useState(null)
  const [busy, setBusy] = useState(false)
  const choices = words(row.allowed)
  const run = async request => {
    setBusy(true)
    const went = await send(request)
    setBusy(false)
    if (!went.ok) { setAccount(went); if (went.results?.some(r => r.ok)) done(); return }
    close()
    report(went)
    done()
  }
  const to = v => run({ action: channel ? 'configure_channel' : 'configure_topic', topic, channel, settings: { [row.name]: v } })
  const given = () => !busy && to(typedAs(is, String(value).trim()))
  // All of them refuse for the same reason: that is about the value.
  const problem = account?.problem ?? (new Set(account?.results?.map(r => r.status + r.error)).size === 1 && account.results[0].error)
  const silent = (frame?.data.nodes ?? []).filter(n => n.stale && doors.some(d => d.node === n.node))
  const f = frame?.data.figures ?? {}, waiting = (f.topic_depth ?? 0) + (f.channel_depth ?? 0)
  return html`<${Dialog} id="change" title=${`Set ${row.name} of ${topic}${channel ? ' / ' + channel : ''}?`} close=${close} onSubmit=${given}
    text=${`It holds on ${plural(doors.length, 'node')} at once and over restarts, until it is reset: then patterns and defaults of the nodes count again.`}>
    ${silent.length > 0 && html`<div class="silent-nodes warn small" id="change-silent">${silent.map(n => html`<p>${host(n.name)} gives no answer since ${clock(n.seen, 'seconds')}</p>`)}
      <p>It is asked as well, and may not answer.</p></div>`}
    ${account?.results && !problem ? html`<div role="status"><p><b>Half done.</b> ${account.text}</p><${Failures} account=${account} again=${run} /></div>`
      : html`<label class="field"><span>${row.name}</span>${choices
        ? html`<select id="change-value" data-first onChange=${e => set(e.target.value)}>${choices.map(c => html`<option value=${c} selected=${String(c) === String(value)}>${String(c)}</option>`)}</select>`
        : html`<input id="change-value" data-first autocomplete="off" autocapitalize="off" spellcheck=${false} aria-describedby="change-allowed" aria-invalid=${problem ? 'true' : undefined} value=${value}
          onInput=${e => set(e.target.value)} />`}</label>
        <p class="small faint" id="change-allowed">${row.allowed}</p>
        ${TAKES.test(row.name) && waiting > 0 && html`<p class="small warn">${plural(waiting, 'message')} ${waiting === 1 ? 'waits' : 'wait'}: what this drops cannot be brought back.</p>`}`}
    ${problem && html`<p class="problem" role="status" id="change-problem">${problem}</p>`}
    <div class="foot">${row.values.some(v => v.from === 'set') && html`<button type="button" class="btn" id="change-reset" disabled=${busy} onClick=${() => to(null)}>Reset</button>`}<span class="grow"></span>
      <button type="button" class="btn" onClick=${close}>Cancel</button><button type="submit" class="btn primary" id="change-go" disabled=${busy}>Set</button></div><//>`
}
