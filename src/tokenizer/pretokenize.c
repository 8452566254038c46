#include "tokenizer/pretokenize.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* \s is written as the Unicode property White_Space, which is what the schemes mean; PCRE2's own \s adds U+180E. */
#define S "\\p{Z}\\t-\\r\\x85"
#define SPACE "[" S "]"

/* A run of spaces leaves its last one to the word behind it. */
#define SPACES SPACE "+(?![^" S "])|" SPACE "+"

#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^" S "\\p{L}\\p{N}]+|" SPACES

/* The family of Llama 3: contractions in any case, digits in groups, line ends apart from other spaces. */
#define CONTRACTIONS "'(?:[sS]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])"
#define LINE_ENDS SPACE "*[\\r\\n]+"
#define LLAMA3(DIGITS)                                                                                                 \
    CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" DIGITS "| ?[^" S "\\p{L}\\p{N}]+[\\r\\n]*|" LINE_ENDS "|" SPACES

/* GPT-4o and its kin: a word changes from capitals to small letters at most once. */
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(DIGITS, ENDING)                                                                                          \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" ENDING "|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER "*" ENDING           \
    "|" DIGITS "| ?[^" S "\\p{L}\\p{N}]+[\\r\\n/]*|" LINE_ENDS "|" SPACES

/* Kimi: Chinese apart from other letters, whose words change from capitals to small ones once. */
#define KIMI_UPPER "(?:(?!\\p{Han})[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}])"
#define KIMI_LOWER "(?:(?!\\p{Han})[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}])"
#define KIMI                                                                                                           \
    "\\p{Han}+|[^\\r\\n\\p{L}\\p{N}]?" KIMI_UPPER "*" KIMI_LOWER "+(?:" CONTRACTIONS                                   \
    ")?|[^\\r\\n\\p{L}\\p{N}]?" KIMI_UPPER "+" KIMI_LOWER "*(?:" CONTRACTIONS ")?|\\p{N}{1,3}| ?[^" S                  \
    "\\p{L}\\p{N}]+[\\r\\n]*|" LINE_ENDS "|" SPACES

#define BLOOM " ?[^(|.,!?)\\x{2026}\\x{3002}\\x{FF0C}\\x{3001}\\x{964}\\x{6D4}\\x{60C}" S "]+"

/* Chinese characters, and what else DeepSeek keeps in one run with them. */
#define DEEPSEEK_HAN "[\\x{4E00}-\\x{9FA5}\\x{800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+"

/* The letters with case that DeepSeek LLM's tokenizer lists. */
#define DEEPSEEK_LETTERS                                                                                               \
    "A-Za-z\\x{B5}\\x{C0}-\\x{D6}\\x{D8}-\\x{F6}\\x{F8}-\\x{1BA}\\x{1BC}-\\x{1BF}\\x{1C4}-\\x{293}"                    \
    "\\x{295}-\\x{2AF}\\x{370}-\\x{373}\\x{376}-\\x{377}\\x{37B}-\\x{37D}\\x{37F}\\x{386}\\x{388}-\\x{38A}"            \
    "\\x{38C}\\x{38E}-\\x{3A1}\\x{3A3}-\\x{3F5}\\x{3F7}-\\x{481}\\x{48A}-\\x{52F}\\x{531}-\\x{556}"                    \
    "\\x{10A0}-\\x{10C5}\\x{13A0}-\\x{13F5}\\x{13F8}-\\x{13FD}\\x{1C90}-\\x{1CBA}\\x{1CBD}-\\x{1CBF}"                  \
    "\\x{1D00}-\\x{1D2B}\\x{1D6B}-\\x{1D77}\\x{1D79}-\\x{1D9A}\\x{1E00}-\\x{1F15}\\x{1F18}-\\x{1F1D}"                  \
    "\\x{1F20}-\\x{1F45}\\x{1F48}-\\x{1F4D}\\x{1F50}-\\x{1F57}\\x{1F59}\\x{1F5B}\\x{1F5D}\\x{1F5F}-\\x{1F7D}"          \
    "\\x{1F80}-\\x{1FB4}\\x{1FB6}-\\x{1FBC}\\x{1FBE}\\x{1FC2}-\\x{1FC4}\\x{1FC6}-\\x{1FCC}\\x{1FD0}-\\x{1FD3}"         \
    "\\x{1FD6}-\\x{1FDB}\\x{1FE0}-\\x{1FEC}\\x{1FF2}-\\x{1FF4}\\x{1FF6}-\\x{1FFC}\\x{2102}\\x{2107}"                   \
    "\\x{210A}-\\x{2113}\\x{2115}\\x{2119}-\\x{211D}\\x{2124}\\x{2126}\\x{2128}\\x{212A}-\\x{212D}"                    \
    "\\x{212F}-\\x{2134}\\x{2139}\\x{213C}-\\x{213F}\\x{2145}-\\x{2149}\\x{214E}\\x{2183}-\\x{2184}"                   \
    "\\x{2C00}-\\x{2C7B}\\x{2C7E}-\\x{2CE4}\\x{2CEB}-\\x{2CEE}\\x{2CF2}-\\x{2CF3}\\x{A640}-\\x{A66D}"                  \
    "\\x{A680}-\\x{A69B}\\x{A722}-\\x{A76F}\\x{A771}-\\x{A787}\\x{A78B}-\\x{A78E}\\x{AB70}-\\x{ABBF}"                  \
    "\\x{FB00}-\\x{FB06}\\x{FB13}-\\x{FB17}\\x{FF21}-\\x{FF3A}\\x{FF41}-\\x{FF5A}\\x{10400}-\\x{1044F}"                \
    "\\x{104B0}-\\x{104D3}\\x{104D8}-\\x{104FB}\\x{10C80}-\\x{10CB2}\\x{10CC0}-\\x{10CF2}\\x{118A0}-\\x{118DF}"        \
    "\\x{1E900}-\\x{1E943}"

/* The lookbehind makes the search for spaces at the end linear: a match can only begin where a run of them begins. */
#define SPACES_AT_END "(?<!" SPACE ")" SPACE "++\\z"

enum { MAX_STAGES = 6 };

typedef struct scheme {
    const char *names;               /* separated by spaces */
    const char *regexes[MAX_STAGES]; /* up to NULL */
    bool whole_words, adds_bos;
} scheme;

static const scheme schemes[] = {
    {"default", .regexes = {"[\\p{P}$+<=>^~|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}},
    {"gpt-2 phi-2 mpt olmo jais jina-es jina-de jina-v1-en jina-v2-es jina-v2-de jina-v2-code gigachat roberta-bpe "
     "exaone4 a.x-4.0 mellum trillion granite-docling",
     .regexes = {GPT2}},
    {"llama-bpe llama3 llama-v3 falcon3 falcon-h1 lfm2 pixtral midm-2.0", .regexes = {LLAMA3("\\p{N}{1,3}")},
     .whole_words = true, .adds_bos = true},
    {"dbrx smaug-bpe chatglm-bpe glm4", .regexes = {LLAMA3("\\p{N}{1,3}")}},
    {"qwen2 stablelm2 deepseek-r1-qwen megrez hunyuan solar-open grok-2", .regexes = {LLAMA3("\\p{N}")}},
    {"qwen35", .regexes = {CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^" S
                                        "\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" LINE_ENDS "|" SPACES}},
    {"kimi-k2", .regexes = {KIMI}},
    {"falcon", .regexes = {"[\\p{P}$+<=>^~|`]+", GPT2, "[0-9][0-9][0-9]"}},
    {"starcoder refact command-r smollm codeshell exaone minerva-7b", .regexes = {"\\p{N}", GPT2}},
    {"bloom poro-chat gpt3-finnish", .regexes = {BLOOM}},
    {"viking", .regexes = {BLOOM, "\\p{N}"}},
    {"deepseek-llm",
     .regexes = {"[\\r\\n]", SPACE "?[" DEEPSEEK_LETTERS "]+",
                 SPACE "?[!-/:-~\\x{FF01}-\\x{FF0F}\\x{FF1A}-\\x{FF5E}\\x{2018}-\\x{201F}\\x{3000}-\\x{3002}]+",
                 SPACES_AT_END, DEEPSEEK_HAN, "\\p{N}+"}},
    {"deepseek-coder", .regexes = {"[\\r\\n]", SPACE "?\\p{L}+", SPACE "?\\p{P}+", DEEPSEEK_HAN, "\\p{N}"}},
    {"gpt-4o llama4 kanana2 minimax-m2", .regexes = {CASED("\\p{N}{1,3}", "(?:" CONTRACTIONS ")?")}},
    {"tekken", .regexes = {CASED("\\p{N}", "")}, .whole_words = true, .adds_bos = true},
    /* Digits in threes from the right; words may hold spaces. */
    {"superbpe", .regexes = {"\\p{N}+", "\\A\\p{Nd}{1,2}(?=(?:\\p{Nd}{3})++\\z)", "\\p{Nd}{3}"}},
    {"gemma4", .regexes = {"[^\\n]+|\\n+"}},
    {"deepseek-v3 hunyuan-dense joyai-llm",
     .regexes =
         {"\\p{N}{1,3}", "[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{30FF}]+",
          "[!-/:-@\\[-`{-~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|" LINE_ENDS
          "|" SPACES}},
};

enum { N_SCHEMES = sizeof schemes / sizeof *schemes };

struct mn_pretokenizer {
    const scheme *scheme;
    int n_stages;
    pcre2_code *stages[MAX_STAGES];
    pcre2_match_context *limits;
};

static bool has_name(const char *names, const char *name, size_t bytes) {
    for (const char *at = names; *at;) {
        size_t n = strcspn(at, " ");
        if (n == bytes && !memcmp(at, name, n)) return true;
        at += n + (at[n] == ' ');
    }
    return false;
}

/* The first name of each: all of them are more than an error holds. */
static mn_status unknown_name(const char *name, size_t bytes, mn_error *err) {
    char known[512] = "";
    for (int i = 0; i < N_SCHEMES; i++) {
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%.*s", used ? " " : "", (int)strcspn(schemes[i].names, " "),
                 schemes[i].names);
    }
    return mn_fail(err, MN_ERR_UNSUPPORTED,
                   "tokenizer.ggml.pre \"%.*s\" is not known here; known are: %s. Some of these have other names too.",
                   (int)(bytes < 80 ? bytes : 80), name, known);
}

static mn_status compile(mn_pretokenizer *pre, mn_error *err) {
    for (int i = 0; i < MAX_STAGES && pre->scheme->regexes[i]; i++) {
        int code;
        PCRE2_SIZE at;
        pre->stages[i] = pcre2_compile((PCRE2_SPTR)pre->scheme->regexes[i], PCRE2_ZERO_TERMINATED,
                                       PCRE2_UTF | PCRE2_UCP | PCRE2_NO_UTF_CHECK, &code, &at, NULL);
        if (!pre->stages[i])
            return mn_fail(err, MN_ERR_UNSUPPORTED,
                           "PCRE2 refuses regular expression %d of the pre-tokeniser %s (error %d at %zu).", i + 1,
                           pre->scheme->names, code, (size_t)at);
        /* Where the system forbids generated code, pcre2_match interprets. */
        pcre2_jit_compile(pre->stages[i], PCRE2_JIT_COMPLETE);
        pre->n_stages = i + 1;
    }
    /* Long words need many steps but, each regular expression being linear, never a quadratic number. */
    pre->limits = pcre2_match_context_create(NULL);
    if (!pre->limits) return mn_fail(err, MN_ERR_MEMORY, "There is not enough memory for the pre-tokeniser.");
    pcre2_set_match_limit(pre->limits, UINT32_MAX);
    return MN_OK;
}

mn_status mn_pretokenizer_create(const char *name, size_t bytes, mn_pretokenizer **out, mn_error *err) {
    const scheme *found = NULL;
    for (int i = 0; i < N_SCHEMES; i++)
        if (has_name(schemes[i].names, name, bytes)) found = &schemes[i];
    if (!found) return unknown_name(name, bytes, err);
    mn_pretokenizer *pre = calloc(1, sizeof *pre);
    if (!pre) return mn_fail(err, MN_ERR_MEMORY, "There is not enough memory for the pre-tokeniser.");
    pre->scheme = found;
    mn_status status = compile(pre, err);
    if (status != MN_OK)
        mn_pretokenizer_destroy(pre);
    else
        *out = pre;
    return status;
}

void mn_pretokenizer_destroy(mn_pretokenizer *pre) {
    if (!pre) return;
    for (int i = 0; i < MAX_STAGES; i++) pcre2_code_free(pre->stages[i]);
    pcre2_match_context_free(pre->limits);
    free(pre);
}

bool mn_pretokenizer_whole_words(const mn_pretokenizer *pre) { return pre->scheme->whole_words; }

bool mn_pretokenizer_adds_bos(const mn_pretokenizer *pre) { return pre->scheme->adds_bos; }

typedef struct cutter {
    const mn_pretokenizer *pre;
    pcre2_match_data *match;
    mn_word_fn *fn;
    void *arg;
} cutter;

/* Runs the stages from `stage` on over one piece. The piece is a text of its own: nothing looks beyond its ends. */
static mn_status cut(const cutter *c, int stage, const char *text, size_t bytes, mn_error *err) {
    if (!bytes) return MN_OK;
    if (stage == c->pre->n_stages) return c->fn(c->arg, text, bytes, err);
    for (size_t at = 0; at < bytes;) {
        int code = pcre2_match(c->pre->stages[stage], (PCRE2_SPTR)text, bytes, at, PCRE2_NO_UTF_CHECK, c->match,
                               c->pre->limits);
        if (code == PCRE2_ERROR_NOMATCH) return cut(c, stage + 1, text + at, bytes - at, err);
        if (code < 0)
            return mn_fail(err, MN_ERR_LIMIT, "The pre-tokeniser %s failed on a text of %zu bytes (PCRE2 error %d).",
                           c->pre->scheme->names, bytes, code);
        const PCRE2_SIZE *range = pcre2_get_ovector_pointer(c->match);
        size_t begin = range[0], end = range[1];
        MN_TRY(cut(c, stage + 1, text + at, begin - at, err));
        MN_TRY(cut(c, stage + 1, text + begin, end - begin, err));
        at = end;
    }
    return MN_OK;
}

mn_status mn_pretokenize(const mn_pretokenizer *pre, const char *text, size_t bytes, mn_word_fn *fn, void *arg,
                         mn_error *err) {
    cutter c = {pre, pcre2_match_data_create(1, NULL), fn, arg};
    if (!c.match) return mn_fail(err, MN_ERR_MEMORY, "There is not enough memory for the pre-tokeniser.");
    mn_status status = cut(&c, 0, text, bytes, err);
    pcre2_match_data_free(c.match);
    return status;
}
