package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/convgrad/convgrad/internal/workers"
)

// wantWeights is the definition of a map as a matrix of m.Out rows, each weight a quotient of two
// integers, rounded once. reach are the inputs that a rounding error of a coordinate can bring in.
func wantWeights(m AxisMap) (w, reach [][]float64) {
	w, reach = make([][]float64, m.Out), make([][]float64, m.Out)
	for p := range w {
		w[p], reach[p] = make([]float64, m.In), make([]float64, m.In)
		// between puts weights where the coordinate is num/den.
		between := func(num, den int) {
			num = max(num, 0)
			for i := range m.In {
				if far := max(num-i*den, i*den-num); far <= den {
					w[p][i], reach[p][i] = float64(den-far)/float64(den), 1
				}
			}
			if num >= (m.In-1)*den { // beyond the last element, cut to the axis
				w[p][m.In-1] = 1
			}
		}
		i := p - m.Before
		switch m.Kind {
		case PadZeros:
			if i >= 0 && i < m.In {
				w[p][i] = 1
			}
		case PadReflect:
			for i < 0 || i >= m.In {
				if i < 0 {
					i = -i
				} else {
					i = 2*(m.In-1) - i
				}
			}
			w[p][i] = 1
		case PadReplicate:
			w[p][min(max(i, 0), m.In-1)] = 1
		case Nearest:
			w[p][p*m.In/m.Out] = 1
		case Linear:
			between((2*p+1)*m.In-m.Out, 2*m.Out)
		case LinearAligned:
			between(p*(m.In-1), max(m.Out-1, 1))
		case AdaptiveMean:
			var of []int
			for i := range m.In {
				if (i+1)*m.Out > p*m.In && i*m.Out < (p+1)*m.In {
					of = append(of, i)
				}
			}
			for _, i := range of {
				w[p][i] = 1 / float64(len(of))
			}
		default:
			whole, inside := 0, 0 // taps before the end of the padding, and in the axis
			for r := range m.Size {
				if at := p*m.Stride + r*m.Dilation; at < m.Before+m.In+m.After {
					whole++
				}
				if m.Inside(p, r) {
					inside++
				}
			}
			for r := range m.Size {
				if m.Inside(p, r) {
					w[p][m.At(p, r)] = 1 / float64(map[MapKind]int{WindowSum: 1, WindowMean: whole, InsideMean: inside}[m.Kind])
				}
			}
		}
	}
	return w, reach
}

func transposed(a [][]float64, cols int) [][]float64 {
	t := make([][]float64, cols)
	for i := range t {
		t[i] = make([]float64, len(a))
		for p := range a {
			t[i][p] = a[p][i]
		}
	}
	return t
}

// dyadic says that sums of these weights times small integers are exact in float32.
func dyadic(a [][]float64) bool {
	for _, row := range a {
		for _, w := range row {
			if w*64 != math.Floor(w*64) {
				return false
			}
		}
	}
	return true
}

// taps is the number of weights of the longest sum.
func taps(a [][]float64) int {
	most := 0
	for _, row := range a {
		n := 0
		for _, w := range row {
			if w != 0 {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

// axisMaps are all kinds, each with sides that are and are not multiples of each other.
func axisMaps() []AxisMap {
	var list []AxisMap
	pad := func(k MapKind, in, before, after int) {
		list = append(list, AxisMap{k, Window{In: in, Before: before, Out: in + before + after}})
	}
	pad(PadZeros, 5, 2, 3)
	pad(PadZeros, 7, -2, 1)
	pad(PadZeros, 7, 1, -3)
	pad(PadZeros, 7, -1, -2)
	pad(PadZeros, 9, 0, 0)
	pad(PadReflect, 5, 4, 2)
	pad(PadReflect, 3, 0, 2)
	pad(PadReflect, 1, 0, 0)
	pad(PadReplicate, 3, 5, 7)
	pad(PadReplicate, 1, 2, 0)
	for _, k := range []MapKind{Nearest, Linear, LinearAligned, AdaptiveMean} {
		for _, s := range [][2]int{{4, 8}, {8, 4}, {5, 7}, {11, 3}, {1, 6}, {8, 1}, {7, 1}, {6, 6}, {9, 33}} {
			list = append(list, AxisMap{k, Window{In: s[0], Out: s[1]}})
		}
	}
	// In, Size, Stride, Dilation, Before, After, Out
	for _, w := range []Window{{7, 2, 2, 1, 1, 0, 4}, {9, 3, 2, 1, 1, 1, 5}, {10, 4, 1, 2, 2, 3, 9}, {8, 3, 2, 1, 0, 0, 4}, {48, 33, 1, 1, 2, 2, 20}} {
		for _, k := range []MapKind{WindowSum, WindowMean, InsideMean} {
			list = append(list, AxisMap{k, w})
		}
	}
	return list
}

// Every kind of map, and its adjoint, against a matrix for each axis: with equality where the
// weights are dyadic, and then NaN stays where it is too.
func TestResample(t *testing.T) {
	everyTier(t, func(t *testing.T) { both(t, testResample[float32], testResample[float64]) })
}

func testResample[T Float](t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 7))
	maps := axisMaps()
	for k, rows := range maps {
		// Beside itself, the next, which is of its kind as a rule, and one by chance.
		for _, cols := range []AxisMap{rows, maps[(k+1)%len(maps)], maps[r.IntN(len(maps))]} {
			for _, scale := range []float64{1, 0.25} {
				checkResample[T](t, r, rows, cols, scale)
			}
		}
	}
}

func checkResample[T Float](t *testing.T, r *rand.Rand, rows, cols AxisMap, scale float64) {
	t.Helper()
	const planes = 3
	down, downReach := wantWeights(rows)
	across, acrossReach := wantWeights(cols)
	in, out := planes*rows.In*cols.In, planes*rows.Out*cols.Out
	what := fmt.Sprintf("rows %+v, cols %+v, scale %v", rows, cols, scale)
	check := func(name string, a, aReach, b, bReach [][]float64, n int, f func(y, x []T)) {
		t.Helper()
		var d yard[T]
		x, y := d.put(integers[T](r, n, 8)), d.empty(planes*len(a)*len(b))
		exact := dyadic(a) && dyadic(b)
		if exact {
			x[r.IntN(n)] = T(math.NaN())
		}
		f(y, x)
		want, bound := separable(x, a, aReach, b, bReach, rows.In, cols.In, scale)
		for i, v := range y {
			switch err := math.Abs(float64(v) - want[i]); {
			case want[i] != want[i] && v != v:
			case exact && float64(v) == want[i]:
			case !exact && err <= bound[i]*unit[T]():
			default:
				t.Fatalf("%s, %s: element %d is %v, want %v, exact %v, ± %v", what, name, i, v, want[i], exact, bound[i]*unit[T]())
			}
		}
		d.check(t)
	}
	backDown, backAcross := transposed(down, rows.In), transposed(across, cols.In)
	downBack, acrossBack := transposed(downReach, rows.In), transposed(acrossReach, cols.In)
	check("y", down, downReach, across, acrossReach, in, func(y, x []T) { Resample(rows, cols, y, x, planes, scale) })
	check("y by runs", down, downReach, across, acrossReach, in, func(y, x []T) { resampleRuns(rows, cols, y, x, planes, scale) })
	check("dx", backDown, downBack, backAcross, acrossBack, out, func(y, x []T) { ResampleBackward(rows, cols, y, x, planes, scale) })
	check("dx by runs", backDown, downBack, backAcross, acrossBack, out, func(y, x []T) { resampleRunsBackward(rows, cols, y, x, planes, scale) })
}

// separable is scale·a·x·bᵀ for each plane of x in float64, and what it may err by, in units of T.
//
// A weight has three roundings (in float64, by the scale, to T), the whole mean's four, and the
// definition's one: less than ten for both axes. The products and sums of an axis add one for each
// tap; those of the whole mean are exact, of integers. A coordinate of a linear map is at most In
// and has three roundings in float64, its distance to 1 another: weights err by 4·In units of
// float64, those of the inputs next to the coordinate too that have none in the definition.
func separable[T Float](x []T, a, aReach, b, bReach [][]float64, rowsIn, colsIn int, scale float64) (y, bound []float64) {
	h, w := len(a[0]), len(b[0])
	roundings := float64(taps(a)+taps(b)) + 10
	for n := 0; n < len(x); n += h * w {
		for p := range a {
			for q := range b {
				var sum, magnitude, moved float64
				for i, s := range a[p] {
					ds := 4 * float64(rowsIn) * aReach[p][i]
					if s+ds == 0 {
						continue
					}
					for j, c := range b[q] {
						dc := 4 * float64(colsIn) * bReach[q][j]
						if c+dc == 0 {
							continue
						}
						v := scale * float64(x[n+i*w+j])
						if s*c != 0 {
							sum, magnitude = sum+s*c*v, magnitude+math.Abs(s*c*v)
						}
						moved += math.Abs(v) * (s*dc + c*ds + 0x1p-53*ds*dc)
					}
				}
				y, bound = append(y, sum), append(bound, roundings*magnitude+moved*0x1p-53/unit[T]())
			}
		}
	}
	return y, bound
}

// Planes that are shared out among threads have the bits of those that are not.
func TestResampleThreads(t *testing.T) {
	x := uniform[float32](rand.New(rand.NewPCG(4, 4)), 3*workers.Chunk+5)
	for _, m := range []AxisMap{
		{PadReflect, Window{In: 17, Before: 3, Out: 25}}, {Linear, Window{In: 17, Out: 25}}, {AdaptiveMean, Window{In: 17, Out: 1}},
		{WindowMean, Window{In: 70, Size: 40, Stride: 1, Dilation: 1, Before: 3, After: 2, Out: 36}},
	} {
		planes := len(x) / max(m.In*m.In, m.Out*m.Out)
		everyThreads(t, fmt.Sprintf("%+v", m), func() []float32 {
			y, dx := make([]float32, planes*m.Out*m.Out), make([]float32, planes*m.In*m.In)
			Resample(m, m, y, x[:len(dx)], planes, 1)
			ResampleBackward(m, m, dx, y, planes, 1)
			return append(y, dx...)
		})
	}
}
