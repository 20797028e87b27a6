// Moving between layouts; and the columns of zeros beside the rows of a tensor [batch, height, width, channels], written before anything else writes
// that tensor. An image is ROWS rows of ROW numbers and HALO numbers more; each row starts with HALO zeros.
//
#ifdef ZERO_HALO
// One work-item a row, one more an image for the zeros after its last row.
__kernel void layout_zero_halo(__global REAL *dst)
{
    const int row = get_global_id(0), n = get_global_id(1);
    __global REAL *p = dst + (size_t)n * IMAGE + (size_t)row * ROW;
    for (int i = 0; i < HALO; ++i)
        p[i] = 0;
}
#endif

#ifdef COPY
// The same values in another layout. One work-item a value, dimension 0 along a row's W * C numbers.
__kernel void layout_copy(__global const REAL *src, __global REAL *dst)
{
    const int i = get_global_id(0), y = get_global_id(1), n = get_global_id(2), x = i / C, c = i % C;
    dst[DST_O + n * DST_N + y * DST_H + x * DST_W + c] = src[SRC_O + n * SRC_N + y * SRC_H + x * SRC_W + c];
}
#endif
