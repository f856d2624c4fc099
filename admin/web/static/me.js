// Who is looking, and what they may do.
import { useEffect, useState } from './html.js'
import { get, post } from './api.js'

let me = null
let problem = null
const watchers = new Set()
const tell = () => { for (const f of watchers) f() }

/** Asks who we are; null stays null while qadmin does not answer. */
export async function loadMe() {
  try { me = await get('me') } catch (e) { problem = e; setTimeout(loadMe, 3000) }
  tell()
}
/** Why the first answer is missing, if it is. */
export const meProblem = () => me ? null : problem
export function useMe() {
  const [, turn] = useState(0)
  useEffect(() => {
    const f = () => turn(n => n + 1)
    watchers.add(f)
    f()
    return () => watchers.delete(f)
  }, [])
  return me
}
export async function login(user, password) {
  await post('login', { user, password })
  await loadMe()
}
export async function logout() {
  await post('logout', {})
  await loadMe()
}
addEventListener('login-required', () => { if (me?.logged_in) { me = { ...me, logged_in: false, may_act: false }; tell() } })

/** Whether the sign-in form must come first. */
export const needsLogin = me => me?.auth === 'login' && !me.logged_in
