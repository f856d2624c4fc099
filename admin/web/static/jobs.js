// Work that the server does in the background: its progress, its parts per node, and a way to stop it.
import { html, useEffect, useState } from './html.js'
import { get, post } from './api.js'
import { Dialog } from './dialog.js'
import { count, plural } from './format.js'
import { Icon } from './icons.js'

const AGAIN = 700

/** Follows a job until it has ended. */
function useJob(first) {
  const [job, set] = useState(first)
  const [problem, setProblem] = useState('')
  useEffect(() => {
    if (job.ended) return
    const timer = setTimeout(() => get('job', { id: job.id }).then(set).catch(e => { setProblem(e.message); set({ ...job }) }), AGAIN)
    return () => clearTimeout(timer)
  }, [job])
  return [job, problem]
}

const how = j => !j.ended ? 'At work' : j.stopped ? 'Stopped' : j.error || j.failed ? 'Ended with problems' : 'Done'

/** A job in a dialog. Closing it leaves the job at work. */
export function JobDialog({ job: first, close }) {
  const [job, problem] = useJob(first)
  const stop = () => post('job_stop?id=' + job.id, {}).catch(() => {})
  return html`<${Dialog} id="job" wide title=${job.text} text=${html`<b>${how(job)}.</b> ${count(job.done)} of ${count(job.of)}${job.unit === 'messages' ? ' messages' : ''}${job.failed > 0 ? `, ${count(job.failed)} failed` : ''}.`} close=${close}>
    <progress max=${job.of || 1} value=${job.ended && !job.stopped && !job.of ? 1 : job.done} aria-label="Progress"></progress>
    ${(job.error || problem) && html`<p class="problem" role="status">${problem || job.error}</p>`}
    ${job.nodes.length > 0 && html`<div class="scroll"><table><thead><tr><th scope="col">Node</th><th scope="col" class="number">Done</th><th scope="col" class="number">Messages</th><th scope="col">Failed</th></tr></thead>
      <tbody>${job.nodes.map(n => html`<tr key=${n.node} data-job-node=${n.name}><td>${n.name || n.node}</td><td class="number">${count(n.done)}</td><td class="number">${count(n.messages)}</td>
        <td class=${n.failed ? 'warn' : 'soft'}>${n.failed ? `${count(n.failed)}: ${n.error}` : 'none'}</td></tr>`)}</tbody></table></div>`}
    <div class="foot"><span class="small faint grow">${job.ended ? '' : 'It goes on when this is closed; Activity has it.'}</span>
      ${!job.ended && html`<button type="button" class="btn" id="job-stop" onClick=${stop}>Stop</button>`}
      <button type="button" class="btn" data-first="" id="job-close" onClick=${close}>Close</button></div><//>`
}

/** Jobs that are at work, for the page of what was done. */
export function useJobs(turn) {
  const [list, set] = useState([])
  useEffect(() => {
    let timer = 0, over = false
    const ask = () => get('jobs').then(a => { if (!over) { set(a.jobs.filter(j => !j.ended)); timer = setTimeout(ask, 3000) } }).catch(() => {})
    ask()
    return () => { over = true; clearTimeout(timer) }
  }, [turn])
  return list
}
export const JobLine = ({ job, open }) => html`<div class="note" key=${job.id}><${Icon} name="info" /><div class="grow"><b>${job.text}</b>: ${count(job.done)} of ${plural(job.of, job.unit === 'messages' ? 'message' : 'step')}</div>
  <button type="button" class="btn" data-job=${job.id} onClick=${open}>Show</button></div>`
