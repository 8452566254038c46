/* Chat templates by name, for models whose file has none or a wrong one. */
#ifndef MN_TOKENIZER_NAMED_TEMPLATE_H
#define MN_TOKENIZER_NAMED_TEMPLATE_H

/* The source of the template called "chatml", "llama3", ...; NULL when there is none of that name. Static. */
const char *mn_named_template(const char *name);
/* The index-th name, NULL behind the last. */
const char *mn_named_template_at(int index);

#endif
