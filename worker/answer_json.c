#include "worker/answer_json.h"

#include "common/tensor/sigmoid.h"

void answer_json_labels(json_t *line, const struct data_config *data, const float *logits)
{
    json_t *labels = json_array(), *probabilities = json_object();
    for (size_t k = 0; k < data->class_count; k++) {
        if (logits[k] >= 0)
            json_array_append_new(labels, json_string(data->classes[k]));
        json_object_set_new(probabilities, data->classes[k], json_real(sigmoid(logits[k])));
    }
    json_object_set_new(line, "labels", labels);
    json_object_set_new(line, "probabilities", probabilities);
}

void answer_json_values(json_t *line, const struct data_config *data, const float *values)
{
    json_t *object = json_object();
    for (size_t k = 0; k < data->class_count; k++)
        json_object_set_new(object, data->classes[k], json_real(values[k]));
    json_object_set_new(line, "values", object);
}
