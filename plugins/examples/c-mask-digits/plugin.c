// Masks the digits of values, in C.
//
// Built with clang and wasi-libc, of which it takes memory and strings alone; transform.h is made
// by wit-bindgen. It has no clock, no randomness and no files, and must give the same output for
// the same batch. What is passed in belongs to the plugin, and so does what it frees.

#include "transform.h"
#include <stdlib.h>
#include <string.h>

static uint8_t mask = '*';

void exports_transform_describe(transform_description_t *ret) {
  memset(ret, 0, sizeof *ret);
  transform_string_dup(&ret->name, "c-mask-digits");
  transform_string_dup(&ret->version, "1.0.0");
  transform_string_dup(&ret->summary, "Masks the digits of values.");
  weir_plugin_description_parameter_t *parameter = calloc(1, sizeof *parameter);
  if (parameter == NULL) {
    abort();
  }
  transform_string_dup(&parameter->name, "with");
  transform_string_dup(&parameter->summary, "One ASCII character that stands in a digit's place.");
  parameter->default_.is_some = true;
  transform_string_dup(&parameter->default_.val, "*");
  ret->parameters.ptr = parameter;
  ret->parameters.len = 1;
}

static bool is(const transform_string_t *string, const char *text) {
  return string->len == strlen(text) && memcmp(string->ptr, text, string->len) == 0;
}

bool exports_transform_configure(transform_list_tuple2_string_string_t *parameters,
                                 transform_string_t *err) {
  const char *wrong = NULL;
  mask = '*';
  for (size_t at = 0; at < parameters->len; at++) {
    const transform_string_t *value = &parameters->ptr[at].f1;
    if (!is(&parameters->ptr[at].f0, "with")) {
      wrong = "there is no such parameter; this plugin takes with";
    } else if (value->len != 1 || value->ptr[0] > 0x7f) {
      wrong = "the parameter 'with' is one ASCII character";
    } else {
      mask = value->ptr[0];
    }
  }
  transform_list_tuple2_string_string_free(parameters);
  if (wrong != NULL) {
    transform_string_dup(err, wrong);
    return false;
  }
  return true;
}

bool exports_transform_transform(transform_batch_t *batch, transform_output_t *ret,
                                 transform_string_t *err) {
  (void)err;
  weir_plugin_records_bytes_column_t *values = &batch->values;
  size_t start = 0;
  // Row by row, as most plugins do; this one could do the whole column at once.
  for (size_t row = 0; row < values->ends.len; row++) {
    size_t end = values->ends.ptr[row];
    for (size_t at = start; at < end; at++) {
      uint8_t byte = values->data.ptr[at];
      if (byte >= '0' && byte <= '9') {
        values->data.ptr[at] = mask;
      }
    }
    start = end;
  }
  // The column goes back as it is: it leaves the batch, so that it is freed once.
  memset(ret, 0, sizeof *ret);
  ret->values.is_some = true;
  ret->values.val = *values;
  memset(values, 0, sizeof *values);
  transform_batch_free(batch);
  return true;
}
