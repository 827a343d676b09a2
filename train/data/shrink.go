package data

import "image"

// shrink averages a part of a picture over blocks of k×k pixels, for the largest k that leaves at
// least w×h of them. It returns the picture of the means, and the part of it that from has become,
// up to k−1 pixels of its right and lower borders, and one of the others. It is for the kinds of
// pictures that JPEG and WebP files hold; another comes back as it is. What a scaler has to do
// grows with the area that it reads, and is several times what decoding takes.
func shrink(img image.Image, from image.Rectangle, w, h int) (image.Image, image.Rectangle) {
	k := min(from.Dx()/max(w, 1), from.Dy()/max(h, 1))
	if k < 2 || img.Bounds().Min != (image.Point{}) { // as no decoder gives it
		return img, from
	}
	switch img := img.(type) {
	case *image.Gray:
		to := image.NewGray(image.Rect(0, 0, from.Dx()/k, from.Dy()/k))
		means(plane{to.Pix, to.Stride, to.Rect.Dx(), to.Rect.Dy()}, part(img.Pix, img.Stride, img.Rect.Max, from.Min, 1, 1), k)
		return to, to.Rect
	case *image.YCbCr:
		sx, sy := subsampling(img.SubsampleRatio)
		// Blocks of luma and chroma begin at one place.
		from.Min = image.Pt(from.Min.X-from.Min.X%sx, from.Min.Y-from.Min.Y%sy)
		to := image.NewYCbCr(image.Rect(0, 0, from.Dx()/k, from.Dy()/k), img.SubsampleRatio)
		dx, dy := to.Rect.Dx(), to.Rect.Dy()
		means(plane{to.Y, to.YStride, dx, dy}, part(img.Y, img.YStride, img.Rect.Max, from.Min, 1, 1), k)
		dx, dy = (dx+sx-1)/sx, (dy+sy-1)/sy
		means(plane{to.Cb, to.CStride, dx, dy}, part(img.Cb, img.CStride, img.Rect.Max, from.Min, sx, sy), k)
		means(plane{to.Cr, to.CStride, dx, dy}, part(img.Cr, img.CStride, img.Rect.Max, from.Min, sx, sy), k)
		return to, to.Rect
	}
	return img, from
}

// subsampling is how many pixels of luma a pixel of chroma is wide and high.
func subsampling(r image.YCbCrSubsampleRatio) (x, y int) {
	switch r {
	case image.YCbCrSubsampleRatio422:
		return 2, 1
	case image.YCbCrSubsampleRatio420:
		return 2, 2
	case image.YCbCrSubsampleRatio440:
		return 1, 2
	case image.YCbCrSubsampleRatio411:
		return 4, 1
	case image.YCbCrSubsampleRatio410:
		return 4, 2
	}
	return 1, 1
}

// A plane is h rows of w bytes, which begin stride bytes apart.
type plane struct {
	pix          []uint8
	stride, w, h int
}

// part is a plane from a place on, of a picture of that size. Its pixels are sx×sy of the
// picture's.
func part(pix []uint8, stride int, size, at image.Point, sx, sy int) plane {
	x, y := at.X/sx, at.Y/sy
	return plane{pix[y*stride+x:], stride, (size.X+sx-1)/sx - x, (size.Y+sy-1)/sy - y}
}

// means writes the rounded mean of each block of k×k pixels, or of what there is of it at a border.
func means(to, from plane, k int) {
	sums := make([]uint64, to.w)
	for i := range to.h {
		clear(sums)
		rows := min(k, from.h-i*k)
		for r := range rows {
			row := from.pix[(i*k+r)*from.stride:][:from.w]
			for j := range sums {
				var sum uint64
				for _, v := range row[min(j*k, from.w):min((j+1)*k, from.w)] {
					sum += uint64(v)
				}
				sums[j] += sum
			}
		}
		for j, sum := range sums {
			if n := uint64(rows * (min((j+1)*k, from.w) - j*k)); n > 0 {
				to.pix[i*to.stride+j] = uint8((sum + n/2) / n)
			}
		}
	}
}
