// Light or dark: the reader's choice, else the system's. Loaded before the first paint, hence not a module.
(() => {
  const dark = matchMedia('(prefers-color-scheme: dark)')
  let chosen = null
  try { chosen = localStorage.getItem('qadmin.theme') } catch { /* no storage: the system's choice holds */ }
  const apply = () => { document.documentElement.dataset.theme = chosen || (dark.matches ? 'dark' : 'light') }
  apply()
  dark.addEventListener('change', apply)
  // The switch: what equals the system's choice is not kept, so the page follows the system again.
  window.switchTheme = () => {
    const next = document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark'
    chosen = next === (dark.matches ? 'dark' : 'light') ? null : next
    try { chosen ? localStorage.setItem('qadmin.theme', chosen) : localStorage.removeItem('qadmin.theme') } catch { /* for this visit only */ }
    apply()
    window.dispatchEvent(new Event('theme'))
  }
})()
