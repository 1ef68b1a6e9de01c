"""A decoder of Parrot's shapes with random weights as a GGUF, for llama_cpp.mjs.

    pip install gguf
    python parrot-cli/benches/llama_cpp_model.py parrot-0.5b q8_0 parrot-0.5b.q8_0.gguf

Norms and biases are f32, all else is of the type that is named: f32, f16, bf16, q8_0, q4_0.
"""

import sys

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf.quants import quantize

# vocabulary, width, inner width, layers, heads, key and value heads, whether the head is the embedding table
SHAPES = {
    "parrot-0.5b": (151936, 1024, 2816, 24, 16, 16, True),
    "parrot-7b": (151936, 4096, 11008, 32, 32, 32, False),
}
TYPES = {"f32": Type.F32, "f16": Type.F16, "bf16": Type.BF16, "q8_0": Type.Q8_0, "q4_0": Type.Q4_0}

shape, dtype, path = sys.argv[1:]
vocab, hidden, inner, layers, heads, keys, tied = SHAPES[shape]
random = np.random.default_rng(0)
writer = gguf.GGUFWriter(path, "qwen2", use_temp_file=False)
writer.add_context_length(32768)
writer.add_embedding_length(hidden)
writer.add_block_count(layers)
writer.add_feed_forward_length(inner)
writer.add_head_count(heads)
writer.add_head_count_kv(keys)
writer.add_rope_freq_base(1e6)
writer.add_layer_norm_rms_eps(1e-6)
# Tokens are given by number; nobody reads the words.
writer.add_tokenizer_model("gpt2")
writer.add_tokenizer_pre("qwen2")
writer.add_token_list([f"t{token}" for token in range(vocab)])
writer.add_token_types([gguf.TokenType.NORMAL] * vocab)
writer.add_token_merges(["t 0"])
writer.add_eos_token_id(vocab - 1)


# The same numbers for every tensor of a shape: no more memory than the file takes, and as fast as any others.
numbers = {}


def matrix(name, rows, columns):
    key = (rows, columns)
    if key not in numbers:
        weights = random.standard_normal(key, dtype=np.float32) * np.float32(0.02)
        numbers[key] = weights if dtype == "f32" else quantize(weights, TYPES[dtype])
    writer.add_tensor(name, numbers[key], raw_dtype=TYPES[dtype])


def vector(name, value, length):
    writer.add_tensor(name, np.full(length, value, dtype=np.float32))


matrix("token_embd.weight", vocab, hidden)
vector("output_norm.weight", 1, hidden)
if not tied:
    matrix("output.weight", vocab, hidden)
kv = hidden // heads * keys
for layer in range(layers):
    block = f"blk.{layer}."
    vector(block + "attn_norm.weight", 1, hidden)
    vector(block + "ffn_norm.weight", 1, hidden)
    for name, rows in (("q", hidden), ("k", kv), ("v", kv)):
        matrix(f"{block}attn_{name}.weight", rows, hidden)
        vector(f"{block}attn_{name}.bias", 0, rows)
    matrix(block + "attn_output.weight", hidden, hidden)
    matrix(block + "ffn_gate.weight", inner, hidden)
    matrix(block + "ffn_up.weight", inner, hidden)
    matrix(block + "ffn_down.weight", hidden, inner)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
