// Of C's library: what `libc.c` has.
#pragma once
#include <stddef.h>

void *malloc(size_t size);
void free(void *memory);
void *realloc(void *memory, size_t size);
void *calloc(size_t count, size_t size);
void abort(void) __attribute__((noreturn));
