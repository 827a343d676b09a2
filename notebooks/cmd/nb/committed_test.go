package main

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const room = "../.." // the notebooks' directory

// verdict is a line that ends in true or false. It convinces nobody.
var verdict = regexp.MustCompile(`(?m)\b(true|false)$`)

// Each committed notebook is the one that its source makes, is executed without a failure, and can
// be shown by a viewer that runs no scripts.
func TestCommittedNotebooks(t *testing.T) {
	sources, err := filepath.Glob(filepath.Join(room, "src", "*.md"))
	if err != nil || len(sources) == 0 {
		t.Fatalf("no sources: %v", err)
	}
	for _, path := range sources {
		name := strings.TrimSuffix(filepath.Base(path), ".md")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(room, name+".ipynb")
			info, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			if info.Size() > 1<<20 {
				t.Errorf("%d bytes, want at most 1 MiB", info.Size())
			}
			book, err := read(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := book.failures(); err != nil {
				t.Error(err)
			}
			fresh := parse(string(text))
			if len(fresh.Cells) != len(book.Cells) {
				t.Fatalf("the source makes %d cells, the notebook has %d: run run.sh", len(fresh.Cells), len(book.Cells))
			}
			pictures := 0
			for i, c := range book.Cells {
				if c.Source != fresh.Cells[i].Source {
					t.Errorf("cell %s is not the source's: run run.sh", c.ID)
				}
				if c.Type == "markdown" && strings.Count(string(c.Source), "$")%2 != 0 {
					t.Errorf("cell %s: a formula is not closed:\n%s", c.ID, c.Source)
				}
				if c.Outputs == nil {
					continue
				}
				if slices.Contains(c.Metadata.Tags, varies) != strings.HasPrefix(string(c.Source), "// varies: ") {
					t.Errorf("cell %s: a cell whose outputs may change says so in its first line, and no other does:\n%s", c.ID, c.Source)
				}
				for _, o := range *c.Outputs {
					if verdict.MatchString(string(o.Text)) {
						t.Errorf("cell %s prints a verdict, want a picture of it, by draw.Same:\n%s", c.ID, o.Text)
					}
					if o.Data == nil {
						continue
					}
					pictures++
					if len(o.Data) != 2 || o.Data["image/png"] == "" {
						t.Errorf("cell %s shows %v, want pictures as PNG, with words", c.ID, slices.Collect(maps.Keys(o.Data)))
						continue
					}
					if o.Metadata == nil || o.Metadata.PNG == nil || len(o.Metadata.PNG.Alt) < 12 {
						t.Errorf("cell %s: a picture without words", c.ID)
					}
				}
			}
			if pictures == 0 {
				t.Error("no picture")
			}
		})
	}
}

// Every link between the notebooks, and from the READMEs, leads to a file that exists, and in a
// notebook to an anchor that exists.
func TestLinks(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(room, "*.ipynb"))
	if err != nil || len(pages) == 0 {
		t.Fatalf("no notebooks: %v", err)
	}
	link := regexp.MustCompile(`\]\(([^)#: ]*)(#[^) ]*)?\)`)
	for _, page := range append(pages, filepath.Join(room, "README.md"), filepath.Join(room, "..", "README.md")) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Ext(page) == ".ipynb" { // code has brackets of its own
			book, err := read(page)
			if err != nil {
				t.Fatal(err)
			}
			text = nil
			for _, c := range book.Cells {
				if c.Type == "markdown" {
					text = append(text, c.Source+"\n"...)
				}
			}
		}
		links := link.FindAllStringSubmatch(string(text), -1)
		if len(links) == 0 {
			t.Errorf("%s: no links", page)
		}
		for _, m := range links {
			file := filepath.Join(filepath.Dir(page), m[1])
			if m[1] == "" { // a place on the same page
				file = page
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s: %v", page, err)
				continue
			}
			anchor := strings.TrimPrefix(m[2], "#")
			if anchor == "" || filepath.Ext(file) != ".ipynb" {
				continue
			}
			target, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(target), `<a id=\"`+anchor+`\">`) {
				t.Errorf("%s: %s has no anchor %q", page, file, anchor)
			}
		}
	}
}

// A notebook as HTML needs nothing from elsewhere: no script, no TeX, and words at each picture.
func TestHTML(t *testing.T) {
	if _, err := exec.LookPath("jupyter-nbconvert"); err != nil {
		t.Skip("no jupyter-nbconvert on this machine")
	}
	const name = "02-the-backward-pass"
	book, err := read(filepath.Join(room, name+".ipynb"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := book.html(dir, name, dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, name+".html"))
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	for _, wrong := range []string{"<script", `\frac`, `\sum`, "$$", "MathJax.js", "No description has been provided"} {
		if at := strings.Index(page, wrong); at >= 0 {
			t.Errorf("the page has %q: %.120s", wrong, page[at:])
		}
	}
	if at := regexp.MustCompile(`(src|href)="?(https?:)?//[^"]*\.(js|css|woff)`).FindString(page); at != "" {
		t.Errorf("the page asks elsewhere: %s", at)
	}
	images := regexp.MustCompile(`<img[^>]*>`).FindAllString(page, -1)
	for _, img := range images {
		if !regexp.MustCompile(`alt="[^"]{12,}"`).MatchString(strings.ReplaceAll(img, "\n", " ")) {
			t.Errorf("no words at the picture %.40s … %s", img, img[max(0, len(img)-80):])
		}
	}
	if n := strings.Count(page, "<math"); n < 60 || len(images) < 12 {
		t.Errorf("%d formulas and %d pictures", n, len(images))
	}
}
