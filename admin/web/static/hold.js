// Holding: what the pointer or the keyboard rests on keeps its values and its place. The rest goes on.
import { useRef } from './html.js'

let pointed = null
let focused = null
const watchers = new Set()

/** Whether anything is held. */
export const holding = () => pointed !== null || focused !== null

/** Calls back when holding begins or ends; answers how to stop that. */
export function onHold(f) {
  watchers.add(f)
  return () => watchers.delete(f)
}

function set(nextPointed, nextFocused) {
  if (nextPointed === pointed && nextFocused === focused) return
  pointed = nextPointed
  focused = nextFocused
  for (const f of watchers) f()
}
const region = el => el?.closest?.('[data-hold]') ?? null

addEventListener('pointerover', e => { if (e.pointerType !== 'touch') set(region(e.target), focused) })
document.documentElement.addEventListener('pointerleave', () => set(null, focused))
addEventListener('focusin', e => set(pointed, e.target.matches?.(':focus-visible') ? region(e.target) : null))
addEventListener('focusout', () => set(pointed, null))

/** Forgets what was held, for its elements are gone. */
export const release = () => set(null, null)

/**
 * The latest value, or the one at the moment the region (an element with data-hold) began to be held. Nothing (null or an
 * empty list) is not held, nor is what the reader asked anew: `question` changes then.
 */
export function useHeld(ref, value, question) {
  const kept = useRef({ value, question })
  const el = ref.current
  const had = kept.current.value
  const held = el && (pointed === el || focused === el) && had && had.length !== 0 && kept.current.question === question
  if (!held) kept.current = { value, question }
  return kept.current.value
}
