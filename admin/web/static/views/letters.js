// Dead letters of a topic, with where they come from, and the way back for one or all.
import { html, useState } from '../html.js'
import { get, post } from '../api.js'
import { decode, start } from '../body.js'
import { clock, host, plural } from '../format.js'
import { useMe } from '../me.js'
import { Card, Nothing, Time } from '../parts.js'
import { to } from '../router.js'
import { Table } from '../table.js'

export function DeadLetters({ topic }) {
  const me = useMe()
  const [answer, setAnswer] = useState(null)
  const [said, say] = useState('')
  const act = async what => {
    try {
      say(await what() ?? '')
      setAnswer(await get('deadletters', { topic }))
    } catch (e) { say(e.message) }
  }
  const putBack = wanted => act(async () => {
    const got = await post('putback', { topic, ...wanted })
    return [`${plural(got.put_back, 'message')} put back`, ...got.problems].join('. ')
  })
  const silent = answer?.nodes.filter(n => n.available && !n.ok).map(n => `${host(n.name)}: ${n.error}`) ?? []
  const aside = html`${me?.may_act && answer?.letters.length > 0 && html`<button type="button" class="btn" data-action="put-back-all" onClick=${() => putBack({ all: true })}>Put all back</button>`}
    <button type="button" class="btn" data-action="dead-letters" onClick=${() => act(async () => '')}>${answer ? 'Look again' : 'Look'}</button>`
  return html`<${Card} id="dead-letters" ruled title="Dead letters" aside=${aside}
    foot=${(answer?.more || silent.length > 0) && html`<span class="grow">${[answer.more && 'There are more', ...silent].filter(Boolean).join('. ')}</span>`}>
    ${(said || !answer) && html`<${Nothing}><span role="status">${said || 'What channels gave up. Put back, a message is new to that channel, and to no other.'}</span><//>`}
    ${answer && html`<${Table} id="dead-letters-table" name="letters" label="Dead letters" order="time" columns=${columns(me?.may_act && putBack)} rows=${answer.letters}
      rowKey=${l => l.node + l.id} empty="No dead letters." />`}
  <//>`
}

const columns = putBack => [
  { key: 'time', label: 'Given up', value: l => l.ended, cell: l => html`<${Time} at=${l.ended} text=${clock(l.ended, 'seconds')} />` },
  { key: 'from', label: 'By', name: true, value: l => l.topic + '/' + l.channel, cell: l => html`<a href=${to.channel(l.topic, l.channel)}>${l.topic} / ${l.channel}</a>` },
  { key: 'reason', label: 'Why', cls: 'medium', value: l => l.reason, cell: l => `${l.reason}, attempt ${l.attempts}` },
  { key: 'body', label: 'Body', cell: l => html`<span class="mono start-of-body">${start(decode(l.body))}</span>` },
  { key: 'node', label: 'Node', cls: 'medium', value: l => l.name, cell: l => host(l.name) },
  putBack && { key: 'act', label: '', cls: 'act', cell: l => html`<button type="button" class="btn quiet" data-action="put-back" data-message=${l.id} onClick=${() => putBack({ id: l.id, node: l.node })}>Put back</button>` },
].filter(Boolean)
