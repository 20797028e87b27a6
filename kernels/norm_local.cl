// Local response normalization across channels (Krizhevsky et al. 2012, 3.3; alpha is not divided by the size):
//
//   t[c]     = k + alpha * sum of src[j]^2 over the SIZE channels j centred on c
//   dst[c]   = src[c] * t[c]^-beta
//   d_src[c] = d_dst[c] * t[c]^-beta - 2 alpha beta src[c] * sum over the same channels j of d_dst[j] * src[j] * t[j]^(-beta-1)
//
// Defines: C channels, W pixels of a row, SIZE, ALPHA, BETA, K; VW; BETA_075 where beta is exactly 0.75: then the power is taken
// by square roots, i = 1 / sqrt(t), i * sqrt(i), 7 to 10 times faster than pow on a CPU (2026-11-24).
// One work-item a pixel or a row of them (FOR_ROW), a pixel's channels in private memory, VW at a time; nothing is kept between
// forward and backward. Vectors over channels against vectors over pixels, which a driver makes of one pixel an item and which
// gather: 1.4 -> 0.85 ms forward, 2.3 -> 1.3 ms backward for 128 maps of 48x14x14 (PoCL 3.1, two cores with 256-bit
// vectors, 2026-11-25).

#define HALF (SIZE / 2)
#define WHOLE ((C + VW - 1) / VW * VW)

// power = t^-BETA and inverse = 1 / t.
#ifdef BETA_075
#define POWERS(power, inverse, t)                                                               \
    const REALV root = (REALV)((REAL)1) / sqrt(t);                                              \
    power = root * sqrt(root);                                                                  \
    inverse = root * root;
#else
#define POWERS(power, inverse, t)                                                               \
    power = pow(t, (REALV)(-(BETA)));                                                           \
    inverse = (REALV)((REAL)1) / t;
#endif

// The sum over the window centred on each of VW channels from c on; padded holds a value a channel from HALF on, zeros beside.
inline REALV window_sum(const REAL *padded, const int c)
{
    REALV total = VLOAD(padded + c);
    _Pragma("unroll") for (int j = 1; j < SIZE; ++j) total += VLOAD(padded + c + j);
    return total;
}

#ifdef FORWARD
__kernel void norm_local_forward(__global const REAL *src, __global REAL *dst)
{
    const int y = get_global_id(1), n = get_global_id(2);
    REAL square[WHOLE + 2 * HALF + 1];
    for (int j = 0; j < HALF; ++j)
        square[j] = square[WHOLE + HALF + j] = 0;
    FOR_ROW(x, W)
    {
        __global const REAL *a = src + SRC_O + n * SRC_N + y * SRC_H + x * SRC_W;
        __global REAL *b = dst + DST_O + n * DST_N + y * DST_H + x * DST_W;
        for (int c = 0; c < WHOLE; c += VW) {
            const REALV value = load_part(a + c, C - c);
            VSTORE(value * value, square + HALF + c);
        }
        for (int c = 0; c < WHOLE; c += VW) {
            const REALV t = K + ALPHA * window_sum(square, c);
            REALV power, inverse;
            POWERS(power, inverse, t)
            const REALV value = load_part(a + c, C - c) * power;
            STORE_PART(b + c, value, C - c)
        }
    }
}
#endif

#ifdef BACKWARD
__kernel void norm_local_backward(__global const REAL *src, __global const REAL *d_dst, __global REAL *d_src)
{
    const int y = get_global_id(1), n = get_global_id(2);
    REAL square[WHOLE + 2 * HALF + 1], term[WHOLE + 2 * HALF + 1], scaled[WHOLE];
    for (int j = 0; j < HALF; ++j)
        square[j] = square[WHOLE + HALF + j] = term[j] = term[WHOLE + HALF + j] = 0;
    FOR_ROW(x, W)
    {
        __global const REAL *a = src + SRC_O + n * SRC_N + y * SRC_H + x * SRC_W;
        __global const REAL *d = d_dst + D_DST_O + n * D_DST_N + y * D_DST_H + x * D_DST_W;
        __global REAL *b = d_src + D_SRC_O + n * D_SRC_N + y * D_SRC_H + x * D_SRC_W;
        for (int c = 0; c < WHOLE; c += VW) {
            const REALV value = load_part(a + c, C - c);
            VSTORE(value * value, square + HALF + c);
        }
        for (int c = 0; c < WHOLE; c += VW) {
            const REALV t = K + ALPHA * window_sum(square, c);
            REALV power, inverse;
            POWERS(power, inverse, t)
            const REALV up = load_part(d + c, C - c) * power;
            VSTORE(up, scaled + c);
            VSTORE(up * inverse * load_part(a + c, C - c), term + HALF + c);
        }
        for (int c = 0; c < WHOLE; c += VW) {
            const REALV value =
                VLOAD(scaled + c) - ((REAL)2 * ALPHA * BETA) * load_part(a + c, C - c) * window_sum(term, c);
            STORE_PART(b + c, value, C - c)
        }
    }
}
#endif
