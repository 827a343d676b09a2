package main

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/convgrad/convgrad/notebooks/chromium"
	"github.com/convgrad/convgrad/notebooks/page/scene"
)

// A reader is a browser on the page.
type reader struct {
	t        *testing.T
	ctx      context.Context
	url      string
	requests func() []string
}

func open(t *testing.T) *reader {
	ctx, requests := chromium.Open(t, 150*time.Second)
	dir := t.TempDir()
	size, err := write(filepath.Join(dir, "any", "folder"))
	if err != nil {
		t.Fatal(err)
	}
	if size >= 1_000_000 {
		t.Errorf("the page has %d bytes compressed, want fewer than a million", size)
	}
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(server.Close)
	r := &reader{t: t, ctx: ctx, url: server.URL + "/any/folder/", requests: requests}
	r.do(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-reduced-motion", Value: "reduce"}}),
		emulation.SetDeviceMetricsOverride(900, 900, 1, false))
	r.visit("")
	return r
}

func (r *reader) do(a ...chromedp.Action) {
	r.t.Helper()
	if err := chromedp.Run(r.ctx, a...); err != nil {
		r.t.Fatal(err)
	}
}

// visit loads the page at a state and waits for the engine.
func (r *reader) visit(address string) {
	r.t.Helper()
	r.do(chromedp.Navigate("about:blank"), chromedp.Navigate(r.url+"#"+address), chromedp.WaitReady(`html[data-ready]`, chromedp.ByQuery))
}

func eval[T any](r *reader, js string) (v T) {
	r.t.Helper()
	r.do(chromedp.Evaluate(js, &v))
	return v
}

// seen lists what a reader sees in the cells of a scene's HTML.
var seen = regexp.MustCompile(`data-id="([a-z0-9-]+)"[^>]*><span class="n">([^<]*)</span>`)

// A view is what the DOM holds after a click: the address, the focus, a scene's cells and sentence,
// and what was announced.
type view struct {
	Address, Focus, Why, Live string
	Cells                     map[string]string
}

// look reads a scene in one evaluation: each costs a round trip to the browser.
func (r *reader) look(id string) view {
	r.t.Helper()
	return eval[view](r, fmt.Sprintf(`(() => { const s = document.querySelector('[data-scene="%s"]'); return {
		Address: location.hash.slice(1), Focus: document.activeElement.dataset.id ?? '', Why: s.querySelector('.why')?.textContent ?? '',
		Live: document.getElementById('live').textContent,
		Cells: Object.fromEntries([...s.querySelectorAll('td')].map(td => [td.dataset.id, td.querySelector('.n').textContent])) } })()`, id))
}

// compare wants the DOM of a scene to have Go's numbers and sentences for the address.
func (r *reader) compare(id string) view {
	r.t.Helper()
	v := r.look(id)
	body, say := scene.Render(id, scene.Parse(v.Address))
	want := map[string]string{}
	for _, m := range seen.FindAllStringSubmatch(body, -1) {
		want[m[1]] = m[2]
	}
	if len(v.Cells) != len(want) {
		r.t.Fatalf("scene %s at %s: %d cells, want %d", id, v.Address, len(v.Cells), len(want))
	}
	for k, w := range want {
		if v.Cells[k] != w {
			r.t.Fatalf("scene %s at %s: cell %s shows %q, Go says %q", id, v.Address, k, v.Cells[k], w)
		}
	}
	if !strings.Contains(body, html.EscapeString(v.Why)) {
		r.t.Fatalf("scene %s at %s: the sentence %q is not Go's", id, v.Address, v.Why)
	}
	if v.Live != say {
		r.t.Fatalf("scene %s at %s: announced %q, want %q", id, v.Address, v.Live, say)
	}
	return v
}

func TestBrowser(t *testing.T) {
	r := open(t)

	t.Logf("ready %s ms after navigation", eval[string](r, `document.documentElement.dataset.ready`))
	t.Run("fast", func(t *testing.T) { fast(t, &reader{t, r.ctx, r.url, r.requests}) })

	t.Run("mouse", func(t *testing.T) {
		r := &reader{t, r.ctx, r.url, r.requests}
		for _, sc := range scene.Scenes {
			r.visit(sc.ID + "?g=show")
			cells := eval[[]string](r, fmt.Sprintf(`[...document.querySelectorAll('[data-scene="%s"] td[data-set]')].map(td => td.dataset.id)`, sc.ID))
			if len(cells) == 0 && sc.ID != "7" {
				t.Errorf("scene %s has no cell to choose", sc.ID)
			}
			for _, c := range cells {
				at := eval[[]float64](r, fmt.Sprintf(`(() => { const e = document.querySelector('[data-scene="%s"] [data-id="%s"]'); e.scrollIntoView({block: 'center', behavior: 'instant'}); const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2] })()`, sc.ID, c))
				r.do(chromedp.MouseClickXY(at[0], at[1]))
				if v := r.compare(sc.ID); v.Focus != c {
					t.Fatalf("scene %s at %s: cell %s does not keep the focus", sc.ID, v.Address, c)
				}
			}
			// Every button, too.
			for _, b := range eval[[]string](r, fmt.Sprintf(`[...document.querySelectorAll('[data-scene="%s"] button')].map(b => b.dataset.id)`, sc.ID)) {
				if eval[bool](r, fmt.Sprintf(`(() => { const e = document.querySelector('[data-scene="%s"] [data-id="%s"]'); e?.click(); return !!e })()`, sc.ID, b)) {
					r.compare(sc.ID)
				}
			}
		}
	})

	t.Run("keys", func(t *testing.T) {
		r := &reader{t, r.ctx, r.url, r.requests}
		for _, sc := range scene.Scenes {
			r.visit(sc.ID + "?g=show")
			grids := eval[[]string](r, fmt.Sprintf(`[...document.querySelectorAll('[data-scene="%s"] [role=grid]')].map(g => g.dataset.grid)`, sc.ID))
			for _, g := range grids {
				q := fmt.Sprintf(`[data-scene="%s"] [data-grid="%s"]`, sc.ID, g)
				size := eval[[]int](r, fmt.Sprintf(`(() => { const g = document.querySelector('%s'); return [g.rows.length, g.rows[0].cells.length, g.querySelectorAll('[tabindex="0"]').length] })()`, q))
				if size[2] != 1 {
					t.Errorf("scene %s, grid %s: %d cells take a Tab, want 1", sc.ID, g, size[2])
				}
				eval[bool](r, fmt.Sprintf(`(document.querySelector('%s [tabindex="0"]').focus(), true)`, q))
				for range size[0] {
					r.do(chromedp.KeyEvent(kb.ArrowUp))
				}
				r.do(chromedp.KeyEvent(kb.Home))
				visited := map[string]bool{}
				for i := range size[0] {
					for range size[1] {
						v := r.look(sc.ID)
						if visited[v.Focus] = true; strings.Contains(v.Address, "i=") && (sc.ID != "6" || g != "d") {
							r.compare(sc.ID)
						}
						r.do(chromedp.KeyEvent(map[bool]string{true: kb.ArrowRight, false: kb.ArrowLeft}[i%2 == 0]))
					}
					r.do(chromedp.KeyEvent(kb.ArrowDown))
				}
				if len(visited) != size[0]*size[1] {
					t.Errorf("scene %s, grid %s: keys reach %d cells of %d", sc.ID, g, len(visited), size[0]*size[1])
				}
				r.do(chromedp.KeyEvent(" "))
				r.compare(sc.ID)
			}
		}
	})

	t.Run("narrow", func(t *testing.T) {
		r := &reader{t, r.ctx, r.url, r.requests}
		r.do(emulation.SetDeviceMetricsOverride(320, 640, 1, true))
		r.visit(everything())
		if w := eval[int](r, `document.documentElement.scrollWidth`); w > 320 {
			t.Errorf("the page is %d wide on a screen of 320: %s", w, eval[string](r,
				`[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > 320.5 && !e.closest('math')).map(e => e.tagName + ' ' + (e.dataset.id ?? e.className)).slice(0, 8).join('; ')`))
		}
		small := eval[[]string](r, `[...document.querySelectorAll('button, td[data-set]')].filter(e => { const b = e.getBoundingClientRect(); return b.height < 43.5 || b.width < 43.5 }).map(e => e.closest('[data-scene]').dataset.scene + ' ' + e.dataset.id)`)
		if len(small) > 0 {
			t.Errorf("smaller than 44 pixels: %v", small)
		}
		r.do(emulation.ClearDeviceMetricsOverride())
	})

	t.Run("axe", func(t *testing.T) {
		r := &reader{t, r.ctx, r.url, r.requests}
		for _, address := range []string{"", everything()} {
			r.visit(address)
			chromium.Judge(t, r.ctx)
		}
	})

	for _, u := range r.requests() {
		if !strings.HasPrefix(u, r.url) && !strings.HasPrefix(u, "data:") && u != "about:blank" {
			t.Errorf("a request to elsewhere: %s", u)
		}
	}
}

// everything is the address with all results in sight.
func everything() string {
	st := scene.State{}
	for _, sc := range scene.Scenes {
		st.Set(sc.ID, "g=show")
	}
	return st.Address("1")
}

// fast clicks each cell and button of each scene, and waits for the layout. With CONVGRAD_QUIET=1
// the machine is taken for quiet: 95 of 100 clicks must take at most 16 ms, and the page must be
// ready within a second. The best of five rounds counts, for other programs run on the machine too.
// Elsewhere the times are only printed.
func fast(t *testing.T, r *reader) {
	strict := os.Getenv("CONVGRAD_QUIET") == "1"
	best, ready := 1e9, 1e9
	for range 5 {
		r.visit(everything())
		times := eval[[]float64](r, `(() => {
			const times = [];
			for (const stage of document.querySelectorAll('[data-scene]')) {
				for (const id of [...stage.querySelectorAll('[data-set]')].map(e => e.dataset.id)) {
					const before = performance.now();
					stage.querySelector('[data-id="' + id + '"]')?.click();
					document.body.offsetHeight;
					times.push(performance.now() - before);
				}
			}
			return times.sort((a, b) => a - b) })()`)
		p95 := times[len(times)*95/100]
		start := eval[float64](r, `Number(document.documentElement.dataset.ready)`)
		t.Logf("%d clicks: %.1f ms (median), %.1f ms (95th percentile); ready after %.0f ms", len(times), times[len(times)/2], p95, start)
		if best, ready = min(best, p95), min(ready, start); best <= 16 && ready <= 1000 {
			return
		}
	}
	if strict {
		t.Errorf("the 95th percentile of a click is %.1f ms, want at most 16; ready after %.0f ms, want at most 1000", best, ready)
	}
}

// TestScreens writes pictures of the scenes for a person to look at, where CONVGRAD_SCREENS says:
// each scene at three widths, light, dark and without colours.
func TestScreens(t *testing.T) {
	dir := os.Getenv("CONVGRAD_SCREENS")
	if dir == "" {
		t.Skip("CONVGRAD_SCREENS names no directory")
	}
	r := open(t)
	for _, width := range []int64{320, 768, 1600} {
		for _, look := range []string{"light", "dark", "grey"} {
			scheme := map[bool]string{true: "dark", false: "light"}[look == "dark"]
			vision := emulation.SetEmulatedVisionDeficiencyTypeNone
			if look == "grey" {
				vision = emulation.SetEmulatedVisionDeficiencyTypeAchromatopsia
			}
			// So high that no sentence has to keep itself in view.
			r.do(emulation.SetDeviceMetricsOverride(width, 20000, 1, false), emulation.SetEmulatedVisionDeficiency(vision),
				emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}))
			for k, address := range []string{"", everything()} {
				r.visit(address)
				for _, sc := range scene.Scenes {
					var png []byte
					r.do(chromedp.Screenshot("#scene-"+sc.ID, &png, chromedp.ByQuery))
					name := fmt.Sprintf("%s-%d-%s-%d.png", sc.ID, width, look, k)
					if err := os.WriteFile(filepath.Join(dir, name), png, 0o666); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
}
