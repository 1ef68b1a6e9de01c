"""A Parrot for transformers 4.39 and later, written beside its weights by `parrot-train export --transformers`.

    import torch
    from PIL import Image
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = "my-run/model"
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
    model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True, torch_dtype=torch.float32)
    print(model.answer(tokenizer, "What is this?", Image.open("picture.png")))

It needs nothing but torch, transformers, numpy and Pillow. What the tower computes and how a picture becomes pixels stands in
config.json (`mm_vision_config`, `mm_image_processor`), so that the folder can be moved or uploaded as it is.
"""

import math

import numpy as np
import torch
import transformers
from torch import nn
from torch.nn import functional as F

IMAGE_TOKEN_INDEX = -200
"""Stands in `input_ids` where an image goes."""

SYSTEM_PROMPT = "You are a helpful assistant."


class Attention(nn.Module):
    def __init__(self, vision):
        super().__init__()
        hidden = vision["hidden_size"]
        self.heads = vision["num_attention_heads"]
        self.q_proj, self.k_proj = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)
        self.v_proj, self.out_proj = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)

    def forward(self, x):
        heads = lambda y: y.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        queries, keys, values = heads(self.q_proj(x)), heads(self.k_proj(x)), heads(self.v_proj(x))
        context = F.scaled_dot_product_attention(queries, keys, values)
        return self.out_proj(context.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    def __init__(self, vision):
        super().__init__()
        self.fc1 = nn.Linear(vision["hidden_size"], vision["intermediate_size"])
        self.fc2 = nn.Linear(vision["intermediate_size"], vision["hidden_size"])
        self.act = {
            "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
            "gelu": F.gelu,
            "gelu_pytorch_tanh": lambda x: F.gelu(x, approximate="tanh"),
        }[vision["hidden_act"]]

    def forward(self, x):
        return self.fc2(self.act(self.fc1(x)))


class EncoderLayer(nn.Module):
    def __init__(self, vision):
        super().__init__()
        norm = lambda: nn.LayerNorm(vision["hidden_size"], eps=vision["layer_norm_eps"])
        self.layer_norm1, self.self_attn = norm(), Attention(vision)
        self.layer_norm2, self.mlp = norm(), FeedForward(vision)

    def forward(self, x):
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class Encoder(nn.Module):
    def __init__(self, vision):
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(vision) for _ in range(vision["stored_layers"]))


class Embeddings(nn.Module):
    def __init__(self, vision):
        super().__init__()
        hidden, patch = vision["hidden_size"], vision["patch_size"]
        patches = (vision["image_size"] // patch) ** 2
        class_token = vision["class_token"]
        if class_token:
            self.class_embedding = nn.Parameter(torch.zeros(hidden))
        self.patch_embedding = nn.Conv2d(3, hidden, patch, stride=patch, bias=not class_token)
        self.position_embedding = nn.Embedding(patches + int(class_token), hidden)

    def forward(self, pixel_values):
        embedded = self.patch_embedding(pixel_values).flatten(2).transpose(1, 2)
        if hasattr(self, "class_embedding"):
            first = self.class_embedding.expand(len(embedded), 1, -1)
            embedded = torch.cat([first, embedded], dim=1)
        return embedded + self.position_embedding.weight


class VisionModel(nn.Module):
    def __init__(self, vision):
        super().__init__()
        norm = lambda: nn.LayerNorm(vision["hidden_size"], eps=vision["layer_norm_eps"])
        self.vision = vision
        self.embeddings, self.encoder = Embeddings(vision), Encoder(vision)
        if vision["class_token"]:
            self.pre_layrnorm = norm()
        # Of no use to a Parrot, but among its weights.
        self.post_layernorm = norm()

    def forward(self, pixel_values):
        x = self.embeddings(pixel_values)
        if self.vision["class_token"]:
            x = self.pre_layrnorm(x)
        for layer in self.encoder.layers[: self.vision["run_layers"]]:
            x = layer(x)
        return x[:, 1:] if self.vision["drop_class_token"] else x


class Nested(nn.Module):
    """One more level in the names of weights."""

    def __init__(self, name, module):
        super().__init__()
        self.add_module(name, module)


def projector(config, width):
    kind, hidden = config.mm_projector_type, config.hidden_size
    if kind == "identity":
        return nn.Identity()
    if kind == "linear":
        return nn.Linear(width, hidden)
    depth = int(kind[len("mlp") : -len("x_gelu")])
    layers = [nn.Linear(width, hidden)]
    for _ in range(1, depth):
        layers += [nn.GELU(), nn.Linear(hidden, hidden)]
    return nn.Sequential(*layers)


class Expert(nn.Module):
    def __init__(self, hidden, intermediate):
        super().__init__()
        self.gate_proj = nn.Linear(hidden, intermediate, bias=False)
        self.up_proj = nn.Linear(hidden, intermediate, bias=False)
        self.down_proj = nn.Linear(intermediate, hidden, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class TextGuidedMoe(nn.Module):
    """The question's text weighs the experts: Eq. 2 to 5 of the paper, as its released code has them."""

    def __init__(self, config):
        super().__init__()
        hidden = config.moe_hidden_size
        self.gate = nn.Linear(hidden, config.num_experts, bias=False)
        experts = (Expert(hidden, config.moe_intermediate_size) for _ in range(config.num_experts))
        self.experts = nn.ModuleList(experts)
        self.residual = config.moe_weight if config.use_moe_residual else 0.0

    def forward(self, features, text):
        # features: [tokens, hidden], text: [text, hidden]
        scores = features[:1] @ text.T / math.sqrt(features.shape[-1])
        weights = self.gate(scores.softmax(-1) @ text).softmax(-1)[0]
        mixed = sum(weight * expert(features) for weight, expert in zip(weights, self.experts))
        return mixed + self.residual * features


class Parrot:
    """What a Parrot has beside its decoder; the classes at the end of this file are both."""

    def __init__(self, config, *args, **kwargs):
        super().__init__(config, *args, **kwargs)
        vision = config.mm_vision_config
        tower = Nested("vision_model", VisionModel(vision))
        self.model.vision_tower = Nested("vision_tower", tower)
        self.model.mm_projector = projector(config, vision["hidden_size"])
        if getattr(config, "moe_hidden_size", None):
            self.model.moe_model = TextGuidedMoe(config)
        self.post_init()

    def embed(self, input_ids, pixel_values):
        """`[1, seq, hidden]`: the prompt's embeddings, images in the place of their placeholders."""
        if input_ids.shape[0] != 1:
            raise ValueError(f"one prompt at a time with images, found {input_ids.shape[0]}")
        ids = input_ids[0]
        places = (ids == IMAGE_TOKEN_INDEX).nonzero().flatten().tolist()
        if len(places) != len(pixel_values):
            raise ValueError(f"the prompt has {len(places)} places for images, found {len(pixel_values)} images")
        text = self.get_input_embeddings()(ids[ids != IMAGE_TOKEN_INDEX])
        tower = self.model.vision_tower.vision_tower.vision_model
        features = self.model.mm_projector(tower(pixel_values.to(text.dtype)))
        if self.config.use_moe and hasattr(self.model, "moe_model"):
            features = [self.model.moe_model(image, text) for image in features]
        pieces, done = [], 0
        for index, (place, image) in enumerate(zip(places, features)):
            pieces += [text[done : place - index], image]
            done = place - index
        return torch.cat(pieces + [text[done:]])[None]

    def forward(self, input_ids=None, images=None, inputs_embeds=None, **kwargs):
        if images is not None and inputs_embeds is None:
            inputs_embeds, input_ids = self.embed(input_ids, images), None
        return super().forward(input_ids=input_ids, inputs_embeds=inputs_embeds, **kwargs)

    @torch.no_grad()
    def generate(self, inputs=None, images=None, **kwargs):
        """As transformers has it; with `images` (`[images, 3, size, size]`) only the new tokens come back."""
        if images is None:
            return super().generate(inputs, **kwargs)
        embeds = self.embed(inputs, images)
        mask = torch.ones(embeds.shape[:2], dtype=torch.long, device=embeds.device)
        return super().generate(inputs_embeds=embeds, attention_mask=mask, **kwargs)

    def preprocess(self, image):
        """`[3, size, size]`: what the tower is to see of a Pillow image."""
        from PIL import Image, ImageOps

        how = self.config.mm_image_processor
        mean, std = how["image_mean"], how["image_std"]
        image = ImageOps.exif_transpose(image).convert("RGB")
        if getattr(self.config, "image_aspect_ratio", None) == "pad" and image.width != image.height:
            side = max(image.size)
            square = Image.new("RGB", (side, side), tuple(int(channel * 255) for channel in mean))
            square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
            image = square
        size, crop = how["size"], self.config.mm_vision_config["image_size"]
        if "shortest_edge" in size:
            edge, short = size["shortest_edge"], min(image.size)
            target = tuple(edge * length // short for length in image.size)
        else:
            target = (size["width"], size["height"])
        image = image.resize(target, resample=how["resample"])
        left, top = (image.width - crop) // 2, (image.height - crop) // 2
        image = image.crop((left, top, left + crop, top + crop))
        pixels = (np.asarray(image).astype(np.float64) * (1 / 255)).astype(np.float32)
        pixels = (pixels - np.float32(mean)) / np.float32(std)
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous().to(self.device)

    def prompt(self, tokenizer, question, images):
        """`[1, seq]`: ChatML, each image on a line of its own before the question."""
        control = {token: tokenizer.convert_tokens_to_ids(token) for token in ("<|im_start|>", "<|im_end|>")}
        if None in control.values():
            raise ValueError("the tokenizer has no ChatML tokens: lay the prompt out and call `generate`")
        start, end = control.values()
        text = lambda text: tokenizer(text, add_special_tokens=False)["input_ids"]
        ids = [start, *text(f"system\n{SYSTEM_PROMPT}"), end, *text("\n"), start]
        before = "user\n"
        for _ in range(images):
            ids += [*text(before), IMAGE_TOKEN_INDEX]
            before = "\n"
        ids += [*text(before + question), end, *text("\n"), start, *text("assistant\n")]
        return torch.tensor([ids], device=self.device)

    def answer(self, tokenizer, question, *images, max_new_tokens=512, **kwargs):
        """The most likely answer to a question about Pillow images."""
        ends = getattr(self.generation_config, "eos_token_id", None) or self.config.eos_token_id or []
        ends = list(ends) if isinstance(ends, (list, tuple)) else [ends]
        ends.append(tokenizer.convert_tokens_to_ids("<|im_end|>"))
        how = {"do_sample": False, "eos_token_id": ends, "pad_token_id": ends[0], **kwargs}
        ids = self.prompt(tokenizer, question, len(images))
        if images:
            pixels = torch.stack([self.preprocess(image) for image in images])
            tokens = self.generate(ids, images=pixels, max_new_tokens=max_new_tokens, **how)[0]
        else:
            mask = torch.ones_like(ids)
            tokens = self.generate(ids, attention_mask=mask, max_new_tokens=max_new_tokens, **how)[0]
            tokens = tokens[ids.shape[1] :]
        return tokenizer.decode(tokens, skip_special_tokens=True).strip()


def family(name):
    """A decoder's family as a Parrot, if this version of transformers knows it."""
    config = getattr(transformers, f"{name}Config", None)
    decoder = getattr(transformers, f"{name}ForCausalLM", None)
    if config is None or decoder is None:
        return {}
    body = {"model_type": f"parrot_{config.model_type}", "__module__": __name__}
    config = type(f"Parrot{name}Config", (config,), body)
    body = {"config_class": config, "__module__": __name__}
    model = type(f"Parrot{name}ForCausalLM", (Parrot, decoder), body)
    return {config.__name__: config, model.__name__: model}


for _name in ("Qwen2", "Qwen3", "Llama", "Mistral"):
    globals().update(family(_name))
