"""The step that `parrot-train bench` times, in PyTorch: the same shapes, batch, losses, clipping and AdamW.

    pip install torch
    python parrot-train/benches/pytorch_step.py --stage 2
    cargo run --release -p parrot-train -- bench --stage 2 --device cpu

Run the two by turns: machines that others use as well change from minute to minute. Weights are random; the
vision tower is frozen and runs without a tape, as in both of the paper's stages.
"""

import argparse
import math
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn

VOCAB, HIDDEN, INNER, LAYERS, HEADS, KEYS = 4096, 160, 448, 4, 4, 2
WIDTH, PATCH, PIXELS, TOWER_LAYERS, TOWER_HEADS = 128, 12, 72, 4, 4
EXPERTS, EXPERT_INNER = 6, 160


class TowerLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.fc1, self.fc2 = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        batch, positions, _ = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(batch, positions, 3, TOWER_HEADS, -1).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, positions, WIDTH)
        x = x + self.out(attended)
        y = self.fc1(self.norm2(x))
        return x + self.fc2(y * torch.sigmoid(1.702 * y))


class Tower(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, PATCH, PATCH, bias=False)
        self.cls = nn.Parameter(torch.randn(WIDTH))
        self.positions = nn.Parameter(torch.randn((PIXELS // PATCH) ** 2 + 1, WIDTH))
        self.norm = nn.LayerNorm(WIDTH)
        self.layers = nn.ModuleList(TowerLayer() for _ in range(TOWER_LAYERS))

    def forward(self, pixels):
        x = self.patches(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(len(x), 1, -1), x], 1) + self.positions
        x = self.norm(x)
        for layer in self.layers:
            x = layer(x)
        return x


class SwiGlu(nn.Module):
    def __init__(self, width, inner):
        super().__init__()
        self.gate, self.up = nn.Linear(width, inner, bias=False), nn.Linear(width, inner, bias=False)
        self.down = nn.Linear(inner, width, bias=False)

    def forward(self, x):
        return self.down(F.silu(self.gate(x)) * self.up(x))


class Moe(nn.Module):
    def __init__(self):
        super().__init__()
        self.router = nn.Linear(HIDDEN, EXPERTS, bias=False)
        self.experts = nn.ModuleList(SwiGlu(HIDDEN, EXPERT_INNER) for _ in range(EXPERTS))

    def forward(self, visual, text):
        weights = torch.softmax(visual[:, :1] @ text.transpose(1, 2) / math.sqrt(HIDDEN), -1)
        routing = torch.softmax(self.router((weights @ text)[:, 0]), -1)
        outputs = torch.stack([expert(visual) for expert in self.experts], 1)
        return (routing[:, :, None, None] * outputs).sum(1) + visual


class RmsNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(HIDDEN))

    def forward(self, x):
        return self.weight * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)


def rotate(x):
    positions, size = x.shape[-2], x.shape[-1]
    frequencies = 10000.0 ** (-torch.arange(0, size, 2) / size)
    angles = torch.outer(torch.arange(positions), frequencies).repeat(1, 2)
    low, high = x.chunk(2, -1)
    return x * angles.cos() + torch.cat([-high, low], -1) * angles.sin()


class DecoderLayer(nn.Module):
    def __init__(self):
        super().__init__()
        size = HIDDEN // HEADS
        self.norm1, self.norm2 = RmsNorm(), RmsNorm()
        self.q, self.k, self.v = nn.Linear(HIDDEN, HIDDEN), nn.Linear(HIDDEN, KEYS * size), nn.Linear(HIDDEN, KEYS * size)
        self.out, self.mlp = nn.Linear(HIDDEN, HIDDEN, bias=False), SwiGlu(HIDDEN, INNER)

    def forward(self, x):
        batch, positions, _ = x.shape
        y = self.norm1(x)
        heads = lambda z, count: z.view(batch, positions, count, -1).transpose(1, 2)
        q, k, v = rotate(heads(self.q(y), HEADS)), rotate(heads(self.k(y), KEYS)), heads(self.v(y), KEYS)
        k, v = k.repeat_interleave(HEADS // KEYS, 1), v.repeat_interleave(HEADS // KEYS, 1)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(attended.transpose(1, 2).reshape(batch, positions, HIDDEN))
        return x + self.mlp(self.norm2(x))


class Parrot(nn.Module):
    def __init__(self):
        super().__init__()
        self.tower = Tower()
        self.projector = nn.Sequential(nn.Linear(WIDTH, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, HIDDEN))
        self.moe = Moe()
        self.embed = nn.Embedding(VOCAB, HIDDEN)
        self.layers = nn.ModuleList(DecoderLayer() for _ in range(LAYERS))
        self.norm = RmsNorm()

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
        labels = torch.cat([torch.full((len(ids), visual.shape[1]), -100), labels], 1)[:, 1:]
        learnt = labels != -100
        logits = self.norm(x)[:, :-1][learnt] @ self.embed.weight.T
        return F.cross_entropy(logits, labels[learnt])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", type=int, choices=[1, 2], default=2)
    parser.add_argument("--micro-batches", type=int, default=4)
    parser.add_argument("--micro-batch-size", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--compile", action="store_true", help="torch.compile the loss")
    arguments = parser.parse_args()

    torch.manual_seed(0)
    model = Parrot()
    model.tower.requires_grad_(False)
    if arguments.stage == 1:
        model.requires_grad_(False)
        model.projector.requires_grad_(True)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-6, weight_decay=0.0)
    loss_of = torch.compile(model.loss) if arguments.compile else model.loss
    size, tokens = arguments.micro_batch_size, arguments.tokens

    def micro_batch():
        ids = torch.randint(0, VOCAB, (size, tokens))
        labels = ids.clone()
        labels[:, : tokens // 2] = -100
        return torch.randn(size, 3, PIXELS, PIXELS), ids, labels

    micro_batches = [micro_batch() for _ in range(arguments.micro_batches)]
    seconds = []
    for step in range(arguments.steps + 2):
        started = time.perf_counter()
        optimizer.zero_grad()
        for pixels, ids, labels in micro_batches:
            (loss_of(pixels, ids, labels, arguments.stage == 2) / arguments.micro_batches).backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if step >= 2:
            seconds.append(time.perf_counter() - started)
    median = statistics.median(seconds)
    samples = size * arguments.micro_batches
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads, stage {arguments.stage}: {samples} samples a step "
          f"in {median:.3f} s ({min(seconds):.3f} to {max(seconds):.3f})\n{samples / median:.1f} samples/s")


if __name__ == "__main__":
    main()
