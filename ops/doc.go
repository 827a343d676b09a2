// Package ops holds the Gorgonia ops of a convolutional network, each with its hand-written
// derivative rule under it.
//
// The rules are those of "Backpropagation In Convolutional Neural Networks" (Jefkine, 2016), here
// called the article. Its letters and ours:
//
//	article                                  here
//	o^{l−1}, the input of a layer            x, N×C×H×W
//	x^l, the pre-activation                  y, N×K×P×Q (Conv2D's output, ReLU's input)
//	w_{m,n}, k₁×k₂, K                        w, K×C×R×S; the article's one kernel is w[k,c]
//	m, n; i, j                               r, s; p, q
//	i′, j′, a pixel of the input             the h, w of x
//	b                                        b, one per filter
//	δ^l = ∂E/∂x^l (Eq. 15)                   the cotangent of Conv2D's output, dy
//	f                                        ReLU
//	t_p, y_p, E                              t, y, E of ArticleError
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
// # Machines
//
// Every op works under Gorgonia's TapeMachine with Grad, under its LispMachine, and under the
// machine of ops/vm; in float32 and float64; on plain, sliced, transposed and column-major values.
// Ops are values without state: the same op may stand at several nodes and in several graphs, and
// graphs may run at once. No op returns or changes its operands. (Gorgonia's own ops do change
// theirs under TapeMachine: read a value there with gorgonia.Read.)
//
// Derivatives have derivatives: Grad can be called on its own results. gorgonia.Grad cannot; its
// second call in a graph gives wrong numbers.
//
// Constructors return errors that name the op, the argument, what was got and what was wanted;
// nothing here panics.
//
// # Adding an op
//
// A user's op is a value with the methods of Op, and Apply makes a node of it. An op of this
// package is the same, in one file:
//
//  1. The constructor with its doc comment: equation, shapes, derivative, borders, ties and NaN,
//     errors. It checks what Apply cannot know and calls Apply.
//  2. The op, a struct of numbers, with Infer, Compute and Rule; Name, so that errors name the
//     operands; and what else applies of Types, InPlace, Fuse and MACs.
//  3. The ops that its rule is made of, likewise, with rules of their own. What the forward pass
//     notes (winners, statistics) is a node.
//  4. In init, its registration in internal/opset: a function that draws a small call with
//     parameters by chance, and the definition by plain loops. From it follow the tests of
//     definition, derivatives, and contract with the machines, of this op and of those in its
//     derivatives.
//
// Borders, ties, NaN and texts of errors get tests of their own in a file beside it. No other file
// is touched. reduce.go is an example.
package ops

// Gorgonia panics at start on a current Go without this version
import (
	_ "go4.org/unsafe/assume-no-moving-gc"
)
