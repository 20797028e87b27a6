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
// The same values in another layout, of images from `from` on to images from `to` on. One work-item a value, dimension 0
// along a row's W * C numbers.
__kernel void layout_copy(__global const REAL *src, __global REAL *dst, const ulong from, const ulong to)
{
    const int i = get_global_id(0), y = get_global_id(1), x = i / C, c = i % C;
    const size_t n = get_global_id(2);
    dst[DST_O + (to + n) * DST_N + y * DST_H + x * DST_W + c] = src[SRC_O + (from + n) * SRC_N + y * SRC_H + x * SRC_W + c];
}
#endif
