// Dialogs: one at a time, the browser's own. Dangerous actions want the name typed; their counts stay live.
import { html, useEffect, useRef, useState } from './html.js'
import { Failures, report, send } from './actions.js'
import { clock, count, host, utc } from './format.js'
import { PLACES, position } from './places.js'
import { go } from './router.js'
import { useLive } from './live.js'

let open = null
let tell = () => {}

/** Shows a dialog: a component that gets `close`, and its properties. */
export function ask(Component, props = {}) {
  open = { Component, props }
  tell()
}
function close() {
  open = null
  tell()
}
/** Closes what is open, on the way to another page. */
export const closeDialog = close

/** Where dialogs appear. */
export function DialogPlace() {
  const [, turn] = useState(0)
  tell = () => turn(n => n + 1)
  return open && html`<${open.Component} ...${open.props} close=${close} key=${open} />`
}

/** The frame of a dialog. Escape closes it, and the focus goes back to where it was. */
export function Dialog({ title, text, close, wide, children, id, onSubmit }) {
  const ref = useRef(null)
  useEffect(() => {
    const before = document.activeElement
    ref.current.showModal()
    ref.current.querySelector('[data-first]')?.focus()
    return () => before?.isConnected && before.focus({ preventScroll: true })
  }, [])
  const submit = e => { e.preventDefault(); onSubmit?.() }
  return html`<dialog ref=${ref} id=${id} class=${wide ? 'wide' : ''} aria-labelledby="dialog-title" onClose=${close} onClick=${e => e.target === ref.current && close()}>
    <form onSubmit=${submit}><div><h2 id="dialog-title">${title}</h2>${text && html`<p>${text}</p>`}</div>${children}</form></dialog>`
}

/**
 * Asks before messages or more are lost. `losses(data)` are [label, number] of the present frame; `typed` is the name to type;
 * `places` asks for a place in the log, too; `then` is where to go when all is done; `lost(node)` is what a node holds of it: of silent ones, what they said last.
 */
export function Confirm({ title, text, losses, lost, places, typed, hint, verb, request, then, close }) {
  const { frame } = useLive()
  const [value, set] = useState('')
  const [from, setFrom] = useState('first')
  const [busy, setBusy] = useState(false)
  const [account, setAccount] = useState(null)
  const fits = value.trim() === typed
  const run = async request => {
    setBusy(true)
    const went = await send(request)
    setBusy(false)
    if (!went.ok) { setAccount(went); return }
    close()
    if (then) go(then)
    report(went)
  }
  const rows = frame ? losses(frame.data) : []
  const silent = lost ? (frame?.data.nodes ?? []).filter(n => n.stale) : []
  return html`<${Dialog} id="confirm" title=${title} text=${text} close=${close} onSubmit=${() => fits && !busy && !account?.results && run(places ? { ...request, from: position(from) } : request)}>
    ${rows.length > 0 && html`<div class="loss">${rows.map(([label, n]) => html`<span>${label}</span><b>${count(n)}</b>`)}</div>`}
    ${silent.length > 0 && html`<div class="silent-nodes warn small" id="confirm-silent">${silent.map(n => html`<p>${LastKnown(n, lost(n))}</p>`)}
      <p>They are told as well, and may not answer.</p></div>`}
    ${account?.results ? html`<div role="status"><p><b>Half done.</b> ${account.text}</p><${Failures} account=${account} again=${run} /></div>`
      : html`${places && html`<${Place} id="confirm-from" label="From" value=${from} set=${setFrom} />`}<label class="field"><span>Type <code class="typed">${typed}</code> to go on</span>
        <input id="confirm-name" data-first autocomplete="off" autocapitalize="off" spellcheck=${false} aria-describedby="confirm-hint" value=${value}
          onInput=${e => set(e.target.value)} /></label>`}
    ${account?.problem && html`<p class="problem" role="status">${account.problem}</p>`}
    <div class="foot"><span class="small faint grow" id="confirm-hint">${!account?.results && hint}</span>
      <button type="button" class="btn" id="confirm-cancel" onClick=${close}>${account?.results ? 'Close' : 'Cancel'}</button>
      ${!account?.results && html`<button type="submit" class="btn final" id="confirm-go" disabled=${!fits || busy}>${verb}</button>`}</div>
  <//>`
}

// Where in the log.
const Place = ({ id, label, value, set }) => html`<label class="field" title=${PLACES}><span>${label}</span><input id=${id} placeholder=${PLACES} autocomplete="off" spellcheck=${false} value=${value} onInput=${e => set(e.target.value)} /></label>`

/** A node that is silent, and what it held when it answered last. */
export const LastKnown = (n, held) => html`without ${host(n.name)} since <time title=${utc(n.seen)}>${clock(n.seen, 'seconds')}</time>, last known ${count(held)}`

const NAME = /^[.a-zA-Z0-9_-]+(#ephemeral)?$/
const nameProblem = name => name.length > 64 ? 'at most 64 characters.' : NAME.test(name) ? '' : 'only letters, digits, “.”, “_” and “-”; “#ephemeral” may end it.'

/** Asks for a name (or two) and creates a topic or a channel. */
export function Create({ title, text, topic, channel, places, request, then, close }) {
  const [names, set] = useState({ topic: topic ?? '', channel: '', from: '' })
  const [problem, setProblem] = useState('')
  const [account, setAccount] = useState(null)
  const [busy, setBusy] = useState(false)
  const fields = [topic === undefined && ['topic', 'Topic'], channel && ['channel', channel === 'optional' ? 'Channel (may be left out)' : 'Channel']].filter(Boolean)
  const run = async (asked, given) => {
    setBusy(true)
    const went = await send(asked)
    setBusy(false)
    if (!went.ok) { setAccount(went); return }
    close()
    if (then && given) go(then(given))
    report(went)
  }
  const submit = () => {
    const given = { topic: names.topic.trim(), channel: names.channel.trim(), from: position(names.from) }
    for (const [key, label] of fields) {
      if (key === 'channel' && channel === 'optional' && given.channel === '') continue
      const bad = nameProblem(given[key])
      if (bad) { setProblem(`${label.split(' ')[0]}: ${bad}`); return }
    }
    setProblem('')
    run(request(given), given)
  }
  return html`<${Dialog} id="create" title=${title} text=${text} close=${close} onSubmit=${submit}>
    ${fields.map(([key, label], i) => html`<label class="field"><span>${label}</span>
      <input id="create-${key}" data-first=${i === 0 ? '' : undefined} autocomplete="off" autocapitalize="off" spellcheck=${false} value=${names[key]}
      onInput=${e => set({ ...names, [key]: e.target.value })} /></label>`)}
    ${places && html`<${Place} id="create-from" label="From (may be left out)" value=${names.from} set=${from => set({ ...names, from })} />`}
    ${account?.results && html`<div role="status"><p><b>Half done.</b> ${account.text}</p><${Failures} account=${account} again=${run} /></div>`}
    <div class="foot"><span class="problem grow" role="status">${problem || account?.problem}</span>
      <button type="button" class="btn" onClick=${close}>Cancel</button><button type="submit" class="btn primary" id="create-go" disabled=${busy}>Create</button></div>
  <//>`
}
