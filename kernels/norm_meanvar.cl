// Mean and variance normalization, per image and channel, over the map of H * W pixels:
//
//   mean, var  over the map (var divided by COUNT, not COUNT - 1)
//   dst   = (src - mean) / sqrt(var + eps)
//   d_src = (d_dst - avg(d_dst) - dst * avg(d_dst * dst)) / sqrt(var + eps)
//
// Defines: C channels, H, W, EPS. One work-item an image's channel, channels fastest. Statistics are taken again in the
// backward pass; two passes, mean first, since the one-pass form loses digits where the mean is large.

#define SRC_AT(y, x) src[SRC_O + n * SRC_N + (y) * SRC_H + (x) * SRC_W + c]
#define FOR_MAP for (int y = 0; y < H; ++y) for (int x = 0; x < W; ++x)

#define STATISTICS                                                                              \
    REAL mean = 0, variance = 0;                                                                \
    for (int y = 0; y < H; ++y) { REAL sum = 0; for (int x = 0; x < W; ++x) sum += SRC_AT(y, x); mean += sum; } \
    mean /= (REAL)(H * W);                                                                      \
    FOR_MAP { const REAL away = SRC_AT(y, x) - mean; variance += away * away; }                 \
    variance /= (REAL)(H * W);                                                                  \
    const REAL scale = (REAL)1 / sqrt(variance + EPS);

#ifdef FORWARD
__kernel void norm_meanvar_forward(__global const REAL *src, __global REAL *dst)
{
    const int c = get_global_id(0), n = get_global_id(1);
    STATISTICS
    FOR_MAP dst[DST_O + n * DST_N + y * DST_H + x * DST_W + c] = (SRC_AT(y, x) - mean) * scale;
}
#endif

#ifdef BACKWARD
#define D_DST_AT(y, x) d_dst[D_DST_O + n * D_DST_N + (y) * D_DST_H + (x) * D_DST_W + c]
__kernel void norm_meanvar_backward(__global const REAL *src, __global const REAL *d_dst, __global REAL *d_src)
{
    const int c = get_global_id(0), n = get_global_id(1);
    STATISTICS
    REAL average = 0, along = 0;
    FOR_MAP {
        average += D_DST_AT(y, x);
        along += D_DST_AT(y, x) * ((SRC_AT(y, x) - mean) * scale);
    }
    average /= (REAL)(H * W);
    along /= (REAL)(H * W);
    FOR_MAP d_src[D_SRC_O + n * D_SRC_N + y * D_SRC_H + x * D_SRC_W + c] =
        (D_DST_AT(y, x) - average - (SRC_AT(y, x) - mean) * scale * along) * scale;
}
#endif
