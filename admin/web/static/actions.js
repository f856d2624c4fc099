// What a reader may do to the cluster: each action's words, its request, and the account of how it went.
import { html, useEffect, useState } from './html.js'
import { get, post } from './api.js'
import { clock, plural } from './format.js'
import { Icon } from './icons.js'
import { Note } from './parts.js'

const DONE_FOR = 8000
const LOOK_AGAIN = 1000, LOOKS = 60 // for nodes that are pending

const done = {
  create_topic: 'Created', delete_topic: 'Deleted', create_channel: 'Created', delete_channel: 'Deleted',
  pause_topic: 'Paused', unpause_topic: 'Unpaused', empty_topic: 'Emptied',
  pause_channel: 'Paused', unpause_channel: 'Unpaused', empty_channel: 'Emptied', tombstone_topic_producer: 'Tombstoned', acknowledge_damage: 'Acknowledged',
  rewind_channel: 'Rewound', configure_topic: 'Settings of', configure_channel: 'Settings of',
  move_leader: 'Moved', balance_leaders: 'Balancing', add_member: 'Expecting', remove_member: 'Removing',
}
const what = r => r.topic ? r.topic + (r.channel ? ' / ' + r.channel : '') : 'the damage'

// The account of the last action: { request, ok, text, results, path } or { request, problem, path }, or null.
let account = null
let running = false
let timer = 0
const watchers = new Set()
function tell(next) {
  account = next && { ...next, path: location.pathname }
  clearTimeout(timer)
  if (next?.ok) timer = setTimeout(() => tell(null), DONE_FOR)
  for (const f of watchers) f()
}

const accountOf = (request, answer) => ({ request, ok: answer.ok, text: `${done[request.action]} ${what(request)}: ${answer.summary}`, results: answer.results, activity: answer.activity })
const pending = account => account.results?.some(r => r.pending)

// What hangs is waited for while its account is on the screen.
async function follow(first) {
  for (let n = 0, went = first; n < LOOKS && pending(went); n++) {
    await new Promise(after => setTimeout(after, LOOK_AGAIN))
    if (account?.activity !== first.activity) return
    try { went = accountOf(first.request, await get('outcome', { activity: first.activity })) } catch { return }
    if (account?.activity === first.activity) tell(went)
  }
}

/** Sends an action and answers its account: { ok, text, results } or { problem: sentence }. */
export async function send(request) {
  try {
    const answer = await post('act', request)
    if (request.set) return { request, ok: answer.ok, text: `${done[request.action]} ${answer.summary}`, problem: answer.ok ? undefined : answer.results[0]?.error || 'It was not done.' }
    return accountOf(request, answer)
  } catch (e) {
    return { request, ok: false, problem: e.message, status: e.status }
  }
}

/** Sends an action that needs no question, and reports under the title how it went. */
export async function perform(request) {
  if (running) return
  running = true
  tell(null)
  const went = await send(request)
  running = false
  tell(went)
  follow(went)
}

/** Reports what a dialog did. */
export const report = tell

/** Puts the account away. */
const forget = () => tell(null)

/** The account of what was done on this page. */
export function useAccount() {
  const [, turn] = useState(0)
  useEffect(() => {
    const f = () => turn(n => n + 1)
    watchers.add(f)
    return () => watchers.delete(f)
  }, [])
  return account?.path === location.pathname ? account : null
}

/** One line per target that failed, each with a way to try it again. */
export function Failures({ account, again }) {
  const failed = account.results?.filter(r => !r.ok) ?? []
  return html`<div class="results">${failed.map(r => html`<div class="foot" key=${r.target}><span class=${r.pending ? 'warn' : 'crit'}><${Icon} name=${r.pending ? 'pause' : 'crit'} size=${14} /></span>
    <span class="grow">${r.name || r.target}: ${r.error || 'failed'}${r.messages === undefined ? '' : html` <b class="at-stake">${plural(r.messages, 'message')} there</b>, by its answer of ${clock(r.seen, 'seconds')}`}</span>
    ${!r.pending && html`<button type="button" class="btn slim" data-action="try-again" data-target=${r.target}
      onClick=${() => again({ ...account.request, only: { kind: r.kind, target: r.target } })}>Try again on ${r.name || r.target}</button>`}</div>`)}</div>`
}

/** What stands under the title when an action was refused or half done. */
export function Account({ account }) {
  if (!account || account.ok) return null
  const leave = html`<button type="button" class="btn icon" aria-label="Close" onClick=${forget}><${Icon} name="close" size=${14} /></button>`
  if (account.problem) return html`<${Note} level="warn" role="status" id="account" actions=${leave}><b>Not done.</b> ${account.problem}<//>`
  return html`<${Note} level="warn" role="status" id="account" actions=${leave}><b>${pending(account) ? 'Under way.' : 'Half done.'}</b> ${account.text}<${Failures} account=${account} again=${perform} /><//>`
}
