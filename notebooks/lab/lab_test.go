package lab

import (
	"math"
	"slices"
	"testing"

	"github.com/convgrad/convgrad/ops"
	G "gorgonia.org/gorgonia"
)

func TestMat(t *testing.T) {
	m := Mat{{1, 2, 3}, {4, 5, 6}}
	if !m.Rot180().Equal(Mat{{6, 5, 4}, {3, 2, 1}}) || !m.Transpose().Equal(Mat{{1, 4}, {2, 5}, {3, 6}}) {
		t.Error("turned wrongly")
	}
	if p := m.Pad(1); p.At(0, 0) != 0 || p.At(1, 1) != 1 || p.At(2, 3) != 6 || p.At(4, 0) != 0 || p.Sum() != 21 {
		t.Errorf("padded:\n%v", p)
	}
	if m.Equal(Mat{{1, 2, 3}}) || m.Equal(Mat{{1, 2, 3}, {4, 5, 7}}) || m.Equal(Mat{{1, 2, 3}, {4, 5, math.NaN()}}) {
		t.Error("Equal of different matrices")
	}
	if got, want := (Mat{{1, -2}, {0.5, math.Copysign(0, -1)}}).String(), "    1  -2\n  0.5   0\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestTensor(t *testing.T) {
	planes := []Mat{Ints(2, 3, 1), Ints(2, 3, 2), Ints(2, 3, 3), Ints(2, 3, 4), Ints(2, 3, 5), Ints(2, 3, 6)}
	x := Tensor(2, 3, planes...)
	for k, p := range planes {
		if !Plane(x, k/3, k%3).Equal(p) {
			t.Errorf("plane %d is\n%vwant\n%v", k, Plane(x, k/3, k%3), p)
		}
	}
}

// The gradient of Σ dy·x² is 2·dy·x.
func TestBackward(t *testing.T) {
	x, dy := Vector(1, 2, -3), Vector(1, -1, 10)
	square := func(in G.Nodes) (*G.Node, error) { return G.Square(in[0]) }
	y, grads := Backward(square, dy, x)
	for i, want := range []float64{2, -4, -60} {
		if got := Floats(grads[0])[i]; got != want {
			t.Errorf("gradient %d is %v, want %v", i, got, want)
		}
	}
	if Floats(y)[2] != 9 || Floats(Forward(square, x))[2] != 9 {
		t.Error("the value is not 9")
	}
}

// Digits are the same for the same seed, differ for another, and look like something: bright where
// the strokes are.
func TestDigits(t *testing.T) {
	a, la := Digits(50, 1)
	b, lb := Digits(50, 1)
	c, _ := Digits(50, 2)
	if !slices.Equal(Floats(a), Floats(b)) || !slices.Equal(la, lb) {
		t.Error("one seed, two sets")
	}
	if slices.Equal(Floats(a), Floats(c)) {
		t.Error("two seeds, one set")
	}
	for i := range 50 {
		bright := 0
		for _, row := range Plane(a, i, 0) {
			for _, v := range row {
				if v > 0.5 {
					bright++
				}
			}
		}
		if bright < 10 || bright > 200 {
			t.Errorf("digit %d, a %d, has %d bright pixels of 400", i, la[i], bright)
		}
	}
	if r := Rows(a, []int{3, 1}); !Plane(r, 0, 0).Equal(Plane(a, 3, 0)) || !Plane(r, 1, 0).Equal(Plane(a, 1, 0)) {
		t.Error("Rows took others")
	}
}

func TestSaveLoad(t *testing.T) {
	t.Setenv("GONB_TMP_DIR", t.TempDir())
	a, b := Tensor(1, 2, Ints(3, 4, 1), Ints(3, 4, 2)), Vector(1, 2)
	Save("x", a, b)
	got := Load("x")
	if len(got) != 2 || !got[0].Shape().Eq(a.Shape()) || !slices.Equal(Floats(got[0]), Floats(a)) || !slices.Equal(Floats(got[1]), Floats(b)) {
		t.Errorf("loaded %v", got)
	}
}

// The article's sums are the ops', and the ways to differentiate agree.
func TestArticle(t *testing.T) {
	o, w, d := Ints(4, 6, 1), Ints(2, 3, 2), Ints(3, 4, 3)
	y, g := Backward(Conv2D(ops.ConvParams{}), Tensor(1, 1, d), Tensor(1, 1, o), Tensor(1, 1, w))
	E := func() float64 { return Cross(o, w).Times(d).Sum() }
	for name, pair := range map[string][2]Mat{
		"Cross":            {Cross(o, w), Plane(y, 0, 0)},
		"Conv":             {Conv(o, w), Cross(o, w.Rot180())},
		"Cross, weights":   {Cross(o, d), Plane(g[1], 0, 0)},
		"Full, inputs":     {Full(d, w.Rot180()), Plane(g[0], 0, 0)},
		"Nudge, weights":   {Nudge(w, E), Plane(g[1], 0, 0)},
		"Nudge, inputs":    {Nudge(o, E), Plane(g[0], 0, 0)},
		"Apply":            {Apply(Unary(ops.ReLU), o), o.Map(func(v float64) float64 { return max(0, v) })},
		"Conv, other side": {Conv(o, w), Fill(3, 4, func(i, j int) float64 { return ConvAt(o, w, i+1, j+2) })},
	} {
		if !pair[0].Equal(pair[1]) {
			t.Errorf("%s:\n%vwant\n%v", name, pair[0], pair[1])
		}
	}
	pool := MaxPool(ops.PoolParams{Window: ops.Both(2)})
	x := Mat{{1, 5, 2, 0}, {3, 4, 8, 6}}
	dy := Mat{{10, -7}}
	// Max pooling is linear near x: a central difference errs by rounding only, 10⁻¹⁴/10⁻⁴.
	if got := MaxDiff(Back(pool, x, dy), BackCentral(pool, x, dy)); !(got <= 1e-9) {
		t.Errorf("Back and BackCentral differ by %g", got)
	}
}
