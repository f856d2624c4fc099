package page

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"qmq/test/process"
)

// testTimeout bounds every wait; what works takes a few seconds, more on a busy machine.
const testTimeout = 2 * time.Minute

// browser is the one for all tests; a test has tabs of it.
var browser context.Context

// binaries is where the daemons are built, once for all tests.
var binaries string

func TestMain(m *testing.M) {
	flag.Parse()
	// Tests wait for daemons and frames most of the time.
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err) // there is such a flag
	}
	os.Exit(process.WithBinaries(func(dir string) int {
		binaries = dir
		return withBrowser(m.Run)
	}, "cmd/qd", "cmd/qlookupd", "cmd/qadmin"))
}

// withBrowser runs f while there is a browser. Without Chromium the tests fail.
func withBrowser(f func() int) (exit int) {
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		fmt.Fprintln(os.Stderr, "These tests look at qadmin's page in a browser, and there is none in PATH.\n"+
			"Install Chromium: apt-get install chromium (Debian), dnf install chromium (Fedora), brew install chromium (macOS).")
		return 1
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.WindowSize(1440, 900),
		chromedp.Flag("lang", "en-GB"), chromedp.Flag("force-prefers-reduced-motion", true), chromedp.Flag("force-color-profile", "srgb"))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // there is none for root
	}
	allocator, endAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	defer endAllocator()
	first, end := chromedp.NewContext(allocator)
	defer end()
	if err := chromedp.Do(first); err != nil {
		fmt.Fprintf(os.Stderr, "%s does not start: %v\n", path, err)
		return 1
	}
	browser = first
	return f()
}

// tab is a window of its own: no cookies and no storage of others. What the
// page complains about, and what it asks other hosts, fails the test.
type tab struct {
	t    testing.TB
	ctx  context.Context
	base string // where qadmin is, with a slash at the end

	mu       sync.Mutex // guards what follows
	problems []string
	expected []string // parts of complaints that belong to the test
}

// newTab opens a tab for the page at base.
func newTab(t testing.TB, base string) *tab {
	t.Helper()
	ctx, end := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	b := &tab{t: t, ctx: ctx, base: base}
	host, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Listen(ctx, func(event any) { b.listen(event, host.Host) }); err != nil {
		t.Fatal(err)
	}
	b.size(1440, 900)
	t.Cleanup(func() {
		end()
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, problem := range b.problems {
			t.Error(problem)
		}
	})
	return b
}

func (b *tab) listen(event any, host string) {
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		text := e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			text += " " + e.ExceptionDetails.Exception.Description
		}
		b.problem("exception: " + text)
	case *runtime.EventConsoleAPICalled:
		text := fmt.Sprintf("console: %s", e.Type)
		for _, arg := range e.Args {
			text += fmt.Sprintf(" %s %s", arg.Description, arg.Value)
		}
		b.problem(text)
	case *log.EventEntryAdded:
		b.problem(fmt.Sprintf("log: %s %s (%s)", e.Entry.Level, e.Entry.Text, e.Entry.URL))
	case *page.EventJavascriptDialogOpening:
		b.problem("alert: " + e.Message)
	case *network.EventRequestWillBeSent:
		u, err := url.Parse(e.Request.URL)
		if err != nil || u.Scheme != "data" && u.Host != host {
			b.problem("request to another host: " + e.Request.URL)
		}
	}
}

func (b *tab) problem(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, part := range b.expected {
		if strings.Contains(text, part) {
			return
		}
	}
	b.problems = append(b.problems, text)
}

// expect allows complaints that contain a text.
func (b *tab) expect(part string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expected = append(b.expected, part)
}

// do runs actions; one that takes too long fails the test with what is on the
// page.
func (b *tab) do(what string, actions ...action) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, testTimeout)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatalf("%s: %v\nThe page at %s says:\n%s", what, err, b.at(), b.said())
	}
}

func (b *tab) said() string {
	ctx, cancel := context.WithTimeout(b.ctx, 2*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.body.innerText.slice(0, 6000)`))
	if err != nil {
		return err.Error()
	}
	return text
}

func (b *tab) at() string {
	ctx, cancel := context.WithTimeout(b.ctx, 2*time.Second)
	defer cancel()
	at, _ := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href`)) // for people only
	return at
}

// size is that of the window in CSS pixels.
func (b *tab) size(width, height int64) {
	b.t.Helper()
	b.do("size", chromedp.EmulateViewport(width, height))
}

// prefers sets a media feature, such as prefers-color-scheme.
func (b *tab) prefers(feature, value string) {
	b.t.Helper()
	b.do(feature, func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: feature, Value: value}}})
		return chromedp.Void{}, err
	})
}

// open shows a path below the base and waits for the view. A tab that has the page, with
// another view, goes there as by a link: to load it again costs much more.
func (b *tab) open(path, view string) {
	b.t.Helper()
	gone := value[bool](b, fmt.Sprintf(`(async (view, path) => {
		const now = document.querySelector('main[data-view]')?.dataset.view
		if (!now || now === view || now === 'login' || now === 'notfound' || view === 'notfound') return false
		const router = await import(new URL('static/router.js', document.baseURI))
		router.go(path)
		return true
	})(%q, %q)`, view, cmp.Or(path, "./")))
	if !gone {
		b.load(path, view)
		return
	}
	b.view(view)
}

// load loads the page at a path below the base and waits for the view.
func (b *tab) load(path, view string) {
	b.t.Helper()
	b.do("load "+path, chromedp.Navigate(b.base+path))
	b.view(view)
}

// view waits until a view is there, with its first frame.
func (b *tab) view(name string) {
	b.t.Helper()
	b.until(fmt.Sprintf(`document.querySelector('main[data-view="%s"][aria-busy="false"] h1')`, name))
}

// lookEvery is how often a page is looked at that is waited for. At every frame, which
// is what the browser does by itself, it would draw all the time.
const lookEvery = 50 * time.Millisecond

// until waits for a condition in the page.
func (b *tab) until(condition string) {
	b.t.Helper()
	look := chromedp.Poll[chromedp.Void](condition, chromedp.WithPollingInterval(lookEvery), chromedp.WithPollingTimeout(testTimeout))
	b.do("until "+condition, whenReplaced(look, "Cannot find ", "Execution context was destroyed", "Inspected target navigated"))
}

// whenReplaced does an action again where another page has taken the place of the one that
// it was for, which the browser says in one of these ways. One that begins with "Cannot find"
// means that nothing was done.
func whenReplaced[T any](a chromedp.Action[T], ways ...string) chromedp.Action[T] {
	return func(ctx context.Context, t *chromedp.Target) (T, error) {
		for {
			v, err := a(ctx, t)
			var said *cdproto.Error
			if !errors.As(err, &said) || !slices.ContainsFunc(ways, func(way string) bool { return strings.HasPrefix(said.Message, way) }) {
				return v, err
			}
			select {
			case <-ctx.Done():
				return v, err
			case <-time.After(lookEvery):
			}
		}
	}
}

// shows waits until an element contains a text.
func (b *tab) shows(selector, text string) {
	b.t.Helper()
	b.until(fmt.Sprintf(`[...document.querySelectorAll(%q)].some(e => e.innerText.includes(%q))`, selector, text))
}

// gone waits until there is no such element.
func (b *tab) gone(selector string) {
	b.t.Helper()
	b.until(fmt.Sprintf(`!document.querySelector(%q)`, selector))
}

// click presses the mouse on an element and takes the pointer away: what it
// rests on is held. A page may move the element between the look where it is and the press,
// or put another one in its place: then that is pressed.
func (b *tab) click(selector string) {
	b.t.Helper()
	b.do("click "+selector, func(ctx context.Context, t *chromedp.Target) (done chromedp.Void, err error) {
		for hit := false; err == nil && !hit; {
			if _, err = chromedp.Evaluate[chromedp.Void](fmt.Sprintf(aim, selector))(ctx, t); err != nil {
				break
			}
			_, missed := chromedp.Click(chromedp.CSS(selector))(ctx, t)
			if ctx.Err() != nil {
				return done, missed
			}
			was := chromedp.Evaluate[bool](`window.aimed?.() ?? true`) // a page that is gone was hit
			hit, err = whenReplaced(was, "Cannot find ", "Execution context was destroyed", "Inspected target navigated")(ctx, t)
			if err == nil && !hit {
				b.t.Logf("the page has moved under the press on %s (%v): again", selector, missed)
			}
		}
		return done, err
	}, chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, 2, 2))
}

// aim keeps from the page a press that is on something else than an element, and the click of
// one that only began there: it is on whatever both places are in. It sets aimed, which says
// whether the next press was on it, and ends that.
const aim = `(selector => {
	const kinds = ['pointerdown', 'mousedown', 'pointerup', 'mouseup', 'click']
	let down, clicked = false
	const look = e => {
		const on = !!document.querySelector(selector)?.contains(e.target)
		if (e.type === 'pointerdown' && on) down = e
		if (e.type === 'click' && on) clicked = true
		if (down && (on || e.type !== 'click')) return
		e.preventDefault()
		e.stopImmediatePropagation()
	}
	for (const kind of kinds) addEventListener(kind, look, true)
	window.aimed = () => {
		for (const kind of kinds) removeEventListener(kind, look, true)
		delete window.aimed
		return clicked || !!down?.defaultPrevented // what is done at once may be gone by the click
	}
})(%q)`

// write replaces what is in a field by typing.
func (b *tab) write(selector, text string) {
	b.t.Helper()
	b.do("write into "+selector, chromedp.WaitVisible(chromedp.CSS(selector)),
		chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`document.querySelector(%q).select()`, selector)))
	if text == "" {
		b.do("clear "+selector, chromedp.SendKeys(chromedp.CSS(selector), "\b"))
		return
	}
	b.do("write into "+selector, chromedp.SendKeys(chromedp.CSS(selector), text))
}

// press types keys at whatever has the focus, all at one moment: what belongs together, such
// as g and t, does so however long the page takes for each.
func (b *tab) press(keys string) {
	b.t.Helper()
	at := input.TimeSinceEpoch(float64(time.Now().UnixMicro()) / 1e6)
	b.do("press "+keys, chromedp.KeyEvent(keys, func(p *input.DispatchKeyEventParams) { p.Timestamp = at }))
}

// value is that of an expression in the page.
func value[T any](b *tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, testTimeout)
	defer cancel()
	look := chromedp.Evaluate[T](expression, func(p *runtime.EvaluateParams) { p.AwaitPromise = new(true) })
	v, err := chromedp.Run(ctx, whenReplaced(look, "Cannot find "))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// action is one that gives nothing.
type action = chromedp.Action[chromedp.Void]

func navigate(address string) action { return chromedp.Navigate(address) }

func evaluate(expression string) action { return chromedp.Evaluate[chromedp.Void](expression) }

// figure is a condition on the number of a figure, called n.
func figure(id, condition string) string {
	return fmt.Sprintf(`(n => %s)(Number(document.querySelector('[data-figure="%s"] .value')?.firstChild.data.replace(/[^0-9.]/g, '') || NaN))`, condition, id)
}
