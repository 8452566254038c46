#include "tokenizer/named_template.h"

#include <stddef.h>
#include <string.h>

#define EACH(body) "{% for m in messages %}" body "{% endfor %}"
#define ASK(text) "{% if add_generation_prompt %}" text "{% endif %}"

/* Takes the system message out of `messages` into `system`, for formats that have no turn for it. */
#define SPLIT_SYSTEM                                                                                                   \
    "{% set system = '' %}{% if messages and messages[0].role == 'system' %}"                                          \
    "{% set system = messages[0].content %}{% set messages = messages[1:] %}{% endif %}"

/* Tools as Harmony describes them: functions of a TypeScript namespace. */
#define HARMONY_TOOLS                                                                                                  \
    "{% macro type(p) %}{% if p.enum %}{{ p.enum | map('tojson') | join(' | ') }}"                                     \
    "{% elif p.type == 'array' %}{{ type(p['items'] or {}) }}[]"                                                       \
    "{% elif p.type == 'object' and p.properties %}{{ '{' }}\n{{ fields(p) }}{{ '}' }}"                                \
    "{% elif p.type in ['integer', 'number'] %}number"                                                                 \
    "{% elif p.type is string %}{{ p.type }}{% else %}{{ (p.type or ['any']) | join(' | ') }}{% endif %}"              \
    "{{ ' | null' if p.nullable }}{% endmacro %}"                                                                      \
    "{% macro fields(p) %}{% for name, of in p.properties.items() %}"                                                  \
    "{% if of.description %}// {{ of.description }}\n{% endif %}"                                                      \
    "{{ name }}{{ '?' if name not in (p.required or []) }}: {{ type(of) }},"                                           \
    "{% if of.default is defined %} // default: {{ of.default if of.enum else of.default | tojson }}{% endif %}"       \
    "{{ '\\n' }}{% endfor %}{% endmacro %}"                                                                            \
    "{% macro list(tools) %}# Tools\n\n## functions\n\nnamespace functions {{ '{' }}\n\n{% for tool in tools %}"       \
    "{% set f = tool.function or tool %}{% if f.description %}// {{ f.description }}\n{% endif %}"                     \
    "type {{ f.name }} = {% if f.parameters and f.parameters.properties %}(_: {{ '{' }}\n{{ fields(f.parameters) }}"   \
    "{{ '}' }}) => any;{% else %}() => any;{% endif %}{{ '\\n\\n' }}{% endfor %}{{ '}' }} // namespace functions{% "   \
    "endmacro %}"

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
    {"gpt-oss", SPLIT_SYSTEM HARMONY_TOOLS
     "<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\nKnowledge cutoff: "
     "2024-06\n\n"
     "Reasoning: medium\n\n# Valid channels: analysis, commentary, final. Channel must be included for every message."
     "{% if tools %}{{ '\\n' }}Calls to these tools must go to the commentary channel: 'functions'.{% endif %}<|end|>"
     "{% if system or tools %}<|start|>developer<|message|>{% if system %}# Instructions\n\n{{ system }}{% endif %}"
     "{% if tools %}{{ '\\n\\n' if system }}{{ list(tools) }}{% endif %}<|end|>{% endif %}"
     "{% set called = namespace(name='') %}"
     "{% for m in messages %}{% if m.role == 'user' %}<|start|>user<|message|>{{ m.content }}<|end|>"
     "{% elif m.role == 'tool' %}<|start|>functions.{{ m.name or called.name }} to=assistant<|channel|>commentary"
     "<|message|>{{ m.content }}<|end|>"
     "{% else %}{% if m.content or not m.tool_calls %}<|start|>assistant<|channel|>"
     "{{ 'commentary' if m.tool_calls else 'final' }}<|message|>{{ m.content }}<|end|>{% endif %}"
     "{% for call in m.tool_calls or [] %}{% set f = call.function or call %}{% set called.name = f.name %}"
     "<|start|>assistant to=functions.{{ f.name }}<|channel|>commentary json<|message|>"
     "{{ f.arguments if f.arguments is string else f.arguments | tojson }}<|call|>{% endfor %}{% endif %}"
     "{% endfor %}" ASK("<|start|>assistant")},
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
    {"rwkv-world", EACH("{{ {'system': 'System', 'user': 'User'}.get(m.role, 'Assistant') }}: {{ m.content | trim }}"
                        "\n\n") ASK("Assistant:")},
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
