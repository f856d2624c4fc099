// Signing in, where qadmin asks for it.
import { html, useState } from '../html.js'
import { login } from '../me.js'
import { duration } from '../format.js'

export function Login({ onDone }) {
  const [form, set] = useState({ user: '', password: '' })
  const [problem, setProblem] = useState('')
  const [busy, setBusy] = useState(false)
  const submit = async e => {
    e.preventDefault()
    if (busy || !form.user) return
    setBusy(true)
    setProblem('')
    try { await login(form.user, form.password); onDone?.() } catch (e) {
      setProblem(e.code === 'TOO_MANY' && e.retryAfter ? `Too many attempts. Try again in ${duration(e.retryAfter * 1000)}.` : e.message)
      set({ ...form, password: '' })
    }
    setBusy(false)
  }
  return html`<div class="gate" id="login"><h1>Sign in</h1><p class="sub">qadmin shows and changes the cluster, so it wants to know who you are.</p>
    <section class="card" aria-label="Sign in"><form onSubmit=${submit}>
      <label class="field"><span>User</span><input id="login-user" name="username" autocomplete="username" autocapitalize="off" spellcheck=${false}
        value=${form.user} onInput=${e => set({ ...form, user: e.target.value })} /></label>
      <label class="field"><span>Password</span><input id="login-password" name="password" type="password" autocomplete="current-password"
        value=${form.password} onInput=${e => set({ ...form, password: e.target.value })} /></label>
      <div class="foot"><span class="problem grow" id="login-problem" role="status">${problem}</span>
        <button type="submit" class="btn primary" id="login-go" disabled=${busy || !form.user || !form.password}>Sign in</button></div>
    </form></section></div>`
}
