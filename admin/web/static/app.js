// The page: the bar, one view per address, dialogs. One live stream follows the view on the screen.
import { html, render, useEffect, useErrorBoundary, useLayoutEffect } from './html.js'
import { Bar } from './bar.js'
import { DialogPlace, closeDialog } from './dialog.js'
import { release } from './hold.js'
import { useKeys } from './keys.js'
import { follow, useLive } from './live.js'
import { loadMe, meProblem, needsLogin, useMe } from './me.js'
import { go, to, useRoute } from './router.js'
import { Activity } from './views/activity.js'
import { Channel } from './views/channel.js'
import { Counter } from './views/counter.js'
import { Login } from './views/login.js'
import { Lookup } from './views/lookup.js'
import { Failed, Gone, NotFound, Refused } from './views/lost.js'
import { Node } from './views/node.js'
import { Nodes } from './views/nodes.js'
import { Overview } from './views/overview.js'
import { Sets } from './views/sets.js'
import { Topic } from './views/topic.js'
import { Topics } from './views/topics.js'

const views = { overview: Overview, topics: Topics, topic: Topic, channel: Channel, nodes: Nodes, node: Node, sets: Sets, lookup: Lookup, counter: Counter, activity: Activity }
const titles = { topics: 'Topics', nodes: 'Nodes', sets: 'Sets', lookup: 'Lookup', counter: 'Counter', activity: 'Activity', login: 'Sign in', notfound: 'No such page' }

// What the tab is called: a thing by its name, a list by what it lists.
function nameOf({ view, params }, frame) {
  if (params.channel) return `${params.topic} / ${params.channel}`
  if (params.node) return frame?.view === 'node' ? frame.data.node.name : params.node
  return params.topic ?? titles[view]
}

// A view that fails says so; the bar and the other views go on.
function Guard({ children }) {
  const [error] = useErrorBoundary(e => console.error(e))
  return error ? html`<${Failed} error=${error} />` : children
}

function App() {
  const route = useRoute()
  const me = useMe()
  const live = useLive()
  // What was followed before says nothing about the page that comes.
  const { frame, phase } = live.turn === route.turn ? live : { frame: null, phase: 'loading' }
  const { bar } = live
  const locked = needsLogin(me)
  useKeys()
  useLayoutEffect(() => {
    release()
    closeDialog()
    follow(me && !locked && views[route.view] ? route.view : null, route.params, route.turn)
  }, [route.turn, locked, me === null])
  useEffect(() => { if (route.view === 'login' && me && !locked) go(to.overview(), { replace: true }) }, [route.turn, me, locked])

  const name = nameOf(route, frame)
  useEffect(() => {
    const n = locked ? 0 : bar?.attention
    document.title = `${n ? `(${n}) ` : ''}${[locked ? titles.login : name, bar?.cluster || me?.cluster, 'qadmin'].filter(Boolean).join(' – ')}`
  }, [bar?.attention, bar?.cluster, me?.cluster, name, locked])

  const View = views[route.view]
  const shown = frame?.view === route.view ? frame : null
  const page = !me ? (meProblem() ? html`<${Refused} problem=${meProblem()} />` : null)
    : locked ? html`<${Login} />`
    : !View ? (route.view === 'login' ? null : html`<${NotFound} />`)
      : phase === 'gone' ? html`<${Gone} route=${route} problem=${live.problem} />`
        : phase === 'refused' ? html`<${Refused} problem=${live.problem} />`
          : html`<${Guard} key=${route.turn}><${View} params=${route.params} data=${shown?.data} bar=${bar} epoch=${live.epoch} stale=${live.stale} /><//>`
  return html`<${Bar} view=${route.view} signedOut=${locked} />
    <main id="main" tabindex="-1" data-view=${locked ? 'login' : route.view} data-quiet=${live.quiet ? '' : undefined}
      aria-busy=${String(Boolean(View) && !locked && !shown && phase === 'loading')}>${page}</main><${DialogPlace} />`
}

loadMe()
render(html`<${App} />`, document.getElementById('page'))
