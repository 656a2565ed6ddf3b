/* A head on its bench: values against the plain evaluation, gradients against central differences
 * of a double precision evaluation of the same graph (op_oracle.h). Tolerance 1e-4 relative to the
 * largest gradient of a tensor: float32 rounding of a chain of about ten layers; the differences
 * themselves err below 1e-8. */
#ifndef GRAFT_TESTS_UNIT_HEAD_BENCH_H
#define GRAFT_TESTS_UNIT_HEAD_BENCH_H

#include "tests/unit/net_fixture.h"
#include "tests/unit/op_oracle.h"

#include "common/model/plan.h"
#include "worker/engine/head.h"
#include "worker/engine/program.h"

#define TOLERANCE 1e-4
#define STEP 1e-5
#define CLASSES 3
#define BATCH 3

struct bench {
    struct model *model;
    struct plan *plan;
    struct head *head;
    struct tape *tape;
    float *live, *gradient, *features, *inputs;
    struct error err;
};

static inline float *boundary_features(const struct plan *plan, const float *inputs, size_t batch)
{
    struct net_values values = net_evaluate(plan->model->graph, inputs, batch, NULL);
    float *features = calloc(batch * plan->boundary_elements, sizeof *features), *to = features;
    for (size_t s = 0; s < batch; s++)
        for (size_t i = 0; i < plan->split->boundary_count; i++) {
            uint32_t value = plan->split->boundary[i];
            size_t width = value_elements(&plan->model->graph->values[value]);
            memcpy(to, values.data[value] + s * width, width * sizeof *to);
            to += width;
        }
    net_release(&values);
    return features;
}

/* Takes the model. */
static inline struct bench bench_of(struct model *model, const struct live_config *live,
                                    size_t batch_max)
{
    struct bench b = {.model = model};
    if (plan_create(b.model, live, &b.plan, &b.err) != OK ||
        head_create(b.plan, batch_max, NULL, &b.head, &b.err) != OK ||
        tape_create(b.head, &b.tape, &b.err) != OK)
        fail_msg("%s", b.err.text);
    b.live = calloc(b.plan->live_elements, sizeof *b.live);
    b.gradient = calloc(b.plan->live_elements, sizeof *b.gradient);
    for (size_t i = 0; i < b.plan->tensor_count;
         i++) /* the graph's own head values, not the initial ones */
        memcpy(b.live + b.plan->tensors[i].offset,
               b.model->graph->values[b.plan->split->live[i]].data,
               b.plan->tensors[i].elements * sizeof *b.live);
    head_set_weights(b.head, b.live);
    b.inputs = net_samples(b.model->graph, BATCH);
    b.features = boundary_features(b.plan, b.inputs, BATCH);
    return b;
}

static inline struct bench bench_on(struct model *model, const char *pattern, size_t batch_max)
{
    const struct live_config live = {.patterns = &pattern, .pattern_count = pattern != NULL};
    return bench_of(model, &live, batch_max);
}

static inline void bench_close(struct bench *b)
{
    tape_destroy(&b->tape);
    head_destroy(&b->head);
    plan_destroy(&b->plan);
    model_destroy(&b->model);
    free(b->live);
    free(b->gradient);
    free(b->features);
    free(b->inputs);
}

static const float dlogits[BATCH * CLASSES] = {0.3f,  -0.7f, 0.2f, 1.1f, 0.4f,
                                               -0.5f, -0.9f, 0.6f, 0.1f};

static inline float dhidden_at(size_t i)
{
    return net_random(9000 + i);
}

/* Σ dlogits·logits + Σ dhidden·hidden with parameters replaced by `wide`, everything in double. */
static inline double wide_loss(const struct bench *b, double *const *parameters)
{
    const struct graph *graph = b->model->graph;
    struct onednn dnn;
    struct sites sites;
    struct error err;
    double **data = calloc(graph->value_count, sizeof *data), sum = 0;
    bool *live = calloc(graph->value_count, sizeof *live);
    for (size_t i = 0; i < graph->value_count; i++)
        live[i] = b->plan->split->tensor_of[i] != GRAPH_NONE;
    assert_int_equal(onednn_init(&dnn, &err), OK);
    assert_int_equal(
        sites_init(&sites, graph->nodes, graph->node_count, graph, live, BATCH, &dnn, &err), OK);
    *sites.run = (struct op_run){true, BATCH};
    memcpy(data, parameters, graph->value_count * sizeof *data);
    for (size_t i = 0; i < graph->node_count; i++) {
        const double *x[GRAPH_PORTS_MAX];
        for (size_t k = 0; k < graph->nodes[i].input_count; k++)
            x[k] = graph->nodes[i].inputs[k] == GRAPH_NONE ? NULL : data[graph->nodes[i].inputs[k]];
        data[graph->nodes[i].output] = calloc(op_elements(&sites.at[i].y_shape), sizeof **data);
        oracle_forward(&sites.at[i], x, data[graph->nodes[i].output]);
    }
    for (size_t i = 0; i < BATCH * CLASSES; i++)
        sum += (double)dlogits[i] * data[graph->output][i];
    for (size_t i = 0; i < BATCH * b->model->feature_count; i++)
        sum += (double)dhidden_at(i) * data[graph->features][i];
    for (size_t i = 0; i < graph->node_count; i++)
        free(data[graph->nodes[i].output]);
    sites_deinit(&sites);
    onednn_deinit(&dnn);
    free(data);
    free(live);
    return sum;
}

static inline double *widened(float *from, size_t n)
{
    double *wide = calloc(n, sizeof *wide);
    for (size_t i = 0; i < n; i++)
        wide[i] = (double)from[i];
    free(from);
    return wide;
}

static inline double **wide_parameters(const struct bench *b)
{
    const struct graph *graph = b->model->graph;
    double **wide = calloc(graph->value_count, sizeof *wide);
    for (size_t v = 0; v < graph->value_count; v++)
        if (graph->values[v].data != NULL)
            wide[v] = widened(net_floats(&graph->values[v]), value_elements(&graph->values[v]));
    for (size_t k = 0; k < graph->input_count; k++)
        wide[graph->inputs[k]] = widened(net_feed(graph, b->inputs, BATCH, k),
                                         BATCH * value_elements(&graph->values[graph->inputs[k]]));
    return wide;
}

static inline double quotient(const struct bench *b, double **wide, double *element)
{
    double kept = *element;
    *element = kept + STEP;
    double above = wide_loss(b, wide);
    *element = kept - STEP;
    double below = wide_loss(b, wide);
    *element = kept;
    return (above - below) / (2 * STEP);
}

static inline float *make_dhidden(const struct bench *b, size_t count)
{
    float *dhidden = calloc(count * b->model->feature_count, sizeof *dhidden);
    for (size_t i = 0; i < count * b->model->feature_count; i++)
        dhidden[i] = dhidden_at(i);
    return dhidden;
}

static inline void check_gradients_of(struct model *model, const struct live_config *live)
{
    struct bench b = bench_of(model, live, BATCH);
    double **wide = wide_parameters(&b);
    float *dhidden = make_dhidden(&b, BATCH);
    assert_int_equal(head_forward(b.head, b.tape, b.features, BATCH, NULL), OK);
    head_backward(b.head, b.tape, dhidden, dlogits, b.gradient);
    for (size_t t = 0; t < b.plan->tensor_count; t++) {
        const struct live_tensor *tensor = &b.plan->tensors[t];
        double most = 0, scale = 1e-12;
        for (size_t i = 0; i < tensor->elements && !tensor->running; i++) {
            double expected = quotient(&b, wide, &wide[b.plan->split->live[t]][i]);
            most = fmax(most, fabs(expected - (double)b.gradient[tensor->offset + i]));
            scale = fmax(scale, fabs(expected));
        }
        if (!(most / scale < TOLERANCE))
            fail_msg("%s: gradient off by %g", tensor->name, most / scale);
    }
    for (size_t v = 0; v < b.model->graph->value_count; v++)
        free(wide[v]);
    free(wide);
    free(dhidden);
    bench_close(&b);
}

static inline void check_gradients(struct model *model, const char *pattern)
{
    const struct live_config live = {.patterns = &pattern, .pattern_count = pattern != NULL};
    check_gradients_of(model, &live);
}

#endif
