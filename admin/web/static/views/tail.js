// Live tail: messages as they come, sampled. The server has an ephemeral channel for it that takes nothing away from others.
import { html, useEffect, useRef, useState } from '../html.js'
import { address } from '../api.js'
import { decode, start } from '../body.js'
import { clock, count, size } from '../format.js'
import { Card, Choice, Nothing } from '../parts.js'

const KEPT = 60
const samples = [['0', 'All'], ['10', '10%'], ['1', '1%']]

export function Tail({ topic }) {
  const [on, turn] = useState(false)
  const [sample, pick] = useState('0')
  const [rows, setRows] = useState([])
  const [seen, setSeen] = useState(0)
  const [said, say] = useState('')
  const shown = useRef(0)
  useEffect(() => {
    if (!on) return
    shown.current = 0
    setRows([])
    setSeen(0)
    say('')
    const url = address('tail', { topic, sample: sample === '0' ? '' : sample })
    const es = new EventSource(url)
    es.addEventListener('messages', e => {
      const { messages, seen } = JSON.parse(e.data)
      shown.current += messages.length
      setSeen(n => n + seen)
      setRows(old => messages.reverse().map(m => ({ ...m, data: decode(m.body) })).concat(old).slice(0, KEPT))
    })
    es.addEventListener('bye', e => { es.close(); say(JSON.parse(e.data).text); turn(false) })
    es.onerror = () => {
      es.close()
      // A stream that was refused says not why; the same question asked plainly does.
      fetch(url, { credentials: 'same-origin' }).then(a => a.ok ? (a.body?.cancel(), null) : a.json()).then(b => say(b?.text ?? 'The tail was interrupted.')).catch(() => say('qadmin does not answer.'))
      turn(false)
    }
    return () => es.close()
  }, [on, sample])
  const aside = html`<span class="small faint wide-only">A channel of its own, gone with it; it never takes what waits for others</span>
    <${Choice} label="Sample" name="sample" value=${sample} options=${samples} onChange=${pick} />
    <button type="button" class="btn" id="tail-turn" aria-pressed=${String(on)} onClick=${() => turn(!on)}>${on ? 'Stop' : 'Watch'}</button>`
  return html`<${Card} id="tail" title="Live tail" aside=${aside} foot=${(on || seen > 0) && html`<span class="small faint" id="tail-seen">${count(seen)} seen, ${count(shown.current)} shown, the last ${KEPT} kept</span>`}>
    ${said && html`<${Nothing}><span class="warn" role="status" id="tail-said">${said}</span><//>`}
    ${rows.length === 0 ? !said && html`<${Nothing}>${on ? 'Waiting for messages' : 'Shows messages as they are published.'}<//>`
      : html`<div class="scroll tail" tabindex="0" aria-label="Messages as they come"><table class="fixed"><tbody>${rows.map(m => html`<tr key=${m.id + m.node} data-tailed=${m.id}><td class="when mono faint">${clock(m.timestamp, 'milliseconds')}</td>
        <td class="mono cut">${start(m.data, 300)}</td><td class="number soft room">${size(m.size)}</td></tr>`)}</tbody></table></div>`}<//>`
}
