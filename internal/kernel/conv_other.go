//go:build !amd64 || noasm

package kernel

func copyRowsVector[T Float](_ []T, _ int, _ []T, _, _, _ int) bool               { return false }
func padVector[T Float](_ frame, _, _ []T, _, _ int) bool                         { return false }
func gatherVector[T Float](_ []T, _ int, _ []T, _ []int, _ []segment, _ int) bool { return false }
func finishVector[T Float](_, _ []T, _ T, _ bool) int                             { return 0 }
func sumTapsVector[T Float](_, _ int, _ []T, _ int, _ []T, _ int, _ []int, _ []T, _ int, _ bool) bool {
	return false
}

func canDirect(_, _ int) bool { return false }

func spreadVector[T Float](_, _ []T) bool { return false }

func directVector[T Float](_, _, _, _ int, _, _ []T, _, _ []int, _ []T, _ int, _ []T, _ T) {}

func depthwise3Vector[T Float](_ *depthwise3, _, _ []T, _ *[9]T, _, _ T) {}
func depthwiseFilter3Vector[T Float](_ *depthwise3, _, _, _ []T)         {}
func dotRowsVector[T Float](_, _ int, _, _ []T, _ int, _ []T) int        { return 0 }
