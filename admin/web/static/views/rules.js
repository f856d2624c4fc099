// What is watched, in a dialog: the rules behind the list of attention.
import { html } from '../html.js'
import { Dialog } from '../dialog.js'
import { hasSets } from '../live.js'

const rules = [
  ['crit', 'A node or lookupd gives no answer for 3 polls', '3 answers'],
  ['crit', 'A node is not healthy, or refuses publishes', 'healthy for 30 s'],
  ['crit', 'A node lost messages to damage, or cannot open a topic', 'it is acknowledged at the node'],
  ['warn', 'A node keeps an unknown directory, or reconstructed something', 'it is acknowledged at the node'],
  ['warn', 'The same of a node that held nothing and that no lookupd lists', '3 answers'],
  ['crit', 'No consumers, and depth grows for 2 min, or slowly for 10', 'a consumer, or depth 0'],
  ['warn', 'A topic without channels fills like that', 'a channel, or depth 0'],
  ['warn', 'Depth, dips left out, grows for 10 min although consumers are there', 'its peaks fall for 2 min'],
  ['warn', 'Timeouts above 2% of deliveries over 5 min, at least 10/min', 'under 1% for 5 min'],
  ['warn', 'Paused and filling for 10 min', 'unpaused'],
  ['crit', 'A node’s disk is full in under 1 h at the rate of five minutes', 'over 90 min for 1 min'],
  ['warn', 'Less than 10% of a node’s disk is free', '12% for 1 min'],
  ['warn', 'A node is missing at a lookupd, or its version is behind', 'fixed'],
]

// Of sets of replicas, where there are some.
const ofSets = [
  ['crit', 'A shard has no leader for 3 s', 'all have one for 10 s'],
  ['warn', 'A member is gone or does not keep up for 10 s; critical after 2 min', 'it is back for 10 s'],
  ['warn', 'A member is not let in, as settings differ, or is in no set, for 10 s; critical after 2 min', 'fixed'],
  ['warn', 'A member’s log or disk stands still for 1 s; critical after 10', 'it goes on for 10 s'],
  ['warn', 'A member joins for 10 s, anew or as a forgetful one', 'it has its vote'],
  ['warn', 'A member’s clock differs by more than 500 ms', 'less than 250 ms for 10 s'],
  ['warn', 'A set was made anew with force-new', '24 h later'],
]

export const Rules = ({ close }) => html`<${Dialog} id="rules" wide title="What is watched"
  text="A line starts when its rule holds and ends later than it could, so that lines do not flicker. Ephemeral channels are never critical." close=${close}>
  <table class="rules"><thead><tr><th scope="col">Level</th><th scope="col">Starts when</th><th scope="col">Ends when</th></tr></thead>
  <tbody>${(hasSets() ? rules.concat(ofSets) : rules).map(([level, starts, ends]) => html`<tr><td><span class="tag ${level}">${level === 'crit' ? 'critical' : 'warning'}</span></td>
    <td>${starts}</td><td class="soft">${ends}</td></tr>`)}</tbody></table>
  <div class="foot"><span class="grow"></span><button type="button" class="btn" data-first="" onClick=${close}>Close</button></div><//>`
