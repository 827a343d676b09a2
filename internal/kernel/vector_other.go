//go:build !amd64 || noasm

package kernel

// Without assembly nothing is done in vectors, and the loops in Go do it all: see vector_amd64.go.

func reluVector[T Float](_, _ []T) int                                        { return 0 }
func gateVector[T Float](_, _, _ []T) int                                     { return 0 }
func addVector[T Float](_, _ []T) int                                         { return 0 }
func sgdVector[T Float](_, _ []T, _, _ T) int                                 { return 0 }
func momentumVector[T Float](_, _, _ []T, _, _, _ T, _ bool) int              { return 0 }
func adamVector[T Float](_, _, _, _ []T, _ adamConstants[T]) int              { return 0 }
func rmsPropVector[T Float](_, _, _ []T, _, _, _ T) int                       { return 0 }
func dropoutVector[T Float](_, _ []T, _, _, _, _ uint32, _ T) int             { return 0 }
func normaliseVector[T Float](_ []T, _ []uint8, _, _ T) int                   { return 0 }
func maxPoolVector[T Float](_ int, _ []T, _ []int32, _ []T, _ int) int        { return 0 }
func maxScatterVector[T Float](_ int, _, _ []T, _ []int32, _ int) (int, bool) { return 0, true }
func maxGatherVector[T Float](_ int, _, _ []T, _ []int32, _ int) (int, bool)  { return 0, true }
func avgPoolVector[T Float](_ int, _, _ []T, _ int) int                       { return 0 }
func avgSpreadVector[T Float](_ int, _, _ []T, _ int) int                     { return 0 }

func maxTapsVector[T Float](_ []T, _ []int32, _ []T, _ []int32, _, _ int) int { return 0 }

func expVector[T Float](_, _ []T, _ float64) (int, float64) { return 0, 0 }
func maxVector[T Float](_ *[16]T, _ []T) int                { return 0 }

func movesInVectors[T Float](int) bool { return false }
