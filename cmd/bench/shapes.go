package main

import (
	"fmt"

	"github.com/convgrad/convgrad/internal/kernel"
)

// A Shape is a convolution to measure.
type Shape struct {
	Name                                  string
	N, C, H, W, K, R, Pad, Stride, Groups int
}

// Shapes are the convolutions of the table: layers of small and large networks, and each kind of
// geometry that has an algorithm of its own.
var Shapes = []Shape{
	{"small images, 32 to 64 channels", 32, 32, 14, 14, 64, 3, 1, 1, 1},
	{"VGG, 64 channels", 16, 64, 56, 56, 64, 3, 1, 1, 1},
	{"first layer of convnet", 32, 1, 28, 28, 32, 3, 1, 1, 1},
	{"LeNet, second layer", 64, 6, 14, 14, 16, 5, 0, 1, 1},
	{"ResNet, 128 channels", 8, 128, 28, 28, 128, 3, 1, 1, 1},
	{"ResNet, 256 channels", 8, 256, 14, 14, 256, 3, 1, 1, 1},
	{"1×1, 256 to 512", 8, 256, 14, 14, 512, 1, 0, 1, 1},
	{"stride 2", 8, 64, 56, 56, 128, 3, 1, 2, 1},
	{"stem of ResNet, 7×7", 4, 3, 224, 224, 64, 7, 3, 2, 1},
	{"LeNet, first layer", 64, 1, 28, 28, 6, 5, 2, 1, 1},
	{"depthwise, 64 channels", 8, 64, 56, 56, 64, 3, 1, 1, 64},
	{"depthwise, 128 channels", 8, 128, 28, 28, 128, 3, 1, 1, 128},
	{"depthwise, 256 channels", 8, 256, 14, 14, 256, 3, 1, 1, 256},
}

// Geometry is the shape's geometry.
func (s Shape) Geometry() (kernel.Conv, error) {
	return kernel.NewConv(s.N, s.C, s.H, s.W, s.K, s.R, s.R, s.Groups, kernel.Spatial{
		StrideH: s.Stride, StrideW: s.Stride, DilationH: 1, DilationW: 1, PadTop: s.Pad, PadBottom: s.Pad, PadLeft: s.Pad, PadRight: s.Pad,
	}, false)
}

// String is the shape as N,C,H,W,K,R,pad,stride,groups.
func (s Shape) String() string {
	return fmt.Sprintf("%d,%d,%d,%d,%d,%d,%d,%d,%d", s.N, s.C, s.H, s.W, s.K, s.R, s.Pad, s.Stride, s.Groups)
}

// Kind says which of the targets the shape is for.
func (s Shape) Kind() string {
	switch {
	case s.Groups > 1:
		return "depthwise"
	case s.C >= 32 && s.K >= 32:
		return "many"
	case s.R < 7:
		return "few"
	}
	return ""
}
