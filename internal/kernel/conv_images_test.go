package kernel

func init() {
	convs = append(convs,
		convCase{"many images of four pixels", 31, 17, 2, 2, 35, 3, 3, 1, Spatial{1, 1, 1, 1, 1, 1, 1, 1}, false},
		convCase{"more images than a micro-kernel takes, turned filters and a stride", 77, 16, 3, 4, 19, 3, 3, 1, Spatial{2, 1, 1, 1, 1, 1, 1, 1}, true},
		convCase{"many images of one pixel in two groups", 16, 32, 1, 1, 34, 3, 5, 2, Spatial{1, 1, 1, 1, 1, 1, 2, 2}, false},
	)
}
