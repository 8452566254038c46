/* XML and HTML as a stream of events, by libxml2.
 *
 * Nothing is fetched: no network, no external entities, no DTD; entities that a document declares itself are not
 * expanded. Time is bounded by the reading's deadline: libxml2 does some things slower than linearly (a tag of very
 * many attributes, end tags within very deep elements). XML nests at most 256 deep, libxml2's own limit; HTML, where
 * end tags are often missing, as deep as it likes: nothing here recurs.
 */
#ifndef MN_DOCUMENT_MARKUP_H
#define MN_DOCUMENT_MARKUP_H

#include "document/reading.h"

enum { MN_MARKUP_MAX_VALUE_BYTES = 1000 };

/* Borrowed for the time of the call. */
typedef struct mn_element {
    const char *name;  /* HTML: lower case. XML: without its prefix */
    const char *space; /* XML: the namespace, "" = none; HTML: "" */
    const void *attributes;
    int n_attributes; /* XML only */
} mn_element;

/* start answers true to go on, false to leave out the element with all that is in it (its end is not told either); end
 * gets it without attributes. `depth` counts from 1. end and text: NULL = nobody asks. */
typedef struct mn_markup_handler {
    void *arg;
    bool (*start)(void *arg, const mn_element *element, int depth);
    void (*end)(void *arg, const mn_element *element, int depth);
    void (*text)(void *arg, const char *text, size_t bytes);
    bool (*is_done)(void *arg); /* true = stop here, without an error; NULL = never */
} mn_markup_handler;

/* An attribute by its name without prefix, copied (cut to MN_MARKUP_MAX_VALUE_BYTES); false = there is none. */
bool mn_element_attribute(const mn_element *element, const char *name, char value[MN_MARKUP_MAX_VALUE_BYTES]);

/* Errors name the reading's file and the line. */
mn_status mn_markup_xml(const mn_reading *r, const char *data, size_t bytes, const mn_markup_handler *handler,
                        mn_error *err);
/* data is UTF-8. Mistakes in HTML are no errors, as in browsers. */
mn_status mn_markup_html(const mn_reading *r, const char *data, size_t bytes, const mn_markup_handler *handler,
                         mn_error *err);

#endif
