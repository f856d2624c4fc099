// Find: a field in the bar that leads to any topic, channel or node by its name.
import { html, useEffect, useRef, useState } from './html.js'
import { get } from './api.js'
import { Icon } from './icons.js'
import { Pair } from './parts.js'
import { go, to } from './router.js'

const MOST = 12, FRESH = 30000

/** The names that fit, best first: those that begin with the query, then those that contain it. Pure. */
function search(names, query, most = MOST) {
  const q = query.trim().toLowerCase()
  if (!q) return []
  const [first, second] = q.split(/\s*\/\s*|\s+/)
  const begins = [], contains = []
  const add = (name, item) => {
    const at = name.toLowerCase().indexOf(q)
    if (at === 0) begins.push(item)
    else if (at > 0) contains.push(item)
    return begins.length >= most
  }
  for (const { node, name } of names.nodes) add(name + ' ' + node, { kind: 'node', name, href: to.node(node) })
  for (const [topic, channels] of names.topics) {
    if (add(topic, { kind: 'topic', topic, href: to.topic(topic) })) break
    for (const channel of channels) {
      const item = { kind: 'channel', topic, channel, href: to.channel(topic, channel) }
      if (second ? topic.toLowerCase().includes(first) && channel.toLowerCase().includes(second) : channel.toLowerCase().includes(q)) contains.push(item)
    }
  }
  return begins.concat(contains).slice(0, most)
}

export function Find() {
  const [query, setQuery] = useState('')
  const [names, setNames] = useState(null)
  const [chosen, choose] = useState(0)
  const [open, setOpen] = useState(false)
  const asked = useRef(0)
  const load = () => {
    setOpen(true)
    if (Date.now() - asked.current < FRESH) return
    asked.current = Date.now()
    get('names').then(setNames, () => { asked.current = 0 })
  }
  useEffect(() => {
    if (!open) return
    const timer = setInterval(load, FRESH + 100)
    return () => clearInterval(timer)
  }, [open])
  const hits = names ? search(names, query) : []
  const leave = () => { setOpen(false); setQuery(''); choose(0) }
  const enter = hit => { leave(); document.activeElement?.blur(); go(hit.href) }
  const pressed = e => {
    if (e.key === 'ArrowDown' || e.key === 'ArrowUp') {
      e.preventDefault()
      choose(Math.max(0, Math.min(hits.length - 1, chosen + (e.key === 'ArrowDown' ? 1 : -1))))
    } else if (e.key === 'Enter' && hits[chosen]) enter(hits[chosen])
  }
  return html`<div class="search find">
    <${Icon} name="search" size=${14} />
    <input id="find" type="search" placeholder="Find topic, channel, node" aria-label="Find a topic, channel or node" autocomplete="off" spellcheck=${false}
      role="combobox" aria-expanded=${String(open && query !== '')} aria-controls="found" aria-activedescendant=${open && hits[chosen] ? 'found-' + chosen : undefined}
      value=${query} onInput=${e => { setQuery(e.target.value); choose(0); load() }} onFocus=${load} onBlur=${leave} onKeyDown=${pressed} />
    <kbd aria-hidden="true">/</kbd>
    ${open && query.trim() && html`<ul class="found" id="found" role="listbox" aria-label="Found">
      ${hits.map((hit, i) => html`<li key=${hit.href} id="found-${i}" role="option" aria-selected=${String(i === chosen)} data-href=${hit.href}
        onPointerDown=${e => { e.preventDefault(); enter(hit) }} onPointerMove=${() => choose(i)}>
        <span class="grow cut">${hit.kind === 'node' ? hit.name : html`<${Pair} topic=${hit.topic} channel=${hit.channel} />`}</span><span class="faint small">${hit.kind}</span></li>`)}
      ${hits.length === 0 && html`<li class="none">${names ? 'Nothing has that name' : 'Reading the names'}</li>`}</ul>`}
  </div>`
}
