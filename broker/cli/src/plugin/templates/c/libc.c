// The little of C's library that bindings and plugins need: memory and strings. Free blocks are a
// list in the order of their addresses; neighbours are joined, so that a plugin that frees what it
// takes never grows.

#include <stdlib.h>
#include <string.h>

extern unsigned char __heap_base;

#define PAGE 65536UL
#define ALIGN 16UL

// Stands in front of every block; only free ones use `next`.
struct block {
  size_t size; // with this header
  struct block *next;
};

static struct block *list;
static size_t end;

static size_t up(size_t size, size_t to) { return (size + to - 1) & ~(to - 1); }

static void give(struct block *block) {
  struct block *before = 0, *after = list;
  while (after != 0 && after < block) {
    before = after;
    after = after->next;
  }
  block->next = after;
  if (before != 0) before->next = block; else list = block;
  if (after != 0 && (size_t)block + block->size == (size_t)after) {
    block->size += after->size;
    block->next = after->next;
  }
  if (before != 0 && (size_t)before + before->size == (size_t)block) {
    before->size += block->size;
    before->next = block->next;
  }
}

static int grow(size_t size) {
  if (end == 0) end = up((size_t)&__heap_base, ALIGN);
  size_t have = __builtin_wasm_memory_size(0) * PAGE;
  if (have - end < size) {
    size_t pages = up(size, PAGE) / PAGE;
    if (__builtin_wasm_memory_grow(0, pages) == (size_t)-1) return 0;
    have += pages * PAGE;
  }
  struct block *block = (struct block *)end;
  block->size = have - end;
  end = have;
  give(block);
  return 1;
}

void *malloc(size_t size) {
  if (size > (size_t)-1 - PAGE) return 0;
  size = up(size + ALIGN, ALIGN);
  do {
    for (struct block **at = &list; *at != 0; at = &(*at)->next) {
      struct block *block = *at;
      if (block->size < size) continue;
      if (block->size - size >= 2 * ALIGN) {
        struct block *rest = (struct block *)((unsigned char *)block + size);
        rest->size = block->size - size;
        rest->next = block->next;
        block->size = size;
        *at = rest;
      } else {
        *at = block->next;
      }
      return (unsigned char *)block + ALIGN;
    }
  } while (grow(size));
  return 0;
}

void free(void *memory) {
  if (memory != 0) give((struct block *)((unsigned char *)memory - ALIGN));
}

void *realloc(void *memory, size_t size) {
  if (memory == 0) return malloc(size);
  size_t had = ((struct block *)((unsigned char *)memory - ALIGN))->size - ALIGN;
  if (size <= had) return memory;
  void *moved = malloc(size);
  if (moved != 0) {
    memcpy(moved, memory, had);
    free(memory);
  }
  return moved;
}

void *calloc(size_t count, size_t size) {
  size_t all;
  if (__builtin_mul_overflow(count, size, &all)) return 0;
  void *memory = malloc(all);
  if (memory != 0) memset(memory, 0, all);
  return memory;
}

void abort(void) { __builtin_trap(); }

void *memcpy(void *restrict to, const void *restrict from, size_t size) {
  unsigned char *out = to;
  const unsigned char *in = from;
  while (size-- > 0) *out++ = *in++;
  return to;
}

void *memmove(void *to, const void *from, size_t size) {
  unsigned char *out = to;
  const unsigned char *in = from;
  if (out < in) return memcpy(to, from, size);
  while (size-- > 0) out[size] = in[size];
  return to;
}

void *memset(void *to, int byte, size_t size) {
  unsigned char *out = to;
  while (size-- > 0) *out++ = (unsigned char)byte;
  return to;
}

int memcmp(const void *left, const void *right, size_t size) {
  const unsigned char *a = left, *b = right;
  for (; size > 0; size--, a++, b++)
    if (*a != *b) return *a - *b;
  return 0;
}

size_t strlen(const char *text) {
  size_t size = 0;
  while (text[size] != 0) size++;
  return size;
}
