package verify_test

import (
	"fmt"
	"slices"
	"sort"

	"github.com/pkg/errors"
	"gorgonia.org/tensor"
)

// per group makes of rows (or columns) of a matrix.
func rows[T real](in shaped[T], each func(x []T) []T) []T {
	n := in.s[len(in.s)-1]
	var y []T
	for k := 0; k < len(in.v); k += n {
		y = append(y, each(in.v[k:k+n])...)
	}
	return y
}

func rowRule[T real](f func(x []T) []T, d func(x, y, dy []T) []T) rule[T] {
	return rule[T]{
		f: func(in []shaped[T]) []T { return rows(in[0], f) },
		d: func(_ int, in []shaped[T], y, dy []T) []T {
			n := in[0].s[len(in[0].s)-1]
			m := len(y) / (len(in[0].v) / n)
			var dx []T
			for k := 0; k*n < len(in[0].v); k++ {
				dx = append(dx, d(in[0].v[k*n:k*n+n], y[k*m:k*m+m], dy[k*m:k*m+m])...)
			}
			return dx
		},
	}
}

func greatest[T real](x []T) T { return slices.Max(x) }

func softmaxOf[T real](x []T) []T {
	m, s := greatest(x), T(0)
	y := make([]T, len(x))
	for i := range x {
		y[i] = exp(x[i] - m)
		s += y[i]
	}
	for i := range y {
		y[i] /= s
	}
	return y
}

func softmaxRule[T real]() rule[T] {
	return rowRule(softmaxOf[T], func(_, y, dy []T) []T {
		s := T(0)
		for i := range y {
			s += y[i] * dy[i]
		}
		dx := make([]T, len(y))
		for i := range y {
			dx[i] = y[i] * (dy[i] - s)
		}
		return dx
	})
}

func logSoftmaxRule[T real]() rule[T] {
	return rowRule(func(x []T) []T {
		m, s := greatest(x), T(0)
		for i := range x {
			s += exp(x[i] - m)
		}
		y := make([]T, len(x))
		for i := range x {
			y[i] = x[i] - m - log(s)
		}
		return y
	}, func(_, y, dy []T) []T {
		s := T(0)
		for i := range y {
			s += dy[i]
		}
		dx := make([]T, len(y))
		for i := range y {
			dx[i] = dy[i] - exp(y[i])*s
		}
		return dx
	})
}

// entropyRule is −log softmax(x)[0] of each row.
func entropyRule[T real]() rule[T] {
	l := logSoftmaxRule[T]()
	return rowRule(func(x []T) []T {
		return []T{-l.f([]shaped[T]{{tensor.Shape{len(x)}, x}})[0]}
	}, func(x, _, dy []T) []T {
		p := softmaxOf(x)
		for i := range p {
			if i == 0 {
				p[i]--
			}
			p[i] *= dy[0]
		}
		return p
	})
}

// maxRule gives share(k) of dy to each of k that tie.
func maxRule[T real](share func(k, nth int) T) rule[T] {
	return rowRule(func(x []T) []T { return []T{greatest(x)} }, func(x, y, dy []T) []T {
		k := 0
		for _, v := range x {
			if v == y[0] {
				k++
			}
		}
		dx, nth := make([]T, len(x)), 0
		for i, v := range x {
			if v == y[0] {
				dx[i] = share(k, nth) * dy[0]
				nth++
			}
		}
		return dx
	})
}

func sortRule[T real]() rule[T] {
	order := func(x []T) []int {
		p := make([]int, len(x))
		for i := range p {
			p[i] = i
		}
		sort.SliceStable(p, func(a, b int) bool { return x[p[a]] < x[p[b]] })
		return p
	}
	return rowRule(func(x []T) []T {
		y := make([]T, len(x))
		for k, i := range order(x) {
			y[k] = x[i]
		}
		return y
	}, func(x, _, dy []T) []T {
		dx := make([]T, len(x))
		for k, i := range order(x) {
			dx[i] = dy[k]
		}
		return dx
	})
}

// poolRule is the maximum of windows of side by side, step apart, of N×C×H×W. at decodes a
// position.
func poolRule[T real](side, step int, at func(k, h, w int) (int, int)) rule[T] {
	walk := func(in shaped[T], each func(o, winner int)) {
		n, h, w := in.s[0]*in.s[1], in.s[2], in.s[3]
		o := 0
		for k := range n {
			for p := 0; p+side <= h; p += step {
				for q := 0; q+side <= w; q += step {
					best := -1
					for a := range side {
						for b := range side {
							if e := (k*h+p+a)*w + q + b; best < 0 || in.v[e] > in.v[best] {
								best = e
							}
						}
					}
					each(o, best)
					o++
				}
			}
		}
	}
	return rule[T]{
		f: func(in []shaped[T]) []T {
			var y []T
			walk(in[0], func(_, e int) { y = append(y, in[0].v[e]) })
			return y
		},
		d: func(_ int, in []shaped[T], _, dy []T) []T {
			dx := make([]T, len(in[0].v))
			h, w := in[0].s[2], in[0].s[3]
			walk(in[0], func(o, e int) {
				plane := e / (h * w)
				i, j := at(e%(h*w), h, w)
				if i < h && j < w {
					dx[plane*h*w+i*w+j] += dy[o]
				}
			})
			return dx
		},
	}
}

func poolShape(side, step int) func(in []tensor.Shape) (tensor.Shape, error) {
	return func(in []tensor.Shape) (tensor.Shape, error) {
		s := in[0]
		if len(s) != 4 || s[2] < side || s[3] < side {
			return nil, errors.Errorf("pool: x is %v", s)
		}
		return tensor.Shape{s[0], s[1], (s[2]-side)/step + 1, (s[3]-side)/step + 1}, nil
	}
}

func pool(name string, side, step int, at func(k, h, w int) (int, int)) *op {
	o := both(name, 1, poolRule[float64](side, step, at), poolRule[float32](side, step, at))
	o.out = poolShape(side, step)
	return o
}

func firstOf(in []tensor.Shape) (tensor.Shape, error) {
	if len(in[0]) != 2 {
		return nil, errors.Errorf("x is %v, want two axes", in[0])
	}
	return tensor.Shape{in[0][0], 1}, nil
}

// normRule is (x − mean)/deviation of columns; the gradient divides by divisor(n).
func normRule[T real](divisor func(n int) int) rule[T] {
	const eps = 1e-5
	column := func(in shaped[T], c int) (mean, inv T) {
		n := in.s[0]
		for i := range n {
			mean += in.v[i*in.s[1]+c]
		}
		mean /= T(n)
		s := T(0)
		for i := range n {
			d := in.v[i*in.s[1]+c] - mean
			s += d * d
		}
		return mean, 1 / sqrt(s/T(n)+eps)
	}
	return rule[T]{
		f: func(in []shaped[T]) []T {
			y := make([]T, len(in[0].v))
			for c := range in[0].s[1] {
				mean, inv := column(in[0], c)
				for i := range in[0].s[0] {
					y[i*in[0].s[1]+c] = (in[0].v[i*in[0].s[1]+c] - mean) * inv
				}
			}
			return y
		},
		d: func(_ int, in []shaped[T], y, dy []T) []T {
			n, m := in[0].s[0], in[0].s[1]
			dx := make([]T, len(y))
			for c := range m {
				_, inv := column(in[0], c)
				a, b := T(0), T(0)
				for i := range n {
					a, b = a+dy[i*m+c], b+dy[i*m+c]*y[i*m+c]
				}
				for i := range n {
					k := T(divisor(n))
					dx[i*m+c] = inv * (dy[i*m+c] - a/T(n) - y[i*m+c]*b/k)
				}
			}
			return dx
		},
	}
}

func norm(name string, divisor func(n int) int) *op {
	o := both(name, 1, normRule[float64](divisor), normRule[float32](divisor))
	o.out = func(in []tensor.Shape) (tensor.Shape, error) {
		if len(in[0]) != 2 {
			return nil, errors.Errorf("x is %v", in[0])
		}
		return in[0].Clone(), nil
	}
	return o
}

func productRule[T real](divides bool) rule[T] {
	return rowRule(func(x []T) []T {
		y, p := make([]T, len(x)), T(1)
		for i, v := range x {
			p *= v
			y[i] = p
		}
		return y
	}, func(x, y, dy []T) []T {
		dx := make([]T, len(x))
		for i := range x {
			for k := i; k < len(x); k++ {
				if divides {
					dx[i] += dy[k] * y[k] / x[i]
					continue
				}
				p := T(1)
				for m := range k + 1 {
					if m != i {
						p *= x[m]
					}
				}
				dx[i] += dy[k] * p
			}
		}
		return dx
	})
}

// gather is x's rows by labels.
func gatherRule[T real](skip int) rule[T] {
	return rule[T]{
		f: func(in []shaped[T]) []T {
			n, m := in[0].s[0], in[0].s[1]
			var y []T
			for _, l := range in[1].v {
				if int(l) >= n {
					return nil
				}
				y = append(y, in[0].v[int(l)*m:int(l)*m+m]...)
			}
			return y
		},
		d: func(_ int, in []shaped[T], _, dy []T) []T {
			m := in[0].s[1]
			dx := make([]T, len(in[0].v))
			for k, l := range in[1].v {
				if int(l) == skip {
					continue
				}
				for c := range m {
					dx[int(l)*m+c] += dy[k*m+c]
				}
			}
			return dx
		},
	}
}

func gather(name string, skip int) *op {
	o := both(name, 2, gatherRule[float64](skip), gatherRule[float32](skip))
	o.whole = 1
	o.out = func(in []tensor.Shape) (tensor.Shape, error) { return tensor.Shape{in[1][0], in[0][1]}, nil }
	return o
}

// upRule enlarges each row to eight by repetition. reach is how far the gradient looks.
func upRule[T real](reach int) rule[T] {
	return rowRule(func(x []T) []T {
		y := make([]T, 8)
		for k := range y {
			y[k] = x[k*len(x)/8]
		}
		return y
	}, func(x, _, dy []T) []T {
		dx := make([]T, len(x))
		for i := range dx {
			from := (i*8 + len(x) - 1) / len(x)
			for k := from; k < min(from+reach, 8) && k*len(x)/8 == i; k++ {
				dx[i] += dy[k]
			}
		}
		return dx
	})
}

func up(name string, reach int) *op {
	o := both(name, 1, upRule[float64](reach), upRule[float32](reach))
	o.out = func(in []tensor.Shape) (tensor.Shape, error) {
		if len(in[0]) != 2 || in[0][1] > 8 {
			return nil, errors.New("want rows of at most eight")
		}
		return tensor.Shape{in[0][0], 8}, nil
	}
	return o
}

// pairs is the greater of two, with the shares of a tie.
func pairsRule[T real](a, b T) rule[T] {
	return rule[T]{
		f: func(in []shaped[T]) []T {
			y := make([]T, len(in[0].v))
			for e := range y {
				y[e] = max(in[0].v[e], in[1].v[e])
			}
			return y
		},
		d: func(i int, in []shaped[T], _, dy []T) []T {
			dx := make([]T, len(dy))
			for e := range dx {
				p, q := in[i].v[e], in[1-i].v[e]
				switch {
				case p > q:
					dx[e] = dy[e]
				case p == q && i == 0:
					dx[e] = a * dy[e]
				case p == q:
					dx[e] = b * dy[e]
				}
			}
			return dx
		},
	}
}

func pairs(name string, a, b float64) *op {
	o := both(name, 2, pairsRule(a, b), pairsRule(float32(a), float32(b)))
	o.out = func(in []tensor.Shape) (tensor.Shape, error) {
		if !in[0].Eq(in[1]) {
			return nil, errors.New("shapes differ")
		}
		return in[0].Clone(), nil
	}
	return o
}

func reluAt[T real](zero T) rule[T] {
	return curve(func(x T) T { return max(x, 0) }, func(x, _ T) T {
		return pick(x > 0, 1, pick(x == 0, zero, 0))
	})
}

func relu(zero float64) *op {
	return both(fmt.Sprint("relu ", zero), 1, reluAt(zero), reluAt(float32(zero)))
}

func lengthRule[T real](zero T) rule[T] {
	return rowRule(func(x []T) []T {
		s := T(0)
		for _, v := range x {
			s += v * v
		}
		return []T{sqrt(s)}
	}, func(x, y, dy []T) []T {
		dx := make([]T, len(x))
		for i := range x {
			if dx[i] = zero; y[0] != 0 {
				dx[i] = x[i] / y[0] * dy[0]
			}
		}
		return dx
	})
}

func mirrored(o *op, out func([]tensor.Shape) (tensor.Shape, error)) *op { o.out = out; return o }
