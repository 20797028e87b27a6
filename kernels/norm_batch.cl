// Batch normalization (Ioffe and Szegedy 2015, algorithms 1 and 2), per channel over batch, height and width. With
// COUNT = N * H * W values a channel:
//
//   mean, var   over the COUNT values (var divided by COUNT)
//   scale       = 1 / sqrt(var + eps),  norm = (src - mean) * scale
//   dst         = norm, or norm * weight + bias where AFFINE
//   running     = (1 - momentum) * running + momentum * batch, the variance divided by COUNT - 1 there
//   d_bias      = sum of d_dst,  d_weight = sum of d_dst * norm
//   d_src       = (d_dst - d_bias / COUNT - norm * d_weight / COUNT) * scale [* weight]
//
// In inference mean and var are the running ones.
//
// Sums take two steps, without atomics: each image gives its part, [N, C], then one work-item a channel brings the parts
// together in order. The first step gives mean and sum of squares about it per image, which combine without loss of
// digits where the mean is large (Chan, Golub and LeVeque 1979): square = sum of squares + H * W * sum of
// (part's mean - mean)^2.
//
// Defines: C channels, H, W, N images, EPS, MOMENTUM, AFFINE. mean, scale, weight, bias, running and sums are [C].

#define SRC_AT(y, x) src[SRC_O + n * SRC_N + (y) * SRC_H + (x) * SRC_W + c]
#define D_DST_AT(y, x) d_dst[D_DST_O + n * D_DST_N + (y) * D_DST_H + (x) * D_DST_W + c]
#define COUNT ((REAL)N * (REAL)(H * W))
#define PLACE_IN(T) (T##_O + n * T##_N + y * T##_H + i / C * T##_W + c)

#ifdef PARTIAL
// One work-item an image's channel, channels fastest. Rows are summed on their own, since long sums lose digits.
__kernel void norm_batch_partial(__global const REAL *src, __global REAL *part_mean, __global REAL *part_square)
{
    const int c = get_global_id(0), n = get_global_id(1);
    REAL mean = 0, square = 0;
    for (int y = 0; y < H; ++y) {
        REAL sum = 0;
        for (int x = 0; x < W; ++x)
            sum += SRC_AT(y, x);
        mean += sum;
    }
    mean /= (REAL)(H * W);
    for (int y = 0; y < H; ++y) {
        REAL sum = 0;
        for (int x = 0; x < W; ++x)
            sum += (SRC_AT(y, x) - mean) * (SRC_AT(y, x) - mean);
        square += sum;
    }
    part_mean[n * C + c] = mean;
    part_square[n * C + c] = square;
}
#endif

#ifdef STATISTICS
// One work-item a channel. A channel of one value has the running variance 0.
__kernel void norm_batch_statistics(__global const REAL *part_mean, __global const REAL *part_square,
                                    __global REAL *running_mean, __global REAL *running_var,
                                    __global REAL *mean_out, __global REAL *scale_out)
{
    const int c = get_global_id(0);
    REAL mean = 0, square = 0;
    for (int n = 0; n < N; ++n)
        mean += part_mean[n * C + c];
    mean /= (REAL)N;
    for (int n = 0; n < N; ++n) {
        const REAL away = part_mean[n * C + c] - mean;
        square += part_square[n * C + c] + (REAL)(H * W) * away * away;
    }
    mean_out[c] = mean;
    scale_out[c] = (REAL)1 / sqrt(square / COUNT + EPS);
    running_mean[c] = ((REAL)1 - MOMENTUM) * running_mean[c] + MOMENTUM * mean;
    running_var[c] = ((REAL)1 - MOMENTUM) * running_var[c] + MOMENTUM * (square / fmax(COUNT - (REAL)1, (REAL)1));
}
#endif

#ifdef AFFINE
#define AFFINE_ARGUMENTS , __global const REAL *weight, __global const REAL *bias
#define AFFINE_OF(value) ((value) * weight[c] + bias[c])
#else
#define AFFINE_ARGUMENTS
#define AFFINE_OF(value) (value)
#endif

// One work-item a value in the steps below: dimension 0 runs along a row's W * C numbers.
#ifdef FORWARD
__kernel void norm_batch_forward(__global const REAL *src, __global const REAL *mean,
                                 __global const REAL *scale AFFINE_ARGUMENTS, __global REAL *dst)
{
    const int i = get_global_id(0), y = get_global_id(1), n = get_global_id(2), c = i % C;
    dst[PLACE_IN(DST)] = AFFINE_OF((src[PLACE_IN(SRC)] - mean[c]) * scale[c]);
}
#endif

#ifdef INFERENCE
__kernel void norm_batch_inference(__global const REAL *src, __global const REAL *running_mean,
                                   __global const REAL *running_var AFFINE_ARGUMENTS, __global REAL *dst)
{
    const int i = get_global_id(0), y = get_global_id(1), n = get_global_id(2), c = i % C;
    dst[PLACE_IN(DST)] = AFFINE_OF((src[PLACE_IN(SRC)] - running_mean[c]) / sqrt(running_var[c] + EPS));
}
#endif

#ifdef BACKWARD_PARTIAL
// One work-item an image's channel: its sums of d_dst and of d_dst * norm.
__kernel void norm_batch_backward_partial(__global const REAL *src, __global const REAL *d_dst,
                                          __global const REAL *mean, __global const REAL *scale,
                                          __global REAL *part_bias, __global REAL *part_weight)
{
    const int c = get_global_id(0), n = get_global_id(1);
    REAL bias = 0, weight = 0;
    for (int y = 0; y < H; ++y) {
        REAL sum = 0, along = 0;
        for (int x = 0; x < W; ++x) {
            sum += D_DST_AT(y, x);
            along += D_DST_AT(y, x) * ((SRC_AT(y, x) - mean[c]) * scale[c]);
        }
        bias += sum;
        weight += along;
    }
    part_bias[n * C + c] = bias;
    part_weight[n * C + c] = weight;
}
#endif

#ifdef BACKWARD_SUMS
// One work-item a channel.
__kernel void norm_batch_backward_sums(__global const REAL *part_bias, __global const REAL *part_weight,
                                       __global REAL *d_bias, __global REAL *d_weight)
{
    const int c = get_global_id(0);
    REAL bias = 0, weight = 0;
    for (int n = 0; n < N; ++n) {
        bias += part_bias[n * C + c];
        weight += part_weight[n * C + c];
    }
    d_bias[c] = bias;
    d_weight[c] = weight;
}
#endif

#ifdef BACKWARD
#ifdef AFFINE
#define WEIGHT_ARGUMENT , __global const REAL *weight
#define SCALE_OF(c) (scale[c] * weight[c])
#else
#define WEIGHT_ARGUMENT
#define SCALE_OF(c) scale[c]
#endif
__kernel void norm_batch_backward(__global const REAL *src, __global const REAL *d_dst, __global const REAL *mean,
                                  __global const REAL *scale, __global const REAL *d_bias,
                                  __global const REAL *d_weight WEIGHT_ARGUMENT, __global REAL *d_src)
{
    const int i = get_global_id(0), y = get_global_id(1), n = get_global_id(2), c = i % C;
    const REAL norm = (src[PLACE_IN(SRC)] - mean[c]) * scale[c];
    d_src[PLACE_IN(D_SRC)] =
        (d_dst[PLACE_IN(D_DST)] - d_bias[c] / COUNT - norm * (d_weight[c] / COUNT)) * SCALE_OF(c);
}
#endif
