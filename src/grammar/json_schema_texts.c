/* What schemas without particulars accept, blanks, and the texts of formats. */
#include "grammar/gbnf.h"
#include "grammar/json_schema_parts.h"

#include <string.h>

/* In `s`, what may stand between a bracket or a comma and what follows; in `b`, behind a colon. At most so much: an
 * answer cannot be filled with blanks. */
static const char *const blanks_texts[] = {
    [MN_JSON_BLANKS_ONE] = "s ::= \" \"?\nb ::= \" \"?\n",
    [MN_JSON_BLANKS_NONE] = "s ::= \"\"\nb ::= \"\"\n",
    [MN_JSON_BLANKS_LINES] = "s ::= (\" \" | \"\\n\" \" \"{0,20})?\nb ::= \" \"?\n",
};

static const char texts[] =
    "value ::= object | array | string | number | \"true\" | \"false\" | \"null\"\n"
    "object ::= \"{\" (s member (\",\" s member)*)? s \"}\"\n"
    "member ::= string \":\" b value\n"
    "array ::= \"[\" (s value (\",\" s value)*)? s \"]\"\n"
    "string ::= \"\\\"\" char* \"\\\"\"\n"
    "char ::= [^\"\\\\\\x00-\\x1f] | \"\\\\\" ([\"\\\\/bfnrt] | \"u\" unicode)\n"
    "unicode ::= [1-9a-cA-Ce-fE-F] hex{3} | [dD] [0-7] hex{2} |\n"
    "  \"0\" ([1-9a-fA-F] hex{2} | \"0\" ([1-9a-fA-F] hex | \"0\" [1-9a-fA-F]))\n"
    "hex ::= [0-9a-fA-F]\n"
    "whole ::= \"0\" | [1-9] [0-9]{0,15}\n"
    "integer ::= \"-\"? whole\n"
    "fraction ::= \".\" [0-9]{1,16}\n"
    "number ::= integer fraction? ([eE] [-+]? [0-9]{1,2})?\n"
    "format-date ::= [0-9]{4} \"-\" ((\"0\" [13578] | \"1\" [02]) \"-\" (day | \"29\" | \"3\" [01]) |\n"
    "  (\"0\" [469] | \"11\") \"-\" (day | \"29\" | \"30\") | \"02-\" day)\n"
    "day ::= \"0\" [1-9] | \"1\" [0-9] | \"2\" [0-8]\n"
    "format-time ::= hour \":\" [0-5] [0-9] \":\" [0-5] [0-9] (\".\" [0-9]{1,6})? (\"Z\" | [-+] hour \":\" [0-5] "
    "[0-9])\n"
    "hour ::= [01] [0-9] | \"2\" [0-3]\n"
    "format-date-time ::= format-date \"T\" format-time\n"
    "format-duration ::= \"P\" (count [YMWD] (\"T\" count [HMS])? | \"T\" count [HMS])\n"
    "count ::= [0-9]{1,6}\n"
    "format-uuid ::= hex{8} \"-\" hex{4} \"-\" hex{4} \"-\" hex{4} \"-\" hex{12}\n"
    "format-ipv4 ::= octet (\".\" octet){3}\n"
    "octet ::= [0-9] | [1-9] [0-9] | \"1\" [0-9]{2} | \"2\" [0-4] [0-9] | \"25\" [0-5]\n"
    "format-hostname ::= label (\".\" label){0,4}\n"
    "label ::= [a-z0-9]+ (\"-\" [a-z0-9]+){0,4}\n"
    "format-email ::= atom (\".\" atom){0,3} \"@\" label (\".\" label){1,4}\n"
    "atom ::= [A-Za-z0-9_+-]{1,24}\n"
    "format-uri ::= [a-z] [a-z0-9]{0,9} \"://\" format-hostname (\":\" [1-9] [0-9]{0,3})? uri-path\n"
    "uri-path ::= (\"/\" [A-Za-z0-9._~-]{0,60}){0,12} (\"?\" [A-Za-z0-9=&._~-]{0,200})?\n";

mn_status mn_schema_add_texts(mn_grammar *g, mn_json_blanks blanks, mn_error *err) {
    if (mn_gbnf_find(g, "format-uri") >= 0) return MN_OK;
    mn_strbuf text = MN_STRBUF_INIT;
    mn_strbuf_puts(&text, blanks_texts[blanks]);
    mn_strbuf_puts(&text, texts);
    mn_status status = text.failed ? mn_fail(err, MN_ERR_MEMORY, "There is no memory for a schema.")
                                   : mn_gbnf_add(g, text.data, text.bytes, err);
    mn_strbuf_release(&text);
    return status;
}
