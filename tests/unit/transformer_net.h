/* A transformer block on token ids, as exporters write it, for tests: embeddings and positions added
 * by broadcast, attention under a mask that is a second input, a class token expanded to the batch. */
#ifndef GRAFT_TESTS_UNIT_TRANSFORMER_NET_H
#define GRAFT_TESTS_UNIT_TRANSFORMER_NET_H

#include "tests/unit/net_fixture.h"

#define TOKENS 4
#define WORDS 5
#define WIDTH 6

static inline uint32_t transformer_input(struct net *net, const char *name, enum dtype dtype)
{
    struct shape shape = net_shape(2, -1, TOKENS);
    uint32_t value = GRAPH_NONE;
    NET_OK(net, graph_add_input(net->graph, name, dtype, &shape, &value, &net->err));
    return value;
}

static inline uint32_t transformer_weight(struct net *net, const char *name, struct shape shape)
{
    return net_constant(net, name, shape, 0, 0.5);
}

static inline uint32_t transformer_product(struct net *net, const char *name, uint32_t x)
{
    char weight[64];
    snprintf(weight, sizeof weight, "%s.w", name);
    return net_node(net, OP_MATMUL, name, NULL, 2, x,
                    transformer_weight(net, weight, net_shape(2, WIDTH, WIDTH)));
}

static inline uint32_t transformer_norm(struct net *net, const char *name, uint32_t x)
{
    char scale[64], bias[64];
    struct attributes a = net_attributes(OP_LAYER_NORM);
    a.axis = -1;
    snprintf(scale, sizeof scale, "%s.g", name);
    snprintf(bias, sizeof bias, "%s.b", name);
    return net_node(net, OP_LAYER_NORM, name, &a, 3, x,
                    net_constant(net, scale, net_shape(1, WIDTH), 1, 0.2),
                    net_constant(net, bias, net_shape(1, WIDTH), 0, 0.2));
}

static inline uint32_t transformer_embedding(struct net *net, uint32_t ids)
{
    struct attributes rows = net_attributes(OP_GATHER);
    rows.axis = 0;
    uint32_t at = net_node(net, OP_GATHER, "embedded", &rows, 2,
                           transformer_weight(net, "table", net_shape(2, WORDS, WIDTH)), ids);
    return net_node(net, OP_ADD, "placed", NULL, 2, at,
                    transformer_weight(net, "positions", net_shape(3, 1, TOKENS, WIDTH)));
}

/* 0 where a token counts, far below zero where not: [N, 1, TOKENS]. */
static inline uint32_t transformer_mask(struct net *net, uint32_t mask)
{
    struct attributes middle = net_attributes(OP_UNSQUEEZE);
    middle.axes_count = 1;
    middle.axes[0] = 1;
    uint32_t at = net_node(net, OP_UNSQUEEZE, "mask3", &middle, 1, mask);
    return net_node(net, OP_WHERE, "bias", NULL, 3, at,
                    net_constant(net, "zero", net_shape(0), 0, 0),
                    net_constant(net, "never", net_shape(0), -1e4, 0));
}

static inline uint32_t transformer_attention(struct net *net, uint32_t x, uint32_t bias)
{
    struct attributes turn = net_attributes(OP_TRANSPOSE), last = net_attributes(OP_SOFTMAX);
    const int64_t order[] = {0, 2, 1};
    memcpy(turn.axes, order, sizeof order);
    turn.axes_count = 3;
    last.axis = -1;
    uint32_t keys =
        net_node(net, OP_TRANSPOSE, "keysT", &turn, 1, transformer_product(net, "k", x));
    uint32_t at =
        net_node(net, OP_MATMUL, "scores", NULL, 2, transformer_product(net, "q", x), keys);
    at = net_node(net, OP_DIV, "scaled", NULL, 2, at,
                  net_constant(net, "root", net_shape(0), 2.4494897, 0));
    at = net_node(net, OP_ADD, "masked", NULL, 2, at, bias);
    at = net_node(net, OP_SOFTMAX, "shares", &last, 1, at);
    return net_node(net, OP_MATMUL, "mixed", NULL, 2, at, transformer_product(net, "v", x));
}

/* The class token beside the others, then the mean over all. */
static inline uint32_t transformer_pool(struct net *net, uint32_t x)
{
    struct attributes token = net_attributes(OP_EXPAND), join = net_attributes(OP_CONCAT);
    struct attributes mean = net_attributes(OP_REDUCE_MEAN);
    token.axes_count = 3;
    token.axes[0] = -1;
    token.axes[1] = 1;
    token.axes[2] = WIDTH;
    mean.axes_count = 1;
    mean.axes[0] = 1;
    mean.keep_dims = false;
    uint32_t class = net_node(net, OP_EXPAND, "expanded", &token, 1,
                              transformer_weight(net, "class", net_shape(3, 1, 1, WIDTH)));
    uint32_t all = net_node(net, OP_CONCAT, "joined", &join, 2, class, x);
    return net_node(net, OP_REDUCE_MEAN, "pooled", &mean, 1, all);
}

static inline struct model *transformer_model(int classes)
{
    struct net net = {0};
    NET_OK(&net, graph_create(&net.graph, &net.err));
    net.graph->opset = 17;
    uint32_t ids = transformer_input(&net, "ids", DTYPE_I64);
    uint32_t mask = transformer_input(&net, "mask", DTYPE_BOOL);
    uint32_t start = transformer_embedding(&net, ids);
    uint32_t at = transformer_attention(&net, transformer_norm(&net, "norm1", start),
                                        transformer_mask(&net, mask));
    at = net_node(&net, OP_ADD, "residual1", NULL, 2, at, start);
    uint32_t between = at;
    at = transformer_product(&net, "up", transformer_norm(&net, "norm2", at));
    at = net_node(&net, OP_GELU, "gelu", NULL, 1, at);
    at = net_node(&net, OP_ADD, "residual2", NULL, 2, transformer_product(&net, "down", at),
                  between);
    return net_model(&net, transformer_pool(&net, at), classes);
}

#endif
