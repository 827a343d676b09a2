// Command nb makes the notebooks: it turns src/*.md into Jupyter notebooks, executes them headless
// with nbconvert and the GoNB kernel, and writes the result, freed of everything that changes from
// run to run, as *.ipynb. It fails if a cell fails. With -check it writes nothing and compares what
// the cells print and draw with the committed notebooks, except for cells tagged "varies".
//
// run.sh installs what it needs and calls it.
package main

import (
	"flag"
	"fmt"
	"html/template"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/convgrad/convgrad/notebooks/tex"
)

func main() {
	check := flag.Bool("check", false, "compare with the committed notebooks instead of writing them")
	jobs := flag.Int("j", 2, "notebooks executed at once")
	dir := flag.String("dir", ".", "the notebooks' directory")
	html := flag.String("html", "", "also render the notebooks to HTML in this directory")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: nb [flags] [name prefix ...]")
		flag.PrintDefaults()
	}
	flag.Parse()
	if err := run(*dir, *html, *check, *jobs, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "nb:", err)
		os.Exit(1)
	}
}

// run executes the notebooks whose names start with one of the prefixes, all of them if there is
// none.
func run(dir, html string, check bool, jobs int, prefixes []string) error {
	sources, err := filepath.Glob(filepath.Join(dir, "src", "*.md"))
	if err != nil {
		return err
	}
	var names []string
	for _, s := range sources {
		name := strings.TrimSuffix(filepath.Base(s), ".md")
		wanted := len(prefixes) == 0
		for _, p := range prefixes {
			wanted = wanted || strings.HasPrefix(name, p)
		}
		if wanted {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return fmt.Errorf("no source in %s for %q", filepath.Join(dir, "src"), prefixes)
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, max(jobs, 1))
	errs := make([]error, len(names))
	for i, name := range names {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			start := time.Now()
			errs[i] = one(dir, html, name, check)
			verdict := "ok"
			if errs[i] != nil {
				verdict = "FAILED"
			}
			fmt.Printf("%-36s %-6s %5.1fs\n", name, verdict, time.Since(start).Seconds())
		})
	}
	wg.Wait()
	failed := 0
	for i, err := range errs {
		if err != nil {
			failed++
			fmt.Fprintf(os.Stderr, "%s: %v\n", names[i], err)
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d notebooks failed", failed, len(names))
	}
	return nil
}

// one makes, executes and writes or compares one notebook.
func one(dir, html, name string, check bool) error {
	text, err := os.ReadFile(filepath.Join(dir, "src", name+".md"))
	if err != nil {
		return err
	}
	book := parse(string(text))
	// The kernel works in the notebook's directory, so the unfinished notebook lies there too,
	// under a name that git ignores.
	tmp := filepath.Join(dir, ".run-"+name+".ipynb")
	defer os.Remove(tmp)
	if err := book.write(tmp); err != nil {
		return err
	}
	if err := convert(dir, tmp, "notebook", tmp); err != nil {
		return err
	}
	done, err := read(tmp)
	if err != nil {
		return err
	}
	done.normalise()
	if err := done.failures(); err != nil {
		return err
	}
	final := filepath.Join(dir, name+".ipynb")
	if check {
		committed, err := read(final)
		if err != nil {
			return err
		}
		return compare(committed, done)
	}
	if err := done.write(final); err != nil {
		return err
	}
	if html == "" {
		return nil
	}
	return done.html(dir, name, html)
}

// html renders the notebook to a page without scripts. Its formulas become MathML beforehand, so
// that it needs neither a network nor MathJax.
func (n *notebook) html(dir, name, to string) error {
	plain := *n
	plain.Cells = nil
	for _, c := range n.Cells {
		c := *c
		if c.Type == "markdown" {
			text, err := tex.Markdown(string(c.Source))
			if err != nil {
				return fmt.Errorf("cell %s: %w", c.ID, err)
			}
			c.Source = lines(text)
		}
		plain.Cells = append(plain.Cells, &c)
	}
	tmp := filepath.Join(dir, ".html-"+name+".ipynb")
	defer os.Remove(tmp)
	if err := plain.write(tmp); err != nil {
		return err
	}
	out := filepath.Join(to, name+".html")
	if err := convert(dir, tmp, "html", out); err != nil {
		return err
	}
	page, err := os.ReadFile(out)
	if err != nil {
		return err
	}
	alts := map[string]string{} // of the pictures, by their keys
	for _, c := range n.Cells {
		if c.Outputs == nil {
			continue
		}
		for _, o := range *c.Outputs {
			if o.Metadata != nil && o.Metadata.PNG != nil {
				alts[key(string(o.Data["image/png"]))] = o.Metadata.PNG.Alt
			}
		}
	}
	page = pictures.ReplaceAllFunc(scripts.ReplaceAll(page, nil), func(img []byte) []byte {
		m := pictures.FindSubmatch(img)
		alt := template.HTMLEscapeString(alts[key(string(m[1]))])
		return []byte(`<img alt="` + alt + `" src="data:image/png;base64,` + string(m[1]) + `">`)
	})
	return os.WriteFile(out, page, 0o644)
}

// key identifies a picture by the end of its file, in base64: its checksums.
func key(base64 string) string {
	text := strings.Join(strings.Fields(base64), "")
	return text[max(0, len(text)-60):]
}

// pictures are nbconvert's. Not all of its templates have a place for a picture's words.
var pictures = regexp.MustCompile(`(?s)<img\s[^>]*?src="data:image/png;base64,([^"]*)"[^>]*>`)

// scripts are what nbconvert adds: MathJax and others, from hosts elsewhere.
var scripts = regexp.MustCompile(`(?s)<script\b.*?</script>`)

// convert calls nbconvert, which executes the notebook if it converts to a notebook.
func convert(dir, in, to, out string) error {
	abs, err := filepath.Abs(out)
	if err != nil {
		return err
	}
	args := []string{"nbconvert", "--log-level=ERROR", "--to", to, "--output-dir", filepath.Dir(abs), "--output", filepath.Base(abs)}
	if to == "notebook" {
		args = append(args, "--execute", "--allow-errors", "--ExecutePreprocessor.timeout=600", "--ExecutePreprocessor.record_timing=False",
			"--ExecutePreprocessor.kernel_name=gonb")
	}
	cmd := exec.Command("jupyter", append(args, in)...)
	if msg, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, msg)
	}
	return nil
}
