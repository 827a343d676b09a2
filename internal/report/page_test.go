package report

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"image"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/train"
	"github.com/convgrad/convgrad/train/data"
)

// foreign finds what a browser would fetch from elsewhere.
var foreign = regexp.MustCompile(`(?i)(src|href|action|url)\s*[=(]\s*["']?(https?:|//|[a-z]+\.[a-z])|@import|<script|<link rel="stylesheet"`)

// TestPage: the page has every part, and asks for nothing from elsewhere.
func TestPage(t *testing.T) {
	r, test := trained(t)
	r.Classes[3] = `<script>alert("3")</script>`
	var b bytes.Buffer
	const command = "go run ./cmd/train -data-dir='a & b'"
	if err := Write(context.Background(), &b, Input{Run: r, Set: relabel{test, r.Classes}, Command: command}); err != nil {
		t.Fatal(err)
	}
	html := b.String()
	for _, want := range []string{"Loss", "confusion matrix", "Class by class", "The surest mistakes", "How sure it may be", "The first filters",
		"What the layers see", "gradient", "Times", "a &amp; b", "&lt;script&gt;", "conv2, Conv2D: 16×10×10", "prefers-color-scheme: dark", "@media print"} {
		if !strings.Contains(html, want) {
			t.Errorf("the page does not have %q", want)
		}
	}
	if m := foreign.FindString(html); m != "" {
		t.Errorf("the page has %q", m)
	}
	e, err := Evaluate(context.Background(), r, test)
	if err != nil {
		t.Fatal(err)
	}
	mistakes := min(len(e.Mistakes(maxMistakes)), maxMistakes)
	// The mistakes; three samples with a gradient map and six layers each; the filters.
	if got, want := strings.Count(html, `src="data:image/png;base64,`), mistakes+3*(2+6)+1; got != want {
		t.Errorf("%d pictures, want %d", got, want)
	}
	html = regexp.MustCompile(`base64,[^"]*`).ReplaceAllString(html, "")
	if strings.Contains(html, "ZgotmplZ") || strings.Contains(html, "NaN") || strings.Contains(html, "<no value>") {
		t.Error("a value did not find its way into the page")
	}
	d := xml.NewDecoder(strings.NewReader(html))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	for {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("the elements do not match: %v", err)
		}
	}
}

// TestManyClasses: a confusion matrix that no table has room for is a picture.
func TestManyClasses(t *testing.T) {
	r := &train.SavedRun{Classifier: &train.Classifier{}}
	e := &Evaluation{}
	for i := range 30 {
		r.Classes = append(r.Classes, fmt.Sprint("class ", i))
		e.Confusion = append(e.Confusion, make([]int, 30))
		e.Confusion[i][29-i] = 4
		e.Judged = append(e.Judged, Judged{Label: i, Taken: 29 - i})
	}
	e.settle(r.Classes)
	c := &content{Run: r, E: e}
	if err := c.matrix(); err != nil || c.Matrix != nil || len(c.Pairs) != maxPairs {
		t.Fatalf("%d rows, %d pairs, %v", len(c.Matrix), len(c.Pairs), err)
	}
	b, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(string(c.MatrixURI), "data:image/png;base64,"))
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(b))
	p, ok := img.(*image.Paletted)
	if err != nil || !ok || p.Bounds().Dx() != 30 || p.ColorIndexAt(29, 0) != blank-1 || p.ColorIndexAt(0, 0) != 0 {
		t.Errorf("a picture %v, %v", img.Bounds(), err)
	}
}

// relabel is a set with other names of classes.
type relabel struct {
	data.Set
	names []string
}

func (s relabel) Classes() []string { return s.names }

// TestWriteFile: a page that cannot be written leaves the one that is there, and nothing else.
func TestWriteFile(t *testing.T) {
	r, test := trained(t)
	dir := t.TempDir()
	path := filepath.Join(dir, File)
	if err := WriteFile(context.Background(), path, Input{Run: r, Set: test}); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(context.Background(), path, Input{Run: r, Set: lying{test}}); err == nil {
		t.Error("a set whose labels are no classes gives a page")
	}
	after, err := os.ReadFile(path)
	files, _ := os.ReadDir(dir)
	if err != nil || !bytes.Equal(before, after) || len(files) != 1 {
		t.Errorf("the page changed, or %v were left", files)
	}
}

// TestLook: probabilities are the classifier's, and the gradient is that of the class's output, by
// differences.
func TestLook(t *testing.T) {
	r, test := trained(t)
	v, err := NewView(r)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	size := r.Input.TotalSize()
	x := make([]float32, size)
	for i := range 5 {
		if _, err := test.Read(i, x); err != nil {
			t.Fatal(err)
		}
		output := func(class int) float64 {
			y, err := r.Network.Predict(tensor.New(tensor.WithShape(1, 1, 28, 28), tensor.WithBacking(append([]float32(nil), x...))))
			if err != nil {
				t.Fatal(err)
			}
			return float64(y.Data().([]float32)[class])
		}
		for _, class := range []int{-1, 4} {
			s, err := v.Look(x, class)
			if err != nil {
				t.Fatal(err)
			}
			if class >= 0 && s.Class != class || class < 0 && s.Probabilities[s.Class] < 0.1 || len(s.Maps) != maxLayers || len(s.Probabilities) != 10 {
				t.Fatalf("class %d: %d with %v, %d layers", class, s.Class, s.Probabilities, len(s.Maps))
			}
			dx, err := v.graph.InputGradient()
			if err != nil {
				t.Fatal(err)
			}
			g := dx.Data().([]float32)
			// A direction along the gradient: the output changes by h·|g|², but for kinks and
			// rounding.
			var squares float64
			for _, v := range g {
				squares += float64(v) * float64(v)
			}
			before := output(s.Class)
			h := 1e-3 / math.Sqrt(squares)
			for k := range x {
				x[k] += float32(h * float64(g[k]))
			}
			got, want := output(s.Class)-before, h*squares
			for k := range x {
				x[k] -= float32(h * float64(g[k]))
			}
			if !(math.Abs(got-want) <= 0.1*want) {
				t.Errorf("sample %d, class %d: the output changes by %v, want %v", i, s.Class, got, want)
			}
		}
	}
	for _, bad := range []struct {
		x     []float32
		class int
	}{{x[1:], 0}, {x, 10}, {nil, -1}} {
		if _, err := v.Look(bad.x, bad.class); err == nil {
			t.Errorf("%d numbers and class %d are looked at", len(bad.x), bad.class)
		}
	}
	if _, err := (*View)(nil).Look(x, 0); err == nil {
		t.Error("a nil view looks")
	}
	if _, err := NewView(&train.SavedRun{}); err == nil {
		t.Error("an empty run is viewed")
	}
}

// TestDraw: what is brightest and darkest, what has no colour, and sides.
func TestDraw(t *testing.T) {
	img := sheet([]float32{0, 1, 2, 3, 4, float32(math.NaN())}, 1, 2, 3).(*image.Paletted)
	if b := img.Bounds(); b.Dx() != 3 || b.Dy() != 2 || img.Pix[0] != 0 || img.Pix[5] != blank {
		t.Errorf("%v, %v", b, img.Pix)
	}
	img = sheet(make([]float32, 20*200*130), 20, 200, 130).(*image.Paletted)
	if b := img.Bounds(); b.Dx() != 8*(33+1)-1 || b.Dy() != 2*(50+1)-1 {
		t.Errorf("20 maps of 200×130 are drawn as %v", b)
	}
	for _, c := range []struct{ v, want float64 }{{0.0099, 0.01}, {0.012, 0.02}, {2.4, 2.5}, {30, 50}, {70, 100}, {0, 1}, {math.NaN(), 1}, {math.Inf(1), 1}} {
		if got := niceStep(c.v); !(math.Abs(got-c.want) <= 1e-12) {
			t.Errorf("the step of %v is %v, want %v", c.v, got, c.want)
		}
	}
	c := newChart("", "", "", 0, math.NaN(), false, series{"", "a", []float64{3, math.NaN(), math.Inf(1), 1}})
	if strings.Contains(fmt.Sprint(c), "NaN") || strings.Contains(fmt.Sprint(c), "Inf") {
		t.Errorf("%v", c)
	}
}
