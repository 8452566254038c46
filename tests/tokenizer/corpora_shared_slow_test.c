/* Every text of the corpora through every real vocabulary and back, byte for byte. */
#include "support/roundtrip.h"
#include "support/support.h"

#include <dirent.h>
#include <stdlib.h>

static void check_folder(const mn_tokenizer *t, const char *folder) {
    DIR *dir = opendir(shared_path(folder));
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        char name[512];
        size_t bytes;
        if (entry->d_name[0] == '.') continue;
        snprintf(name, sizeof name, "%s/%s", folder, entry->d_name);
        char *text = read_all(shared_path(name), &bytes);
        check_round_trip(t, name, text, bytes);
        free(text);
    }
    closedir(dir);
}

static void every_text_comes_back(void **state) {
    (void)state;
    static const char *const names[] = {"llama-spm", "phi-3",  "gpt-2",     "llama-bpe",
                                        "qwen2",     "falcon", "starcoder", "deepseek-llm"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char file[128];
        snprintf(file, sizeof file, "tokenizers/ggml-vocab-%s.gguf", names[i]);
        mn_tokenizer *t = open_vocabulary(shared_path(file));
        check_folder(t, "corpora/small");
        check_folder(t, "corpora/train");
        check_folder(t, "corpora/valid");
        check_folder(t, "corpora/zh");
        mn_tokenizer_destroy(t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_text_comes_back)};
    return outcome(cmocka_run_group_tests(tests, NULL, NULL));
}
