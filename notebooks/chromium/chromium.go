// Package chromium starts a browser for tests of pages.
package chromium

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// path is where Chromium is. A test that needs it skips where there is none, unless
// CONVGRAD_BROWSER is 1.
func path(t testing.TB) string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CONVGRAD_BROWSER") == "1" {
		t.Fatal("no Chromium on this machine, and CONVGRAD_BROWSER asks for it")
	}
	t.Skip("no Chromium on this machine: the page is not tried in a browser")
	return ""
}

// Open starts Chromium for a test, for so long at most. requests are the addresses of all requests
// that pages have made.
func Open(t testing.TB, most time.Duration) (ctx context.Context, requests func() []string) {
	alloc, cancel := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path(t)), chromedp.NoSandbox, chromedp.DisableGPU)...)
	t.Cleanup(cancel)
	ctx, cancel2 := chromedp.NewContext(alloc)
	t.Cleanup(cancel2)
	ctx, cancel3 := context.WithTimeout(ctx, most)
	t.Cleanup(cancel3)
	var mu sync.Mutex
	var all []string
	chromedp.ListenTarget(ctx, func(ev any) {
		if e, ok := ev.(*network.EventRequestWillBeSent); ok {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, e.Request.URL)
		}
	})
	if err := chromedp.Run(ctx, network.Enable()); err != nil {
		t.Fatal(err)
	}
	return ctx, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), all...)
	}
}

// Judge has axe judge the accessibility of the page that is open. CONVGRAD_AXE names axe.min.js;
// without it nothing is judged.
func Judge(t testing.TB, ctx context.Context) {
	t.Helper()
	source, err := os.ReadFile(os.Getenv("CONVGRAD_AXE"))
	if err != nil {
		t.Log("CONVGRAD_AXE does not name axe.min.js: accessibility is not judged")
		return
	}
	const run = `axe.run().then(r => r.violations.map(v => v.id + ': ' + v.help + ' ' + v.nodes.slice(0, 3).map(n => n.html).join(' | ')))`
	var done bool
	var said json.RawMessage
	var violations []string
	err = chromedp.Run(ctx, chromedp.Evaluate(string(source)+"; true", &done),
		chromedp.Evaluate(run, &said, func(p *runtime.EvaluateParams) *runtime.EvaluateParams {
			return p.WithAwaitPromise(true).WithReturnByValue(true)
		}))
	if err == nil {
		err = json.Unmarshal(said, &violations)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range violations {
		t.Errorf("axe: %.600s", v)
	}
}
