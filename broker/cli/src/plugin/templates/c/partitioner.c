// weir-world: partitioner
//
// Chooses the partition by the bytes of the key. Change it into what you need; the same key and
// count must always give the same partition. What is passed in belongs to the plugin.

#include "partitioner.h"
#include <stdlib.h>
#include <string.h>

#ifndef WEIR_PLUGIN_VERSION
#define WEIR_PLUGIN_VERSION "0.1.0"
#endif

void exports_partitioner_describe(partitioner_description_t *ret) {
  memset(ret, 0, sizeof *ret);
  partitioner_string_dup(&ret->name, "@NAME@");
  partitioner_string_dup(&ret->version, WEIR_PLUGIN_VERSION);
  partitioner_string_dup(&ret->summary, "Chooses partitions by the bytes of keys.");
}

bool exports_partitioner_configure(partitioner_list_tuple2_string_string_t *parameters,
                                   partitioner_string_t *err) {
  (void)err;
  partitioner_list_tuple2_string_string_free(parameters);
  return true;
}

bool exports_partitioner_partition(partitioner_bytes_column_t *keys, uint32_t partitions,
                                   partitioner_list_u32_t *ret, partitioner_string_t *err) {
  size_t count = keys->ends.len;
  uint32_t *chosen = malloc((count == 0 ? 1 : count) * sizeof *chosen);
  if (chosen == NULL) {
    partitioner_string_dup(err, "there is no memory");
    partitioner_bytes_column_free(keys);
    return false;
  }
  uint32_t start = 0;
  for (size_t row = 0; row < count; row++) {
    uint32_t hash = 0x811c9dc5u;
    for (; start < keys->ends.ptr[row]; start++)
      hash = (hash ^ keys->data.ptr[start]) * 0x01000193u;
    chosen[row] = hash % partitions;
  }
  ret->ptr = chosen;
  ret->len = count;
  partitioner_bytes_column_free(keys);
  return true;
}
