// The title of a page: path, name, one sentence, actions, and below it how the last action went.
import { html } from './html.js'
import { Account, useAccount } from './actions.js'
import { Icon } from './icons.js'
import { useMe } from './me.js'

const crumb = ([text, href], i) => html`${i > 0 && html`<span aria-hidden="true">/</span>`}
  ${href ? html`<a href=${href}>${text}</a>` : html`<span aria-current="page">${text}</span>`}`

/** `status` marks the name as a verdict, to be announced; `tools` is for everybody, `actions` for who may act. */
export function Title({ crumbs, children, sub, status, actions, tools }) {
  const account = useAccount()
  const may = useMe()?.may_act
  return html`
    ${crumbs && html`<nav class="crumbs" aria-label="Path">${crumbs.map(crumb)}</nav>`}
    <div class="title"><div class="grow"><h1>${status ? html`<span role="status">${children}</span>` : children}</h1>
      ${account?.ok ? html`<p class="sub inline ok" role="status" id="account"><${Icon} name="check" />${account.text}</p>` : html`<p class="sub">${sub}</p>`}</div>
      ${(tools || may && actions) && html`<div class="actions">${may && actions}${tools}</div>`}</div>
    <${Account} account=${account} />`
}
