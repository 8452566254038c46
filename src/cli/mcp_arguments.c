/* Arguments of tools, as a model may have written them. */
#include "cli/mcp.h"

#ifdef MNEMO_HAVE_GRAPH

const char *mcp_text(const json_t *arguments, const char *name) {
    return json_string_value(json_object_get(arguments, name));
}

uint32_t mcp_number(const json_t *arguments, const char *name, uint32_t min, uint32_t max, uint32_t otherwise) {
    const json_t *value = json_object_get(arguments, name);
    json_int_t n = json_is_integer(value) ? json_integer_value(value) : (json_int_t)otherwise;
    return n < (json_int_t)min ? min : n > (json_int_t)max ? max : (uint32_t)n;
}

mn_status mcp_wants(const char *name, mn_error *err) {
    return mn_fail(err, MN_ERR_ARGUMENT, "This tool wants \"%s\", a text.", name);
}
#endif
