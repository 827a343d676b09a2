// Package simd has the vector primitives and micro-kernels that package kernel makes its algorithms
// of, in several tiers: plain Go, AVX2 and AVX-512. It knows slices and distances, but neither the
// geometry of a convolution nor threads.
//
// # How a call finds its code
//
// One tier is in use at a time: the best that the machine can run, or the one that CONVGRAD_TIER
// names. The programs in _asm write the assembly and its stubs, z*_amd64.s and z*_amd64.go. From
// the stubs and a table, _asm/dispatch writes zdispatch_amd64.go: for each primitive one function
// with a switch over element type and tier. Builds without assembly get zdispatch_other.go, with
// the same functions and comments, which do nothing and say so, or run the loop in Go.
//
// Some primitives do part of the work, such as the elements that fill whole vectors, and return how
// much. The exported functions do the rest in Go and are complete. Both ways compute the same bits
// unless a comment says otherwise.
//
// # To add a tier
//
// Touch these files; all are in this directory.
//
//  1. tier.go: a constant, and its row of traits.
//  2. tier_ARCH.go: how to detect it.
//  3. _asm/*/main.go: a row of flavours for each element type in every program, and the sizes of
//     tiles in gemm and lanes. Without elementwise and copying kernels Go does their work. Where
//     another function has no kernel at all for a type, go generate names it and refuses.
//  4. _asm/dispatch/main.go: a row of tiers.
//  5. go generate, and CONVGRAD_TIER=name go test ./internal/...
//
// Tests and .ci/run find the tier by themselves: they run in every tier of the machine.
package simd
