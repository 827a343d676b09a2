package kernel

func init() {
	convs = append(convs,
		convCase{"a filter as large as its image", 5, 3, 6, 7, 9, 6, 7, 1, Spatial{1, 1, 1, 1, 0, 0, 0, 0}, false},
		convCase{"an image that one window reads, with padding after it and strides", 3, 2, 5, 4, 33, 5, 4, 1, Spatial{4, 3, 1, 1, 0, 2, 0, 1}, false},
		convCase{"few images and a long sum", 5, 13, 6, 7, 9, 6, 7, 1, Spatial{1, 1, 1, 1, 0, 0, 0, 0}, false},
		convCase{"images of one pixel", 7, 19, 1, 1, 20, 1, 1, 1, Spatial{1, 1, 1, 1, 0, 0, 0, 0}, false},
	)
}
