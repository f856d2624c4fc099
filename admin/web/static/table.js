// Tables: sorted by their heads, held while pointed at, and with any number of rows of which only those in sight exist.
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from './html.js'
import { csv as asCSV, save } from './files.js'
import { Icon } from './icons.js'
import { count } from './format.js'
import { Nothing } from './parts.js'
import { sort, visible } from './rows.js'
import { useHeld } from './hold.js'
import { asked, remember } from './router.js'

const MANY = 60 // from here on a table scrolls in its own window
const narrow = matchMedia('(max-width: 700px)'), small = matchMedia('(max-width: 1180px)')
// How many columns the style sheet leaves at this width.
const shownColumns = columns => columns.filter(c => !(narrow.matches && /medium/.test(c.cls)) && !(small.matches && /roomy/.test(c.cls))).length
const rowHeight = tall => narrow.matches ? (tall ? 46 : 44) : tall ? 46 : 36

// The order of a table lives in the address, as "depth" or "-depth"; `name` tells the tables of a page apart.
function useOrder(name, initial) {
  const key = name ? name + '.sort' : 'sort'
  const [order, set] = useState(() => asked(key) ?? initial ?? '')
  return [order, next => { set(next); remember(key, next === initial ? '' : next) }]
}

/**
 * columns: [{ key, label, number?, cls?, width?, value?: row => sortable, cell: row => content,
 *   maybe?: row => whether this row has something for a column that is left out otherwise }]
 * `question` changes when the reader filters: a table shows the answer even while it is held, from its top.
 * `csv` offers the rows, as they are filtered and sorted, as a file. inSight(rows) hears which rows are drawn. rows are told apart by `rowKey(row)`. A row with `heading` is a line across.
 */
export function Table({ id, label, name = '', columns: all, rows, rowKey, rowClass, order: initial, tall, total, empty, main, fixed, inSight, question, csv }) {
  const [order, setOrder] = useOrder(name, initial)
  const columns = all.filter(c => !c.maybe || rows.some(c.maybe))
  const frame = useRef(null)
  const held = useHeld(frame, rows, question)
  const column = columns.find(c => c.value && (order === c.key || order === '-' + c.key))
  const list = useMemo(() => column ? sort(held, column.value, order[0] === '-') : held, [held, column?.key, order])
  const windowed = list.length > MANY
  const cursor = useCursor(main, list, rowKey, frame, tall)
  const slice = useWindow(frame, list.length, windowed, tall, name)

  useTop(frame, question + order)
  const turn = c => setOrder(order === '-' + c.key ? c.key : order === c.key ? '-' + c.key : c.number ? '-' + c.key : c.key)
  const body = list.slice(slice.first, slice.last)
  const height = rowHeight(tall)
  useEffect(() => inSight?.(body), [list, slice.first, slice.last])
  if (rows.length === 0 && empty) return html`<${Nothing}>${empty}<//>`
  return html`<div class=${windowed ? 'window' : 'scroll'} data-hold ref=${frame} id=${id} tabindex=${windowed ? 0 : undefined}
    role=${windowed ? 'region' : undefined} aria-label=${windowed ? label : undefined}>
    <table class=${fixed ? 'fixed' : ''} aria-label=${label} aria-rowcount=${list.length + 1}>
      ${(windowed || fixed) && html`<colgroup>${columns.map(c => html`<col class=${c.cls} style=${c.width ? { width: c.width } : undefined} />`)}</colgroup>`}
      <thead><tr aria-rowindex="1">${columns.map(c => html`<${Head} column=${c} order=${order} turn=${turn} />`)}</tr></thead>
      <tbody>
        ${slice.first > 0 && html`<tr class="pad" aria-hidden="true" key="above"><td style=${{ height: slice.first * height + 'px' }}></td></tr>`}
        ${body.map((row, i) => {
          const key = rowKey(row), at = slice.first + i
          return row.heading
            ? html`<tr class="heading" key=${key} aria-rowindex=${at + 2}><td colspan=${shownColumns(columns)}>${row.heading}</td></tr>`
            : html`<tr key=${key} data-row=${key} aria-rowindex=${at + 2} class=${rowClass?.(row)} aria-selected=${cursor === key ? 'true' : undefined}>
              ${columns.map(c => html`<td class=${css(c, tall && c.name)} data-column=${c.key}>${c.cell(row)}</td>`)}</tr>`
        })}
        ${slice.last < list.length && html`<tr class="pad" aria-hidden="true" key="below"><td style=${{ height: (list.length - slice.last) * height + 'px' }}></td></tr>`}
      </tbody>
      ${total && html`<tfoot><tr>${columns.map(c => html`<td class=${css(c)}>${total(c)}</td>`)}</tr></tfoot>`}
    </table></div>
    ${csv && html`<div class="table-foot"><button type="button" class="btn quiet slim" data-action="csv" data-table=${id} title="The ${count(list.length)} rows as a table for a spreadsheet"
      onClick=${() => save(`${id.replace('-table', '')}.csv`, asCSV(columns, list.filter(r => !r.heading)), 'text/csv')}>CSV</button></div>`}`
}

const css = (c, tall) => [c.cls, c.number && 'number', c.name && 'name', tall && 'tall'].filter(Boolean).join(' ')

function Head({ column: c, order, turn }) {
  const now = order === c.key ? 'ascending' : order === '-' + c.key ? 'descending' : undefined
  return html`<th scope="col" class=${css(c).replace('name', '')} data-column=${c.key} aria-sort=${now}>${c.value
    ? html`<button type="button" data-sort=${c.key} onClick=${() => turn(c)}>${c.label}${now && html`<${Icon} name=${now === 'ascending' ? 'up' : 'down'} size=${12} />`}</button>`
    : c.label}</th>`
}

// Back to the top when the reader asks something else; not at the start, for the address may name a place.
function useTop(frame, question) {
  const before = useRef(question)
  useEffect(() => {
    if (before.current !== question && frame.current) frame.current.scrollTop = 0
    before.current = question
  }, [question])
}

// The rows in sight of a window that scrolls; its place lives in the address.
function useWindow(frame, total, windowed, tall, name) {
  const [at, set] = useState({ top: 0, height: 900 })
  const key = name ? name + '.at' : 'at'
  useEffect(() => {
    const el = frame.current
    if (!el || !windowed) return
    let due = 0
    const look = () => { due = 0; set({ top: el.scrollTop, height: el.clientHeight }) }
    const moved = () => { due ||= requestAnimationFrame(look); remember(key, el.scrollTop ? String(Math.round(el.scrollTop)) : '') }
    const start = Number(asked(key))
    if (start) el.scrollTop = start
    look()
    el.addEventListener('scroll', moved, { passive: true })
    const sized = new ResizeObserver(look)
    sized.observe(el)
    return () => { el.removeEventListener('scroll', moved); sized.disconnect(); cancelAnimationFrame(due) }
  }, [windowed])
  return windowed ? visible(total, rowHeight(tall), at.top, at.height) : { first: 0, last: total }
}

// The row under j and k. Only the main table of a page has one. Its first link has the focus, so Enter opens it.
function useCursor(main, list, rowKey, frame, tall) {
  const [cursor, set] = useState(null)
  const now = useRef({})
  const due = useRef(false)
  now.current = { list, cursor }
  useEffect(() => {
    if (!main) return
    const moved = e => {
      const rows = now.current.list.filter(r => !r.heading)
      const i = rows.findIndex(r => rowKey(r) === now.current.cursor)
      const next = rows[Math.max(0, Math.min(rows.length - 1, i < 0 ? 0 : i + e.detail))]
      if (next) { due.current = true; set(rowKey(next)) }
    }
    const left = e => { if (!due.current && !frame.current?.contains(e.relatedTarget)) set(null) }
    const el = frame.current
    addEventListener('row', moved)
    el?.addEventListener('focusout', left)
    return () => { removeEventListener('row', moved); el?.removeEventListener('focusout', left) }
  }, [main, frame.current])
  useLayoutEffect(() => {
    const el = frame.current
    if (cursor === null || !el) return
    if (el.classList.contains('window')) {
      const h = rowHeight(tall), top = list.findIndex(r => rowKey(r) === cursor) * h, head = 32
      if (top < el.scrollTop) el.scrollTop = top
      else if (top + h + head > el.scrollTop + el.clientHeight) el.scrollTop = top + h + head - el.clientHeight
    } else {
      el.querySelector('tr[aria-selected]')?.scrollIntoView({ block: 'nearest' })
    }
  }, [cursor])
  // A row that was out of sight exists only after the window has moved: the focus follows then.
  useLayoutEffect(() => {
    const link = due.current && frame.current?.querySelector('tr[aria-selected] :is(a, button)')
    if (!link) return
    link.focus({ preventScroll: true, focusVisible: true })
    due.current = false
  })
  return cursor
}
