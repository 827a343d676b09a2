// Package ops holds the Gorgonia ops of a convolutional network, each with its hand-written derivative rule under it.
//
// The rules are those of "Backpropagation In Convolutional Neural Networks" (Jefkine, 2016), here called the article. Its letters and ours:
//
//	article                                  here
//	o^{l−1}, the input of a layer            x, N×C×H×W
//	x^l, the pre-activation                  y, N×K×P×Q (the output of Conv2D; the input of ReLU)
//	w_{m,n}, k₁×k₂, K                        w, K×C×R×S; the article's one kernel is w[k,c]
//	m, n; i, j                               r, s; p, q
//	i′, j′, a pixel of the input             the h, w of x
//	b                                        b, one per filter
//	δ^l = ∂E/∂x^l (Eq. 15)                   the cotangent of Conv2D's output, dy
//	f                                        ReLU
//	t_p, y_p, E                              t, y, E of MSE
//	⊗ (Eq. 1), cross-correlation             Conv2D
//	* (Eq. 2), convolution                   Conv2D with Flip
//
// and its equations:
//
//	Eqs. 1, 4, 5, 7     Conv2D
//	Eqs. 2, 3, 6        Conv2D with ConvParams.Flip
//	Eq. 8               ReLU
//	Eq. 9               ArticleError
//	Eqs. 10–14          Conv2DBackwardFilter
//	Eqs. 15, 16–20      Conv2DBackwardData; Region is Q
//	Eqs. 21, 22         other readings of Eq. 20: see verify/article
//	pooling             MaxPool2D, AvgPool2D, L2Pool2D
//
// Frameworks, and this package, call cross-correlation convolution.
//
// Every op works under Gorgonia's TapeMachine with Grad, under its LispMachine, and under the machine of ops/vm; in float32 and float64; on plain, sliced, transposed and column-major
// values. Ops are values without state: the same op may stand at several nodes and in several graphs, and graphs may run at once. No op returns or changes its operands. Derivatives have
// derivatives: take the first with SymDiff, then call gorgonia.Grad once (its Grad of a Grad is wrong).
//
// Constructors return errors that name the op, the argument, what was got and what was wanted; nothing here panics.
package ops

import (
	_ "go4.org/unsafe/assume-no-moving-gc" // Gorgonia panics at start on a current Go without this version
)
