// Moving between layouts; and the columns of zeros beside the rows of a tensor [batch, height, width, channels], written
// before anything else writes that tensor.

#ifdef ZERO_HALO
// An image is `image` numbers; each of its rows, `row` numbers apart, starts with `halo` zeros, and the last is followed by
// as many: one more row. Dimension 1 is the image, dimension 0 shares out its rows.
__kernel void layout_zero_halo(__global REAL *dst, const ulong image, const ulong rows, const ulong row, const ulong halo)
{
    for (size_t y = get_global_id(0); y < rows; y += get_global_size(0)) {
        __global REAL *p = dst + get_global_id(1) * image + y * row;
        for (size_t i = 0; i < halo; ++i)
            p[i] = 0;
    }
}
#endif

#ifdef COPY
// The same values in another layout, of images from `from` on to images from `to` on: rows of W * C numbers (FOR_ROW). Sizes
// are arguments, so that all copies share a compiled kernel.
__kernel void layout_copy(__global const REAL *restrict src, __global REAL *restrict dst, VIEW(SRC), VIEW(DST), const int W,
                          const int C, const int from, const int to)
{
    const size_t y = get_global_id(1), n = get_global_id(2);
    __global const REAL *a = src + SRC_O + (from + n) * SRC_N + y * SRC_H;
    __global REAL *b = dst + DST_O + (to + n) * DST_N + y * DST_H;
    if (SRC_W == C && DST_W == C) {
        FOR_ROW(i, W * C) b[i] = a[i];
    } else {
        FOR_ROW(i, W * C) b[i / C * DST_W + i % C] = a[i / C * SRC_W + i % C];
    }
}
#endif
