//go:build !amd64 || noasm

package kernel

func microKernel[T Float]() microKernelShape { return microKernelShape{Generic, 2, 4, 4} }

func runTile[T Float](_ microKernelShape, kc, _ int, a, b, c []T, ld int, accumulate bool) {
	tileGo2x4(kc, a, b, c, ld, accumulate)
}

func transposeBlocks[T Float](_ []T, _ int, _ []T, _, _, _ int) (doneLines, doneCols int) {
	return 0, 0
}
