// weir-world: transform
//
// Drops the records without a value. Change it into what you need. There is no clock, no
// randomness, no file and no network: the same batch must always give the same answer. What is
// passed in belongs to the plugin, and so does what it frees.

#include "transform.h"
#include <stdlib.h>
#include <string.h>

#ifndef WEIR_PLUGIN_VERSION
#define WEIR_PLUGIN_VERSION "0.1.0"
#endif

void exports_transform_describe(transform_description_t *ret) {
  memset(ret, 0, sizeof *ret);
  transform_string_dup(&ret->name, "@NAME@");
  transform_string_dup(&ret->version, WEIR_PLUGIN_VERSION);
  transform_string_dup(&ret->summary, "Drops records without a value.");
}

bool exports_transform_configure(transform_list_tuple2_string_string_t *parameters,
                                 transform_string_t *err) {
  (void)err;
  transform_list_tuple2_string_string_free(parameters);
  return true;
}

bool exports_transform_transform(transform_batch_t *batch, transform_output_t *ret,
                                 transform_string_t *err) {
  size_t count = batch->values.ends.len;
  uint32_t *rows = malloc((count == 0 ? 1 : count) * sizeof *rows);
  if (rows == NULL) {
    transform_string_dup(err, "there is no memory");
    transform_batch_free(batch);
    return false;
  }
  size_t kept = 0;
  uint32_t start = 0;
  for (size_t row = 0; row < count; row++) {
    uint32_t end = batch->values.ends.ptr[row];
    if (end > start) rows[kept++] = (uint32_t)row;
    start = end;
  }
  // What is not given stays as it is; columns that are given have one entry per row that stays.
  memset(ret, 0, sizeof *ret);
  ret->rows.is_some = true;
  ret->rows.val.ptr = rows;
  ret->rows.val.len = kept;
  transform_batch_free(batch);
  return true;
}
