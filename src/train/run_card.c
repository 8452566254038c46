#include "train/run_card.h"

#include "base/checked.h"
#include "base/file.h"
#include "base/ram.h"
#include "kernels/cpu.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void date_of_today(char out[16]) {
    time_t now = time(NULL);
    struct tm day;
    strftime(out, 16, "%Y-%m-%d", gmtime_r(&now, &day));
}

/* "yarn, factor 8 over 512 tokens", or the base alone. */
static void note_positions(const mn_train_config *c, const mn_config *m, mn_strbuf *out) {
    const char *scaling = mn_rope_scaling_name(m->rope.scaling);
    if (!mn_config_rotates(m)) return;
    if (m->rope.factor > 1 && strcmp(scaling, "none"))
        mn_strbuf_printf(out, ", positions by %s, factor %g over %lld tokens", scaling, m->rope.factor,
                         (long long)m->rope.original_ctx);
    else if (c->rope_scaling || c->rope_freq_base > 0)
        mn_strbuf_printf(out, ", RoPE base %g%s", m->rope.freq_base,
                         c->rope_scaling && !strcmp(c->rope_scaling, "ntk") ? " (ntk)" : "");
}

/* What was done, in a sentence that every reader of GGUF shows. */
static void note(const mn_train_config *c, const mn_config *m, const mn_train_state *s, mn_strbuf *out) {
    const char *from = c->from ? strrchr(c->from, '/') : NULL;
    char day[16];
    date_of_today(day);
    mn_strbuf_printf(out, "%s%s: %lld steps, %lld tokens in windows of %lld", c->from ? "trained on from " : "trained",
                     from      ? from + 1
                     : c->from ? c->from
                               : "",
                     (long long)s->step, (long long)s->n_tokens, (long long)c->window);
    note_positions(c, m, out);
    if (c->lora_rank) mn_strbuf_printf(out, ", LoRA of rank %lld", (long long)c->lora_rank);
    if (c->attn) mn_strbuf_printf(out, ", attention %s", c->attn);
    mn_strbuf_printf(out, ", %s", day);
}

static void put_note(const mn_train_config *c, const mn_model *model, const mn_train_state *s, mn_key_changes *out) {
    mn_strbuf text = MN_STRBUF_INIT;
    note(c, &model->config, s, &text);
    if (!text.failed) mn_change_string(out, "general.description", text.data);
    mn_strbuf_release(&text);
}

static void put_base(const mn_gguf *gguf, mn_key_changes *out) {
    mn_gguf_string name;
    mn_error none;
    bool found = false;
    char text[MN_KEY_TEXT_BYTES];
    if (mn_gguf_get_string(gguf, "general.name", &name, &found, &none) != MN_OK || !found) return;
    snprintf(text, sizeof text, "%.*s", (int)MN_MIN(name.bytes, sizeof text - 1), name.data);
    mn_change_u32(out, "general.base_model.count", 1);
    mn_change_string(out, "general.base_model.0.name", text);
}

void mn_run_card_keys(const mn_train_config *c, const mn_model *model, const mn_train_state *s, mn_key_changes *out) {
    char text[64];
    put_note(c, model, s, out);
    if (c->from) put_base(model->gguf, out);
    if (c->name) mn_change_string(out, "general.name", c->name);
    snprintf(text, sizeof text, "%lld", (long long)s->n_tokens);
    mn_change_string(out, "training.tokens", text);
    snprintf(text, sizeof text, "%lld", (long long)s->step);
    mn_change_string(out, "training.steps", text);
    snprintf(text, sizeof text, "%lld", (long long)c->window);
    mn_change_string(out, "training.window", text);
    date_of_today(text);
    mn_change_string(out, "training.date", text);
    if (c->ask_template) mn_change_string(out, "mnemo.ask_template", c->ask_template);
}

/* The processor as the system names it. */
static void processor(char out[128]) {
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "re");
    snprintf(out, 128, "unknown processor");
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) || !colon) continue;
        snprintf(out, 128, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
        break;
    }
    if (f) fclose(f);
}

static void write_losses(FILE *f, const mn_run_log *log) {
    fputs("| step | tokens | training loss | validation loss |\n|---|---|---|---|\n", f);
    for (int64_t i = 0; i < log->n_lines; i++) {
        const mn_run_line *l = &log->lines[i];
        if (isfinite(l->validation))
            fprintf(f, "| %lld | %lld | %.4f | %.4f |\n", (long long)l->step, (long long)l->n_tokens, l->loss,
                    l->validation);
    }
}

mn_status mn_run_card_write(const char *path, const mn_train_config *c, const mn_train_plan *plan,
                            const mn_train_state *s, const mn_run_log *log, const char *config_text, mn_error *err) {
    char cpu[128], day[16];
    mn_writer w;
    MN_TRY(mn_writer_open(path, &w, err));
    processor(cpu);
    date_of_today(day);
    fprintf(w.file, "# %s\n\n", c->name ? c->name : c->out);
    fprintf(w.file,
            "%lld parameters, %lld of them trained; %lld steps, %lld tokens in windows of %lld, %.1f minutes on %s, "
            "%s.\n\n",
            (long long)plan->n_params, (long long)plan->n_trained, (long long)s->step, (long long)s->n_tokens,
            (long long)c->window, s->seconds / 60, cpu, day);
    fprintf(w.file, "Memory: %.1f MiB planned, %.1f MiB taken at most.\n\n", (double)plan->total_bytes / 0x1p20,
            (double)mn_ram_peak() / 0x1p20);
    fputs("## Data\n\n| source | weight | what | from |\n|---|---|---|---|\n", w.file);
    for (int i = 0; i < c->n_sources; i++)
        fprintf(w.file, "| %s | %g | %s | %s |\n", c->sources[i].name, c->sources[i].weight,
                c->sources[i].needles ? c->sources[i].needles : "texts", c->sources[i].paths);
    fputs("\n## Losses\n\n![loss](loss.svg)\n\n", w.file);
    write_losses(w.file, log);
    fprintf(w.file, "\n## Settings\n\n```\n%s```\n", config_text);
    return mn_writer_commit(&w, err);
}
