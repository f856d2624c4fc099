// First run: no topic anywhere yet. Three steps with commands made from the real addresses.
import { html, useState } from '../html.js'
import { post } from '../api.js'
import { plural } from '../format.js'
import { Icon } from '../icons.js'
import { useMe } from '../me.js'
import { Command } from '../parts.js'
import { to } from '../router.js'

const BODY = '{"hello":"world"}'

// A lookupd's TCP port is one below its HTTP port, unless somebody chose otherwise.
const tcpOf = address => address.replace(/\d+$/, port => String(Number(port) - 1))

export function Start({ start, bar }) {
  const me = useMe()
  const { node, lookupd } = start
  const topic = start.topic || 'greetings'
  const few = (n, one) => n === 1 ? `one ${one}` : plural(n, one)
  const parts = [few(bar.nodes, 'node'), bar.lookupds > 0 && few(bar.lookupds, 'lookupd')].filter(Boolean).join(' and ').replace(/^o/, 'O')
  const running = node ? `${parts} ${bar.nodes + bar.lookupds === 1 ? 'is' : 'are'} up.` : 'No node is up yet.'
  const first = lookupd ? `qd --lookupd-tcp-address=${tcpOf(lookupd)}` : 'qd --data-path=data'
  const read = lookupd && `bin/consumer -topic=${topic} -channel=print -lookupd-http-address=${lookupd}`
  return html`<div class="start" id="start"><h1>${start.topic ? 'Ready for the first reader' : node ? 'Ready for the first message' : 'Waiting for the first node'}</h1>
    <p class="sub" role="status">${running} Topics appear here by themselves as soon as something is published.</p>
    <section class="card" aria-label="First steps">
      <div class="step ${node ? 'done' : 'now'}"><i>${node ? html`<${Icon} name="check" size=${12} />` : '1'}</i><div><h2>${node ? 'Daemons are running' : 'Start a node'}</h2>
        ${node ? html`<p>${node.kind} ${node.version} at ${node.tcp}${lookupd ? ` is registered with the lookupd at ${lookupd}` : ' answers'}.</p>`
          : html`<${Command} text=${first} />`}</div></div>
      <div class="step ${start.topic ? 'done' : node ? 'now' : ''}"><i>${start.topic ? html`<${Icon} name="check" size=${12} />` : '2'}</i><div><h2>Publish a message</h2>
        ${start.topic && html`<p id="waiting">${plural(start.waiting, 'message')} ${start.waiting === 1 ? 'waits' : 'wait'} in <a class="link" href=${to.topic(start.topic)}>${start.topic}</a> for somebody to read ${start.waiting === 1 ? 'it' : 'them'}.</p>`}<p>The topic is created by the first message. Any NSQ client works, and so does curl:</p>
        <${Command} text=${`curl -d '${BODY}' 'http://${node?.http ?? '127.0.0.1:4151'}/pub?topic=${topic}'`} />
        ${node && me?.may_act && html`<${PublishHere} node=${node} topic=${topic} />`}</div></div>
      <div class="step ${start.topic ? 'now' : ''}"><i>3</i><div><h2>Read it</h2>
        <p>A channel is created by its first consumer and gets a copy of every message from then on. Messages wait in the topic until there is one.</p>
        ${read ? html`<p>Any NSQ client can be one; so is the example that comes with qd:</p><${Command} text=${read} />`
          : html`<p>Any NSQ client can be one: it connects to ${node?.tcp ?? 'the node'}.</p>`}</div></div>
    </section><p class="small faint">Listening for changes. Nothing to refresh.</p></div>`
}

function PublishHere({ node, topic }) {
  const [said, say] = useState('')
  const publish = async () => {
    try {
      const answer = await post('publish', { topic, node: node.node ?? node.http, body: BODY, defer_ms: 0 })
      say(answer.ok ? 'Published. It appears in a moment.' : answer.error)
    } catch (e) { say(e.message) }
  }
  return html`<div class="foot"><button type="button" class="btn primary" id="publish-here" onClick=${publish}>Publish it from here</button>
    <span class="small" role="status">${said}</span></div>`
}
