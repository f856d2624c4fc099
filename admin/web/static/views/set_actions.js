// What a reader may do to a set of replicas. Each dialog says what it costs.
import { html, useState } from '../html.js'
import { report, send } from '../actions.js'
import { Confirm, Dialog, ask } from '../dialog.js'
import { plural } from '../format.js'
import { useLive } from '../live.js'

// Sends a request, closes when it is done, and says why not when it is refused.
function useSending(close) {
  const [busy, setBusy] = useState(false)
  const [problem, setProblem] = useState('')
  const run = async request => {
    if (busy) return
    setBusy(true)
    setProblem('')
    const went = await send(request)
    setBusy(false)
    if (!went.ok) { setProblem(went.problem); return }
    close()
    report(went)
  }
  return { busy, problem, run }
}

const Foot = ({ sending, close, verb, disabled }) => html`<div class="foot"><span class="problem grow" role="status">${sending.problem}</span>
  <button type="button" class="btn" onClick=${close}>Cancel</button>
  <button type="submit" class="btn primary" id="set-go" disabled=${disabled || sending.busy}>${verb}</button></div>`

/** Asks where the leader of a shard is to be. */
export function MoveLeader({ set, shard, close }) {
  const { frame } = useLive()
  const now = frame?.data.sets?.find(s => s.set === set.set) ?? set
  const may = now.members.filter(m => !m.outside && !m.joining && !m.leaving && m.address !== shard.leader)
  const [choice, choose] = useState(may[0]?.address ?? '')
  const sending = useSending(close)
  return html`<${Dialog} id="move" title=${`Move the leader of shard ${shard.shard}?`} close=${close}
    text="Its topics stand still for some milliseconds, and no message is lost. It stays there, as long as that member does, until leaders are balanced."
    onSubmit=${() => choice && sending.run({ action: 'move_leader', set: set.set, shard: shard.shard, member: choice })}>
    <label class="field"><span>To</span><select id="move-to" data-first value=${choice} onChange=${e => choose(e.target.value)}>${may.map(m => html`<option key=${m.address}
      value=${m.address} selected=${m.address === choice}>${m.name}${m.level === 'ok' ? '' : `, ${m.state}`}</option>`)}</select></label>
    <${Foot} sending=${sending} close=${close} verb="Move leader" disabled=${!choice} /><//>`
}

/** Asks before leaderships move. */
export function Balance({ set, close }) {
  const sending = useSending(close)
  return html`<${Dialog} id="balance" title=${`Balance the leaders of ${set.name.toLowerCase()}?`} close=${close}
    text="Leaderships are spread over all members again, one after the other, within a minute. Where somebody moved them to is forgotten. No message is lost."
    onSubmit=${() => sending.run({ action: 'balance_leaders', set: set.set })}><${Foot} sending=${sending} close=${close} verb="Balance leaders" /><//>`
}

/** Asks for the address of somebody who is to join. */
export function AddMember({ set, close }) {
  const [at, setAt] = useState('')
  const sending = useSending(close)
  return html`<${Dialog} id="add-member" title=${`Add a member to ${set.name.toLowerCase()}?`} close=${close}
    text="The set lets a node join at this address. Start it there, with an empty disk, the address as --cluster-address, and --cluster-peers that name it and all other members, 3, 5 or 7 in all. To replace a member that is lost, start an empty node at its address instead: nothing is to be done here."
    onSubmit=${() => at.trim() && sending.run({ action: 'add_member', set: set.set, member: at.trim() })}>
    <label class="field"><span>Address, host:port</span><input id="add-address" data-first autocomplete="off" autocapitalize="off" spellcheck=${false} value=${at} onInput=${e => setAt(e.target.value)} /></label>
    <${Foot} sending=${sending} close=${close} verb="Add member" disabled=${!at.trim()} /><//>`
}

/** Asks, and wants the address typed, before a member leaves. */
export function remove(set, member) {
  const own = data => data.sets?.find(s => s.set === set.set)?.members.find(m => m.member === member.member) ?? member
  const voters = data => (data.sets?.find(s => s.set === set.set)?.members ?? set.members).filter(m => !m.outside && !m.joining && !m.leaving).length
  ask(Confirm, {
    title: `Remove ${member.name}?`, typed: member.address, verb: 'Remove member', hint: `${plural(voters({}) - 1, 'member')} would be left.`,
    text: 'It gives its leaderships away, loses its vote in all shards and leaves the set, which then keeps one copy fewer of everything. To replace it, start an empty node at its address instead: nothing is to be done here.',
    losses: data => [['Shards that it leads', own(data).leads], ['Members that have a vote', voters(data)]],
    request: { action: 'remove_member', set: set.set, member: member.member },
  })
}
