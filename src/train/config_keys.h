/* The table of keys that a configuration has: reading (config.c), writing, comparing and help (config_write.c) go by
 * it.
 */
#ifndef MN_TRAIN_CONFIG_KEYS_H
#define MN_TRAIN_CONFIG_KEYS_H

#include "train/config.h"

/* A section's name: "train", "source NAME". */
enum { MN_SECTION_BYTES = 2 * MN_NAME_BYTES };

typedef enum mn_train_key_type {
    MN_KEY_TEXT,
    MN_KEY_ESCAPED, /* a text in which \n is a line end and \\ a backslash */
    MN_KEY_PATHS,   /* a list with blanks between, "..." around what holds blanks; further lines of a file add to it */
    MN_KEY_INT,
    MN_KEY_NUMBER,
    MN_KEY_BOOL,
    MN_KEY_CHOICE
} mn_train_key_type;

typedef struct mn_train_key {
    const char *section, *name;
    mn_train_key_type type;
    size_t offset;        /* in the config, the group or the source */
    const char *standard; /* as users would write it; "-1" stands for what a section leaves to another */
    double min, max;
    const char *choices; /* of MN_KEY_CHOICE, in the order of the enum */
    const char *help;
} mn_train_key;

extern const mn_train_key mn_train_keys[];
extern const int mn_n_train_keys;

/* Sections that there are once, in the order in which they are written. NULL behind the last. */
extern const char *const mn_train_sections[];

/* Whether there may be several of a section, each with a name. */
bool mn_train_section_is_named(const char *section);

#endif
