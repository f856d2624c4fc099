// Moving what waits in a channel to another topic, in the background.
import { html, useState } from '../html.js'
import { post } from '../api.js'
import { Dialog, ask } from '../dialog.js'
import { count } from '../format.js'
import { JobDialog } from '../jobs.js'
import { useLive } from '../live.js'

export function Move({ topic, channel, close }) {
  const { frame } = useLive()
  const [to, set] = useState('')
  const [problem, say] = useState('')
  const f = frame?.data.figures ?? {}
  const run = async () => {
    if (!to.trim()) return
    try {
      const job = await post('move', { topic, channel, to: to.trim() })
      close()
      ask(JobDialog, { job })
    } catch (e) { say(e.message) }
  }
  return html`<${Dialog} id="move" title=${`Move what waits in ${topic} / ${channel}`} close=${close} onSubmit=${run}
    text="Messages that wait now are published to another topic, oldest first, and then finished here. Deferred ones and those in flight stay. A node that is killed meanwhile may leave a few in both.">
    <div class="loss"><span>Waiting</span><b>${count(f.depth)}</b><span>Consumers</span><b>${count(f.consumers)}</b></div>
    ${f.consumers > 0 && !frame.data.paused && html`<p class="warn small">Pause the channel first: its consumers would get a part of these messages meanwhile.</p>`}
    <label class="field"><span>To topic</span><input id="move-to" data-first autocomplete="off" autocapitalize="off" spellcheck=${false} value=${to} onInput=${e => set(e.target.value)} /></label>
    ${problem && html`<p class="problem" role="status">${problem}</p>`}
    <div class="foot"><span class="grow"></span><button type="button" class="btn" onClick=${close}>Cancel</button><button type="submit" class="btn primary" id="move-go" disabled=${!to.trim()}>Move</button></div><//>`
}
