// Package verify checks the derivative of a Gorgonia op, anyone's, in one call:
//
//	func TestMyOp(t *testing.T) {
//		verify.Op(t, func(in []*gorgonia.Node) (*gorgonia.Node, error) {
//			return MyOp(in[0], in[1])
//		}, verify.Normal("x", 2, 3), verify.Normal("w", 3, 4))
//	}
//
// or, for a report, with Case.Check. It knows no op: all it asks for is a function that makes the node from its inputs. What it compares with are oracles that share nothing with the rule under
// test:
//
//   - central differences of the forward pass, in float64, or float32 for an op that has no other, with steps for the element type, Richardson's extrapolation and its own error estimate; where an input
//     says that the op is linear in it, with step 1, which has no truncation error. Small inputs are differentiated element by element and compared by whole Jacobians, too, the rule at each unit
//     cotangent; large ones along random directions of signs, and where one fails element by element, to name the element;
//   - the adjoint identity ⟨dy, Jv⟩ = ⟨Jᵀdy, v⟩ where the op is linear in an input: Jv is then the forward pass itself;
//   - a Reference, one generic function, in dual numbers (derivatives to rounding), in exact rationals (equality, on inputs of integers) and in numbers that bound their own rounding error;
//   - another graph: a second formulation whose autodiff is compared.
//
// Cotangents are random. A gradient seeded with ones hides a transposed, reversed or ignored one.
//
// The rule is run in all the ways in which Gorgonia runs it: SymDiff node by node, gorgonia.Grad under TapeMachine, DoDiff under LispMachine. Further rows: a second consumer of each input (gradients add up),
// a zero cotangent, inputs and cotangent unmodified, twice the same bits, another run of the same ops between forward and backward, a consumer of y that works in place, Do against UsePreallocDo into
// dirty memory, sliced, transposed and column-major inputs, a batch against its samples, float32 against its float64 twin, and second derivatives (the first by SymDiff, then one Grad: Gorgonia's Grad of
// a Grad is wrong).
//
// An element where one-sided differences do not meet is reported as not differentiable there, not as a failure. A panic in an op, which under Gorgonia's machines kills the process, is a row of the
// report: ops are first run by hand, and a machine only if that went well. Go has no cure for a panic on a goroutine that an op starts by itself: it ends the process (Gorgonia's own Conv2d of a
// column-major input does); Case.Skip leaves out what asks for it.
//
// What an op announces it must keep: the shape of InferShape, the element type of Type, one entry of DiffWRT and one node of SymDiff for each argument. A result that is not finite where the inputs are is a failure,
// since nothing can be compared there.
//
// When a row fails, the shapes are made smaller as long as it still fails, and the report names argument, index, both values, the error and its bound, the seed and the shrunk shapes, and guesses at the
// pattern: a constant factor, transposed, flipped by 180°, shifted by one, the border only, one item of the batch only, dy left out, not linear in dy, memory taken to
// be row-major, the input's own memory returned, something kept from the forward pass.
package verify
