//go:build !amd64 || noasm

package kernel

// Without vectors Winograd's algorithm is not used: laneKernels has none.

func winogradInput[T Float](laneShape, int, int, []T, int, int, []T, int, int, []T)             {}
func winogradWeights[T Float](laneShape, int, int, []T, int, int, int, []T, int, int, []T)      {}
func winogradOutput[T Float](laneShape, int, int, []T, int, int, []T, int, int, []T, []T, bool) {}
