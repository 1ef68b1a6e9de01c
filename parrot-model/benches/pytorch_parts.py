"""Parts of Parrot in PyTorch that the peers of `parrot bench` and `parrot-train bench` share, and the named shapes.

Not to be run: parrot-cli/benches/pytorch_answer.py and parrot-train/benches/pytorch_step.py are.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

EXPERTS = 6


@dataclass
class Shape:
    vocab: int
    hidden: int
    inner: int
    layers: int
    heads: int
    keys: int
    theta: float
    tied: bool
    moe_scale: float
    expert_inner: int
    width: int
    patch: int
    pixels: int
    # Those up to the one whose output is used.
    tower_layers: int
    tower_heads: int


SHAPES = {
    "parrot-mini": Shape(4096, 160, 448, 4, 4, 2, 1e4, True, 1.0, 160, 128, 12, 72, 4, 4),
    "parrot-0.5b": Shape(151936, 1024, 2816, 24, 16, 16, 1e6, True, 0.1, 1024, 1024, 14, 336, 23, 16),
    "parrot-7b": Shape(151936, 4096, 11008, 32, 32, 32, 1e6, False, 0.1, 4096, 1024, 14, 336, 23, 16),
    "parrot-14b": Shape(152064, 5120, 13696, 40, 40, 40, 1e6, False, 0.1, 4096, 1024, 14, 336, 23, 16),
}


class TowerLayer(nn.Module):
    def __init__(self, shape):
        super().__init__()
        width = shape.width
        self.heads = shape.tower_heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        batch, positions, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(batch, positions, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, positions, width)
        x = x + self.out(attended)
        y = self.fc1(self.norm2(x))
        return x + self.fc2(y * torch.sigmoid(1.702 * y))


class Tower(nn.Module):
    def __init__(self, shape):
        super().__init__()
        width = shape.width
        self.patches = nn.Conv2d(3, width, shape.patch, shape.patch, bias=False)
        self.cls = nn.Parameter(torch.randn(width))
        self.positions = nn.Parameter(torch.randn((shape.pixels // shape.patch) ** 2 + 1, width))
        self.norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList(TowerLayer(shape) for _ in range(shape.tower_layers))

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


class RmsNorm(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden))

    def forward(self, x):
        wide = x.float()
        return self.weight * (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + 1e-6)).to(x.dtype)


def rotation(positions, size, theta):
    frequencies = theta ** (-torch.arange(0, size, 2, device=positions.device) / size)
    angles = torch.outer(positions.float(), frequencies).repeat(1, 2)
    return angles.cos(), angles.sin()


def rotate(x, cos, sin):
    low, high = x.chunk(2, -1)
    return (x * cos + torch.cat([-high, low], -1) * sin).to(x.dtype)
