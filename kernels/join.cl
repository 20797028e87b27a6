// Joins of branches, and the sum of a tensor's gradients where several layers read it.
//
//   join_sum:        dst = src + other
//   join_accumulate: dst = dst + src, for the third branch on, and for gradients: always in the order of the steps, so
//                    equal runs give equal bits
//
// A concatenation is written by the layers before it, each its part, and the way back through both joins hands buffers on;
// where that cannot be, there are copies (layout.cl).
//
// Defines: C channels, H, W. One work-item a value: dimension 0 runs along a row's W * C numbers.

#define PLACE_IN(T) (T##_O + n * T##_N + y * T##_H + i / C * T##_W + i % C)

#ifdef SUM
__kernel void join_sum(__global const REAL *src, __global const REAL *other, __global REAL *dst)
{
    const int i = get_global_id(0), y = get_global_id(1), n = get_global_id(2);
    dst[PLACE_IN(DST)] = src[PLACE_IN(SRC)] + other[PLACE_IN(OTHER)];
}
#endif

#ifdef ACCUMULATE
__kernel void join_accumulate(__global const REAL *src, __global REAL *dst)
{
    const int i = get_global_id(0), y = get_global_id(1), n = get_global_id(2);
    dst[PLACE_IN(DST)] += src[PLACE_IN(SRC)];
}
#endif
