"""Tiny random vision towers of every family, and what transformers computes with them.

    python towers.py ../golden-towers

Writes one folder per family: `config.json`, `model.safetensors` and `preprocessor_config.json` as transformers saves
them, and `expected.safetensors` with the pixels that the family's image processor makes of `golden-pre/wide.png` and
`golden-pre/tall.png` and every hidden state that the tower makes of these pixels. `tests/towers.rs` compares.

Made with Python 3.11, torch 2.15.0, torchvision 0.29.2, transformers 5.24.0, safetensors 0.8.0, Pillow 12.0.0. Since 13
Pillow begins with the columns of a tall picture where that is less work, and rounds otherwise; the towers were trained
with older ones.
"""

import sys
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import (
    ChineseCLIPConfig,
    ChineseCLIPModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    SiglipConfig,
    SiglipModel,
    SiglipVisionConfig,
    SiglipVisionModel,
)
from transformers.models.chinese_clip.image_processing_pil_chinese_clip import ChineseCLIPImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

PICTURES = ["wide.png", "tall.png"]
SHAPE = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2}
TEXT = {"hidden_size": 4, "intermediate_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 8}


def clip():
    """A tower alone; the processor scales the shorter side and crops."""
    config = CLIPVisionConfig(**SHAPE, image_size=24, patch_size=8)
    processor = CLIPImageProcessorPil(size={"shortest_edge": 24}, crop_size={"height": 24, "width": 24})
    return CLIPVisionModel(config), processor


def chinese_clip():
    """Inside the whole model, as its checkpoints come; their processor distorts to a square and does not crop."""
    vision = {**SHAPE, "image_size": 24, "patch_size": 8}
    text = {**TEXT, "max_position_embeddings": 4}
    config = ChineseCLIPConfig(vision_config=vision, text_config=text, projection_dim=4)
    processor = ChineseCLIPImageProcessorPil(size={"height": 24, "width": 24}, do_center_crop=False)
    return ChineseCLIPModel(config), processor


def siglip():
    """A tower alone, whose patches leave a rim of the picture unused, as 384 pixels in patches of 14 do."""
    config = SiglipVisionConfig(**SHAPE, image_size=27, patch_size=8)
    return SiglipVisionModel(config), SiglipImageProcessorPil(size={"height": 27, "width": 27})


def siglip2():
    """Fixed resolution: SigLIP's own architecture and names, but the processor resizes bilinearly."""
    vision = {**SHAPE, "image_size": 24, "patch_size": 8}
    text = {**TEXT, "max_position_embeddings": 4, "projection_size": 4}
    config = SiglipConfig(vision_config=vision, text_config=text)
    return SiglipModel(config), SiglipImageProcessorPil(size={"height": 24, "width": 24}, resample=2)


def main(out):
    pictures = [Image.open(Path(__file__).parent.parent / "golden-pre" / name).convert("RGB") for name in PICTURES]
    for number, build in enumerate([clip, chinese_clip, siglip, siglip2]):
        torch.manual_seed(number)
        model, processor = build()
        # Fresh biases are zero and fresh norms one; a mistake there would not show.
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                centre = 1.0 if "norm" in name and name.endswith("weight") else 0.0
                parameter.normal_(centre, 0.2)
        model.eval()
        tower = getattr(model, "vision_model", model)
        pixel_values = processor(pictures, return_tensors="pt")["pixel_values"]
        with torch.no_grad():
            hidden_states = tower(pixel_values, output_hidden_states=True).hidden_states
        assert len(hidden_states) == SHAPE["num_hidden_layers"] + 1
        folder = out / build.__name__
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
        expected = {f"hidden_states.{i}": state.contiguous() for i, state in enumerate(hidden_states)}
        save_file({"pixel_values": pixel_values.contiguous(), **expected}, folder / "expected.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
