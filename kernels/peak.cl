// What the device can do at best, for `netc bench` to compare with: multiply-adds out of registers, and copying.

#ifdef PEAK_MULTIPLY_ADD
// One work-item: CHAINS chains of multiply-adds that do not wait for each other, STEPS long; dst [items].
__kernel void peak_multiply_add(__global REAL *dst)
{
    REALV chain[CHAINS];
    _Pragma("unroll") for (int c = 0; c < CHAINS; ++c) chain[c] = (REALV)((REAL)(c + (int)get_global_id(0)));
    const REALV factor = (REALV)((REAL)0.999), term = (REALV)((REAL)0.25);
    for (int step = 0; step < STEPS; ++step)
        _Pragma("unroll") for (int c = 0; c < CHAINS; ++c) chain[c] = chain[c] * factor + term;
    REALV sum = (REALV)(0);
    _Pragma("unroll") for (int c = 0; c < CHAINS; ++c) sum += chain[c];
    REAL lanes[VW];
    VSTORE(sum, lanes);
    REAL total = 0;
    for (int lane = 0; lane < VW; ++lane)
        total += lanes[lane];
    dst[get_global_id(0)] = total;
}
#endif

#ifdef PEAK_COPY
// dst = src; one work-item BLOCK vectors of VW numbers.
__kernel void peak_copy(__global const REAL *src, __global REAL *dst)
{
    const size_t first = (size_t)get_global_id(0) * BLOCK * VW;
    for (int i = 0; i < BLOCK; ++i)
        VSTORE(VLOAD(src + first + i * VW), dst + first + i * VW);
}
#endif
