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

// power = t^-BETA.
#ifdef BETA_075
#define POWER(power, t)                                                                         \
    const REALV root = (REALV)((REAL)1) / sqrt(t);                                              \
    power = root * sqrt(root);
#else
#define POWER(power, t) power = pow(t, (REALV)(-(BETA)));
#endif

// Rows of a pixel's channels: MARGIN zeros, a value a channel, MARGIN zeros.
#if HALF <= VW
#define MARGIN VW
#else
#define MARGIN HALF
#endif
#define ROW_LENGTH (MARGIN + WHOLE + MARGIN)
#define CLEAR_MARGINS(row)                                                                      \
    for (int j = 0; j < MARGIN; ++j)                                                            \
        row[j] = row[MARGIN + WHOLE + j] = 0;

// The sum over the window centred on each of VW channels from c on. Windows that reach into neighbouring vectors are shifted out
// of two of them: loads across vectors just stored wait for those (0.85 -> 0.49 ms forward for 128 maps of 48x14x14; PoCL 3.1,
// two cores with 256-bit vectors, 2026-11-28).
#if HALF <= VW
#ifdef PRECISION_F64
#define LANE ulong
#else
#define LANE uint
#endif
#define LANES_2 0, 1
#define LANES_4 LANES_2, 2, 3
#define LANES_8 LANES_4, 4, 5, 6, 7
#define LANES_16 LANES_8, 8, 9, 10, 11, 12, 13, 14, 15
typedef JOIN(LANE, VW) LANEV;
#define SHIFTED(a, b, by) shuffle2(a, b, (LANEV)(JOIN(LANES_, VW)) + (LANEV)(by))
inline REALV window(const REALV before, const REALV now, const REALV after)
{
    REALV total = HALF > 0 ? SHIFTED(before, now, VW - HALF) : now;
    _Pragma("unroll") for (int j = 1; j < SIZE; ++j)
        total += j < HALF ? SHIFTED(before, now, VW - HALF + j) : j == HALF ? now : SHIFTED(now, after, j - HALF);
    return total;
}
#define WINDOW_SUM(row, c) window(VLOAD((row) + (c)), VLOAD((row) + VW + (c)), VLOAD((row) + 2 * VW + (c)))
// For each c: value, that of src, and total, the sum of squares.
#define FOR_SQUARES(c, value, total, BODY)                                                      \
    REALV value = load_part(a, C), before = (REALV)(0), now = value * value;                    \
    for (int c = 0; c < WHOLE; c += VW) {                                                       \
        const REALV next = c + VW < WHOLE ? load_part(a + c + VW, C - c - VW) : (REALV)(0);     \
        const REALV after = next * next, total = window(before, now, after);                    \
        BODY                                                                                    \
        before = now;                                                                           \
        now = after;                                                                            \
        value = next;                                                                           \
    }
#define SQUARES
#else
inline REALV WINDOW_SUM(const REAL *row, const int c)
{
    REALV total = VLOAD(row + c);
    _Pragma("unroll") for (int j = 1; j < SIZE; ++j) total += VLOAD(row + c + j);
    return total;
}
#define FOR_SQUARES(c, value, total, BODY)                                                      \
    for (int c = 0; c < WHOLE; c += VW) {                                                       \
        const REALV value = load_part(a + c, C - c);                                            \
        VSTORE(value * value, square + MARGIN + c);                                             \
    }                                                                                           \
    for (int c = 0; c < WHOLE; c += VW) {                                                       \
        const REALV value = load_part(a + c, C - c), total = WINDOW_SUM(square, c);             \
        BODY                                                                                    \
    }
#define SQUARES                                                                                 \
    REAL square[ROW_LENGTH];                                                                    \
    CLEAR_MARGINS(square)
#endif

#ifdef FORWARD
__kernel void norm_local_forward(__global const REAL *restrict src, __global REAL *restrict dst)
{
    const int y = get_global_id(1), n = get_global_id(2);
    SQUARES
    FOR_ROW(x, W)
    {
        __global const REAL *a = src + SRC_O + n * SRC_N + y * SRC_H + x * SRC_W;
        __global REAL *b = dst + DST_O + n * DST_N + y * DST_H + x * DST_W;
        FOR_SQUARES(c, value, total, {
            const REALV t = K + ALPHA * total;
            REALV power;
            POWER(power, t)
            STORE_PART(b + c, value * power, C - c)
        })
    }
}
#endif

#ifdef BACKWARD
__kernel void norm_local_backward(__global const REAL *src, __global const REAL *d_dst, __global REAL *d_src)
{
    const int y = get_global_id(1), n = get_global_id(2);
    REAL term[ROW_LENGTH], scaled[WHOLE];
    SQUARES
    CLEAR_MARGINS(term)
    FOR_ROW(x, W)
    {
        __global const REAL *a = src + SRC_O + n * SRC_N + y * SRC_H + x * SRC_W;
        __global const REAL *d = d_dst + D_DST_O + n * D_DST_N + y * D_DST_H + x * D_DST_W;
        __global REAL *b = d_src + D_SRC_O + n * D_SRC_N + y * D_SRC_H + x * D_SRC_W;
        FOR_SQUARES(c, value, total, {
            const REALV t = K + ALPHA * total;
            REALV power;
            POWER(power, t)
            const REALV up = load_part(d + c, C - c) * power;
            VSTORE(up, scaled + c);
            VSTORE(up / t * value, term + MARGIN + c);
        })
        for (int c = 0; c < WHOLE; c += VW) {
            const REALV value =
                VLOAD(scaled + c) - ((REAL)2 * ALPHA * BETA) * load_part(a + c, C - c) * WINDOW_SUM(term, c);
            STORE_PART(b + c, value, C - c)
        }
    }
}
#endif
