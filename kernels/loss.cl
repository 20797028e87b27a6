// Softmax and its cross-entropy with the labels, one work-item an image.
//
//   p[c]     = exp(z[c] - max z) / sum of exp(z[j] - max z)
//   loss     = log(sum of exp(z[j] - max z)) - (z[label] - max z)
//   d_z[c]   = (p[c] - (c == label)) / N        the gradient of the loss averaged over the batch
//
// Defines: N images of a batch, C classes; SRC_O SRC_N, D_SRC_O D_SRC_N: rows of logits and of their gradients.

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
    loss[n] = log(sum) - (z[label] - largest);
    correct[n] = winner == label;
    for (int c = 0; c < C; ++c)
        d_src[D_SRC_O + n * D_SRC_N + c] = (exp(z[c] - largest) / sum - (c == label ? (REAL)1 : (REAL)0)) / (REAL)N;
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
