"""The step that `parrot-train bench` times, in PyTorch: the same shapes, batch, losses, clipping and AdamW.

    pip install torch
    python parrot-train/benches/pytorch_step.py --stage 2
    cargo run --release --bin parrot-train -- bench --stage 2 --device cpu

    python parrot-train/benches/pytorch_step.py --model parrot-0.5b --stage 1 --micro-batches 2 --micro-batch-size 1
    cargo run --release --bin parrot-train -- bench --model parrot-0.5b --stage 1 --micro-batches 2 --micro-batch-size 1

Run the two by turns: machines that others use as well change from minute to minute. Weights are random; the
vision tower is frozen and runs without a tape, as in both of the paper's stages.
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


class Moe(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.scale = shape.moe_scale
        self.router = nn.Linear(shape.hidden, EXPERTS, bias=False)
        self.experts = nn.ModuleList(SwiGlu(shape.hidden, shape.expert_inner) for _ in range(EXPERTS))

    def forward(self, visual, text):
        weights = torch.softmax(visual[:, :1] @ text.transpose(1, 2) / math.sqrt(visual.shape[-1]), -1)
        routing = torch.softmax(self.router((weights @ text)[:, 0]), -1)
        outputs = torch.stack([expert(visual) for expert in self.experts], 1)
        return (routing[:, :, None, None] * outputs).sum(1) + self.scale * visual


class DecoderLayer(nn.Module):
    def __init__(self, shape):
        super().__init__()
        hidden, size = shape.hidden, shape.hidden // shape.heads
        self.theta, self.heads, self.keys = shape.theta, shape.heads, shape.keys
        self.norm1, self.norm2 = RmsNorm(hidden), RmsNorm(hidden)
        self.q, self.out = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden, bias=False)
        self.k, self.v = nn.Linear(hidden, shape.keys * size), nn.Linear(hidden, shape.keys * size)
        self.mlp = SwiGlu(hidden, shape.inner)

    def forward(self, x):
        batch, positions, hidden = x.shape
        y = self.norm1(x)
        split = lambda z, count: z.view(batch, positions, count, -1).transpose(1, 2)
        q, k, v = split(self.q(y), self.heads), split(self.k(y), self.keys), split(self.v(y), self.keys)
        cos, sin = rotation(torch.arange(positions, device=x.device), q.shape[-1], self.theta)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        shared = self.heads // self.keys
        k, v = k.repeat_interleave(shared, 1), v.repeat_interleave(shared, 1)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(attended.transpose(1, 2).reshape(batch, positions, hidden))
        return x + self.mlp(self.norm2(x))


class Parrot(nn.Module):
    def __init__(self, shape):
        super().__init__()
        hidden = shape.hidden
        self.tower = Tower(shape)
        self.projector = nn.Sequential(nn.Linear(shape.width, hidden), nn.GELU(), nn.Linear(hidden, hidden))
        self.moe = Moe(shape)
        self.embed = nn.Embedding(shape.vocab, hidden)
        self.layers = nn.ModuleList(DecoderLayer(shape) for _ in range(shape.layers))
        self.norm = RmsNorm(hidden)

    def loss(self, pixels, ids, labels, use_moe):
        with torch.no_grad():
            features = self.tower(pixels)
        visual, text = self.projector(features), self.embed(ids)
        if use_moe:
            visual = self.moe(visual, text[:, : ids.shape[1] // 2])
        x = torch.cat([visual, text], 1)
        for layer in self.layers:
            x = layer(x)
        # Only positions that have something to learn meet the vocabulary, as in parrot-train.
        none = torch.full((len(ids), visual.shape[1]), -100, device=ids.device)
        labels = torch.cat([none, labels], 1)[:, 1:]
        learnt = labels != -100
        logits = self.norm(x)[:, :-1][learnt] @ self.embed.weight.T
        return F.cross_entropy(logits.float(), labels[learnt])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=SHAPES, default="parrot-mini")
    parser.add_argument("--stage", type=int, choices=[1, 2], default=2)
    parser.add_argument("--micro-batches", type=int, default=4)
    parser.add_argument("--micro-batch-size", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32", help="of the weights; no master weights here")
    parser.add_argument("--compile", action="store_true", help="torch.compile the loss")
    arguments = parser.parse_args()

    torch.manual_seed(0)
    shape = SHAPES[arguments.model]
    device, dtype = arguments.device, torch.bfloat16 if arguments.dtype == "bf16" else torch.float32
    torch.set_default_dtype(dtype)
    with torch.device(device):
        model = Parrot(shape)
    torch.set_default_dtype(torch.float32)
    model.tower.requires_grad_(False)
    if arguments.stage == 1:
        model.requires_grad_(False)
        model.projector.requires_grad_(True)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-6, weight_decay=0.0)
    loss_of = torch.compile(model.loss) if arguments.compile else model.loss
    size, tokens = arguments.micro_batch_size, arguments.tokens

    def micro_batch():
        ids = torch.randint(0, shape.vocab, (size, tokens), device=device)
        labels = ids.clone()
        labels[:, : tokens // 2] = -100
        return torch.randn(size, 3, shape.pixels, shape.pixels, device=device, dtype=dtype), ids, labels

    micro_batches = [micro_batch() for _ in range(arguments.micro_batches)]
    seconds = []
    for step in range(arguments.steps + 2):
        started = time.perf_counter()
        optimizer.zero_grad()
        for pixels, ids, labels in micro_batches:
            (loss_of(pixels, ids, labels, arguments.stage == 2) / arguments.micro_batches).backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        if step >= 2:
            seconds.append(time.perf_counter() - started)
    median = statistics.median(seconds)
    samples = size * arguments.micro_batches
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads, stage {arguments.stage}: {samples} samples a step "
          f"in {median:.3f} s ({min(seconds):.3f} to {max(seconds):.3f})\n{samples / median:.1f} samples/s")


if __name__ == "__main__":
    main()
