/* libFuzzer target: bytes → ONNX reader → shape inference → costs. Whatever the bytes, the answer
 * is OK or one sentence. Seeds: tests/fuzz/corpus/onnx (tests/fuzz/onnx_corpus.py makes them);
 * every crash input joins them. */
#include <stddef.h>
#include <stdint.h>

#include "tests/fuzz/onnx_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    onnx_input(data, size);
    return 0;
}
