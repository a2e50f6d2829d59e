package browser_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/ostiary/auth/internal/need"
)

// patience is how long a test may wait for one thing.
const patience = 30 * time.Second

// temporary is a directory for all tests; [build] puts the program under test into it, once.
var temporary string

var build = sync.OnceValue(func() error {
	compile := exec.Command("go", "build", "-o", temporary, "./quickstart")
	compile.Dir = filepath.Join("..", "..", "examples")
	if out, err := compile.CombinedOutput(); err != nil {
		return fmt.Errorf("build the quickstart: %w\n%s", err, out)
	}
	return nil
})

func TestMain(m *testing.M) { os.Exit(inTemporaryDirectory(m.Run)) }

func inTemporaryDirectory(run func() int) int {
	var err error
	if temporary, err = os.MkdirTemp("", "browser"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(temporary)
	return run()
}

var opened = regexp.MustCompile(`http://\S+`)

// quickstart runs the program on a free port and returns where it is.
func quickstart(t *testing.T) string {
	t.Helper()
	if err := build(); err != nil {
		t.Fatal(err)
	}
	program := exec.Command(filepath.Join(temporary, "quickstart"), "-memory", "-addr", "127.0.0.1:0")
	program.Stderr = os.Stderr
	out, err := program.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := program.Process.Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
		if err := program.Wait(); err != nil {
			t.Errorf("the program ends with %v", err)
		}
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if url := opened.FindString(lines.Text()); url != "" {
			return url
		}
	}
	t.Fatalf("the program does not say where it is: %v", lines.Err())
	return ""
}

// A viewport is the part of a page that its user sees.
type viewport struct {
	name          string
	width, height int64
	options       []chromedp.EmulateViewportOption
}

var viewports = []viewport{
	{"desktop", 1280, 900, nil},
	{"phone", 390, 844, []chromedp.EmulateViewportOption{chromedp.EmulateMobile, chromedp.EmulateTouch}},
}

// narrow is the least width at which nothing may need to be scrolled sideways.
const narrow = 360

// tab is a page in a browser with a profile of its own.
type tab struct {
	*testing.T
	ctx     context.Context
	view    viewport
	shots   int
	mu      sync.Mutex
	faults  []string
	refused []string // what the browser logs when a request is refused that should be
}

func browser(t *testing.T) string {
	t.Helper()
	return need.Program(t, "chromium", "chromium-browser", "google-chrome")
}

// open starts a browser and opens a page in it. When the test ends, everything that the browser has complained about is an
// error of the test.
func open(t *testing.T, v viewport, url string, more ...chromedp.ExecAllocatorOption) *tab {
	t.Helper()
	chromium := browser(t)
	// Its path must be short: the browser makes a socket in it.
	profile, err := os.MkdirTemp(temporary, "")
	if err != nil {
		t.Fatal(err)
	}
	allocator, stop := chromedp.NewExecAllocator(
		t.Context(), append(slices.Concat(chromedp.DefaultExecAllocatorOptions[:], more),
			chromedp.ExecPath(chromium),
			chromedp.NoSandbox, // the tests may run as root
			chromedp.DisableGPU,
			chromedp.Flag("disable-quic", true),
			chromedp.Flag("disable-component-update", true),
			chromedp.WindowSize(int(v.width), int(v.height)),
			chromedp.WSURLReadTimeout(patience),
			chromedp.UserDataDir(profile),
			chromedp.Env("TMPDIR="+profile),
		)...,
	)
	t.Cleanup(stop)
	p := &tab{T: t, view: v}
	ctx, cancel := chromedp.NewContext(allocator, chromedp.WithListener(p.watch()))
	p.ctx = ctx
	t.Cleanup(func() {
		// Ends the browser and waits for it, so that its profile can be removed.
		if err := chromedp.Cancel(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("end the browser: %v", err)
		}
		cancel()
	})
	p.do("open the page", chromedp.EmulateViewport(v.width, v.height, v.options...), chromedp.Navigate(url))
	t.Cleanup(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, fault := range p.faults {
			t.Error(fault)
		}
	})
	return p
}

// another opens a second page in the same browser and profile.
func (p *tab) another(url string) *tab {
	p.Helper()
	ctx, cancel := chromedp.NewContext(p.ctx, chromedp.WithListener(p.watch()))
	p.Cleanup(cancel)
	other := &tab{T: p.T, ctx: ctx, view: p.view}
	other.do("open another page", chromedp.EmulateViewport(p.view.width, p.view.height, p.view.options...), chromedp.Navigate(url))
	return other
}

// watch notes what the browser complains about: errors in the console, exceptions, and what it reports itself, such as a
// breach of the page's Content-Security-Policy.
func (p *tab) watch() func(event any) {
	note := func(format string, args ...any) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.faults = append(p.faults, fmt.Sprintf(format, args...))
	}
	return func(event any) {
		switch e := event.(type) {
		case *runtime.EventConsoleAPICalled:
			if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning || e.Type == runtime.ConsoleAPICalledTypeAssert {
				var args []string
				for _, a := range e.Args {
					args = append(args, string(a.Value)+a.Description)
				}
				note("console %s: %s", e.Type, strings.Join(args, " "))
			}
		case *runtime.EventExceptionThrown:
			note("exception: %v", e.ExceptionDetails)
		case *log.EventEntryAdded:
			if e.Entry.Level != log.EntryLevelError && e.Entry.Level != log.EntryLevelWarning {
				return
			}
			p.mu.Lock()
			expected := e.Entry.Source == log.EntrySourceNetwork &&
				slices.ContainsFunc(p.refused, func(status string) bool { return strings.Contains(e.Entry.Text, status) })
			p.mu.Unlock()
			if !expected {
				note("%s %s: %s (%s)", e.Entry.Source, e.Entry.Level, e.Entry.Text, e.Entry.URL)
			}
		}
	}
}

// expectRefusal says with which status the server will refuse requests from now on: the browser logs every one.
func (p *tab) expectRefusal(statuses ...int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused = nil
	for _, status := range statuses {
		p.refused = append(p.refused, fmt.Sprintf("status of %d", status))
	}
}

// do does something, or fails the test with a screenshot of what stood in the way.
func (p *tab) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	p.Helper()
	get(p, what, chromedp.Steps(actions...))
}

// get is [tab.do] for an action that has a result.
func get[T any](p *tab, what string, action chromedp.Action[T]) T {
	p.Helper()
	// The first one starts the browser, which would end with a context that has a timeout.
	if err := chromedp.Do(p.ctx); err != nil {
		p.Fatalf("start the browser: %v", err)
	}
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	result, err := chromedp.Run(ctx, action)
	if err != nil {
		p.shoot("failed to " + what)
		p.Fatalf("%s: %v", what, err)
	}
	return result
}

// see takes a screenshot, and checks that nothing has to be scrolled sideways, here and on a narrow phone.
func (p *tab) see(what string) {
	p.Helper()
	p.shoot(what)
	p.fits(what, p.view.width)
	p.do("narrow the page", chromedp.EmulateViewport(narrow, p.view.height, p.view.options...))
	p.fits(what, narrow)
	p.do("widen the page", chromedp.EmulateViewport(p.view.width, p.view.height, p.view.options...))
}

func (p *tab) fits(what string, width int64) {
	p.Helper()
	got := get(p, "measure the page", chromedp.Evaluate[struct {
		Width, Needed int64
		Beyond        string
	}](`(() => {
		const { clientWidth, scrollWidth } = document.documentElement;
		const beyond = [...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > clientWidth + 1);
		return {
			Width: clientWidth,
			Needed: Math.max(scrollWidth, document.body.scrollWidth),
			Beyond: beyond.map((e) => e.outerHTML.slice(0, 80)).join('\n'),
		};
	})()`))
	if got.Width < 1 || got.Width > width {
		p.Errorf("%s: the page is %d pixels wide in a viewport of %d", what, got.Width, width)
	}
	if got.Needed > got.Width {
		p.Errorf("%s: the page has to be scrolled sideways at a width of %d: it needs %d\n%s", what, width, got.Needed, got.Beyond)
	}
}

// odd is what does not belong into the name of a file.
var odd = regexp.MustCompile(`[^A-Za-z0-9]+`)

func (p *tab) shoot(what string) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		p.Errorf("take a screenshot: %v", err)
		return
	}
	p.shots++
	name := fmt.Sprintf("%02d-%s.png", p.shots, odd.ReplaceAllString(what, "-"))
	file := filepath.Join(p.ArtifactDir(), name)
	if err := os.WriteFile(file, png, 0o644); err != nil {
		p.Error(err)
	}
	p.Log(file)
}

// Selectors are those of the page's structure, which examples/quickstart/page/index.html documents.

func (p *tab) fill(selector, text string) {
	p.Helper()
	field := chromedp.CSS(selector)
	p.do(
		"fill in "+selector,
		chromedp.WaitVisible(field),
		chromedp.Evaluate[chromedp.Void](fmt.Sprintf("document.querySelector(%q).select()", selector)), // to be overwritten
		chromedp.SendKeys(field, text),
	)
	if got := get(p, "read "+selector, chromedp.Value(field)); got != text {
		p.Fatalf("%s has %q after %q was typed", selector, got, text)
	}
}

func (p *tab) press(selector string) {
	p.Helper()
	button := chromedp.CSS(selector)
	p.do(
		"press "+selector,
		chromedp.WaitVisible(button),
		chromedp.WaitEnabled(button),
		// Away from the edge of the window, where the notice lies.
		chromedp.Evaluate[chromedp.Void](fmt.Sprintf("document.querySelector(%q).scrollIntoView({ block: 'center' })", selector)),
		chromedp.Click(button),
	)
}

// load does what loads another document, and waits for that.
func (p *tab) load(what string, f func()) {
	p.Helper()
	p.do("mark the document", chromedp.Evaluate[chromedp.Void]("document.documentElement.dataset.left = ''"))
	f()
	p.waitFor("html:not([data-left]) body[data-state]")
}

func (p *tab) waitFor(selector string) {
	p.Helper()
	p.do("wait for "+selector, chromedp.WaitVisible(chromedp.CSS(selector)))
}

// text returns the text of an element that is there.
func (p *tab) text(selector string) string {
	p.Helper()
	return strings.TrimSpace(get(p, "read "+selector, chromedp.TextContent(chromedp.CSS(selector))))
}

// waitUntil waits for a JavaScript expression to be true.
func (p *tab) waitUntil(what, expression string) {
	p.Helper()
	p.do("wait until "+what, chromedp.Poll[chromedp.Void](expression, chromedp.WithPollingTimeout(patience)))
}

func (p *tab) waitForText(selector, text string) {
	p.Helper()
	p.waitUntil(selector+" says "+text, fmt.Sprintf("document.querySelector(%q)?.textContent.includes(%q)", selector, text))
}
