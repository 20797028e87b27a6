// Parameter updates, and what stands before them. One work-item a block of BLOCK numbers, or one number.
//
// Momentum and Nesterov: MOVE in prelude.cl. Adam (Kingma and Ba 2015) and AdamW (Loshchilov and Hutter 2019), as torch.optim
// has them, t counting from 1:
//
//   AdamW:   w = w * (1 - rate * DECAY)                 Adam:   g = g + DECAY * w
//   m = BETA1 * m + (1 - BETA1) * g
//   v = BETA2 * v + (1 - BETA2) * g * g
//   w = w - size * m / (sqrt(v) / correction + EPSILON)      size = rate / (1 - BETA1^t), correction = sqrt(1 - BETA2^t)
//
// The norm of all gradients together is limited by a factor that every gradient is multiplied by (Pascanu et al. 2013, in
// the form of torch.nn.utils.clip_grad_norm_): min(1, LIMIT / (norm + CLIP_EPSILON)), norm the root of the sum of squares.
//
// Defines: BLOCK; FACTOR where gradients are multiplied by factor[0]; CLEARS where the gradient is a sum over mini-batches,
// which begins anew; UPDATE, MOMENTUM, DECAY, BETA1, BETA2, EPSILON, DECOUPLED (AdamW).

#define FOR_BLOCK(i)                                                                            \
    const size_t first = (size_t)get_global_id(0) * BLOCK, last = min(first + BLOCK, (size_t)count); \
    for (size_t i = first; i < last; ++i)

#ifdef FACTOR
#define FACTOR_ARGUMENT __global const REAL *restrict factor,
#define SCALED(g) ((g) * factor[0])
#else
#define FACTOR_ARGUMENT
#define SCALED(g) (g)
#endif
#ifdef CLEARS
#define GRADIENT __global REAL *restrict gradient
#define CLEAR(i) gradient[i] = 0;
#else
#define GRADIENT __global const REAL *restrict gradient
#define CLEAR(i)
#endif

#ifdef OPTIMIZER_MOMENTUM
__kernel void optimizer_momentum(__global REAL *restrict value, __global REAL *restrict velocity, GRADIENT,
                                 FACTOR_ARGUMENT const ulong count, const REAL rate)
{
    FOR_BLOCK(i)
    {
        MOVE(REAL, value[i], velocity[i], SCALED(gradient[i]))
        CLEAR(i)
    }
}
#endif

#ifdef OPTIMIZER_ADAM
__kernel void optimizer_adam(__global REAL *restrict value, __global REAL *restrict moment1, __global REAL *restrict moment2,
                             GRADIENT, FACTOR_ARGUMENT const ulong count, const REAL rate, const REAL size,
                             const REAL correction)
{
    FOR_BLOCK(i)
    {
        REAL g = SCALED(gradient[i]), w = value[i];
        if (DECOUPLED)
            w = w * ((REAL)1 - rate * DECAY);
        else
            g += DECAY * w;
        const REAL m = BETA1 * moment1[i] + ((REAL)1 - BETA1) * g;
        const REAL v = BETA2 * moment2[i] + ((REAL)1 - BETA2) * g * g;
        moment1[i] = m;
        moment2[i] = v;
        value[i] = w - size * m / (sqrt(v) / correction + EPSILON);
        CLEAR(i)
    }
}
#endif

#ifdef OPTIMIZER_ACCUMULATE
// The sum over mini-batches takes in another one's gradient.
__kernel void optimizer_accumulate(__global REAL *restrict sum, __global const REAL *restrict gradient, const ulong count)
{
    FOR_BLOCK(i) sum[i] += gradient[i];
}
#endif

#ifdef OPTIMIZER_SQUARES
// The sum of squares of a parameter's gradient, in `items` parts from number `at` on: of BLOCK neighbours each, or (STRIDED)
// of every so many numbers.
__kernel void optimizer_squares(__global const REAL *restrict gradient, __global REAL *restrict squares, const ulong count,
                                const int at, const int items)
{
    const int item = get_global_id(0);
    REAL sum = 0;
#ifdef STRIDED
    for (size_t i = item; i < count; i += items) sum += gradient[i] * gradient[i];
#else
    FOR_BLOCK(i) sum += gradient[i] * gradient[i];
#endif
    squares[at + item] = sum;
}
#endif

#ifdef OPTIMIZER_FACTOR
// One work-item: the factor of all gradients, from all parts of the sum of squares.
__kernel void optimizer_factor(__global const REAL *restrict squares, __global REAL *restrict factor, const int total)
{
    REAL sum = 0;
    for (int i = 0; i < total; ++i) sum += squares[i];
    const REAL bound = LIMIT / (sqrt(sum) + CLIP_EPSILON);
    factor[0] = bound >= (REAL)1 ? (REAL)1 : bound;
}
#endif
