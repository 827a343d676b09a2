// Command page writes the interactive page as static files:
//
//	go run ./page              into page/site
//	go run ./page -o DIR       into DIR
//	go run ./page -serve :8080 and then serves them
//
// The page is four files: index.html with the first state of each scene, the engine as
// WebAssembly (page.wasm.gz), Go's wasm_exec.js and page.js. It asks nothing of its host.
package main

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"flag"
	"fmt"
	"html"
	"log"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/convgrad/convgrad/notebooks/page/scene"
	"github.com/convgrad/convgrad/notebooks/tex"
)

//go:embed page.css
var css string

//go:embed page.js
var script []byte

func main() {
	log.SetFlags(0)
	dir := flag.String("o", filepath.Join("page", "site"), "directory to write into")
	serve := flag.String("serve", "", "address to serve the page at")
	flag.Parse()
	size, err := write(*dir)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %d kB compressed\n", *dir, (size+500)/1000)
	if *serve != "" {
		log.Fatal(http.ListenAndServe(*serve, http.FileServer(http.Dir(*dir))))
	}
}

// write makes the page. It returns the bytes that a browser loads if its host compresses text.
func write(dir string) (int, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return 0, err
	}
	wasm := filepath.Join(dir, "page.wasm")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", wasm,
		"github.com/convgrad/convgrad/notebooks/page/wasm")
	build.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "GOFLAGS=")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return 0, fmt.Errorf("page: building the engine: %w", err)
	}
	engine, err := os.ReadFile(wasm)
	if err != nil {
		return 0, err
	}
	if err := os.Remove(wasm); err != nil {
		return 0, err
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return 0, fmt.Errorf("page: go env GOROOT: %w", err)
	}
	glue, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(root)), "lib", "wasm", "wasm_exec.js"))
	if err != nil {
		return 0, err
	}
	packed, err := pack(engine)
	if err != nil {
		return 0, err
	}
	size := len(packed)
	for name, data := range map[string][]byte{"index.html": []byte(index()), "wasm_exec.js": glue, "page.js": script} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
			return 0, err
		}
		small, err := pack(data)
		if err != nil {
			return 0, err
		}
		size += len(small)
	}
	return size, os.WriteFile(filepath.Join(dir, "page.wasm.gz"), packed, 0o666)
}

func pack(data []byte) ([]byte, error) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(data); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// index is the page with the first state of each scene in it.
func index() string {
	var b strings.Builder
	b.WriteString(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Backpropagation in convolutional networks, to play with</title>
<link rel="icon" href="data:,">
<style>` + css + `</style>
</head>
<body>
<header>
<h1>Backpropagation in convolutional networks, to play with</h1>
<p>Ten scenes and a small network. In each, predict first; then choose a pixel, a weight or a switch and see what moves. The sentence below each scene says why, with the numbers that you see. A grid that can be chosen from takes clicks, taps, and the arrow keys. Hatched: what the choice reaches. Framed: what is read or chosen. ★: the winner. The pale numbers beside a grid count its rows and columns from 0. Every number is computed by the project's Go, here in the browser; the address keeps your state.</p>
<p>Letters, as in the article: o is a layer's input, w its kernel, x what the kernel makes of it, f the activation, E the error, and δ = ∂E/∂x. Where a pooling or an activation is a layer of its own (scenes 9 and 10), its δ is ∂E by its own output.</p>
<p id="failed" role="status"></p>
<noscript><p>Without scripts the page shows the first state of each scene.</p></noscript>
</header>
<nav aria-label="Scenes"><ol>
`)
	for _, s := range scene.Scenes {
		fmt.Fprintf(&b, "<li><a href=\"#scene-%s\">%s</a></li>\n", s.ID, html.EscapeString(s.Title))
	}
	b.WriteString("</ol></nav>\n<main>\n")
	for _, s := range scene.Scenes {
		body, _ := scene.Render(s.ID, nil)
		fmt.Fprintf(&b, `<section id="scene-%s" aria-labelledby="title-%s"><h2 id="title-%s">%s. %s</h2><p class="settles">%s</p>%s<div data-scene="%s">%s</div></section>
`, s.ID, s.ID, s.ID, s.ID, html.EscapeString(s.Title), html.EscapeString(s.Settles), formulas(s.Equation), s.ID, body)
	}
	b.WriteString(`</main>
<p id="live" class="sr" role="status" aria-live="polite"></p>
<script src="wasm_exec.js"></script>
<script src="page.js"></script>
</body>
</html>
`)
	return b.String()
}

// formulas is a scene's equations as MathML, a line for each.
func formulas(equation string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(equation, `\\`) {
		m, err := tex.MathML(line, true)
		if err != nil {
			panic(err) // the equations are constants, and a test renders them
		}
		b.WriteString(m)
	}
	return b.String()
}
