// The bar: name, cluster, pages, find, live state, theme, user. Nothing else is fixed.
import { html, useEffect, useRef, useState } from './html.js'
import { Icon } from './icons.js'
import { Find } from './find.js'
import { clock, plural } from './format.js'
import { holding } from './hold.js'
import { useLive } from './live.js'
import { logout, useMe } from './me.js'
import { to } from './router.js'

const pages = [
  ['overview', 'Overview', to.overview()], ['topics', 'Topics', to.topics()], ['nodes', 'Nodes', to.nodes()],
  ['lookup', 'Lookup', to.lookup()], ['counter', 'Counter', to.counter()], ['activity', 'Activity', to.activity()],
]
const under = { topic: 'topics', channel: 'topics', node: 'nodes' }

export function Bar({ view, signedOut }) {
  const { bar } = useLive()
  const me = useMe()
  const cluster = bar?.cluster || me?.cluster
  const n = bar?.attention ?? 0
  const nav = useRef(null)
  // On a phone the pages scroll sideways: the present one is brought into sight.
  useEffect(() => { nav.current?.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'nearest' }) }, [view])
  return html`<header class="bar">
    <a class="brand" href=${to.overview()} aria-label="qadmin"><${Icon} name="mark" size=${20} />qadmin</a>${cluster && html`<span class="cluster">${cluster}</span>`}
    ${!signedOut && html`<nav class="nav" aria-label="Main" ref=${nav}>${(bar?.sets > 0 || view === 'sets' ? pages.concat([['sets', 'Sets', to.sets()]]) : pages).map(([key, name, href]) => html`<a href=${href} data-page=${key}
      aria-current=${(under[view] ?? view) === key ? 'page' : undefined}>${name}
      ${key === 'overview' && n > 0 && html`<span class="pill ${bar.level === 'crit' ? '' : 'warn'}"
        title="${n === 1 ? '1 thing needs' : `${n} things need`} attention">${n}</span>`}</a>`)}</nav>`}
    <span class="grow"></span>
    ${!signedOut && html`<${Find} /><${Live} />`}
    <${Theme} />
    ${!signedOut && me?.user && html`<${Who} me=${me} />`}
  </header>`
}

function Live() {
  const live = useLive()
  const [state, text] = say(live)
  return html`<span class="live ${state}" id="live" data-state=${state}><i></i><span>${text}</span></span>`
}
function say({ phase, bar, seen, held, problem }) {
  if (phase === 'lost' && seen) return ['lost', `Last seen ${clock(seen, 'seconds')}, trying again`]
  if (phase === 'lost' || phase === 'refused') return ['lost', problem?.code === 'BUSY' ? 'Too many viewers, trying again' : 'No answer, trying again']
  if (held) return ['held', 'Held, press . to go on']
  if (holding()) return ['held', 'Held while pointing']
  if (!bar) return phase === 'gone' ? ['ok', 'Live'] : ['loading', 'Connecting']
  if (bar.answering < bar.nodes) return ['partial', `${bar.answering} of ${plural(bar.nodes, 'node')}`]
  return ['ok', `Live, ${plural(bar.nodes, 'node')}`]
}

function Theme() {
  const now = () => document.documentElement.dataset.theme
  const [theme, set] = useState(now)
  useEffect(() => {
    const changed = () => set(now())
    addEventListener('theme', changed)
    const dark = matchMedia('(prefers-color-scheme: dark)')
    dark.addEventListener('change', changed)
    return () => { removeEventListener('theme', changed); dark.removeEventListener('change', changed) }
  }, [])
  return html`<button type="button" class="btn quiet icon" id="theme" aria-label="Switch between light and dark" title="Light or dark (t)"
    onClick=${() => window.switchTheme()}><${Icon} name=${theme === 'dark' ? 'sun' : 'moon'} /></button>`
}

function Who({ me }) {
  const [open, set] = useState(false)
  useEffect(() => {
    if (!open) return
    const away = e => { if (e.type === 'keydown' ? e.key === 'Escape' : !e.target.closest('.who')) set(false) }
    addEventListener('pointerdown', away)
    addEventListener('keydown', away)
    return () => { removeEventListener('pointerdown', away); removeEventListener('keydown', away) }
  }, [open])
  return html`<div class="who"><button type="button" class="btn quiet cut" id="who" aria-expanded=${String(open)} onClick=${() => set(!open)}
    aria-label=${me.user}><span class="full">${me.user}</span><span class="initial" aria-hidden="true">${me.user[0]}</span></button>
    ${open && html`<div class="menu"><p>Role ${me.role}${me.may_act ? '' : ': may look, not change'}</p><p>qadmin ${me.version}</p>
      ${me.auth === 'login' && html`<button type="button" class="btn quiet" id="logout" onClick=${() => { set(false); logout() }}>Sign out</button>`}</div>`}</div>`
}
