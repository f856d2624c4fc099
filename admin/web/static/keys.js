// The keyboard. No key acts on data.
import { html, useEffect } from './html.js'
import { ask, Dialog } from './dialog.js'
import { hasSets, toggleHold, useLive } from './live.js'
import { go, reveal, to } from './router.js'

const CHORD = 1200 // ms between g and the next key, as they were pressed: the page may be late to hear of one

const list = [
  [['/'], 'Find, or filter the list'],
  [['g', 'o'], 'Overview'], [['g', 't'], 'Topics'], [['g', 'n'], 'Nodes'], [['g', 'l'], 'Lookup'], [['g', 'c'], 'Counter'], [['g', 'a'], 'Activity'],
  [['j'], 'Next row'], [['k'], 'Row before'], [['Enter'], 'Open the row'], [['s'], 'Sort by the column under focus or pointer'],
  [['p'], 'Peek at messages (on a channel)'], [['t'], 'Light or dark'], [['.'], 'Hold, and go on'], [['Esc'], 'Close, or leave a field'], [['?'], 'This list'],
]

const Keys = ({ close }) => html`<${Dialog} id="keys" title="Keys" text="None of them changes data." close=${close}>
  <dl class="keys">${(useLive().bar?.sets > 0 ? list.toSpliced(7, 0, [['g', 's'], 'Sets']) : list).map(([keys, text]) => html`<dt>${keys.map((k, i) => html`${i > 0 && ' '}<kbd>${k}</kbd>`)}</dt><dd>${text}</dd>`)}</dl>
  <div class="foot"><span class="grow"></span><button type="button" class="btn" data-first="" onClick=${close}>Close</button></div><//>`

const pages = { o: to.overview, t: to.topics, n: to.nodes, l: to.lookup, c: to.counter, a: to.activity }
const row = detail => dispatchEvent(new CustomEvent('row', { detail }))

let pointed = null
addEventListener('pointerover', e => { pointed = e.target })

// The column of the focused cell or head, else of the one under the pointer.
function sortHere() {
  const cell = document.activeElement?.closest?.('th, td') ?? (pointed?.isConnected ? pointed.closest?.('th, td') : null)
  cell?.closest('table').querySelector(`th[data-column="${CSS.escape(cell.dataset.column ?? '')}"] button`)?.click()
}

function find() {
  const field = document.getElementById('filter') ?? document.getElementById('find')
  field?.focus()
  field?.select()
}

/** Listens for as long as the page lives. */
export function useKeys() {
  useEffect(() => {
    let chord = -Infinity
    const pressed = e => {
      if (e.metaKey || e.ctrlKey || e.altKey) return
      if (e.target.matches?.('input, textarea, select')) {
        if (e.key === 'Escape' && !e.target.closest('dialog')) e.target.blur()
        return
      }
      if (document.querySelector('dialog[open]')) return
      const key = e.key
      if (e.timeStamp - chord < CHORD && key === 's' && hasSets()) { chord = -Infinity; go(to.sets()); e.preventDefault(); return }
      if (e.timeStamp - chord < CHORD && pages[key]) { chord = -Infinity; go(pages[key]()); e.preventDefault(); return }
      chord = key === 'g' ? e.timeStamp : -Infinity
      const does = {
        '/': find, '?': () => ask(Keys), '.': toggleHold, t: () => window.switchTheme(),
        j: () => row(1), k: () => row(-1), s: sortHere,
        p: () => { if (document.getElementById('messages')) { reveal('messages'); dispatchEvent(new Event('peek')) } },
      }[key]
      if (does) { e.preventDefault(); does(); return }
      if (key === 'Escape') document.activeElement?.blur?.()
    }
    addEventListener('keydown', pressed)
    return () => removeEventListener('keydown', pressed)
  }, [])
}
