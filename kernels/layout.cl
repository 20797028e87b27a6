// The columns of zeros beside the rows of a tensor [batch, height, width, channels], written before anything else writes
// that tensor. An image is ROWS rows of ROW numbers and HALO numbers more; each row starts with HALO zeros.
//
// One work-item a row, one more an image for the zeros after its last row.

__kernel void layout_zero_halo(__global REAL *dst)
{
    const int row = get_global_id(0), n = get_global_id(1);
    __global REAL *p = dst + (size_t)n * IMAGE + (size_t)row * ROW;
    for (int i = 0; i < HALO; ++i)
        p[i] = 0;
}
