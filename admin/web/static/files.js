// Files made here and handed to the reader.

/** Saves a text or bytes under a name. */
export function save(name, data, type) {
  const url = URL.createObjectURL(new Blob([data], { type }))
  const a = document.createElement('a')
  a.href = url
  a.download = name
  document.body.append(a)
  a.click()
  a.remove()
  setTimeout(() => URL.revokeObjectURL(url), 10000)
}

// Spreadsheets take what begins like this for a formula.
const FORMULA = /^[=+\-@\t\r]/
function field(v) {
  if (v === null || v === undefined) return ''
  if (typeof v === 'number') return Number.isFinite(v) ? String(v) : ''
  const text = FORMULA.test(v) ? "'" + v : String(v)
  return /[",\r\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text
}

/** Rows as CSV: a column for each that can be sorted by, under its key; `plain(row)` of a column is what it means there. */
export function csv(columns, rows) {
  const kept = columns.filter(c => c.plain || c.value)
  const lines = [kept.map(c => c.key), ...rows.map(r => kept.map(c => (c.plain ?? c.value)(r)))]
  return lines.map(line => line.map(field).join(',')).join('\r\n') + '\r\n'
}
