/* The logistic function p = 1/(1 + e^(−z)) in double, without overflow. */
#ifndef GRAFT_COMMON_TENSOR_SIGMOID_H
#define GRAFT_COMMON_TENSOR_SIGMOID_H

double sigmoid(double z);

/* log(1 + e^z): with it log p = z − it, log(1 − p) = −it, and the entropy of a yes of chance p is
 * it − p·z. */
double sigmoid_log_normaliser(double z);

#endif
