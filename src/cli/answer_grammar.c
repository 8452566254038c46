#include "cli/answer_grammar.h"

#include "base/file.h"
#include "grammar/gbnf.h"
#include "grammar/json_schema.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_FILE_BYTES = 16 << 20 };

static mn_grammar *grammar;
static mn_token_trie *tokens;
static mn_constraint *constraint;

/* Other programs take the text itself. */
static bool is_text(const char *path) {
    return path[strspn(path, " \t\r\n")] == '{' || strstr(path, "::=") || strchr(path, '\n');
}

static mn_status read_file(const char *flag, const char *path, char **text, size_t *bytes, mn_error *err) {
    if (mn_file_read(path, MAX_FILE_BYTES, text, bytes, err) == MN_OK) return MN_OK;
    if (!is_text(path)) return err ? err->status : MN_ERR_IO;
    return mn_fail(err, MN_ERR_ARGUMENT, "%s takes the name of a file; put the text into one.", flag);
}

static mn_status take_blanks(const char *text, mn_json_blanks *out, mn_error *err) {
    static const char *const kinds[] = {
        [MN_JSON_BLANKS_ONE] = "one", [MN_JSON_BLANKS_NONE] = "none", [MN_JSON_BLANKS_LINES] = "lines"};
    for (int i = 0; i < 3; i++)
        if (!strcmp(text ? text : "one", kinds[i])) {
            *out = (mn_json_blanks)i;
            return MN_OK;
        }
    return mn_fail(err, MN_ERR_ARGUMENT, "--json-blanks \"%s\" is none of none, one and lines.", text);
}

mn_status mn_answer_grammar_read(const mn_sample_options *o, mn_error *err) {
    const char *path = o->schema_path ? o->schema_path : o->grammar_path;
    char *text;
    size_t bytes;
    mn_json_blanks blanks = MN_JSON_BLANKS_ONE;
    MN_TRY(take_blanks(o->json_blanks, &blanks, err));
    if (!path || grammar) return MN_OK;
    if (o->schema_path && o->grammar_path)
        return mn_fail(err, MN_ERR_ARGUMENT, "--json-schema and --grammar exclude each other.");
    MN_TRY(read_file(o->schema_path ? "--json-schema" : "--grammar", path, &text, &bytes, err));
    mn_status status = o->schema_path ? mn_json_schema_parse(text, bytes, blanks, &grammar, err)
                                      : mn_gbnf_parse(text, bytes, &grammar, err);
    free(text);
    return status == MN_OK ? MN_OK : mn_fail_in(err, status, path);
}

mn_status mn_answer_grammar_begin(const mn_tokenizer *tokenizer, mn_constraint **out, mn_error *err) {
    *out = NULL;
    if (!grammar) return MN_OK;
    if (!tokens) MN_TRY(mn_token_trie_of(tokenizer, &tokens, err));
    if (!constraint) MN_TRY(mn_constraint_create(grammar, tokens, 0, &constraint, err));
    mn_constraint_reset(constraint);
    *out = constraint;
    return mn_constraint_check(constraint, err);
}

void mn_answer_grammar_release(void) {
    mn_constraint_destroy(constraint);
    mn_token_trie_destroy(tokens);
    mn_grammar_destroy(grammar);
    constraint = NULL;
    tokens = NULL;
    grammar = NULL;
}
