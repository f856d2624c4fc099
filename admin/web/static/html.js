// What every module draws with: html`…` makes elements, whose texts are always text nodes.
import { h, render } from './vendor/preact.js'
import { useState, useEffect, useErrorBoundary, useLayoutEffect, useRef, useMemo } from './vendor/hooks.js'
import htm from './vendor/htm.js'

export const html = htm.bind(h)
export { render, useState, useEffect, useErrorBoundary, useLayoutEffect, useRef, useMemo }
