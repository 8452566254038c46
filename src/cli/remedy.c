#include "cli/remedy.h"

#include "base/strbuf.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>

/* What to do, with the flags of mnemo. # stands for the remedy's value. */
static const char *flag_of(const mn_remedy *r) {
    switch (r->kind) {
    case MN_REMEDY_NONE: return NULL;
    case MN_REMEDY_WINDOW: return "use -c #";
    case MN_REMEDY_SMALLER_WINDOW: return "lower -c";
    case MN_REMEDY_LARGER_WINDOW: return "raise -c";
    case MN_REMEDY_SMALLER_BATCH: return "lower -b";
    case MN_REMEDY_LARGER_BATCH: return "use -b #";
    case MN_REMEDY_THREADS: return "use -t #";
    case MN_REMEDY_YARN: return "use --rope-scaling yarn";
    case MN_REMEDY_ROPE_SCALE: return "use --rope-scale #";
    case MN_REMEDY_ORIGINAL_CTX: return "use --yarn-orig-ctx N";
    case MN_REMEDY_OWN_POSITIONS: return "leave out the --rope and --yarn flags";
    case MN_REMEDY_SAME_READING: return "use the same -c, --rope, --yarn, --pos, --attn and --router flags";
    case MN_REMEDY_Q8_CACHE: return r->value > 0 ? "use -c # -ctk q8_0 -ctv q8_0" : "use -ctk q8_0 -ctv q8_0";
    case MN_REMEDY_F32_CACHE: return "use -ctk f32 -ctv f32";
    case MN_REMEDY_CACHE_TYPES: return "use the same -ctk and -ctv";
    case MN_REMEDY_KV_RAM: return r->value > 0 ? "use --kv-ram #" : "use --kv-ram BYTES, as 512m";
    case MN_REMEDY_KV_DISK: return "use --kv-disk DIR";
    case MN_REMEDY_NO_KV_DISK: return "leave out --kv-disk";
    case MN_REMEDY_ATTN: return "use --attn in the place of --attn-layers";
    case MN_REMEDY_NO_ATTN: return "leave out --attn and --attn-layers";
    case MN_REMEDY_SEGMENT: return "use --attn infini:#";
    case MN_REMEDY_NO_MAP: return "leave out --pos";
    case MN_REMEDY_SMALL_MLPS: return "use mnemo convert IN OUT --mlp-router 2 --calibrate TEXT";
    case MN_REMEDY_PROMPT: return "put it into -p";
    case MN_REMEDY_NOT_RAW: return "leave out --raw";
    case MN_REMEDY_ASK: return "use mnemo run -f FILE -p PROMPT";
    case MN_REMEDY_SMALLER_WEIGHTS: return "use mnemo convert IN OUT --type q4_0";
    case MN_REMEDY_TEMPLATE: return "use --chat-template NAME|FILE";
    case MN_REMEDY_RAW: return "use --raw";
    case MN_REMEDY_REPLACE: return "use --session-replace, which writes over the file";
    }
    return NULL;
}

/* Appends the flag's text, with the value in the place of '#'. */
static void put_flag(mn_strbuf *out, const char *flag, double value) {
    for (; *flag; flag++)
        if (*flag == '#')
            mn_strbuf_printf(out, value == floor(value) ? "%.0f" : "%.4g", value);
        else
            mn_strbuf_putc(out, *flag);
}

const char *mn_cli_sentence(mn_sentence buf, const mn_error *err) {
    mn_strbuf flags = MN_STRBUF_INIT;
    for (int i = 0; i < MN_MAX_REMEDIES; i++) {
        const char *flag = flag_of(&err->remedies[i]);
        if (!flag) continue;
        mn_strbuf_puts(&flags, flags.bytes ? ", or " : "");
        put_flag(&flags, flag, err->remedies[i].value);
    }
    if (flags.bytes)
        snprintf(buf, sizeof(mn_sentence), "%s %c%s.", err->text, toupper((unsigned char)flags.data[0]),
                 flags.data + 1);
    else
        snprintf(buf, sizeof(mn_sentence), "%s", err->text);
    mn_strbuf_release(&flags);
    return buf;
}
