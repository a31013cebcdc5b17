// weir-world: decoder
//
// Shows bytes as hexadecimal digits, and does not read them back. Change it into what you need.
// What is passed in belongs to the plugin.

#include "decoder.h"
#include <stdlib.h>
#include <string.h>

#ifndef WEIR_PLUGIN_VERSION
#define WEIR_PLUGIN_VERSION "0.1.0"
#endif

void exports_decoder_describe(decoder_description_t *ret) {
  memset(ret, 0, sizeof *ret);
  decoder_string_dup(&ret->name, "@NAME@");
  decoder_string_dup(&ret->version, WEIR_PLUGIN_VERSION);
  decoder_string_dup(&ret->summary, "Shows bytes as hexadecimal digits.");
}

bool exports_decoder_configure(decoder_list_tuple2_string_string_t *parameters,
                               decoder_string_t *err) {
  (void)err;
  decoder_list_tuple2_string_string_free(parameters);
  return true;
}

void exports_decoder_decode(decoder_part_t part, decoder_bytes_column_t *data,
                            decoder_list_result_string_string_t *ret) {
  (void)part;
  size_t count = data->ends.len;
  ret->ptr = calloc(count == 0 ? 1 : count, sizeof *ret->ptr);
  ret->len = count;
  if (ret->ptr == NULL) abort();
  uint32_t start = 0;
  for (size_t row = 0; row < count; row++) {
    uint32_t end = data->ends.ptr[row];
    size_t size = 2 * (size_t)(end - start) + 2;
    uint8_t *text = malloc(size);
    if (text == NULL) abort();
    size_t at = 0;
    text[at++] = '"';
    for (; start < end; start++) {
      text[at++] = "0123456789abcdef"[data->data.ptr[start] >> 4];
      text[at++] = "0123456789abcdef"[data->data.ptr[start] & 15];
    }
    text[at++] = '"';
    ret->ptr[row].is_err = false;
    ret->ptr[row].val.ok.ptr = text;
    ret->ptr[row].val.ok.len = size;
  }
  decoder_bytes_column_free(data);
}

void exports_decoder_encode(decoder_part_t part, decoder_list_string_t *json,
                            decoder_list_result_list_u8_string_t *ret) {
  (void)part;
  ret->ptr = calloc(json->len == 0 ? 1 : json->len, sizeof *ret->ptr);
  ret->len = json->len;
  if (ret->ptr == NULL) abort();
  for (size_t row = 0; row < json->len; row++) {
    ret->ptr[row].is_err = true;
    decoder_string_dup(&ret->ptr[row].val.err, "this decoder only reads");
  }
  decoder_list_string_free(json);
}
