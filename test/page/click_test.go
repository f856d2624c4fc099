package page

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// A press on what moves away at that moment, or has another one put in its place, is made
// again, and nothing else gets it.
func TestPressIsMadeAgainWhereThePageHasMoved(t *testing.T) {
	t.Parallel()
	b := newTab(t, "data:")
	b.do("load", navigate(`data:text/html,<button id="aim" style="position: fixed">here</button><script>
		let hits = 0, misses = 0, moves = 100
		let button = document.querySelector('button')
		addEventListener('click', e => { if (e.target === button) hits++; else misses++ })
		const move = () => {
			const next = button.cloneNode(true)
			button.replaceWith(next)
			button = next
			button.style.left = moves * 97 %25 900 + 'px'
			button.style.top = moves * 53 %25 500 + 'px'
			if (moves-- > 0) setTimeout(move, 10)
		}
		move()
	</script>`))
	b.click("#aim")
	if hits, misses := value[int](b, "hits"), value[int](b, "misses"); hits != 1 || misses > 0 {
		t.Errorf("it was hit %d times, and something else %d times", hits, misses)
	}
}

// Who waits for a page that is loaded anew meanwhile sees the one that is there in the end.
func TestWaitGoesOnWhereThePageIsReplaced(t *testing.T) {
	t.Parallel()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write([]byte(`<!doctype html><link rel="icon" href="data:,"><script>
			const left = Number(new URLSearchParams(location.search).get('left'))
			if (left > 0) addEventListener('load', () => setTimeout(() => location.replace('?left=' + (left - 1)), 5))
		</script>`))
	}))
	t.Cleanup(site.Close)
	b := newTab(t, site.URL)
	b.do("load", navigate(site.URL+"/?left=60"))
	b.until(`location.search === '?left=0' && document.readyState === 'complete'`)
}
