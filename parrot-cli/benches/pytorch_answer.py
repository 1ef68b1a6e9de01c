"""The phases that `parrot bench` times, in PyTorch: the same shapes, prompt and greedy answer, eager or compiled.

    pip install torch
    python parrot-cli/benches/pytorch_answer.py
    cargo run --release -- bench --device cpu

    python parrot-cli/benches/pytorch_answer.py --model parrot-7b --device cuda --dtype bf16
    python parrot-cli/benches/pytorch_answer.py --model parrot-7b --device cuda --dtype bf16 --compile
    cargo run --release --features cuda -- bench --model parrot-7b --device cuda --dtype bf16

    parrot bench --vs 'python parrot-cli/benches/pytorch_answer.py'

The last runs both by turns: machines that others use as well change from minute to minute. Weights are random. The picture is
not prepared here, `parrot bench` lists that by itself; its "first token" includes it.
"""

import argparse
import math
import statistics
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

sys.path.append(str(Path(__file__).parents[2] / "parrot-model/benches"))
from pytorch_parts import EXPERTS, SHAPES, RmsNorm, SwiGlu, Tower, rotate, rotation  # noqa: E402


class Encoder(nn.Module):
    """Projector and experts: all that depends on the picture alone."""

    def __init__(self, shape):
        super().__init__()
        hidden = shape.hidden
        self.projector = nn.Sequential(nn.Linear(shape.width, hidden), nn.GELU(), nn.Linear(hidden, hidden))
        self.experts = nn.ModuleList(SwiGlu(hidden, shape.expert_inner) for _ in range(EXPERTS))

    def forward(self, features):
        visual = self.projector(features)
        return visual, torch.stack([expert(visual) for expert in self.experts], 1)


class DecoderLayer(nn.Module):
    def __init__(self, shape):
        super().__init__()
        hidden, size = shape.hidden, shape.hidden // shape.heads
        self.heads, self.keys = shape.heads, shape.keys
        self.norm1, self.norm2 = RmsNorm(hidden), RmsNorm(hidden)
        self.q, self.out = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden, bias=False)
        self.k, self.v = nn.Linear(hidden, shape.keys * size), nn.Linear(hidden, shape.keys * size)
        self.mlp = SwiGlu(hidden, shape.inner)

    def forward(self, x, cache, positions, cos, sin):
        batch, seq, hidden = x.shape
        y = self.norm1(x)
        split = lambda z, count: z.view(batch, seq, count, -1).transpose(1, 2)
        q, k, v = split(self.q(y), self.heads), split(self.k(y), self.keys), split(self.v(y), self.keys)
        cache[0].index_copy_(2, positions, rotate(k, cos, sin))
        cache[1].index_copy_(2, positions, v)
        # The whole cache, so that nothing changes its shape; what has not come yet is masked.
        mask = torch.arange(cache.shape[3], device=x.device) <= positions[:, None]
        shared = self.heads // self.keys
        k, v = (part.repeat_interleave(shared, 1) if shared > 1 else part for part in cache)
        attended = F.scaled_dot_product_attention(rotate(q, cos, sin), k, v, attn_mask=mask)
        x = x + self.out(attended.transpose(1, 2).reshape(batch, seq, hidden))
        return x + self.mlp(self.norm2(x))


class Decoder(nn.Module):
    def __init__(self, shape):
        super().__init__()
        hidden = shape.hidden
        self.shape = shape
        self.router = nn.Linear(hidden, EXPERTS, bias=False)
        self.embed = nn.Embedding(shape.vocab, hidden)
        self.layers = nn.ModuleList(DecoderLayer(shape) for _ in range(shape.layers))
        self.norm = RmsNorm(hidden)
        self.head = nn.Linear(hidden, shape.vocab, bias=False)
        if shape.tied:
            self.head.weight = self.embed.weight

    def cache(self, capacity, device, dtype):
        shape = self.shape
        size = shape.hidden // shape.heads
        return torch.zeros(shape.layers, 2, 1, shape.keys, capacity, size, device=device, dtype=dtype)

    def next_id(self, x, cache, positions):
        cos, sin = rotation(positions, self.shape.hidden // self.shape.heads, self.shape.theta)
        for layer, layer_cache in zip(self.layers, cache):
            x = layer(x, layer_cache, positions, cos, sin)
        return self.head(self.norm(x[:, -1])).float().argmax(-1)

    def prefill(self, visual, outputs, ids, cache, positions):
        text = self.embed(ids)
        scores = visual[:, :1] @ text.transpose(1, 2) / math.sqrt(visual.shape[-1])
        routing = torch.softmax(self.router((torch.softmax(scores, -1) @ text)[:, 0]), -1)
        visual = (routing[:, :, None, None] * outputs).sum(1) + self.shape.moe_scale * visual
        return self.next_id(torch.cat([visual, text], 1), cache, positions)

    def step(self, id, cache, position):
        return self.next_id(self.embed(id)[:, None], cache, position)


def build(part, shape, device, dtype):
    """Straight onto the device and in its dtype: 7B in f32 in main memory would take 31 GB."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    with torch.device(device):
        module = part(shape).eval().requires_grad_(False)
    torch.set_default_dtype(before)
    return module


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=SHAPES, default="parrot-mini")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=["f32", "f16", "bf16"], default="f32")
    parser.add_argument("--prompt-tokens", type=int, default=60)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--compile", action="store_true", help="torch.compile every phase")
    arguments = parser.parse_args()

    torch.manual_seed(0)
    shape, device = SHAPES[arguments.model], torch.device(arguments.device)
    dtype = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}[arguments.dtype]
    tower, encoder, decoder = (build(part, shape, device, dtype) for part in (Tower, Encoder, Decoder))
    compiled = lambda function: function
    if arguments.compile:
        # CUDA graphs where there are some: a decoding step is many small kernels.
        compiled = lambda function: torch.compile(function, mode="reduce-overhead" if device.type == "cuda" else None)
    see, encode = compiled(tower.forward), compiled(encoder.forward)
    prefill, step = compiled(decoder.prefill), compiled(decoder.step)

    def synchronize():
        if device.type == "cuda":
            torch.cuda.synchronize()

    def report(name, seconds, note=""):
        low, high = 1e3 * min(seconds), 1e3 * max(seconds)
        print(f"| {name} | {1e3 * statistics.median(seconds):.2f} ms | {low:.2f} ms | {high:.2f} ms | {note} |")

    def timed(work):
        seconds = []
        for run in range(arguments.warmup + arguments.repeats):
            synchronize()
            started = time.perf_counter()
            work()
            synchronize()
            if run >= arguments.warmup:
                seconds.append(time.perf_counter() - started)
        return seconds

    pixels = torch.randn(1, 3, shape.pixels, shape.pixels, device=device, dtype=dtype)
    ids = torch.randint(0, shape.vocab, (1, arguments.prompt_tokens), device=device)
    tokens = (shape.pixels // shape.patch) ** 2 + 1 + arguments.prompt_tokens
    positions = torch.arange(tokens, device=device)
    cache = decoder.cache(tokens + arguments.new_tokens - 1, device, dtype)

    print(f"PyTorch {torch.__version__}, {'compiled' if arguments.compile else 'eager'}, {arguments.model}, "
          f"{device}, {arguments.dtype}, {torch.get_num_threads()} threads\n")
    print("| phase | median | fastest | slowest | |\n|---|--:|--:|--:|---|")
    with torch.inference_mode():
        report("vision", timed(lambda: see(pixels)))
        features = see(pixels).clone()
        report("projector + experts", timed(lambda: encode(features)))
        visual, outputs = (part.clone() for part in encode(features))

        first, rest = [], []
        for run in range(arguments.warmup + arguments.repeats):
            synchronize()
            started = time.perf_counter()
            id = prefill(visual, outputs, ids, cache, positions).clone()
            id.item()
            prefilled = time.perf_counter()
            for new in range(arguments.new_tokens - 1):
                id = step(id, cache, positions[-1:] + 1 + new).clone()
                # Whether it is the last one has to be known before the next step.
                id.item()
            if run >= arguments.warmup:
                first.append(prefilled - started)
                rest.append((time.perf_counter() - prefilled) / max(arguments.new_tokens - 1, 1))
        report("prefill", first)
        report("first token", timed(lambda: prefill(*encode(see(pixels)), ids, cache, positions).item()))
        report("decode", rest, f"{1 / statistics.median(rest):.1f} tokens/s")
    if device.type == "cuda":
        print(f"\nthe device's memory held {torch.cuda.max_memory_allocated() / 1e9:.2f} GB at most")


if __name__ == "__main__":
    main()
