#include "cli/info_techniques.h"

#include "cli/table.h"
#include "cli/terminal.h"

#include "attention/decode.h"
#include "attention/flash.h"
#include "attention/flash_backward.h"
#include "attention/compressor.h"
#include "attention/indexer.h"
#include "attention/mla.h"
#include "attention/patterns/pattern.h"
#include "recurrent/gated_delta.h"
#include "recurrent/mamba2.h"
#include "recurrent/rwkv7.h"
#include "recurrent/short_conv.h"
#include "convert/upcycle.h"
#include "convert/heads.h"
#include "kvcache/kvcache.h"
#include "mlp/easy.h"
#include "mlp/hash_layer.h"
#include "mlp/moe.h"
#include "model/adapter.h"
#include "model/family.h"
#include "model/forward.h"
#include "model/hyper_connections.h"
#include "position/position.h"
#include "position/posmap.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum { MAX_TEXT = 160 };

typedef void row_fn(json_t *rows, const mn_technique *t);

/* Techniques that stand alone in their files. */
static const mn_technique *const computing[] = {&mn_mla_absorbed_about,
                                                &mn_mla_materialised_about,
                                                &mn_indexer_about,
                                                &mn_compressed_sparse_about,
                                                &mn_heavily_compressed_about,
                                                &mn_flash_about,
                                                &mn_decode_about,
                                                &mn_flash_backward_about,
                                                &mn_kvcache_about,
                                                NULL};
static const mn_technique *const positions[] = {&mn_sinusoidal_about, &mn_learned_about, &mn_alibi_about, NULL};
static const mn_technique *const layers[] = {
    &mn_short_conv_about, &mn_gated_delta_about, &mn_kda_about,  &mn_mamba2_about,  &mn_rwkv7_about, &mn_moe_about,
    &mn_hash_layer_about, &mn_hyper_about,       &mn_easy_about, &mn_upcycle_about, &mn_lora_about,  NULL};

static void each(const mn_technique *const *list, row_fn *row, json_t *rows) {
    for (; *list; list++) row(rows, *list);
}

static void each_position(row_fn *row, json_t *rows) {
    const mn_posmap_scheme *map;
    each(positions, row, rows);
    for (int i = 0; i < MN_ROPE_SCALING_COUNT; i++) row(rows, mn_rope_scaling_about((mn_rope_scaling)i));
    for (int i = 0; (map = mn_posmap_scheme_at(i)); i++) row(rows, &map->about);
}

static void each_pattern(row_fn *row, json_t *rows) {
    const mn_pattern_kind *kind;
    for (int i = 0; (kind = mn_pattern_kind_at(i)); i++) {
        char name[MAX_TEXT], flag[MAX_TEXT];
        snprintf(name, sizeof name, "%s: %s", kind->name, kind->meaning);
        snprintf(flag, sizeof flag, "--attn %s", kind->usage);
        row(rows, &(mn_technique){.name = name,
                                  .paper = kind->paper,
                                  .flag = flag,
                                  .file = kind->file,
                                  .test = kind->test,
                                  .exact = kind->traits & MN_PATTERN_EXACT,
                                  .training = kind->traits & MN_PATTERN_NEEDS_TRAINING ? MN_TRAINING_NEEDED
                                                                                       : MN_TRAINING_FREE});
    }
}

static void each_technique(row_fn *row, json_t *rows) {
    for (const mn_technique *t = mn_head_techniques; t->name; t++) row(rows, t);
    for (const mn_technique *t = mn_heads_techniques; t->name; t++) row(rows, t);
    each(computing, row, rows);
    each_position(row, rows);
    each_pattern(row, rows);
    each(layers, row, rows);
}

static const char *training_text(mn_training training) {
    switch (training) {
    case MN_TRAINING_FREE: return "no";
    case MN_TRAINING_HELPS: return "better with it";
    case MN_TRAINING_NEEDED: return "yes";
    case MN_TRAINING_DONE: return "the model's own";
    }
    return "";
}

/* "(arXiv:2309.00071)" becomes a link. */
static void print_paper(const char *paper) {
    static const char mark[] = "(arXiv:";
    const char *id;
    for (; (id = strstr(paper, mark)); paper = id) {
        int before = (int)(id - paper);
        id += sizeof mark - 1;
        int length = (int)strcspn(id, ")");
        printf("%.*s([%.*s](https://arxiv.org/abs/%.*s))", before, paper, length, id, length, id);
        id += length + (id[length] == ')');
    }
    fputs(paper, stdout);
}

static void print_link(const char *path) {
    const char *slash = path ? strrchr(path, '/') : NULL;
    if (slash)
        printf(" | [%s](%s)", slash + 1, path);
    else
        fputs(" | ?", stdout);
}

static void print_row(json_t *rows, const mn_technique *t) {
    (void)rows;
    printf("| %s | ", t->name);
    print_paper(t->paper ? t->paper : "");
    if (t->flag)
        printf(" | `%s`", t->flag);
    else
        fputs(" | (model file)", stdout);
    print_link(t->file);
    print_link(t->test);
    printf(" | %s | %s |\n", t->exact ? "yes" : "no", training_text(t->training));
}

static mn_table shown; /* on a terminal, where Markdown's rows would not fit */

static void add_row(json_t *rows, const mn_technique *t) {
    (void)rows;
    mn_table_add(&shown, "%s", t->name);
    mn_table_add(&shown, "%s", t->flag ? t->flag : "(model file)");
    mn_table_add(&shown, "%s", t->exact ? "yes" : "no");
    mn_table_add(&shown, "%s", training_text(t->training));
    mn_table_add(&shown, "%s", t->paper ? t->paper : "");
}

static void print_table(void) {
    static const char *const titles[] = {"technique", "flag", "exact", "needs training", "paper", NULL};
    mn_table_begin(&shown, titles, 0x1f);
    each_technique(add_row, NULL);
    mn_table_end(&shown, stdout);
}

static void put_row(json_t *rows, const mn_technique *t) {
    json_array_append_new(rows, json_pack("{s:s, s:s?, s:s?, s:s?, s:s?, s:b, s:s}", "name", t->name, "paper", t->paper,
                                          "flag", t->flag, "file", t->file, "test", t->test, "exact", t->exact,
                                          "training", training_text(t->training)));
}

static void print_json(json_t *rows) {
    json_dumpf(rows, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(rows);
}

void mn_info_techniques(bool json) {
    if (json) {
        json_t *rows = json_array();
        each_technique(put_row, rows);
        print_json(rows);
        return;
    }
    if (mn_terminal_columns(stdout)) {
        print_table();
        return;
    }
    puts("| technique | paper | flag | file | test | exact | needs training |\n|---|---|---|---|---|---|---|");
    each_technique(print_row, NULL);
}

void mn_info_archs(bool json) {
    json_t *rows = json_array();
    for (const mn_family *const *f = mn_family_list(); *f; f++) {
        if (json)
            json_array_append_new(rows, json_pack("{s:s, s:s}", "arch", (*f)->arch, "summary", (*f)->summary));
        else
            mn_print_line(stdout, 12, "%-10s  %s", (*f)->arch, (*f)->summary);
    }
    if (json)
        print_json(rows);
    else
        json_decref(rows);
}
