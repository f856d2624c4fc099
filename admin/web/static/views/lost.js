// Where there is nothing: an address that names no page, or a thing that is no longer there.
import { html } from '../html.js'
import { useAccount } from '../actions.js'
import { to } from '../router.js'

export const NotFound = () => html`<div class="start" id="not-found"><h1>No such page</h1><p class="sub">Nothing is at ${location.pathname}.</p>
  <p class="sub"><a class="link" href=${to.overview()}>Overview</a> or <a class="link" href=${to.topics()}>Topics</a> lead on.</p></div>`

const kinds = { topic: 'topic', channel: 'channel', node: 'node' }
export const Gone = ({ route, problem }) => {
  const account = useAccount()
  const { view, params } = route
  const name = view === 'channel' ? `${params.topic} / ${params.channel}` : params.topic ?? params.node
  return html`<div class="start" id="gone">${account?.text && html`<p class="sub ok" role="status" id="account">${account.text}</p>`}
    <h1>No ${kinds[view] ?? 'such thing'} ${name}</h1><p class="sub" role="status">${problem?.text ?? problem?.message}</p>
    <p class="sub">If it comes back, it appears here by itself. ${view === 'channel' && html`<a class="link"
      href=${to.topic(params.topic)}>To the topic</a> or `}<a class="link"
      href=${view === 'node' ? to.nodes() : to.topics()}>${view === 'node' ? 'To all nodes' : 'To all topics'}</a></p></div>`
}

export const Refused = ({ problem }) => html`<div class="start" id="refused"><h1>Nothing to show yet</h1>
  <p class="sub" role="status">${problem?.message ?? 'qadmin does not answer.'} Trying again by itself.</p></div>`

export const Failed = ({ error }) => html`<div class="start" id="failed"><h1>This page could not be drawn</h1><p class="sub" role="status">${error.message}</p>
  <p class="sub">Reloading may help. <a class="link" href=${to.overview()}>Overview</a></p></div>`
