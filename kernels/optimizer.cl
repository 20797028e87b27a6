// One step of stochastic gradient descent with momentum and weight decay (Krizhevsky et al. 2012, section 5):
//
//   v = MOMENTUM * v - rate * DECAY * w - rate * g
//   w = w + v
//
// One work-item a number.

__kernel void optimizer_sgd(__global REAL *value, __global REAL *velocity, __global const REAL *gradient, const REAL rate)
{
    const size_t i = get_global_id(0);
    const REAL v = MOMENTUM * velocity[i] - rate * (DECAY * value[i] + gradient[i]);
    velocity[i] = v;
    value[i] += v;
}
