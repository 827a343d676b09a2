//go:build !amd64 || noasm

package kernel

func laneKernels[T Float]() laneShape { return laneShape{} }

func (s laneShape) pixels(int) int { return maxPixels }

func runLanes[T Float](laneShape, int, int, []T, []int, []int, []T, []T, int, bool, *laneEnd[T]) {}

func peakRounds(_ Tier, _ bool, n int) int { return peakRoundsGo(n) }
