//go:build !amd64 || noasm

package kernel

type dotShape struct{ filters, taps, lanes int }

func dotKernels[T Float]() []dotShape { return nil }

func runDots[T Float](dotShape, int, int, []T, []int, int, []T, []int, int, []T) {}
