// Package verify checks the derivative of a Gorgonia op, anyone's, in one call:
//
//	func TestMyOp(t *testing.T) {
//		verify.Op(t, func(in []*gorgonia.Node) (*gorgonia.Node, error) {
//			return MyOp(in[0], in[1])
//		}, verify.Normal("x", 2, 3), verify.Normal("w", 3, 4))
//	}
//
// or, for a report, with Case.Check. It knows no op: all it asks for is a function that makes the
// node from its inputs.
//
// # Oracles
//
// An op is compared with oracles that share nothing with the rule under test:
//
//   - Central differences of the forward pass, in float64, or in float32 for an op that has no
//     other, with Richardson's extrapolation and measured noise. Small inputs are differentiated
//     element by element, and whole Jacobians compared, the rule at each unit cotangent. Large
//     inputs are differentiated along random directions of signs; where one fails, an element is
//     named.
//   - The adjoint identity ⟨dy, Jv⟩ = ⟨Jᵀdy, v⟩ and differences with step 1, where an input says
//     that the op is linear in it.
//   - A Reference, one function: in exact rationals (equality, on integers), and in numbers that
//     carry a derivative and a bound on their own rounding error.
//   - Another graph: a second formulation, whose derivative is compared.
//
// Cotangents are random. A gradient seeded with ones hides a transposed, reversed or ignored one.
//
// The rule is run in all the ways in which Gorgonia runs it: SymDiff node by node, gorgonia.Grad
// under TapeMachine, DoDiff under LispMachine, and on the case's own Machines. Further rows: a
// second consumer of each input (gradients add up), multiples of the cotangent, inputs and
// cotangent unmodified, several runs with the same bits, runs on other values in between, a
// consumer of y that works in place, UsePreallocDo into dirty memory, also with zeros in the
// cotangent, each operand sliced, transposed and in column-major order, a batch against its
// samples, float32 against its float64 twin, and second derivatives. Oracles lists their names;
// Only and Skip choose.
//
// # Variations
//
// A mistake can hide at the one shape that a test has. Unless the case says Fixed, the oracles are
// asked again at other values (another draw, and for inputs that stand for all real numbers also
// integers with ties, zeros of both signs, and numbers of all sizes up to 10⁵) and at other shapes
// (sides one and two longer and shorter, together and apart, sides of one, of 32, and one side
// longer than a thousand). What does not build or run there, or is not finite, is no variation of
// the case. The report says what was varied.
//
// # Verdicts
//
// At a kink, where the one-sided derivatives differ, the rule may give any number between them, and
// along directions in which tied elements move together the shares must sum to the derivative.
// Where kinks of several ops of a graph meet, right rules need not give such a number: what fails
// there is not judged, unless it fails where one kink is alone.
// Where there is no derivative at all, as of a norm at 0, the row is not judged, and a report in
// which no gradient was judged does not pass. A joint, where the first derivative has a kink, is
// judged in first order and not in second.
//
// What an op does not offer is skipped: float32, DoDiff, UsePreallocDo, a layout that it refuses
// with an error, second derivatives. Second makes the last a failure, Strict all. A defect of
// Gorgonia's own ops, in a graph that has others, too, is named as one and is no failure unless the
// case is Strict.
//
// A panic in an op, which under Gorgonia's machines kills the process, is a row of the report: ops
// are first run by hand, and by a machine only if that went well. Go has no cure for a panic on a
// goroutine that an op starts by itself: it ends the process (Gorgonia's own Conv2d of a
// column-major input does); Case.Skip leaves out what asks for it.
//
// What an op announces it must keep: the shape of InferShape, the element type of Type, one entry
// of DiffWRT and one node of SymDiff for each argument. A result that is not finite where the
// inputs are is a failure at the case's own values, since nothing can be compared there.
//
// When a row fails, the shapes are made smaller as long as it still fails, and the report names
// argument, index, both values, the error and its bound, the seed, the shrunk shapes, the numbers
// as Go text, and the pattern, where that is certain: a constant factor, transposed, flipped,
// shifted, dy left out, not linear in dy, memory taken to be row-major, the input's own memory
// returned, something kept of another run.
//
// # What it cannot see
//
// Parameters that Build fixes are not varied: a mistake that shows only at another probability of a
// dropout, or at rows beyond those tried, stays unseen. A structure finer than the smallest step is
// smooth to differences.
package verify
