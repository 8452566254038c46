#include "tokenizer/named_template.h"

#include <stddef.h>
#include <string.h>

#define EACH(body) "{% for m in messages %}" body "{% endfor %}"
#define ASK(text) "{% if add_generation_prompt %}" text "{% endif %}"

/* Takes the system message out of `messages` into `system`, for formats that have no turn for it. */
#define SPLIT_SYSTEM                                                                                                   \
    "{% set system = '' %}{% if messages and messages[0].role == 'system' %}"                                          \
    "{% set system = messages[0].content %}{% set messages = messages[1:] %}{% endif %}"

static const struct {
    const char *name, *source;
} templates[] = {
    {"alpaca", SPLIT_SYSTEM
     "{% if system %}{{ system }}\n\n{% endif %}"
     "{% for m in messages %}{% if m.role == 'user' %}### Instruction:\n{{ m.content }}\n\n"
     "{% else %}### Response:\n{{ m.content }}{{ eos_token }}\n\n{% endif %}{% endfor %}" ASK("### Response:\n")},
    {"chatml", EACH("<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n") ASK("<|im_start|>assistant\n")},
    {"command-r",
     "{{ bos_token }}" EACH("<|START_OF_TURN_TOKEN|><|{{ {'system': 'SYSTEM', 'user': 'USER'}.get(m.role, 'CHATBOT') }}"
                            "_TOKEN|>{{ m.content | trim }}<|END_OF_TURN_TOKEN|>")
         ASK("<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>")},
    {"deepseek", SPLIT_SYSTEM "{{ bos_token }}{{ system }}{% for m in messages %}"
                              "{% if m.role == 'user' %}<｜User｜>{{ m.content }}"
                              "{% else %}<｜Assistant｜>{{ m.content }}"
                              "<｜end▁of▁sentence｜>{% endif %}{% endfor %}" ASK("<｜Assistant｜>")},
    {"deepseek2",
     SPLIT_SYSTEM "{{ bos_token }}{% if system %}{{ system }}\n\n{% endif %}"
                  "{% for m in messages %}{% if m.role == 'user' %}User: {{ m.content }}\n\n"
                  "{% else %}Assistant: {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}" ASK("Assistant:")},
    {"gemma", SPLIT_SYSTEM
     "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
     "{% if loop.first and system %}{{ system | trim }}\n\n{% endif %}{{ m.content | trim }}<end_of_turn>\n"
     "{% endfor %}" ASK("<start_of_turn>model\n")},
    {"gpt-oss", SPLIT_SYSTEM
     "<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\nKnowledge cutoff: "
     "2024-06\n\n"
     "Reasoning: medium\n\n# Valid channels: analysis, commentary, final. Channel must be included for every message."
     "<|end|>{% if system %}<|start|>developer<|message|># Instructions\n\n{{ system }}<|end|>{% endif %}"
     "{% for m in messages %}{% if m.role == 'user' %}<|start|>user<|message|>{{ m.content }}<|end|>"
     "{% else %}<|start|>assistant<|channel|>final<|message|>{{ m.content }}<|end|>{% endif %}{% endfor %}" ASK(
         "<|start|>assistant")},
    {"granite", EACH("<|start_of_role|>{{ m.role }}<|end_of_role|>{{ m.content }}<|end_of_text|>\n")
                    ASK("<|start_of_role|>assistant<|end_of_role|>")},
    {"llama2", SPLIT_SYSTEM
     "{% for m in messages %}{% if m.role == 'user' %}{{ bos_token }}[INST] "
     "{% if loop.first and system %}<<SYS>>\n{{ system }}\n<</SYS>>\n\n{% endif %}{{ m.content | trim }} [/INST]"
     "{% else %} {{ m.content | trim }} {{ eos_token }}{% endif %}{% endfor %}"},
    {"llama3", "{{ bos_token }}" EACH("<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content | trim }}"
                                      "<|eot_id|>") ASK("<|start_header_id|>assistant<|end_header_id|>\n\n")},
    {"llama4", "{{ bos_token }}" EACH("<|header_start|>{{ m.role }}<|header_end|>\n\n{{ m.content | trim }}<|eot|>")
                   ASK("<|header_start|>assistant<|header_end|>\n\n")},
    {"mistral", SPLIT_SYSTEM "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] "
                             "{% if loop.first and system %}{{ system }}\n\n{% endif %}{{ m.content }}[/INST]"
                             "{% else %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"},
    {"openchat", "{{ bos_token }}" EACH("{% if m.role != 'system' %}GPT4 Correct {{ m.role | title }}: {% endif %}"
                                        "{{ m.content }}<|end_of_turn|>") ASK("GPT4 Correct Assistant:")},
    {"phi3", EACH("<|{{ m.role }}|>\n{{ m.content }}<|end|>\n") ASK("<|assistant|>\n")},
    {"phi4",
     EACH("<|im_start|>{{ m.role }}<|im_sep|>{{ m.content }}<|im_end|>") ASK("<|im_start|>assistant<|im_sep|>")},
    {"vicuna",
     SPLIT_SYSTEM "{{ bos_token }}{% if system %}{{ system }} {% endif %}"
                  "{% for m in messages %}{% if m.role == 'user' %}USER: {{ m.content }} "
                  "{% else %}ASSISTANT: {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}" ASK("ASSISTANT:")},
    {"zephyr", EACH("<|{{ m.role }}|>\n{{ m.content }}{{ eos_token }}\n") ASK("<|assistant|>\n")},
};

enum { N_TEMPLATES = sizeof templates / sizeof *templates };

const char *mn_named_template(const char *name) {
    for (int i = 0; i < N_TEMPLATES; i++)
        if (strcmp(templates[i].name, name) == 0) return templates[i].source;
    return NULL;
}

const char *mn_named_template_at(int index) { return index >= 0 && index < N_TEMPLATES ? templates[index].name : NULL; }
