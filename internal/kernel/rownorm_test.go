package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestScaledRows(t *testing.T) {
	everyTier(t, func(t *testing.T) { both(t, testScaledRows[float32], testScaledRows[float64]) })
}

// scaledRows are around a vector, its unrolled loop, and the switches between the sets of sums: one
// for many rows, one for a period of them, one for each row.
var scaledRows = []Rows{
	{3, 1, 1, 1}, {5, 7, 1, 1}, {2, 16, 1, 1}, {3, 131, 1, 1}, {700, 101, 1, 1}, {6, 2, 1, 3}, {4, 3, 5, 2}, {6, 2, 33, 3},
	{2, 3, 67, 1}, {4, 1, piece + 3, 2},
}

// testScaledRows holds the kernels against their definition in float64. Sums of n terms err by
// n·2⁻⁵³ of their terms' magnitudes, elements by 8 roundings of their terms'.
func testScaledRows[T Float](t *testing.T) {
	const seed, eps = 86, 0.01
	r := rand.New(rand.NewPCG(seed, 0))
	for _, g := range scaledRows {
		what := fmt.Sprintf("seed %d, %+v", seed, g)
		n, k, count := g.M*g.Len(), g.Scales(), float64(g.Len())
		var d yard[T]
		x, dy, scale, bias := d.put(uniform[T](r, n)), d.put(uniform[T](r, n)), d.put(uniform[T](r, k)), d.put(uniform[T](r, k))
		m, y, dx, sums := d.empty(2*g.M), d.empty(n), d.empty(n), d.empty(2*k)
		RowNormalise(g, y, x, scale, bias, m, eps, true)
		RowBackward(g, sums, dx, dy, x, scale, m, eps)
		u, wide := unit[T](), float64(n)*0x1p-53
		check := func(name string, i int, got T, want, bound float64) {
			t.Helper()
			if !(math.Abs(float64(got)-want) <= bound) {
				t.Fatalf("%s: %s, element %d is %v, want %v ± %v", what, name, i, got, want, bound)
			}
		}
		want, size := make([]float64, 2*k), make([]float64, 2*k)
		for row := range g.M {
			at := func(f func(i, c int, normal float64)) {
				mean, inv := float64(m[row]), 1/math.Sqrt(float64(m[g.M+row])+eps)
				for j := range g.Len() {
					i := row*g.Len() + j
					f(i, row%g.Period*g.PerRow+j/g.Plane, (float64(x[i])-mean)*inv)
				}
			}
			inv := 1 / math.Sqrt(float64(m[g.M+row])+eps)
			var sum, dot, sumSize, dotSize float64
			at(func(i, c int, normal float64) {
				by := float64(dy[i]) * float64(scale[c])
				sum, dot = sum+by/count, dot+by*normal/count
				sumSize, dotSize = sumSize+math.Abs(by)/count, dotSize+math.Abs(by*normal)/count
				want[c], want[k+c] = want[c]+float64(dy[i]), want[k+c]+float64(dy[i])*normal
				size[c], size[k+c] = size[c]+math.Abs(float64(dy[i])), size[k+c]+math.Abs(float64(dy[i])*normal)
			})
			at(func(i, c int, normal float64) {
				a, b := float64(scale[c]), float64(bias[c])
				check("y", i, y[i], normal*a+b, 8*u*(math.Abs(normal*a)+math.Abs(b))+8*u*inv*math.Abs(a)*math.Abs(float64(m[row])))
				g := a * float64(dy[i])
				tails := sumSize + dotSize*(math.Abs(normal)+inv*math.Abs(float64(m[row])))
				check("dx", i, dx[i], inv*(g-sum-normal*dot), (8*u+4*wide)*inv*(math.Abs(g)+tails))
			})
		}
		for i := range want {
			check("sum", i, sums[i], want[i], u*math.Abs(want[i])+8*wide*size[i])
		}
		d.check(t)
		// One pass has the bits of two.
		m2, y2, dx2, sums2 := d.empty(2*g.M), d.empty(n), d.empty(n), d.empty(2*k)
		Moments(g.Norm(), m2, x)
		copy(y2, x)
		RowNormalise(g, y2, y2, scale, bias, m2, eps, false)
		RowBackward(g, nil, dx2, dy, x, scale, m, eps)
		RowBackward(g, sums2, nil, dy, x, nil, m, eps)
		same(t, what+", moments in a pass of their own", m2, m)
		same(t, what+", y in a pass of its own, in place", y2, y)
		same(t, what+", dx in a pass of its own", dx2, dx)
		same(t, what+", sums in a pass of their own", sums2, sums)
		d.check(t)
	}
}

// A NaN or an infinity makes NaN of its row and of no other, and of the sums that it is in.
func TestScaledRowsSpecialValues(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		g := Rows{3, 67, 1, 1}
		for _, odd := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			x, ones := uniform[float32](rand.New(rand.NewPCG(1, 1)), 3*67), slices.Repeat([]float32{1}, 3*67)
			y, dx, m, sums := make([]float32, 3*67), make([]float32, 3*67), make([]float32, 6), make([]float32, 2*67)
			x[67+40] = float32(odd)
			RowNormalise(g, y, x, ones[:67], ones[:67], m, 1e-5, true)
			RowBackward(g, sums, dx, ones, x, ones[:67], m, 1e-5)
			for i := range y {
				if row := i / 67; (y[i] != y[i]) != (row == 1) || (dx[i] != dx[i]) != (row == 1) {
					t.Errorf("%v: element %d, of row %d, is %v, and dx %v", odd, i, row, y[i], dx[i])
				}
			}
			for i, v := range sums {
				if (v != v) != (i >= 67) {
					t.Errorf("%v: sum %d is %v", odd, i, v)
				}
			}
		}
	})
}

func TestScaledRowsThreads(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for _, g := range []Rows{{900, 131, 1, 1}, {14, 5, 529, 2}, {6000, 3, 5, 3}} {
		n := g.M * g.Len()
		x, dy, scale := uniform[float32](r, n), uniform[float32](r, n), uniform[float32](r, g.Scales())
		everyThreads(t, fmt.Sprintf("%+v", g), func() []float32 {
			m, y, sums, dx := make([]float32, 2*g.M), make([]float32, n), make([]float32, 2*g.Scales()), make([]float32, n)
			RowNormalise(g, y, x, scale, scale, m, 1e-5, true)
			RowBackward(g, sums, dx, dy, x, scale, m, 1e-5)
			return slices.Concat(m, y, sums, dx)
		})
	}
}
