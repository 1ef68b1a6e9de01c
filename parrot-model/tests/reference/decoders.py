"""Tiny random decoders of every family with what transformers computes with them: the folders of ../golden-decoders.

Made with Python 3.11, torch 2.15.0, transformers 5.24.0, safetensors 0.8.0:

    python decoders.py ../golden-decoders

Each folder is a text model as Hugging Face stores one, and an expected.safetensors beside it:

    input_ids   [tokens]          a prompt
    logits      [tokens, vocab]   of every position
    generated   [new tokens]      greedy ids behind the prompt
"""

import json
import pathlib
import sys

import torch
import transformers
from safetensors.torch import save_file

VOCAB, PROMPT, NEW = 97, 13, 12

SHAPE = dict(
    vocab_size=VOCAB,
    hidden_size=24,
    intermediate_size=40,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
    initializer_range=0.3,
    bos_token_id=1,
    eos_token_id=None,
    pad_token_id=None,
    tie_word_embeddings=False,
)


def rope(theta, **scaling):
    return dict(rope_parameters=dict(rope_theta=theta, **(scaling or dict(rope_type="default"))))


LLAMA3 = dict(
    rope_type="llama3",
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=16,
)

FAMILIES = {
    "qwen2": transformers.Qwen2Config(**SHAPE, **rope(1e6)),
    # The upper layer sees four positions.
    "qwen2-window": transformers.Qwen2Config(
        **SHAPE, **rope(1e4), use_sliding_window=True, sliding_window=4, max_window_layers=1
    ),
    # Heads together wider than the hidden states.
    "qwen3": transformers.Qwen3Config(**SHAPE, **rope(1e6), head_dim=10),
    "llama": transformers.LlamaConfig(**SHAPE, **rope(1e4), attention_bias=True),
    "llama-3.1": transformers.LlamaConfig(**SHAPE, **rope(5e5, **LLAMA3)),
    "smollm2": transformers.LlamaConfig(**{**SHAPE, **rope(1e5), "tie_word_embeddings": True, "num_attention_heads": 3,
                                           "num_key_value_heads": 1}),
    # A window shorter than the prompt, as in version 0.1 of Mistral-7B.
    "mistral": transformers.MistralConfig(**SHAPE, **rope(1e4), sliding_window=5),
    "mistral-full": transformers.MistralConfig(**SHAPE, **rope(1e6), sliding_window=None),
}


def main(out):
    for number, (name, config) in enumerate(FAMILIES.items()):
        torch.manual_seed(number)
        config._attn_implementation = "eager"
        model = transformers.AutoModelForCausalLM.from_config(config).eval()
        with torch.no_grad():
            # Norms and biases begin as ones and zeros, which would hide a mistake.
            for parameter in model.parameters():
                if parameter.dim() == 1:
                    parameter.add_(torch.randn_like(parameter) * 0.2)
            prompt = torch.randint(2, VOCAB, (1, PROMPT))
            logits = model(prompt).logits[0]
            ids = prompt
            for _ in range(NEW):
                ids = torch.cat([ids, model(ids, use_cache=False).logits[:, -1].argmax(-1, keepdim=True)], 1)
        folder = pathlib.Path(out) / name
        model.save_pretrained(folder)
        (folder / "generation_config.json").unlink(missing_ok=True)
        expected = dict(input_ids=prompt[0], logits=logits, generated=ids[0, PROMPT:])
        save_file({key: value.contiguous() for key, value in expected.items()}, folder / "expected.safetensors")
        config = json.loads((folder / "config.json").read_text())
        print(name, config["model_type"], sum(p.numel() for p in model.parameters()), ids[0, PROMPT:].tolist())


if __name__ == "__main__":
    main(sys.argv[1])
