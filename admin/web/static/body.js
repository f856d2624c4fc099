// The body of a message, decoded three ways. Pure; what it makes is only ever shown as text.

/** Bytes of a base64 text. */
export const decode = base64 => Uint8Array.from(atob(base64), c => c.charCodeAt(0))

/** The text of the bytes, or null if they are not UTF-8. A body cut in the middle of a letter loses that letter. */
export function text(data, truncated) {
  for (let cut = 0; cut <= (truncated ? 3 : 0); cut++) {
    try { return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(data.subarray(0, data.length - cut)) } catch { /* try without the last byte */ }
  }
  return null
}

/** The text is JSON with something in it: an object or a list. */
export function isJSON(s) {
  if (s === null || !/^\s*[{[]/.test(s)) return false
  try { JSON.parse(s); return true } catch { return false }
}

const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null|[{}[\],:]/g

/**
 * JSON laid out with two spaces, in pieces [kind, text] of kinds key, string, digit, literal and "".
 * It works on the text, so numbers keep all their digits and doubled keys stay doubled.
 */
export function layout(json) {
  const pieces = []
  const tokens = json.match(TOKEN) ?? []
  let depth = 0
  const add = (kind, s) => { const last = pieces[pieces.length - 1]; if (last && last[0] === kind) last[1] += s; else pieces.push([kind, s]) }
  const fresh = () => add('', '\n' + '  '.repeat(depth))
  tokens.forEach((t, i) => {
    const next = tokens[i + 1]
    if (t === '{' || t === '[') {
      add('', t)
      if (next === '}' || next === ']') return
      depth++
      fresh()
    } else if (t === '}' || t === ']') {
      if (tokens[i - 1] !== '{' && tokens[i - 1] !== '[') { depth--; fresh() }
      add('', t)
    } else if (t === ',') { add('', t); fresh() } else if (t === ':') add('', ': ')
    else if (t[0] === '"') add(next === ':' ? 'key' : 'string', t)
    else add(/^[-\d]/.test(t) ? 'digit' : 'literal', t)
  })
  return pieces
}

/** Sixteen bytes a line: [offset, hex, characters]. */
export function hex(data) {
  const lines = []
  for (let at = 0; at < data.length; at += 16) {
    const part = [...data.subarray(at, at + 16)]
    const codes = part.map(b => b.toString(16).padStart(2, '0'))
    const columns = codes.slice(0, 8).join(' ') + '  ' + codes.slice(8).join(' ')
    lines.push([at.toString(16).padStart(8, '0'), columns.padEnd(48), part.map(b => b >= 32 && b < 127 ? String.fromCharCode(b) : '.').join('')])
  }
  return lines
}

/** The first characters for a list; what is not text is shown by its codes. */
export function start(data, most = 96) {
  const s = text(data.subarray(0, most), true)
  if (s !== null) return s.replace(/\s+/g, ' ')
  return [...data.subarray(0, 24)].map(b => b >= 32 && b < 127 ? String.fromCharCode(b) : '\\x' + b.toString(16).padStart(2, '0')).join('') + ' (binary)'
}
