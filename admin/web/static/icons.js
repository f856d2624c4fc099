// Icons: strokes on a field of 16, in the colour of the text.
import { html } from './html.js'

const line = d => html`<path d=${d} />`
const circle = html`<circle cx="8" cy="8" r="6.2" />`
const drawings = {
  mark: line('M12 12.6A6.1 6.1 0 1 1 14 8.6M11.6 11.9l2.6 2.8M5 6.6v2.8M8 5v6M11 6.6v2.8'),
  search: html`<circle cx="7" cy="7" r="4.3" />${line('M10.2 10.2l3.2 3.2')}`,
  right: line('M6 3.6L10.4 8 6 12.4'),
  crit: html`<circle cx="8" cy="8" r="7" fill="currentColor" stroke="none" /><g stroke="var(--surface)">${line('M8 4.5v4.2M8 11.3v.01')}</g>`,
  warn: html`${line('M8 2.2l6.4 11.3H1.6z')}${line('M8 6.5v3.1M8 11.6v.01')}`,
  pause: html`${circle}${line('M6.4 5.8v4.4M9.6 5.8v4.4')}`,
  play: html`${circle}${line('M6.7 5.6L10.6 8l-3.9 2.4z')}`,
  info: html`${circle}${line('M8 7.3v3.6M8 5v.01')}`,
  check: line('M3.4 8.6l3.1 3 6.1-7'),
  plus: line('M8 3v10M3 8h10'),
  close: line('M4 4l8 8M12 4l-8 8'),
  sun: html`<circle cx="8" cy="8" r="3" />${line('M8 1.2v1.2M8 13.6v1.2M1.2 8h1.2M13.6 8h1.2M3.2 3.2l.9.9M11.9 11.9l.9.9M12.8 3.2l-.9.9M4.1 11.9l-.9.9')}`,
  moon: line('M13.4 9.7A5.7 5.7 0 0 1 6.3 2.6a5.7 5.7 0 1 0 7.1 7.1z'),
  up: line('M8 12.5v-9M4.6 6.9L8 3.5l3.4 3.4'),
  down: line('M8 3.5v9M4.6 9.1L8 12.5l3.4-3.4'),
  table: line('M2.5 3.5h11v9h-11zM2.5 6.5h11M2.5 9.5h11M6.5 6.5v6'),
  chart: line('M2.5 2.5v11h11M5 10l2.6-3.2 2.2 1.8L13 4.5'),
}

export const Icon = ({ name, size = 16 }) => html`<svg width=${size} height=${size} viewBox="0 0 16 16" fill="none"
  stroke="currentColor" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">${drawings[name]}</svg>`
