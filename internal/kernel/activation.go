package kernel

import (
	"fmt"
	"math"

	"github.com/convgrad/convgrad/internal/simd"
	"github.com/convgrad/convgrad/internal/workers"
)

// An Activation is a function that is applied to each element by itself, with its parameters.
// It is comparable. A and B mean what the constant's comment says.
type Activation struct {
	Func ActivationFunc
	A, B float64
}

// An ActivationFunc names a function. Its derivatives stand beside it in activations.
type ActivationFunc int

// The functions. Their one-sided conventions at a kink are PyTorch's.
const (
	Sigmoid     ActivationFunc = iota // 1/(1+e⁻ˣ)
	Tanh                              // (eˣ−e⁻ˣ)/(eˣ+e⁻ˣ)
	Softplus                          // log(1+eˣ)
	SiLU                              // x·σ(x)
	GELU                              // x·Φ(x), Φ being the normal distribution function
	GELUTanh                          // x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))/2
	ELU                               // x for x > 0, A·(eˣ−1) elsewhere
	LeakyReLU                         // x for x > 0, A·x elsewhere
	Clamp                             // min(max(x, A), B), with derivative 0 at A and at B
	ReLU6                             // min(max(x, 0), 6), with derivative 0 at 0 and at 6
	HardSigmoid                       // min(max(x/6 + ½, 0), 1), with derivative 0 at −3 and at 3
	HardSwish                         // x·min(max(x+3, 0), 6)/6
	Exp                               // eˣ
	Log                               // log x
	Sqrt                              // √x
	Square                            // x²
	Abs                               // |x|, with derivative 0 at 0
	Below                             // min(x, 0), with derivative 1 at 0
)

// A curve is a function and its first two derivatives in float64. ddf is nil where f is linear
// piece by piece. vectors names the kernels of f and df.
type curve struct {
	name       string
	vectors    simd.Function
	f, df, ddf func(x, a, b float64) float64
}

var activations = [...]curve{
	Sigmoid: {"Sigmoid", simd.Sigmoid,
		func(x, _, _ float64) float64 { return sigmoid(x) },
		func(x, _, _ float64) float64 { return sigmoid1(x) },
		func(x, _, _ float64) float64 { return sigmoid2(x) }},
	Tanh: {"Tanh", simd.Tanh,
		func(x, _, _ float64) float64 { return math.Tanh(x) },
		func(x, _, _ float64) float64 { return tanh1(x) },
		func(x, _, _ float64) float64 { return -2 * math.Tanh(x) * tanh1(x) }},
	Softplus: {"Softplus", simd.Softplus,
		func(x, _, _ float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) },
		func(x, _, _ float64) float64 { return sigmoid(x) },
		func(x, _, _ float64) float64 { return sigmoid1(x) }},
	SiLU: {"SiLU", simd.SiLU,
		func(x, _, _ float64) float64 { return x * sigmoid(x) },
		func(x, _, _ float64) float64 { return sigmoid(x) + times(x, sigmoid1(x)) },
		func(x, _, _ float64) float64 { return 2*sigmoid1(x) + times(x, sigmoid2(x)) }},
	GELU: {"GELU", simd.GELU,
		func(x, _, _ float64) float64 { return x * normal(x) },
		func(x, _, _ float64) float64 { return normal(x) + times(x, density(x)) },
		func(x, _, _ float64) float64 { return times(2-x*x, density(x)) }},
	GELUTanh: {"GELUTanh", simd.GELUTanh,
		func(x, _, _ float64) float64 { u, _, _ := cubic(x); return x * sigmoid(2*u) },
		func(x, _, _ float64) float64 {
			u, du, _ := cubic(x)
			return sigmoid(2*u) + times(2*x*du, sigmoid1(2*u))
		},
		func(x, _, _ float64) float64 {
			u, du, ddu := cubic(x)
			return times(4*du+2*x*ddu, sigmoid1(2*u)) + times(4*x*du*du, sigmoid2(2*u))
		}},
	ELU: {"ELU", simd.ELU,
		func(x, a, _ float64) float64 {
			if x > 0 {
				return x
			}
			return a * math.Expm1(x)
		},
		func(x, a, _ float64) float64 {
			if x > 0 {
				return 1
			}
			return a * math.Exp(x)
		},
		func(x, a, _ float64) float64 {
			if x > 0 {
				return 0
			}
			return a * math.Exp(x)
		}},
	LeakyReLU: {"LeakyReLU", simd.LeakyReLU,
		func(x, a, _ float64) float64 {
			if x > 0 {
				return x
			}
			return a * x
		},
		func(x, a, _ float64) float64 {
			if x > 0 {
				return 1
			}
			return a
		}, nil},
	Clamp: {"Clamp", simd.Clamp,
		func(x, a, b float64) float64 { // not min and max, which order −0 and 0
			if x < a {
				x = a
			}
			if x > b {
				x = b
			}
			return x
		},
		func(x, a, b float64) float64 { return one(x > a && x < b) }, nil},
	ReLU6: {"ReLU6", simd.ReLU6,
		func(x, _, _ float64) float64 { return min(max(x, 0), 6) },
		func(x, _, _ float64) float64 { return one(!(x <= 0 || x >= 6)) }, nil},
	HardSigmoid: {"HardSigmoid", simd.HardSigmoid,
		func(x, _, _ float64) float64 { return min(max(x+3, 0), 6) / 6 },
		func(x, _, _ float64) float64 { return one(x > -3 && x < 3) / 6 }, nil},
	HardSwish: {"HardSwish", simd.HardSwish,
		func(x, _, _ float64) float64 { return x * min(max(x+3, 0), 6) / 6 },
		func(x, _, _ float64) float64 {
			switch {
			case x <= -3:
				return 0
			case x >= 3:
				return 1
			}
			return x/3 + 0.5
		},
		func(x, _, _ float64) float64 { return one(x > -3 && x < 3) / 3 }},
	Exp: {"Exp", simd.Exp,
		func(x, _, _ float64) float64 { return math.Exp(x) },
		func(x, _, _ float64) float64 { return math.Exp(x) },
		func(x, _, _ float64) float64 { return math.Exp(x) }},
	Log: {"Log", simd.Log,
		func(x, _, _ float64) float64 { return logarithm(x) },
		func(x, _, _ float64) float64 { return 1 / x },
		func(x, _, _ float64) float64 { return -1 / (x * x) }},
	Sqrt: {"Sqrt", simd.Sqrt,
		func(x, _, _ float64) float64 { return math.Sqrt(x) },
		func(x, _, _ float64) float64 { return 0.5 / math.Sqrt(x) },
		func(x, _, _ float64) float64 { return -0.25 / (x * math.Sqrt(x)) }},
	Square: {"Square", simd.Square,
		func(x, _, _ float64) float64 { return x * x },
		func(x, _, _ float64) float64 { return 2 * x },
		func(x, _, _ float64) float64 { return 2 }},
	Abs: {"Abs", simd.Abs,
		func(x, _, _ float64) float64 { return math.Abs(x) },
		func(x, _, _ float64) float64 {
			switch {
			case x > 0:
				return 1
			case x < 0:
				return -1
			}
			return x // 0, or NaN
		}, nil},
	Below: {"Below", simd.Below,
		func(x, _, _ float64) float64 { return min(x, 0) },
		func(x, _, _ float64) float64 { return one(x <= 0) }, nil},
}

// logarithm is math.Log, which takes denormals for the smallest normal number on amd64.
func logarithm(x float64) float64 {
	if 0 < x && x < 0x1p-1022 {
		return math.Log(x*0x1p54) - 54*math.Ln2
	}
	return math.Log(x)
}

// String is the function's name.
func (f ActivationFunc) String() string {
	if f < 0 || int(f) >= len(activations) {
		return fmt.Sprintf("ActivationFunc(%d)", int(f))
	}
	return activations[f].name
}

// PiecewiseLinear reports whether the function has no second derivative but 0.
func (f ActivationFunc) PiecewiseLinear() bool { return activations[f].ddf == nil }

// Activate is y = f⁽ᵒʳᵈᵉʳ⁾(x) element by element, the function's derivative of order 0, 1 or 2,
// the last not of a function that is linear piece by piece. y may be x itself.
//
// Vectors compute in the elements' type, within a few units in the last place, as TestActivations
// says; the plain tier and orders above 0 in float64, rounded once.
func Activate[T Float](a Activation, order int, y, x []T) {
	y = y[:len(x)]
	c := &activations[a.Func]
	if order == 0 && vectors[T](c) {
		workers.Sweep(len(x), func(lo, hi int) { simd.Activate(c.vectors, y[lo:hi], x[lo:hi], T(a.A), T(a.B)) })
		return
	}
	f := [3]func(x, a, b float64) float64{c.f, c.df, c.ddf}[order]
	sweepCostly(len(x), func(lo, hi int) {
		for i, v := range x[lo:hi] {
			y[lo+i] = T(f(float64(v), a.A, a.B))
		}
	})
}

// vectors reports whether the tier has kernels for a curve.
func vectors[T Float](c *curve) bool { return simd.Activate[T](c.vectors, nil, nil, 0, 0) }

// ActivateBackward is dx = dy·f′(x). dx may be dy itself. Rounding is Activate's.
func ActivateBackward[T Float](a Activation, dx, dy, x []T) {
	dx, dy = dx[:len(x)], dy[:len(x)]
	c := &activations[a.Func]
	if vectors[T](c) {
		workers.Sweep(len(x), func(lo, hi int) {
			simd.ActivateBackward(c.vectors, dx[lo:hi], dy[lo:hi], x[lo:hi], T(a.A), T(a.B))
		})
		return
	}
	sweepCostly(len(x), func(lo, hi int) {
		for i, v := range x[lo:hi] {
			dx[lo+i] = T(float64(dy[lo+i]) * c.df(float64(v), a.A, a.B))
		}
	})
}

// sweepCostly is sweep for elements that take an exponential each.
func sweepCostly(n int, f func(lo, hi int)) { workers.Spans(n, 1<<10, f) }

// sigmoid and its derivatives are made from e^−|x|, which neither overflows nor cancels.
func sigmoid(x float64) float64 {
	e := math.Exp(-math.Abs(x))
	if x < 0 {
		return e / (1 + e)
	}
	return 1 / (1 + e)
}

func sigmoid1(x float64) float64 {
	e := math.Exp(-math.Abs(x))
	return e / ((1 + e) * (1 + e))
}

func sigmoid2(x float64) float64 {
	e := math.Exp(-math.Abs(x))
	return math.Copysign(e*(1-e)/((1+e)*(1+e)*(1+e)), -x)
}

// tanh1 is 1 − tanh² without its cancellation.
func tanh1(x float64) float64 { return 4 * sigmoid1(2*x) }

// normal is the standard normal distribution function, density its derivative. Far out, a rounding
// error of the argument counts x² times: it is taken along.
func normal(x float64) float64 {
	const low = -9.667293313452913e-17 // √2 − math.Sqrt2
	z := -x / math.Sqrt2
	p := 0.5 * math.Erfc(z)
	if rest := math.FMA(-z, math.Sqrt2, -x) - z*low; z > 1 && p > 0 {
		p -= density(x) * rest
	}
	return p
}

func density(x float64) float64 {
	square := x * x
	if square > 1500 {
		return 0
	}
	return math.Exp(-square/2) * (1 - math.FMA(x, x, -square)/2) / math.Sqrt(2*math.Pi)
}

// cubic is the argument of GELUTanh's tanh, and its derivatives.
func cubic(x float64) (u, du, ddu float64) {
	const a, k = 0.79788456080286535588, 0.044715 // √(2/π)
	return a * x * (1 + k*x*x), a * (1 + 3*k*x*x), 6 * a * k * x
}

// times is x·tail for a tail that vanishes faster than x grows: 0 rather than ∞·0.
func times(x, tail float64) float64 {
	if tail == 0 {
		return 0
	}
	return x * tail
}

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
