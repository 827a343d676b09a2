// Package kernel is the arithmetic of convgrad on flat slices: geometry, reference loops, and the
// fast kernels that must agree with them.
//
// Tensors are row-major: x is N×C×H×W, w is K×(C/Groups)×R×S, y is N×K×P×Q. Every kernel writes its
// destination, the first argument, whole, whatever it held before, and neither writes nor keeps its
// other arguments. Destinations must not overlap sources. Lengths are those of the geometry (XLen,
// WLen, YLen); a kernel indexes no further, so a slice that is too short panics and one that is
// longer is not touched beyond. Callers in this module check their values first; see package ops.
//
// A result depends on the operands, the geometry and the tier, never on the number of threads.
package kernel
