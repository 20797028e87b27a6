// Softmax and its cross-entropy with the labels, one work-item an image.
//
//   p[c]     = exp(z[c] - max z) / sum of exp(z[j] - max z)
//   loss     = log(sum of exp(z[j] - max z)) - (z[label] - max z)
//   d_z[c]   = (p[c] - (c == label)) / N        the gradient of the loss averaged over N images
//
// With SMOOTHING s the label is (1 - s) itself and s / C each class (Szegedy et al. 2016):
//
//   loss     = log(sum of exp(z[j] - max z)) - (1 - s) * (z[label] - max z) - s / C * (sum of z[j] - max z)
//   d_z[c]   = (p[c] - (1 - s) * (c == label) - s / C) / N
//
// Defines: N images that a step's gradient is averaged over, C classes; SRC_O SRC_N, D_SRC_O D_SRC_N: rows of logits and of their gradients.

#define LARGEST_AND_SUM                                                                         \
    __global const REAL *z = src + SRC_O + n * SRC_N;                                           \
    REAL largest = z[0];                                                                        \
    int winner = 0;                                                                             \
    for (int c = 1; c < C; ++c)                                                                 \
        if (z[c] > largest) { largest = z[c]; winner = c; }                                     \
    REAL sum = 0;                                                                               \
    for (int c = 0; c < C; ++c) sum += exp(z[c] - largest);

#ifdef CROSS_ENTROPY
// loss: a number an image; correct: 1 where the (first) largest logit is the label's.
__kernel void loss_cross_entropy(__global const REAL *src, __global const int *labels, __global REAL *loss,
                                 __global int *correct, __global REAL *d_src)
{
    const int n = get_global_id(0), label = labels[n];
    LARGEST_AND_SUM
    correct[n] = winner == label;
#ifdef SMOOTHING
    REAL all = 0;
    for (int c = 0; c < C; ++c) all += z[c] - largest;
    loss[n] = log(sum) - ((REAL)1 - SMOOTHING) * (z[label] - largest) - SMOOTHING / (REAL)C * all;
    for (int c = 0; c < C; ++c) {
        const REAL wanted = (c == label ? (REAL)1 - SMOOTHING : (REAL)0) + SMOOTHING / (REAL)C;
        d_src[D_SRC_O + n * D_SRC_N + c] = (exp(z[c] - largest) / sum - wanted) / (REAL)N;
    }
#else
    loss[n] = log(sum) - (z[label] - largest);
    for (int c = 0; c < C; ++c)
        d_src[D_SRC_O + n * D_SRC_N + c] = (exp(z[c] - largest) / sum - (c == label ? (REAL)1 : (REAL)0)) / (REAL)N;
#endif
}
#endif

#ifdef SOFTMAX
__kernel void loss_softmax(__global const REAL *src, __global REAL *dst)
{
    const int n = get_global_id(0);
    LARGEST_AND_SUM
    for (int c = 0; c < C; ++c)
        dst[DST_O + n * DST_N + c] = exp(z[c] - largest) / sum;
}
#endif
