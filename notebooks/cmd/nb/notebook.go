package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"image"
	_ "image/png" // pictures are compared as pixels
	"os"
	"regexp"
	"slices"
	"strings"
)

// A notebook is as much of Jupyter's format, version 4.5, as is used here.
type notebook struct {
	Cells    []*cell        `json:"cells"`
	Metadata map[string]any `json:"metadata"`
	Format   int            `json:"nbformat"`
	Minor    int            `json:"nbformat_minor"`
}

type cell struct {
	Type     string   `json:"cell_type"`
	ID       string   `json:"id"`
	Metadata metadata `json:"metadata"`
	Source   lines    `json:"source"`
	// Code cells only; nil elsewhere. A pointer, because an empty list must be written.
	Count   *int      `json:"execution_count,omitempty"`
	Outputs *[]output `json:"outputs,omitempty"`
}

type metadata struct {
	Tags []string `json:"tags,omitempty"`
}

type output struct {
	Type     string           `json:"output_type"`
	Name     string           `json:"name,omitempty"`
	Text     lines            `json:"text,omitempty"`
	Data     map[string]lines `json:"data,omitempty"`
	Metadata *about           `json:"metadata,omitempty"`
	Count    *int             `json:"execution_count,omitempty"`
	ErrValue string           `json:"evalue,omitempty"`
}

// about is what is said about an output: the words for a picture. The format wants it, if empty.
type about struct {
	PNG *words `json:"image/png,omitempty"`
}

type words struct {
	Alt string `json:"alt"`
}

// lines is a text, which the format has either as a string or as a list of lines; it is written as
// a list.
type lines string

func (l lines) MarshalJSON() ([]byte, error) {
	return marshal(strings.SplitAfter(strings.TrimSuffix(string(l), "\n"), "\n"), "")
}

func (l *lines) UnmarshalJSON(b []byte) error {
	var list []string
	if json.Unmarshal(b, &list) == nil {
		*l = lines(strings.Join(list, ""))
		return nil
	}
	var s string
	if json.Unmarshal(b, &s) == nil {
		*l = lines(s)
		return nil
	}
	*l = lines(b) // a MIME type whose data are JSON
	return nil
}

// varies tags a cell whose outputs differ from run to run.
const varies = "varies"

// parse reads a notebook's source: Markdown in which each fence ```go is a code cell. Words behind
// "go" are the cell's tags. Every heading starts a cell.
func parse(text string) *notebook {
	n := &notebook{
		Metadata: map[string]any{
			"kernelspec":    map[string]string{"display_name": "Go (gonb)", "language": "go", "name": "gonb"},
			"language_info": map[string]string{"name": "go", "file_extension": ".go", "mimetype": "text/x-go", "codemirror_mode": "go", "pygments_lexer": "go"},
		},
		Format: 4, Minor: 5,
	}
	var buf []string
	prose := func() {
		if s := strings.TrimSpace(strings.Join(buf, "\n")); s != "" {
			n.Cells = append(n.Cells, &cell{Type: "markdown", ID: fmt.Sprintf("m%02d", len(n.Cells)), Source: lines(s)})
		}
		buf = nil
	}
	code, fence := false, false
	var tags []string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case code && line == "```":
			zero := 0
			n.Cells = append(n.Cells, &cell{Type: "code", ID: fmt.Sprintf("c%02d", len(n.Cells)), Metadata: metadata{tags},
				Source: lines(strings.Join(buf, "\n")), Count: &zero, Outputs: &[]output{}})
			code, buf = false, nil
		case !code && !fence && (line == "```go" || strings.HasPrefix(line, "```go ")):
			prose()
			code, tags = true, strings.Fields(line)[1:]
		case !code && strings.HasPrefix(line, "```"):
			fence = !fence
			buf = append(buf, line)
		case !code && !fence && strings.HasPrefix(line, "#"):
			prose()
			buf = append(buf, line)
		default:
			buf = append(buf, line)
		}
	}
	prose()
	return n
}

// normalise takes out of an executed notebook what differs from run to run for no reason of its
// own: what the kernel says about itself, how a text was cut into messages, and the order in which
// texts and pictures arrived.
func (n *notebook) normalise() {
	fresh := parse("")
	n.Metadata, n.Format, n.Minor = fresh.Metadata, fresh.Format, fresh.Minor
	count := 0
	for _, c := range n.Cells {
		if c.Type != "code" {
			continue
		}
		count++
		k := count
		c.Count = &k
		var streams, shown []output
		for _, o := range *c.Outputs {
			if o.Type != "stream" {
				if o.Type == "display_data" || o.Type == "execute_result" {
					o = output{Type: "display_data", Data: o.Data, Metadata: &about{}}
					if alt, ok := o.Data["text/plain"]; ok && o.Data["image/png"] != "" {
						o.Metadata.PNG = &words{string(alt)}
					}
				}
				shown = append(shown, o)
				continue
			}
			i := slices.IndexFunc(streams, func(s output) bool { return s.Name == o.Name })
			if i < 0 {
				streams = append(streams, o)
				continue
			}
			streams[i].Text += o.Text
		}
		// stdout first
		slices.SortFunc(streams, func(a, b output) int { return -strings.Compare(a.Name, b.Name) })
		all := slices.Concat(streams, shown)
		if all == nil {
			all = []output{}
		}
		c.Outputs = &all
	}
}

var tag = regexp.MustCompile(`(?s)<style>.*?</style>|<[^>]*>`)

// failures returns an error that shows every cell that failed: one whose program did not compile or
// exited with an error, or that wrote to standard error, which is where a failed shell line of the
// kernel ends.
func (n *notebook) failures() error {
	var b strings.Builder
	for _, c := range n.Cells {
		if c.Outputs == nil {
			continue
		}
		failed := func(o output) bool { return o.Type == "error" || o.Type == "stream" && o.Name == "stderr" }
		if !slices.ContainsFunc(*c.Outputs, failed) {
			continue
		}
		fmt.Fprintf(&b, "cell %s failed:\n%s\n--- output\n", c.ID, c.Source)
		for _, o := range *c.Outputs {
			// The kernel shows the compiler's messages as HTML.
			shown := strings.TrimSpace(html.UnescapeString(tag.ReplaceAllString(string(o.Data["text/html"]), "")))
			for _, s := range []string{string(o.Text), shown, o.ErrValue} {
				if s != "" {
					fmt.Fprintln(&b, s)
				}
			}
		}
	}
	if b.Len() > 0 {
		return fmt.Errorf("%s", b.String())
	}
	return nil
}

// compare returns an error that names the cells in which got differs from the committed notebook.
// Outputs of cells tagged varies may differ.
func compare(want, got *notebook) error {
	if len(want.Cells) != len(got.Cells) {
		return fmt.Errorf("the committed notebook has %d cells and its source %d: run run.sh and commit the result", len(want.Cells), len(got.Cells))
	}
	var b strings.Builder
	for i, w := range want.Cells {
		g := got.Cells[i]
		if w.Type != g.Type || w.Source != g.Source || !slices.Equal(w.Metadata.Tags, g.Metadata.Tags) {
			fmt.Fprintf(&b, "cell %s: the committed notebook is not the one that its source makes\n", g.ID)
			continue
		}
		if w.Outputs == nil || slices.Contains(w.Metadata.Tags, varies) {
			continue
		}
		if d := difference(*w.Outputs, *g.Outputs); d != "" {
			fmt.Fprintf(&b, "cell %s:\n%s\n--- %s\n", g.ID, g.Source, d)
		}
	}
	if b.Len() > 0 {
		return fmt.Errorf("%s", b.String())
	}
	return nil
}

// difference says how two lists of outputs differ; it is empty if they do not. Pictures are equal
// if their pixels are.
func difference(want, got []output) string {
	if len(want) != len(got) {
		return fmt.Sprintf("committed: %d outputs, now %d", len(want), len(got))
	}
	for i, w := range want {
		g := got[i]
		if w.Type != g.Type || w.Name != g.Name {
			return fmt.Sprintf("committed: %s %s, now %s %s", w.Type, w.Name, g.Type, g.Name)
		}
		if strings.TrimRight(string(w.Text), "\n") != strings.TrimRight(string(g.Text), "\n") {
			return fmt.Sprintf("committed:\n%s\nnow:\n%s", w.Text, g.Text)
		}
		if len(w.Data) != len(g.Data) {
			return "other kinds of output than the committed ones"
		}
		for mime, a := range w.Data {
			b, ok := g.Data[mime]
			switch {
			case !ok:
				return "no output of kind " + mime + " any more"
			case mime == "image/png":
				if d := pixels(string(a), string(b)); d != "" {
					return d
				}
			case a != b:
				return fmt.Sprintf("%s: committed:\n%s\nnow:\n%s", mime, a, b)
			}
		}
	}
	return ""
}

func pixels(a, b string) string {
	if a == b {
		return ""
	}
	p, err := decode(a)
	if err != nil {
		return "the committed picture: " + err.Error()
	}
	q, err := decode(b)
	if err != nil {
		return "the picture: " + err.Error()
	}
	if p.Bounds() != q.Bounds() {
		return fmt.Sprintf("the picture: committed %v, now %v", p.Bounds(), q.Bounds())
	}
	n := 0
	for y := p.Bounds().Min.Y; y < p.Bounds().Max.Y; y++ {
		for x := p.Bounds().Min.X; x < p.Bounds().Max.X; x++ {
			r0, g0, b0, a0 := p.At(x, y).RGBA()
			r1, g1, b1, a1 := q.At(x, y).RGBA()
			if r0 != r1 || g0 != g1 || b0 != b1 || a0 != a1 {
				n++
			}
		}
	}
	if n > 0 {
		return fmt.Sprintf("the picture: %d pixels differ", n)
	}
	return ""
}

func decode(s string) (image.Image, error) {
	b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		return nil, err
	}
	m, _, err := image.Decode(bytes.NewReader(b))
	return m, err
}

func read(path string) (*notebook, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	n := new(notebook)
	if err := json.Unmarshal(b, n); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return n, nil
}

func (n *notebook) write(path string) error {
	b, err := marshal(n, " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o644)
}

// marshal is json.Marshal without escapes for HTML.
func marshal(v any, indent string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	err := e.Encode(v)
	return b.Bytes(), err
}
