/* Finished sentences that a user did not ask for and should see, kept until somebody shows them. */
#ifndef MN_BASE_NOTES_H
#define MN_BASE_NOTES_H

enum { MN_MAX_NOTES = 16 };

/* Zeroed = none. */
typedef struct mn_notes {
    char *texts[MN_MAX_NOTES];
    int n;
} mn_notes;

/* Adds a sentence; more than MN_MAX_NOTES, or those that memory has no room for, are left out. */
void mn_notes_add(mn_notes *notes, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The index-th, NULL behind the last. */
const char *mn_notes_at(const mn_notes *notes, int index);
void mn_notes_release(mn_notes *notes);

#endif
