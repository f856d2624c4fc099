// Numbers, sizes and times as people read them. Pure: nothing here knows the page.
// What is unknown (null) is an en dash, never 0.

export const UNKNOWN = '–'
const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 })
const tenths = new Intl.NumberFormat(undefined, { minimumFractionDigits: 1, maximumFractionDigits: 1 })
const hundredths = new Intl.NumberFormat(undefined, { maximumFractionDigits: 2 })
const known = n => n !== null && n !== undefined && Number.isFinite(n)

/** A whole number, grouped by the browser's locale. */
export const count = n => known(n) ? whole.format(Math.round(n)) : UNKNOWN

/** A number that may be small: one place under 10, two under 0.1, none above. */
export function small(n) {
  if (!known(n)) return UNKNOWN
  if (n === 0) return whole.format(0)
  const size = Math.abs(n)
  if (size < 0.01) return '< ' + hundredths.format(0.01)
  if (size < 0.095) return hundredths.format(n)
  return size < 9.95 && Math.abs(n - Math.round(n)) >= 0.05 ? tenths.format(n) : whole.format(n)
}

/** A rate in one piece: "8,412/s". */
export const perSecond = n => known(n) ? small(n) + '/s' : UNKNOWN

/** A figure: in full up to 9,999,999, then in millions with the full number beside it. */
export function figure(n) {
  if (!known(n)) return { text: UNKNOWN, unit: '' }
  if (Math.abs(n) < 1e7) return { text: count(n), unit: '' }
  const [size, unit] = Math.abs(n) < 1e10 ? [1e6, ' M'] : Math.abs(n) < 1e13 ? [1e9, ' G'] : [1e12, ' T']
  return { text: n / size < 1000 ? tenths.format(n / size) : count(n / size), unit, full: count(n) }
}

/** The number of an axis or a legend: at most three digits and a letter. */
export function brief(n) {
  if (!known(n)) return UNKNOWN
  const size = Math.abs(n)
  for (const [at, unit] of [[1e12, ' T'], [1e9, ' G'], [1e6, ' M'], [1e3, ' k']]) {
    if (size < at * 0.9995) continue
    const m = n / at
    return (m < 10 && Math.abs(m - Math.round(m)) >= 0.05 ? tenths : whole).format(m) + unit
  }
  return small(n)
}

/** Bytes with their unit, split so that the unit can be grey. */
export function bytes(n) {
  if (!known(n)) return { text: UNKNOWN, unit: '' }
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let i = 0
  for (; i < units.length - 1 && Math.abs(n) >= (i === 0 ? 10240 : 1024); i++) n /= 1024
  return { text: i === 0 || n >= 100 ? whole.format(n) : tenths.format(n), unit: ' ' + units[i] }
}

/** Bytes in one piece. */
export const size = n => { const b = bytes(n); return b.text + b.unit }

/** MiB throughout, for columns that are compared. */
export const mebibytes = n => known(n) ? { text: whole.format(n / 1048576), unit: ' MiB' } : { text: UNKNOWN, unit: '' }

/** A share of 1 in percent. */
export function percent(share) {
  if (!known(share)) return UNKNOWN
  const p = share * 100
  if (p === 0) return '0%'
  if (p < 0.01) return '< ' + hundredths.format(0.01) + '%'
  return (p < 0.1 ? hundredths : p < 9.95 && Math.abs(p - Math.round(p)) >= 0.05 ? tenths : whole).format(p) + '%'
}

/** A length of time in at most two units: "3 min 52 s", "6 d 4 h". */
export function duration(ms) {
  if (!known(ms)) return UNKNOWN
  const s = Math.max(0, Math.floor(ms / 1000))
  const two = (a, big, b, little) => b ? `${a} ${big} ${b} ${little}` : `${a} ${big}`
  if (s < 60) return `${s} s`
  if (s < 3600) return two(Math.floor(s / 60), 'min', s % 60, 's')
  if (s < 86400) return two(Math.floor(s / 3600), 'h', Math.floor(s / 60) % 60, 'min')
  const days = Math.floor(s / 86400)
  return days < 10 ? two(days, 'd', Math.floor(s / 3600) % 24, 'h') : `${count(days)} d`
}

/** A latency, split like bytes: "62 ms", "2.1 s". */
export function latency(ms) {
  if (!known(ms)) return { text: UNKNOWN, unit: '' }
  if (ms < 1000) return { text: small(ms), unit: ' ms' }
  if (ms < 60000) return { text: small(ms / 1000), unit: ' s' }
  return { text: duration(ms), unit: '' }
}
export const latencyText = ms => { const l = latency(ms); return l.text + l.unit }

const pad = (n, width = 2) => String(n).padStart(width, '0')

/** Local time of day, with seconds or milliseconds if asked. */
export function clock(ms, places = 'minutes') {
  if (!known(ms)) return UNKNOWN
  const d = new Date(ms)
  let text = pad(d.getHours()) + ':' + pad(d.getMinutes())
  if (places !== 'minutes') text += ':' + pad(d.getSeconds())
  if (places === 'milliseconds') text += '.' + pad(d.getMilliseconds(), 3)
  return text
}

/** The same moment in UTC, for the pointer to find. */
export const utc = ms => known(ms) ? new Date(ms).toISOString().replace('T', ' ').replace('Z', ' UTC') : ''

/** The day of a moment: Today, Yesterday, or its date. */
export function day(ms, now = Date.now()) {
  const midnight = t => new Date(t).setHours(0, 0, 0, 0)
  const ago = Math.round((midnight(now) - midnight(ms)) / 86400000)
  if (ago === 0) return 'Today'
  if (ago === 1) return 'Yesterday'
  return new Date(ms).toLocaleDateString(undefined, { weekday: 'long', day: 'numeric', month: 'long', year: ago > 300 ? 'numeric' : undefined })
}

/** Splits a text of the server at its moments, {t:1773322216000}, into strings and numbers. */
export const moments = text => String(text ?? '').split(/\{t:(\d+)\}/).map((part, i) => i % 2 ? Number(part) : part)

/** A moment within a sentence: with seconds while it is recent. */
export const moment = (ms, now = Date.now()) => clock(ms, now - ms < 600000 ? 'seconds' : 'minutes')

/** "1 node", "6 nodes". */
export const plural = (n, one, many = one + 's') => `${count(n)} ${n === 1 ? one : many}`

/** A key that sorts names with numbers in them as people count: qd-2 before qd-10. */
export const natural = name => String(name).replace(/\d+/g, digits => digits.padStart(8, '0'))

/** A host name without its domain; addresses stay whole. */
export const host = name => /^[\d.]+$|:/.test(name) ? name : String(name).split('.')[0]
