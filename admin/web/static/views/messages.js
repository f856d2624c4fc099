// What a reader may do with one message: look at it whole, act on it, publish it again.
import { html, useState } from '../html.js'
import { address, post } from '../api.js'
import { text } from '../body.js'
import { Dialog, ask } from '../dialog.js'
import { host, size } from '../format.js'
import { useMe } from '../me.js'
import { PublishForm } from './publish.js'

const MOST_EDITED = 1048576 // bytes, as many as may be published by hand

/** The whole body of a message as bytes. */
async function whole(topic, m) {
  if (!m.truncated) return m.data
  const answer = await fetch(address('download', { topic, node: m.node, id: m.id }), { credentials: 'same-origin' })
  if (!answer.ok) throw new Error((await answer.json().catch(() => null))?.text ?? 'It cannot be read.')
  return new Uint8Array(await answer.arrayBuffer())
}

export function MessageActions({ topic, channel, message: m, done }) {
  const may = useMe()?.may_act
  const [said, say] = useState(null)
  const act = async (action, more = {}) => {
    say(null)
    try {
      const a = await post('message', { action, topic, channel, node: m.node, id: m.id, ...more })
      say(a.ok ? { text: { requeue: 'It is delivered as soon as it can be.', finish: 'Finished.', republish: `Published to ${more.to}.` }[action] } : { bad: true, text: `${host(m.name)}: ${a.error}` })
      if (a.ok) done?.()
      return a.ok
    } catch (e) { say({ bad: true, text: e.message }) }
  }
  const edit = async () => {
    try {
      if (m.size > MOST_EDITED) throw new Error(`It has ${size(m.size)}; up to 1 MiB can be edited.`)
      const body = text(await whole(topic, m), false)
      if (body === null) throw new Error('Its body is no text; download it instead.')
      ask(Again, { topic, node: m.node, body, headers: m.headers })
    } catch (e) { say({ bad: true, text: e.message }) }
  }
  return html`<div class="tools acts"><a class="btn slim" data-action="download" href=${address('download', { topic, node: m.node, id: m.id }).href} download="">Download</a>
    ${may && html`${channel && html`<button type="button" class="btn slim" data-action="requeue" onClick=${() => act('requeue')}>Requeue now</button>
      <button type="button" class="btn slim" data-action="republish" onClick=${() => ask(Republish, { topic, channel, act })}>Republish…</button>`}
      <button type="button" class="btn slim" data-action="edit" onClick=${edit}>Edit and publish…</button>
      ${channel && html`<button type="button" class="btn slim quiet harm" data-action="finish" onClick=${() => ask(Finish, { id: m.id, channel, act })}>Finish…</button>`}`}
    <span class="small grow ${said?.bad ? 'problem' : 'ok'}" id="message-said" role="status">${said?.text}</span></div>`
}

const Finish = ({ id, channel, act, close }) => html`<${Dialog} id="finish" title="Finish this message?" text=${`${id} counts as done in ${channel} and is not delivered there any more. Other channels keep their copies.`} close=${close}
  onSubmit=${() => { act('finish'); close() }}><div class="foot"><span class="grow"></span><button type="button" class="btn" onClick=${close}>Cancel</button>
  <button type="submit" class="btn final" id="finish-go" data-first="">Finish message</button></div><//>`

function Republish({ topic, channel, act, close }) {
  const [to, set] = useState(topic)
  const [finish, setFinish] = useState(false)
  const submit = () => { if (to.trim()) { act('republish', { to: to.trim(), finish }); close() } }
  return html`<${Dialog} id="republish" title="Publish this message again" text="Its body goes to all channels of the topic." close=${close} onSubmit=${submit}>
    <label class="field"><span>Topic</span><input id="republish-to" data-first autocomplete="off" spellcheck=${false} value=${to} onInput=${e => set(e.target.value)} /></label>
    <label class="check"><input type="checkbox" id="republish-finish" checked=${finish} onChange=${() => setFinish(!finish)} /> Finish it in ${channel} then</label>
    <div class="foot"><span class="grow"></span><button type="button" class="btn" onClick=${close}>Cancel</button><button type="submit" class="btn primary" id="republish-go">Republish</button></div><//>`
}

const Again = ({ topic, node, body, headers, close }) => html`<${Dialog} id="again" wide title=${`Publish to ${topic}`} text=${`The message that it was stays as it is.${headers ? ' Its headers do not go along.' : ''}`} close=${close} plain>
  <${PublishForm} topic=${topic} nodes=${[{ node, name: node }]} body=${body} hint="Reaches all channels" done=${close} /><//>`
