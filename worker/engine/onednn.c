#include "worker/engine/onednn.h"

#include <string.h>

#include "common/base/check.h"

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
    *out = (struct onednn){0};
    enum status status =
        onednn_check(dnnl_engine_create(&out->engine, dnnl_cpu, 0), "an engine", err);
    if (status == OK)
        status =
            onednn_check(dnnl_stream_create(&out->stream, out->engine, dnnl_stream_default_flags),
                         "a stream", err);
    return status;
}

void onednn_deinit(struct onednn *dnn)
{
    if (dnn->stream != NULL)
        dnnl_stream_destroy(dnn->stream);
    if (dnn->engine != NULL)
        dnnl_engine_destroy(dnn->engine);
    *dnn = (struct onednn){0};
}

static int library_dims(const struct shape *shape, dnnl_dims_t out)
{
    out[0] = 1;
    for (size_t i = 0; i < shape->rank; i++)
        out[i] = shape->dims[i];
    return shape->rank == 0 ? 1 : (int)shape->rank;
}

bool onednn_plain(const struct shape *shape, dnnl_memory_desc_t *out)
{
    dnnl_dims_t dims, strides;
    int rank = library_dims(shape, dims);
    dnnl_dim_t stride = 1;
    for (int i = rank - 1; i >= 0; i--) {
        strides[i] = stride;
        stride *= dims[i];
    }
    return dnnl_memory_desc_init_by_strides(out, rank, dims, dnnl_f32, strides) == dnnl_success;
}

bool onednn_any(const struct shape *shape, dnnl_memory_desc_t *out)
{
    dnnl_dims_t dims;
    int rank = library_dims(shape, dims);
    return dnnl_memory_desc_init_by_tag(out, rank, dims, dnnl_f32, dnnl_format_tag_any) ==
           dnnl_success;
}

size_t onednn_bytes(const dnnl_memory_desc_t *desc)
{
    return dnnl_memory_desc_get_size(desc);
}

bool onednn_same(const dnnl_memory_desc_t *a, const dnnl_memory_desc_t *b)
{
    return dnnl_memory_desc_equal(a, b) != 0;
}

enum status onednn_describe(const struct onednn *dnn, const void *operation,
                            dnnl_primitive_attr_t attr, dnnl_primitive_desc_t hint,
                            const char *what, dnnl_primitive_desc_t *out, struct error *err)
{
    return onednn_check(dnnl_primitive_desc_create(out, operation, attr, dnn->engine, hint), what,
                        err);
}

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
                             const dnnl_memory_desc_t *desc, void *data, struct error *err)
{
    CHECK(call->arg_count < ONEDNN_ARGS_MAX);
    dnnl_memory_t memory;
    enum status status = onednn_check(
        dnnl_memory_create(&memory, desc, dnn->engine, data == NULL ? DNNL_MEMORY_NONE : data),
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
                                const dnnl_memory_desc_t *from, const dnnl_memory_desc_t *to,
                                struct error *err)
{
    dnnl_primitive_desc_t desc;
    enum status status = onednn_check(
        dnnl_reorder_primitive_desc_create(&desc, from, dnn->engine, to, dnn->engine, NULL),
        "a reorder", err);
    if (status == OK)
        status = onednn_call_init(call, desc, err);
    if (status == OK)
        status = onednn_call_bind(call, dnn, DNNL_ARG_FROM, from, NULL, err);
    if (status == OK)
        status = onednn_call_bind(call, dnn, DNNL_ARG_TO, to, NULL, err);
    return status;
}
