/* Texts to small numbers: each different text gets the next id, from 0 on. */
#ifndef MN_BASE_INTERN_H
#define MN_BASE_INTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MN_INTERN_NONE = 0xffffffffu };

/* Zeroed: empty. */
typedef struct mn_intern {
    char *text; /* all of them, each NUL-terminated */
    size_t text_bytes, text_capacity;
    size_t *begins; /* [n + 1], where each begins in text */
    uint32_t n, n_capacity;
    uint32_t *table; /* ids + 1 by hash, open addressing; 0 = free */
    uint32_t *hashes;
    size_t table_size; /* a power of two */
} mn_intern;

/* The text's id, a new one where it was not there. MN_INTERN_NONE when memory ends. Copied; O(bytes). */
uint32_t mn_intern_put(mn_intern *set, const char *text, size_t bytes);
/* MN_INTERN_NONE where it is not there. */
uint32_t mn_intern_find(const mn_intern *set, const char *text, size_t bytes);
/* NUL-terminated; borrowed until the next put. bytes may be NULL. */
const char *mn_intern_text(const mn_intern *set, uint32_t id, size_t *bytes);
void mn_intern_release(mn_intern *set);

#endif
