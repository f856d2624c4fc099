// Places in a log, as a reader writes them and as nodes know them.

/** What a reader writes of a place in a log: a number of a message, a time of day, how long ago it was, or a moment. Null: that is none. */
export function placeOf(written) {
  const t = written.trim()
  if (t === '') return {}
  if (/^\d{10,}$/.test(t)) return { from: t }
  if (/^-[\d.]/.test(t)) return { since: t }
  const day = /^(\d\d?):(\d\d)(?::(\d\d))?$/.exec(t)
  const at = day ? new Date().setHours(day[1], day[2], day[3] ?? 0, 0) : Date.parse(t)
  return Number.isFinite(at) && at > 0 ? { since: new Date(at).toISOString() } : null
}

/** The place as nodes know it: first, last, a time or a number; nodes say what is wrong with others. */
export const position = written => placeOf(written)?.since ?? written.trim()

export const PLACES = 'first, last, a time such as 14:05, how long ago such as -1h30m, a moment such as 2026-03-12 14:05, or the number of a message'
