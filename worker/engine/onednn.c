#include "worker/engine/onednn.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"

struct onednn_layout {
    struct onednn_layout *next;
    dnnl_memory_desc_t desc;
};

/* ---- what versions 2 and 3 of the C API do differently ---- */

#if DNNL_VERSION_MAJOR >= 3

/* Memory descriptors are pointers, to be destroyed. */
typedef const_dnnl_memory_desc_t library_layout;
#define LAYOUT_BY_STRIDES dnnl_memory_desc_create_with_strides
#define LAYOUT_BY_TAG dnnl_memory_desc_create_with_tag
#define LAYOUT_CLONE dnnl_memory_desc_clone

static library_layout layout_of(const struct onednn_layout *layout)
{
    return layout == NULL ? NULL : layout->desc;
}

static void layout_destroy(struct onednn_layout *layout)
{
    if (layout->desc != NULL)
        dnnl_memory_desc_destroy(layout->desc);
    memory_free(layout);
}

/* Without blocks inside, which is all that is cast. */
static dnnl_status_t layout_cast(dnnl_memory_desc_t *to, const struct onednn_layout *from,
                                 dnnl_data_type_t type)
{
    int rank = 0;
    dnnl_format_kind_t kind = dnnl_format_kind_undef;
    const dnnl_dims_t *dims = NULL, *strides = NULL;
    CHECK(dnnl_memory_desc_query(from->desc, dnnl_query_ndims_s32, &rank) == dnnl_success &&
          dnnl_memory_desc_query(from->desc, dnnl_query_dims, &dims) == dnnl_success &&
          dnnl_memory_desc_query(from->desc, dnnl_query_format_kind, &kind) == dnnl_success);
    if (kind == dnnl_format_kind_any)
        return LAYOUT_BY_TAG(to, rank, *dims, type, dnnl_format_tag_any);
    CHECK(dnnl_memory_desc_query(from->desc, dnnl_query_strides, &strides) == dnnl_success);
    return LAYOUT_BY_STRIDES(to, rank, *dims, type, *strides);
}

dnnl_data_type_t onednn_type(const struct onednn_layout *layout)
{
    dnnl_data_type_t type = dnnl_data_type_undef;
    CHECK(dnnl_memory_desc_query(layout->desc, dnnl_query_data_type, &type) == dnnl_success);
    return type;
}

static dnnl_status_t describe(dnnl_engine_t engine, const struct onednn_operation *o,
                              dnnl_alg_kind_t convolution, library_layout bias,
                              dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *out)
{
    library_layout x = layout_of(o->x), w = layout_of(o->w), y = layout_of(o->y);
    if (o->kind == dnnl_convolution && o->pass == dnnl_backward_data)
        return dnnl_convolution_backward_data_primitive_desc_create(
            out, engine, convolution, x, w, y, o->strides, o->dilations, o->pads_near, o->pads_far,
            o->forward, attr);
    if (o->kind == dnnl_convolution && o->pass == dnnl_backward_weights)
        return dnnl_convolution_backward_weights_primitive_desc_create(
            out, engine, convolution, x, w, bias, y, o->strides, o->dilations, o->pads_near,
            o->pads_far, o->forward, attr);
    if (o->kind == dnnl_convolution)
        return dnnl_convolution_forward_primitive_desc_create(out, engine, o->pass, convolution, x,
                                                              w, bias, y, o->strides, o->dilations,
                                                              o->pads_near, o->pads_far, attr);
    if (o->kind == dnnl_inner_product)
        return dnnl_inner_product_forward_primitive_desc_create(out, engine, o->pass, x, w, bias, y,
                                                                attr);
    if (o->kind == dnnl_matmul)
        return dnnl_matmul_primitive_desc_create(out, engine, x, w, bias, y, attr);
    if (o->kind == dnnl_pooling)
        return dnnl_pooling_forward_primitive_desc_create(out, engine, o->pass, o->pooling, x, y,
                                                          o->strides, o->kernel, o->dilations,
                                                          o->pads_near, o->pads_far, attr);
    return dnnl_eltwise_forward_primitive_desc_create(out, engine, o->pass, o->element.kind, x, y,
                                                      o->element.alpha, o->element.beta, attr);
}

dnnl_status_t onednn_append(dnnl_post_ops_t posts, struct onednn_element element)
{
    if (element.kind == dnnl_alg_kind_undef)
        return dnnl_post_ops_append_sum(posts, 1, 0, dnnl_data_type_undef);
    return dnnl_post_ops_append_eltwise(posts, element.kind, element.alpha, element.beta);
}

#else

/* Memory descriptors are values. */
typedef const dnnl_memory_desc_t *library_layout;
#define LAYOUT_BY_STRIDES dnnl_memory_desc_init_by_strides
#define LAYOUT_BY_TAG dnnl_memory_desc_init_by_tag
#define LAYOUT_CLONE(to, from) (*(to) = *(from), dnnl_success)

static library_layout layout_of(const struct onednn_layout *layout)
{
    return layout == NULL ? NULL : &layout->desc;
}

static void layout_destroy(struct onednn_layout *layout)
{
    memory_free(layout);
}

static dnnl_status_t layout_cast(dnnl_memory_desc_t *to, const struct onednn_layout *from,
                                 dnnl_data_type_t type)
{
    *to = from->desc;
    to->data_type = type;
    return dnnl_success;
}

dnnl_data_type_t onednn_type(const struct onednn_layout *layout)
{
    return layout->desc.data_type;
}

/* By way of a descriptor of the operation. */
static dnnl_status_t describe(dnnl_engine_t engine, const struct onednn_operation *o,
                              dnnl_alg_kind_t convolution, library_layout bias,
                              dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *out)
{
    library_layout x = layout_of(o->x), w = layout_of(o->w), y = layout_of(o->y);
    union {
        dnnl_convolution_desc_t convolution;
        dnnl_inner_product_desc_t dense;
        dnnl_matmul_desc_t products;
        dnnl_pooling_v2_desc_t pooling;
        dnnl_eltwise_desc_t eltwise;
    } d;
    dnnl_status_t result;
    if (o->kind == dnnl_convolution && o->pass == dnnl_backward_data)
        result = dnnl_dilated_convolution_backward_data_desc_init(&d.convolution, convolution, x, w,
                                                                  y, o->strides, o->dilations,
                                                                  o->pads_near, o->pads_far);
    else if (o->kind == dnnl_convolution && o->pass == dnnl_backward_weights)
        result = dnnl_dilated_convolution_backward_weights_desc_init(
            &d.convolution, convolution, x, w, bias, y, o->strides, o->dilations, o->pads_near,
            o->pads_far);
    else if (o->kind == dnnl_convolution)
        result = dnnl_dilated_convolution_forward_desc_init(&d.convolution, o->pass, convolution, x,
                                                            w, bias, y, o->strides, o->dilations,
                                                            o->pads_near, o->pads_far);
    else if (o->kind == dnnl_inner_product)
        result = dnnl_inner_product_forward_desc_init(&d.dense, o->pass, x, w, bias, y);
    else if (o->kind == dnnl_matmul)
        result = dnnl_matmul_desc_init(&d.products, x, w, bias, y);
    else if (o->kind == dnnl_pooling)
        result =
            dnnl_pooling_v2_forward_desc_init(&d.pooling, o->pass, o->pooling, x, y, o->strides,
                                              o->kernel, o->dilations, o->pads_near, o->pads_far);
    else
        result = dnnl_eltwise_forward_desc_init(&d.eltwise, o->pass, o->element.kind, x,
                                                o->element.alpha, o->element.beta);
    return result != dnnl_success ? result
                                  : dnnl_primitive_desc_create(out, &d, attr, engine, o->forward);
}

dnnl_status_t onednn_append(dnnl_post_ops_t posts, struct onednn_element element)
{
    if (element.kind == dnnl_alg_kind_undef)
        return dnnl_post_ops_append_sum(posts, 1);
    return dnnl_post_ops_append_eltwise(posts, 1, element.kind, element.alpha, element.beta);
}

#endif

/* ---- engine ---- */

enum status onednn_check(dnnl_status_t status, const char *what, struct error *err)
{
    if (status == dnnl_success)
        return OK;
    if (status == dnnl_out_of_memory)
        return error_set(err, ERR_MEMORY, "no memory for %s", what);
    return error_set(err, ERR_SUPPORT, "oneDNN refused %s (status %d)", what, (int)status);
}

enum status onednn_init(struct onednn *out, struct error *err)
{
    *out = (struct onednn){.layouts = memory_alloc(1, sizeof *out->layouts)};
    if (out->layouts == NULL)
        return error_set(err, ERR_MEMORY, "no memory for an engine");
    enum status status =
        onednn_check(dnnl_engine_create(&out->engine, dnnl_cpu, 0), "an engine", err);
    if (status == OK)
        status =
            onednn_check(dnnl_stream_create(&out->stream, out->engine, dnnl_stream_default_flags),
                         "a stream", err);
    if (status == OK)
        status = onednn_check(dnnl_primitive_attr_create(&out->frugal), "attributes", err);
    if (status == OK)
        status = onednn_check(
            dnnl_primitive_attr_set_scratchpad_mode(out->frugal, dnnl_scratchpad_mode_user),
            "attributes", err);
    return status;
}

void onednn_deinit(struct onednn *dnn)
{
    for (struct onednn_layout *layout = dnn->layouts, *next; layout != NULL; layout = next) {
        next = layout->next;
        layout_destroy(layout);
    }
    if (dnn->frugal != NULL)
        dnnl_primitive_attr_destroy(dnn->frugal);
    if (dnn->stream != NULL)
        dnnl_stream_destroy(dnn->stream);
    if (dnn->engine != NULL)
        dnnl_engine_destroy(dnn->engine);
    *dnn = (struct onednn){0};
}

/* ---- layouts ---- */

static const struct onednn_layout *keep(const struct onednn *dnn, struct onednn_layout *layout,
                                        dnnl_status_t made)
{
    if (made != dnnl_success) {
        memory_free(layout);
        return NULL;
    }
    layout->next = dnn->layouts->next;
    dnn->layouts->next = layout;
    return layout;
}

static int library_rank(const struct shape *shape)
{
    return shape->rank == 0 ? 1 : (int)shape->rank;
}

static void library_dims(const struct shape *shape, dnnl_dims_t out)
{
    out[0] = 1;
    for (size_t i = 0; i < shape->rank; i++)
        out[i] = shape->dims[i];
}

const struct onednn_layout *onednn_strided(const struct onednn *dnn, const struct shape *shape,
                                           const int64_t *strides)
{
    struct onednn_layout *layout = memory_alloc(1, sizeof *layout);
    dnnl_dims_t dims;
    if (layout == NULL)
        return NULL;
    library_dims(shape, dims);
    return keep(dnn, layout,
                LAYOUT_BY_STRIDES(&layout->desc, library_rank(shape), dims, dnnl_f32, strides));
}

void onednn_strides(const struct shape *shape, dnnl_dims_t out)
{
    int64_t stride = 1;
    out[0] = 1;
    for (size_t i = shape->rank; i-- > 0;) {
        out[i] = stride;
        stride *= shape->dims[i];
    }
}

const struct onednn_layout *onednn_plain(const struct onednn *dnn, const struct shape *shape)
{
    dnnl_dims_t strides;
    onednn_strides(shape, strides);
    return onednn_strided(dnn, shape, strides);
}

static const struct onednn_layout *tagged(const struct onednn *dnn, const struct shape *shape,
                                          dnnl_data_type_t type, dnnl_format_tag_t tag)
{
    struct onednn_layout *layout = memory_alloc(1, sizeof *layout);
    dnnl_dims_t dims;
    if (layout == NULL)
        return NULL;
    library_dims(shape, dims);
    return keep(dnn, layout, LAYOUT_BY_TAG(&layout->desc, library_rank(shape), dims, type, tag));
}

const struct onednn_layout *onednn_any(const struct onednn *dnn, const struct shape *shape)
{
    return tagged(dnn, shape, dnnl_f32, dnnl_format_tag_any);
}

const struct onednn_layout *onednn_wanted(const struct onednn *dnn,
                                          const_dnnl_primitive_desc_t desc, int arg)
{
    struct onednn_layout *layout = memory_alloc(1, sizeof *layout);
    library_layout wanted = dnnl_primitive_desc_query_md(desc, dnnl_query_exec_arg_md, arg);
    CHECK(wanted != NULL); /* the caller names the arguments of its own operation */
    return layout == NULL ? NULL : keep(dnn, layout, LAYOUT_CLONE(&layout->desc, wanted));
}

const struct onednn_layout *onednn_cast(const struct onednn *dnn,
                                        const struct onednn_layout *layout, dnnl_data_type_t type)
{
    if (layout == NULL || onednn_type(layout) == type)
        return layout;
    struct onednn_layout *cast = memory_alloc(1, sizeof *cast);
    return cast == NULL ? NULL : keep(dnn, cast, layout_cast(&cast->desc, layout, type));
}

size_t onednn_bytes(const struct onednn_layout *layout)
{
    return dnnl_memory_desc_get_size(layout_of(layout));
}

bool onednn_same(const struct onednn_layout *a, const struct onednn_layout *b)
{
    return dnnl_memory_desc_equal(layout_of(a), layout_of(b)) != 0;
}

size_t onednn_channel_block(const struct onednn *dnn, const struct onednn_layout *layout,
                            const struct shape *shape)
{
    const struct {
        dnnl_format_tag_t tag;
        int64_t width;
    } known[] = {{dnnl_nchw, 1}, {dnnl_nChw4c, 4}, {dnnl_nChw8c, 8}, {dnnl_nChw16c, 16}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (shape->dims[1] % known[i].width == 0 &&
            onednn_same(layout, tagged(dnn, shape, onednn_type(layout), known[i].tag)))
            return (size_t)known[i].width;
    return 0;
}

/* ---- operations ---- */

struct shape onednn_weight_shape(const struct shape *w, int64_t groups)
{
    if (groups == 1)
        return *w;
    return (struct shape){
        .rank = 5, .dims = {groups, w->dims[0] / groups, w->dims[1], w->dims[2], w->dims[3]}};
}

void onednn_window(struct onednn_operation *operation, const struct attributes *at)
{
    for (size_t i = 0; i < 2; i++) {
        operation->strides[i] = at->strides[i];
        operation->kernel[i] = at->kernel[i];
        operation->dilations[i] = at->dilations[i] - 1; /* the library counts what is left out */
        operation->pads_near[i] = at->pads[i];
        operation->pads_far[i] = at->pads[i + 2];
    }
}

/* Does it pay to convolve by fewer multiplications, on transformed pieces of picture and weight (Lavin
 * & Gray, "Fast Algorithms for Convolutional Neural Networks", 2016)? 3×3 with stride 1: two to three
 * times as fast. The library fills channels up to 16. */
static bool may_transform(const struct attributes *at, const struct shape *w)
{
    bool may = at->groups == 1 && w->dims[0] >= 16 && w->dims[1] >= 16;
    for (size_t i = 0; i < 2; i++)
        may &= at->kernel[i] == 3 && at->strides[i] == 1 && at->dilations[i] == 1;
    return may;
}

struct onednn_operation onednn_convolution(const struct onednn *dnn, dnnl_prop_kind_t pass,
                                           const struct attributes *at, const struct shape *x,
                                           const struct shape *w, const struct shape *y, bool bias)
{
    const struct shape weight = onednn_weight_shape(w, at->groups);
    struct onednn_operation operation = {.kind = dnnl_convolution,
                                         .pass = pass,
                                         .x = onednn_any(dnn, x),
                                         .w = onednn_any(dnn, &weight),
                                         .y = onednn_any(dnn, y),
                                         .bias = bias ? w->dims[0] : 0,
                                         .transforms = may_transform(at, w)};
    onednn_window(&operation, at);
    return operation;
}

enum status onednn_describe(const struct onednn *dnn, const struct onednn_operation *operation,
                            dnnl_primitive_attr_t attr, const char *what,
                            dnnl_primitive_desc_t *out, struct error *err)
{
    const struct shape shape = {.rank = 1, .dims = {operation->bias}};
    const struct onednn_layout *bias = NULL;
    if (operation->bias != 0 && (bias = onednn_plain(dnn, &shape)) == NULL)
        return onednn_check(dnnl_out_of_memory, what, err);
    dnnl_status_t made = dnnl_unimplemented;
    if (operation->transforms)
        made =
            describe(dnn->engine, operation, dnnl_convolution_winograd, layout_of(bias), attr, out);
    if (made != dnnl_success)
        made =
            describe(dnn->engine, operation, dnnl_convolution_direct, layout_of(bias), attr, out);
    return onednn_check(made, what, err);
}

static const char *implementation(const_dnnl_primitive_desc_t desc)
{
    const char *name = "";
    CHECK(dnnl_primitive_desc_query(desc, dnnl_query_impl_info_str, 0, &name) == dnnl_success);
    return name;
}

bool onednn_is_reference(const_dnnl_primitive_desc_t desc)
{
    return strncmp(implementation(desc), "ref", 3) == 0;
}

bool onednn_mixes_rows(const_dnnl_primitive_desc_t desc)
{
    const char *name = implementation(desc);
    return strstr(name, "gemm") != NULL && strstr(name, "brg") == NULL;
}

enum status onednn_describe_reorder(const struct onednn *dnn, const struct onednn_layout *from,
                                    const struct onednn_layout *to, dnnl_primitive_desc_t *out,
                                    struct error *err)
{
    return onednn_check(dnnl_reorder_primitive_desc_create(out, layout_of(from), dnn->engine,
                                                           layout_of(to), dnn->engine, NULL),
                        "a reorder", err);
}

/* ---- calls ---- */

enum status onednn_call_init(struct onednn_call *call, dnnl_primitive_desc_t desc,
                             struct error *err)
{
    *call = (struct onednn_call){0};
    enum status status =
        onednn_check(dnnl_primitive_create(&call->primitive, desc), "a primitive", err);
    dnnl_primitive_desc_destroy(desc);
    return status;
}

enum status onednn_call_bind(struct onednn_call *call, const struct onednn *dnn, int arg,
                             void *data, struct error *err)
{
    const_dnnl_primitive_desc_t desc;
    dnnl_memory_t memory;
    CHECK(call->arg_count < ONEDNN_ARGS_MAX);
    CHECK(dnnl_primitive_get_primitive_desc(call->primitive, &desc) == dnnl_success);
    enum status status = onednn_check(
        dnnl_memory_create(&memory, dnnl_primitive_desc_query_md(desc, dnnl_query_exec_arg_md, arg),
                           dnn->engine, data == NULL ? DNNL_MEMORY_NONE : data),
        "a memory", err);
    if (status == OK)
        call->args[call->arg_count++] = (dnnl_exec_arg_t){arg, memory};
    return status;
}

void onednn_call_set(struct onednn_call *call, int arg, const void *data)
{
    for (int i = 0; i < call->arg_count; i++)
        if (call->args[i].arg == arg)
            CHECK(dnnl_memory_set_data_handle(call->args[i].memory, (void *)(uintptr_t)data) ==
                  dnnl_success);
}

void onednn_call_run(const struct onednn_call *call, const struct onednn *dnn)
{
    CHECK(dnnl_primitive_execute(call->primitive, dnn->stream, call->arg_count, call->args) ==
          dnnl_success);
}

void onednn_call_deinit(struct onednn_call *call)
{
    for (int i = 0; i < call->arg_count; i++)
        dnnl_memory_destroy(call->args[i].memory);
    if (call->primitive != NULL)
        dnnl_primitive_destroy(call->primitive);
    *call = (struct onednn_call){0};
}

enum status onednn_call_reorder(struct onednn_call *call, const struct onednn *dnn,
                                const struct onednn_layout *from, const struct onednn_layout *to,
                                struct error *err)
{
    dnnl_primitive_desc_t desc;
    enum status status = onednn_describe_reorder(dnn, from, to, &desc, err);
    if (status == OK)
        status = onednn_call_init(call, desc, err);
    if (status == OK)
        status = onednn_call_bind(call, dnn, DNNL_ARG_FROM, NULL, err);
    if (status == OK)
        status = onednn_call_bind(call, dnn, DNNL_ARG_TO, NULL, err);
    return status;
}
