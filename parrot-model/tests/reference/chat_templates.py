"""Writes ../chat-templates: small tokenizers and chat templates, and the ids that transformers makes with them.

    pip install transformers tokenizers jinja2
    python parrot-model/tests/reference/chat_templates.py

Each folder has the structure of a family's files (Qwen 2.5, Qwen 3, SmolLM2, Llama 3, Mistral before and since its
tokenizer has tokens for [INST]); words, merges and templates are made here. `cases.json` lists conversations with
their ids, and texts with theirs.
"""

import json
import shutil
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

OUT = Path(__file__).parent.parent / "chat-templates"

CORPUS = [
    "What is shown in the picture? A parrot on a branch, and two small boats by the sea.",
    "You are a helpful assistant. Be brief. The user asks and the assistant answers.",
    "图片里有什么？一只鹦鹉。 Что на картинке? Попугай. 12 + 345 = 357",
    "user assistant system\n\n  two  spaces\t and a tab",
] * 3

CONVERSATIONS = {
    "question": [("user", "What is shown in the picture?")],
    "answered": [("user", "What is this?"), ("assistant", "A parrot.")],
    "two turns": [("user", "图片里有什么？"), ("assistant", "一只鹦鹉。🦜"), ("user", "And now? 12 + 345")],
    "two answers": [
        ("user", "What is this?"),
        ("assistant", "A parrot.\nOn a branch."),
        ("user", "Что это?\n\n  two  spaces"),
        ("assistant", "Попугай, 357"),
    ],
    "system": [("system", "Be brief."), ("user", "What is this?")],
    "system and answer": [("system", "Be brief."), ("user", "What is this?"), ("assistant", "A boat.")],
    "blanks": [("user", "  What is this? \n"), ("assistant", " A parrot. "), ("user", "\tAnd now?")],
}

TEXTS = ["What is this?", " A parrot", "two  spaces\n\n 12345", "图片 🦜 é", "▁", "x"]

QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA_SPLIT = QWEN_SPLIT.replace(r"|\p{N}|", r"|\p{N}{1,3}|")

QWEN25 = """{%- if messages[0]['role'] != 'system' %}
    {{- '<|im_start|>system\\nYou are a parrot. You are helpful.<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

QWEN3 = """{%- set ns = namespace(last=-1) %}
{%- for message in messages %}
    {%- if message.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content if message.content is string else '' %}
    {%- if message.role == 'assistant' %}
        {%- if '</think>' in content %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last %}
            {{- '<|im_start|>assistant\\n<think>\\n\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>assistant\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""

SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a small parrot<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

LLAMA3 = """{{- bos_token }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}
    {{- message['content'] | trim }}
    {{- '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

MISTRAL_OLD = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('user and assistant should take turns') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + message['content'] | trim + eos_token }}{% endif %}{% endfor %}"
)

MISTRAL_NEW = """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"] | trim + eos_token }}
    {%- else %}
        {{- raise_exception("only user and assistant roles are supported") }}
    {%- endif %}
{%- endfor %}
"""


def byte_level(split, normalizer, first_specials, last_specials, ignore_merges=False):
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(split)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=len(first_specials) + 256 + 120,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=first_specials,
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_special_tokens(last_specials)
    return tokenizer


def split(pattern):
    return [
        pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]


def sentence_piece(specials, old):
    """Trains words on text with ▁, then puts them behind the special tokens and the 256 bytes."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    trainer = trainers.BpeTrainer(vocab_size=200, show_progress=False)
    trained.train_from_iterator([text.replace("\n", " ").replace("\t", " ") for text in CORPUS], trainer)
    state = json.loads(trained.to_str())["model"]
    words = sorted(state["vocab"], key=state["vocab"].get)
    order = ["<unk>", "<s>", "</s>", *specials, *(f"<0x{byte:02X}>" for byte in range(256)), *words]
    vocab = {word: index for index, word in enumerate(order)}
    merges = [tuple(merge) for merge in state["merges"]]
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if old:
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", vocab["<s>"])]
    )
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in ["<unk>", "<s>", "</s>", *specials]])
    return tokenizer


def families():
    chatml = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    qwen = byte_level(split(QWEN_SPLIT), normalizers.NFC(), [], chatml)
    yield "qwen2.5", qwen, QWEN25, {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    qwen = byte_level(split(QWEN_SPLIT), normalizers.NFC(), [], chatml)
    qwen.add_tokens([AddedToken(token, normalized=False) for token in ["<think>", "</think>"]])
    yield "qwen3", qwen, QWEN3, {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}

    digits = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    smollm2 = byte_level(digits, None, [*chatml, "<repo_name>"], [])
    tokens = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "unk_token": "<|endoftext|>"}
    yield "smollm2", smollm2, SMOLLM2, tokens

    headers = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    llama3 = byte_level(split(LLAMA_SPLIT), None, [], headers, ignore_merges=True)
    begin = llama3.token_to_id("<|begin_of_text|>")
    template = processors.TemplateProcessing(
        single="<|begin_of_text|> $A",
        pair="<|begin_of_text|> $A <|begin_of_text|> $B",
        special_tokens=[("<|begin_of_text|>", begin)],
    )
    llama3.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    yield "llama3", llama3, LLAMA3, {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"}

    tokens = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    yield "mistral-old", sentence_piece([], old=True), MISTRAL_OLD, tokens
    yield "mistral-new", sentence_piece(["[INST]", "[/INST]"], old=False), MISTRAL_NEW, tokens


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    cases = {}
    for name, tokenizer, template, tokens in families():
        folder = OUT / name
        folder.mkdir(parents=True)
        tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
        config = {**tokens, "chat_template": template}
        (folder / "tokenizer_config.json").write_text(json.dumps(config, ensure_ascii=False, indent=1) + "\n")
        reference = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), **tokens)
        reference.chat_template = template
        conversations = []
        for title, turns in CONVERSATIONS.items():
            messages = [{"role": role, "content": content} for role, content in turns]
            generate = turns[-1][0] == "user"
            try:
                ids = reference.apply_chat_template(messages, add_generation_prompt=generate, return_dict=False)
                refused = None
            except Exception as error:
                ids, refused = None, str(error)
            conversations.append({"title": title, "messages": messages, "ids": ids, "refused": refused})
        texts = [{"text": text, "ids": reference(text)["input_ids"]} for text in TEXTS]
        for text in texts:
            text["decoded"] = reference.decode(text["ids"], skip_special_tokens=True)
        cases[name] = {"conversations": conversations, "texts": texts}
    (OUT / "cases.json").write_text(json.dumps(cases, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
