// Package browser tries the pages of cmd/train in a browser: the report of a run, and the page of
// its server.
package browser

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/convgrad/convgrad/internal/report"
	"github.com/convgrad/convgrad/internal/serve"
	"github.com/convgrad/convgrad/notebooks/chromium"
	"github.com/convgrad/convgrad/train"
	"github.com/convgrad/convgrad/train/data"
)

// trained is a network that reads digits, with digits that it has not seen.
func trained(t *testing.T) (*train.SavedRun, *data.Images) {
	t.Helper()
	training, test, err := data.Open("digits", data.Options{Train: 12000, Test: 1000, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	c := train.Config{Data: "digits", Model: "lenet5", Loss: "cross-entropy", Epochs: 3, Batch: 32, Optimizer: "adam", Seed: 1}
	tr, err := c.Trainer(training, test)
	if err != nil {
		t.Fatal(err)
	}
	tr.Dir = filepath.Join(t.TempDir(), "digits")
	if _, err := tr.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	r, err := train.OpenRun(tr.Dir)
	if err != nil {
		t.Fatal(err)
	}
	return r, test.(*data.Images)
}

// A reader is a browser on a page.
type reader struct {
	*testing.T
	ctx context.Context
}

func (r *reader) do(a ...chromedp.Action) {
	r.Helper()
	if err := chromedp.Run(r.ctx, a...); err != nil {
		r.Fatal(err)
	}
}

func eval[T any](r *reader, js string) (v T) {
	r.Helper()
	r.do(chromedp.Evaluate(js, &v))
	return v
}

// screen is the size of the window, and whether it is a phone's.
func (r *reader) screen(w, h int64, phone bool, scheme string) {
	r.Helper()
	r.do(emulation.SetDeviceMetricsOverride(w, h, 1, phone), emulation.SetTouchEmulationEnabled(phone),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme},
			{Name: "prefers-reduced-motion", Value: "reduce"}}))
}

// fits wants nothing to be wider than the screen.
func (r *reader) fits(w int) {
	r.Helper()
	if got := eval[int](r, `document.documentElement.scrollWidth`); got > w {
		r.Errorf("the page is %d wide on a screen of %d: %s", got, w, eval[string](r, fmt.Sprintf(
			`[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > %d.5 && !e.closest('.wrap')).map(e => e.tagName + ' ' + e.className).slice(0, 8).join('; ')`, w)))
	}
}

// keep writes a picture of the page for a person to look at, where CONVGRAD_SCREENS says.
func (r *reader) keep(name string) {
	r.Helper()
	dir := os.Getenv("CONVGRAD_SCREENS")
	if dir == "" {
		return
	}
	var b []byte
	r.do(chromedp.FullScreenshot(&b, 100))
	if err := os.WriteFile(filepath.Join(dir, name+".png"), b, 0o666); err != nil {
		r.Fatal(err)
	}
}

// TestPages: one run, its report and its server.
func TestPages(t *testing.T) {
	ctx, requests := chromium.Open(t, 2*time.Minute)
	run, test := trained(t)
	r := &reader{t, ctx}
	t.Run("report", func(t *testing.T) { testReport(&reader{t, ctx}, run, test) })
	url := listen(r, run)
	t.Run("draw", func(t *testing.T) { testDraw(&reader{t, ctx}, url) })
	t.Run("keys", func(t *testing.T) { testKeys(&reader{t, ctx}, url) })
	t.Run("phone", func(t *testing.T) { testPhone(&reader{t, ctx}, url) })
	t.Run("files", func(t *testing.T) { testFiles(&reader{t, ctx}, url, test, run) })
	for _, u := range requests() {
		if !strings.HasPrefix(u, url) && !strings.HasPrefix(u, "file:///") && !strings.HasPrefix(u, "data:") && !strings.HasPrefix(u, "blob:"+url) && u != "about:blank" {
			t.Errorf("a request to elsewhere: %.200s", u)
		}
	}
}

func testReport(r *reader, run *train.SavedRun, test data.Set) {
	path := filepath.Join(r.TempDir(), report.File)
	if err := report.WriteFile(r.ctx, path, report.Input{Run: run, Set: test, Command: "go run ./cmd/train -model=lenet5"}); err != nil {
		r.Fatal(err)
	}
	for _, w := range []int64{320, 768, 1600} {
		for _, scheme := range []string{"light", "dark"} {
			r.screen(w, 900, w == 320, scheme)
			r.do(chromedp.Navigate("about:blank"), chromedp.Navigate("file://"+path), chromedp.WaitReady("pre"))
			r.fits(int(w))
			if n := eval[int](r, `[...document.images].filter(i => !i.complete || !i.naturalWidth).length`); n > 0 {
				r.Errorf("%d pictures of the report cannot be seen", n)
			}
			if n := eval[int](r, `document.querySelectorAll('.curves polyline').length`); n < 6 {
				r.Errorf("%d curves, want 6", n)
			}
			r.keep(fmt.Sprintf("report-%d-%s", w, scheme))
		}
	}
	chromium.Judge(r, r.ctx)
}

func listen(r *reader, run *train.SavedRun) (url string) {
	s, err := serve.New(run, serve.Options{})
	if err != nil {
		r.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	r.Cleanup(sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			r.Error(err)
		}
		s.Close()
	}))
	return "http://" + l.Addr().String() + "/"
}

// visit loads the server's page.
func (r *reader) visit(url string) {
	r.Helper()
	r.do(chromedp.Navigate("about:blank"), chromedp.Navigate(url), chromedp.WaitReady(`html[data-ready]`, chromedp.ByQuery))
}

// read waits until the page shows the answer to what is on it, and returns the class.
func (r *reader) read() string {
	r.Helper()
	r.do(chromedp.WaitReady(`html[data-idle]`, chromedp.ByQuery))
	return eval[string](r, `document.documentElement.dataset.class`)
}

// A stroke is a line of the pen, in units of the pad.
type stroke []struct{ x, y float64 }

// arc is a stroke around a centre, from one angle to another, in turns.
func arc(cx, cy, rx, ry, from, to float64) (s stroke) {
	for i := range 25 {
		sin, cos := math.Sincos(2 * math.Pi * (from + (to-from)*float64(i)/24))
		s = append(s, struct{ x, y float64 }{cx + rx*cos, cy + ry*sin})
	}
	return s
}

// figures are digits as people write them.
var figures = map[string][]stroke{
	"0": {arc(0.5, 0.5, 0.2, 0.33, 0, 1)},
	"2": {append(arc(0.5, 0.32, 0.2, 0.17, 0.5, 1.1), stroke{{0.3, 0.82}, {0.72, 0.82}}...)},
	"3": {append(arc(0.48, 0.33, 0.18, 0.16, 0.55, 1.25), arc(0.48, 0.66, 0.2, 0.17, 0.75, 1.45)...)},
	"4": {{{0.55, 0.15}, {0.28, 0.62}, {0.74, 0.62}}, {{0.6, 0.4}, {0.6, 0.86}}},
	"7": {{{0.28, 0.18}, {0.72, 0.18}, {0.45, 0.85}}},
}

// pad is where the drawing pad is.
func (r *reader) pad() (x, y, side float64) {
	b := eval[[]float64](r, `(() => { const b = document.getElementById('canvas').getBoundingClientRect(); return [b.x, b.y, b.width] })()`)
	return b[0], b[1], b[2]
}

func testDraw(r *reader, url string) {
	r.screen(1600, 900, false, "light")
	r.visit(url)
	if got := r.read0(); got != "–" {
		r.Errorf("before anything is drawn the page says %q", got)
	}
	maps := map[string]bool{}
	for _, name := range []string{"0", "2", "3", "4", "7"} {
		r.do(chromedp.Click("#clear"))
		x, y, side := r.pad()
		for _, s := range figures[name] {
			r.do(input.DispatchMouseEvent(input.MousePressed, x+s[0].x*side, y+s[0].y*side).WithButton(input.Left).WithClickCount(1))
			for _, p := range s[1:] {
				r.do(input.DispatchMouseEvent(input.MouseMoved, x+p.x*side, y+p.y*side).WithButton(input.Left))
			}
			last := s[len(s)-1]
			r.do(input.DispatchMouseEvent(input.MouseReleased, x+last.x*side, y+last.y*side).WithButton(input.Left).WithClickCount(1))
		}
		if got := r.read(); got != name {
			r.Errorf("a %s is read as %q", name, eval[string](r, `document.getElementById('answer').textContent`))
		}
		if n := eval[int](r, `document.querySelectorAll('#maps img').length`); n != 7 {
			r.Errorf("%d pictures of what is inside, want the gradient and six layers", n)
		}
		maps[eval[string](r, `document.querySelectorAll('#maps img')[1].src`)] = true
		if name == "4" {
			for _, scheme := range []string{"light", "dark"} {
				r.screen(1600, 900, false, scheme)
				r.fits(1600)
				r.keep("serve-1600-" + scheme)
			}
			chromium.Judge(r, r.ctx)
		}
	}
	if len(maps) != 5 {
		r.Errorf("five digits give %d different maps", len(maps))
	}
	r.do(chromedp.Click("#clear"))
	if got := r.read(); got != "" || r.read0() != "–" {
		r.Errorf("after Clear the page says %q", r.read0())
	}
}

// read0 is what the page says at once.
func (r *reader) read0() string {
	return eval[string](r, `document.getElementById('answer').textContent`)
}

// testKeys draws a 5 by keys alone.
func testKeys(r *reader, url string) {
	r.visit(url)
	r.do(chromedp.Focus("#canvas"))
	press := func(key string, n int) {
		for range n {
			r.do(chromedp.KeyEvent(key))
		}
	}
	press(kb.ArrowRight, 4)
	press(" ", 1)
	press(kb.ArrowLeft, 8)
	press(kb.ArrowDown, 6)
	press(kb.ArrowRight, 8)
	press(kb.ArrowDown, 7)
	press(kb.ArrowLeft, 8)
	press(" ", 1)
	if got := r.read(); got != "5" {
		r.Errorf("a 5 drawn by keys is read as %q", r.read0())
	}
	r.keep("serve-keys")
	r.do(chromedp.Sleep(700 * time.Millisecond)) // announcements wait for a pause
	if got, want := eval[string](r, `document.getElementById('live').textContent`), r.read0(); got != want {
		r.Errorf("announced %q, want %q", got, want)
	}
	press(kb.Backspace, 1)
	if got := r.read(); got != "" {
		r.Errorf("after backspace it is a %q", got)
	}
}

func testPhone(r *reader, url string) {
	for _, scheme := range []string{"light", "dark"} {
		r.screen(320, 640, true, scheme)
		r.visit(url)
		r.fits(320)
		x, y, side := r.pad()
		for _, s := range figures["7"] {
			touch := func(kind input.TouchType, p ...*input.TouchPoint) { r.do(input.DispatchTouchEvent(kind, p)) }
			at := func(i int) *input.TouchPoint { return &input.TouchPoint{X: x + s[i].x*side, Y: y + s[i].y*side} }
			touch(input.TouchStart, at(0))
			for i := range s {
				touch(input.TouchMove, at(i))
			}
			touch(input.TouchEnd)
		}
		if got := r.read(); got != "7" {
			r.Errorf("a 7 drawn by touch is read as %q", r.read0())
		}
		r.fits(320)
		if small := eval[[]string](r, `[...document.querySelectorAll('button, .button, .check')].filter(e => e.getBoundingClientRect().height < 43.5).map(e => e.textContent)`); len(small) > 0 {
			r.Errorf("smaller than 44 pixels: %q", small)
		}
		r.keep("serve-320-" + scheme)
	}
	r.screen(900, 900, false, "light")
}

// testFiles chooses a picture, drops one, and one that is none.
func testFiles(r *reader, url string, test *data.Images, run *train.SavedRun) {
	r.visit(url)
	path := filepath.Join(r.TempDir(), "Ziffer ü.png")
	var right int
	for i := range test.Len() { // one that is read right
		pixels, err := test.Pixels(i)
		if err != nil {
			r.Fatal(err)
		}
		classes, _, err := run.Classify(pixels)
		if err != nil {
			r.Fatal(err)
		}
		if right = i; classes[0] == i%10 {
			break
		}
	}
	pixels, _ := test.Pixels(right)
	img := image.NewGray(image.Rect(0, 0, 28, 28))
	copy(img.Pix, pixels)
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		r.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		r.Fatal(err)
	}
	want := run.Classes[right%10]
	r.do(chromedp.SetUploadFiles("#file", []string{path}, chromedp.ByQuery))
	r.do(chromedp.WaitReady(`html[data-class="`+want+`"]`, chromedp.ByQuery))
	if got := r.read(); got != want {
		r.Errorf("a file of a %s is read as %q", want, r.read0())
	}
	r.keep("serve-file")
	drop := func(bytes []byte, kind string) {
		numbers, _ := json.Marshal(slices.Collect(func(yield func(int) bool) {
			for _, v := range bytes {
				if !yield(int(v)) {
					return
				}
			}
		}))
		eval[bool](r, fmt.Sprintf(`(() => { const d = new DataTransfer(); d.items.add(new File([new Uint8Array(%s)], 'x', {type: %q}));
			document.getElementById('pad').dispatchEvent(new DragEvent('drop', {dataTransfer: d, bubbles: true})); return true })()`, numbers, kind))
	}
	r.do(chromedp.Click("#clear"))
	r.read()
	drop(b.Bytes(), "image/png")
	if got := r.read(); got != want {
		r.Errorf("a %s that is dropped is read as %q", want, r.read0())
	}
	drop([]byte("no picture"), "image/png")
	r.read()
	if got := eval[string](r, `document.getElementById('problem').textContent`); !strings.Contains(got, "unknown format") || r.read0() != "–" {
		r.Errorf("what is no picture is %q, and the page says %q", r.read0(), got)
	}
}
