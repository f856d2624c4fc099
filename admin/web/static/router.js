// Where we are: one address per view, below the base path that the server wrote into the page.
import { useState, useEffect } from './html.js'

const base = new URL(document.baseURI).pathname
// Browsers take . and .. for directions. A tilde is in no name.
const part = name => /^\.+$/.test(name) ? '~' + name : encodeURIComponent(name)
const name = text => decodeURIComponent(text).replace(/^~(?=\.+$)/, '')

/** Addresses of the views, relative to the base. */
export const to = {
  overview: () => './',
  topics: (query = '') => 'topics' + query,
  topic: t => `topics/${part(t)}`,
  channel: (t, c) => `topics/${part(t)}/${part(c)}`,
  nodes: () => 'nodes',
  node: n => `nodes/${part(n)}`,
  sets: () => 'sets',
  lookup: () => 'lookup',
  counter: () => 'counter',
  activity: () => 'activity',
  login: () => 'login',
}

/** The view an address names, with what the API wants to know for it. */
function route(pathname = location.pathname) {
  const nowhere = { view: 'notfound', params: {} }
  if (!(pathname + '/').startsWith(base)) return nowhere
  let parts
  try { parts = pathname.slice(base.length).split('/').filter(Boolean).map(name) } catch { return nowhere }
  const at = (view, params = {}) => ({ view, params })
  const [first, second, third] = parts
  if (parts.length === 0) return at('overview')
  if (first === 'topics' && parts.length === 2) return at('topic', { topic: second })
  if (first === 'topics' && parts.length === 3) return at('channel', { topic: second, channel: third })
  if (first === 'nodes' && parts.length === 2) return at('node', { node: second })
  if (parts.length === 1 && ['topics', 'nodes', 'sets', 'lookup', 'counter', 'activity', 'login'].includes(first)) return at(first)
  return nowhere
}

/** Goes to an address of `to`. */
export function go(href, { replace = false } = {}) {
  flush()
  const url = new URL(href, document.baseURI)
  if (url.href === location.href && !replace) return
  history[replace ? 'replaceState' : 'pushState'](null, '', url)
  window.dispatchEvent(new Event('route'))
  scrollTo(0, 0)
}

/** Scrolls to a part of this page and puts the focus there. */
export function reveal(id) {
  const el = document.getElementById(id)
  if (!el) return
  el.scrollIntoView({ block: 'start', behavior: matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth' })
  el.setAttribute('tabindex', '-1')
  el.focus({ preventScroll: true })
}

/** What the address says after its "?", kept there without a new entry in the history. */
export const asked = name => new URLSearchParams(location.search).get(name)
let later = 0
const pending = new Map()
export function remember(name, value) {
  pending.set(name, value)
  clearTimeout(later)
  later = setTimeout(flush, 150)
}
function flush() {
  clearTimeout(later)
  if (pending.size === 0) return
  const url = new URL(location.href)
  for (const [name, value] of pending) value === null || value === '' ? url.searchParams.delete(name) : url.searchParams.set(name, value)
  pending.clear()
  if (url.href !== location.href) history.replaceState(null, '', url)
}

/** The present route; changes with clicks on links, with back and forward, and with go(). `turn` counts these. */
export function useRoute() {
  const [now, set] = useState(() => ({ ...route(), turn: 0 }))
  useEffect(() => {
    const changed = () => set(before => ({ ...route(), turn: before.turn + 1 }))
    const moved = () => { pending.clear(); changed() }
    const clicked = e => {
      const a = e.target.closest?.('a[href]')
      if (!a || e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return
      if (a.target || a.origin !== location.origin || !(a.pathname + '/').startsWith(base)) return
      e.preventDefault()
      if (a.id === 'skip') { document.getElementById('main').focus(); return }
      go(a.href)
      document.getElementById('main').focus({ preventScroll: true })
    }
    addEventListener('route', changed)
    addEventListener('popstate', moved)
    document.addEventListener('click', clicked)
    return () => { removeEventListener('route', changed); removeEventListener('popstate', moved); document.removeEventListener('click', clicked) }
  }, [])
  return now
}
