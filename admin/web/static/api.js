// Requests to qadmin's own API. Everything that fails becomes a Problem with a sentence for people.

class Problem extends Error {
  constructor(status, code, text, retryAfter) {
    super(text)
    this.status = status
    this.code = code
    this.retryAfter = retryAfter
  }
}

/** Where an answer of the API is. */
export const address = (path, params) => {
  const url = new URL('api/q/' + path, document.baseURI)
  for (const [name, value] of Object.entries(params || {})) {
    for (const v of [].concat(value)) if (v !== null && v !== undefined && v !== '') url.searchParams.append(name, v)
  }
  return url
}

async function ask(path, params, init) {
  let answer
  try {
    answer = await fetch(address(path, params), { credentials: 'same-origin', ...init })
  } catch (e) {
    if (e.name === 'AbortError') throw e
    throw new Problem(0, 'NO_ANSWER', 'qadmin does not answer.')
  }
  let body = null
  try { body = await answer.json() } catch { /* said below */ }
  if (answer.ok && body !== null) return body
  const problem = new Problem(answer.status, body?.error || 'UNEXPECTED', body?.text || `qadmin answered ${answer.status} ${answer.statusText}`.trim() + '.', body?.retry_after_s)
  if (problem.code === 'LOGIN_REQUIRED') window.dispatchEvent(new Event('login-required'))
  throw problem
}

export const get = (path, params, signal) => ask(path, params, { signal })
export const post = (path, body) => ask(path, null, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) })
export const stream = (view, params) => new EventSource(address('stream', { view, ...params }))
